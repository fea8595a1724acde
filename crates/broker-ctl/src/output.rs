//! Output: answers go to standard output, everything else to standard error, and colours only to a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anstream::adapter::strip_str;
use broker_ipc::{LoginAttempt, RpcError};
use clap::ColorChoice;
use plain_text::{is_printable, printable};
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::cli::{Cli, Format};
use crate::failure;
use crate::table::{ALERT, Table, View};
use crate::times::Times;

/// The two streams, and what the user wants to see on them.
pub(crate) struct Output {
    quiet: bool,
    verbose: bool,
    format: Format,
}

impl Output {
    pub(crate) fn new(cli: &Cli) -> Self {
        let choice = match cli.format.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self {
            quiet: cli.quiet,
            verbose: cli.verbose,
            format: cli.format.clone(),
        }
    }

    /// Whether answers and errors are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format.json
    }

    /// Whether a person reads the answer, not a program.
    pub(crate) fn is_for_people(&self) -> bool {
        !self.format.json && !self.format.short && !self.quiet
    }

    /// Whether lines that change can be shown to a person, on standard error.
    pub(crate) fn is_live(&self) -> bool {
        let moves_cursor = std::env::var_os("TERM").is_some_and(|name| name != "dumb");
        !self.quiet && moves_cursor && io::stderr().is_terminal()
    }

    /// Prints a line, or several, of the answer.
    pub(crate) fn print(&self, text: impl Display) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        writeln!(anstream::stdout(), "{text}")
    }

    /// Prints an answer in the requested form: as the daemon sent it, or as a table.
    pub(crate) fn answer(&self, answer: &impl Serialize, table: &Table) -> anyhow::Result<()> {
        self.answer_text(&self.form(answer, table)?)
    }

    /// Prints an answer that has the requested form already.
    pub(crate) fn answer_text(&self, text: &str) -> anyhow::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        Ok(self.print(text)?)
    }

    /// An answer in the requested form.
    pub(crate) fn form(&self, answer: &impl Serialize, table: &Table) -> anyhow::Result<String> {
        if self.format.json {
            return Ok(json(answer)?);
        }
        Ok(match self.format.short {
            true => table.short(),
            false => self.table(table),
        })
    }

    /// A text with its colours, unless standard output should have none.
    pub(crate) fn coloured(&self, text: String) -> String {
        if anstream::AutoStream::choice(&io::stdout()) == anstream::ColorChoice::Never {
            return strip_str(&text).to_string();
        }
        text
    }

    /// A table for a person.
    pub(crate) fn table(&self, table: &Table) -> String {
        let view = View {
            width: terminal_width(),
            wide: self.format.wide,
            times: self.format.time_format.clone().unwrap_or_default(),
        };
        table.aligned(&view)
    }

    /// How times look, if the user has said so.
    pub(crate) fn times(&self) -> Option<&Times> {
        self.format.time_format.as_ref()
    }

    /// Prints an answer as JSON on one line.
    pub(crate) fn json(&self, answer: &impl Serialize) -> anyhow::Result<()> {
        Ok(self.print(json(answer)?)?)
    }

    /// Prints what a command has done: a sentence for people, an object for programs.
    pub(crate) fn done(
        &self,
        object: &impl Serialize,
        sentence: impl Display,
    ) -> anyhow::Result<()> {
        match self.format.json {
            true => self.json(object),
            false => Ok(self.print(sentence)?),
        }
    }

    /// Prints a note for a user who asked for more detail.
    pub(crate) fn note(&self, text: impl Display) {
        if self.verbose {
            // If standard error is closed, there is nowhere to report it.
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Prints to standard error what a person who waits wants to know.
    pub(crate) fn progress(&self, text: &str) {
        if !self.quiet {
            // As above.
            let _ = writeln!(anstream::stderr(), "{}", printable(text));
        }
    }

    /// Prints lines of another program before the error that they explain.
    pub(crate) fn passage(&self, text: &str) {
        for line in text.lines() {
            // As above.
            let _ = writeln!(anstream::stderr(), "{}", printable(line));
        }
    }

    /// Prints an error for programs.
    pub(crate) fn json_error(&self, error: &impl Serialize) {
        if let Ok(line) = json(error) {
            // As above.
            let _ = writeln!(anstream::stderr(), "{line}");
        }
    }

    /// Prints an error.
    pub(crate) fn error(&self, text: impl Display) {
        let text = printable(&text.to_string());
        // As above.
        let _ = writeln!(anstream::stderr(), "{ALERT}broker-ctl:{ALERT:#} {text}");
    }

    /// Prints a refusal of the daemon in these words.
    pub(crate) fn refusal(&self, refusal: &RpcError, message: String) {
        if self.format.json {
            self.json_error(&failure::refused(refusal, message));
        } else {
            self.error(message);
            self.attempts(refusal.tried());
        }
    }

    /// Prints below an error what was tried in the login that failed.
    pub(crate) fn attempts(&self, tried: &[LoginAttempt]) {
        for attempt in tried {
            // As above.
            let _ = writeln!(anstream::stderr(), "  {}", printable(&attempt.text));
        }
    }
}

/// The width of the terminal that standard output is; otherwise what the user says, as for a pager.
fn terminal_width() -> Option<usize> {
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    columns(&io::stdout()).or_else(said).filter(|it| *it > 0)
}

/// The width of the terminal that a stream is, if the terminal tells.
pub(crate) fn columns(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let size = stream.is_terminal().then(|| tcgetwinsize(stream).ok());
    let columns = size.flatten().map(|size| usize::from(size.ws_col));
    columns.filter(|it| *it > 0)
}

/// An answer as JSON on one line. Characters that could control a terminal or mislead a reader are escaped, for
/// example as `\u202e`, which means the same to programs.
fn json(answer: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(answer)?;
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) {
            safe.push(c);
        } else {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units).iter();
            safe.extend(units.map(|unit| format!("\\u{unit:04x}")));
        }
    }
    Ok(safe)
}

/// Waits until the reader of standard output has closed it: a command that waits for something to print would notice only
/// when it prints, which can be never.
pub(crate) async fn nobody_reads() -> io::Error {
    closed_by_reader(io::stdout()).await
}

/// Waits for ever if the output has no reader, such as a file.
async fn closed_by_reader(output: impl AsFd) -> io::Error {
    // Not checked, since that would want an output that never blocks, and this one only waits.
    let output = output.as_fd().try_clone_to_owned();
    match output.and_then(Sender::from_owned_fd_unchecked) {
        Ok(output) => match output.ready(Interest::ERROR).await {
            Ok(_) => io::ErrorKind::BrokenPipe.into(),
            Err(fault) => fault,
        },
        Err(_) => std::future::pending().await,
    }
}

/// True if the reader of standard output has closed it.
pub(crate) fn is_broken_pipe(failure: &anyhow::Error) -> bool {
    failure
        .downcast_ref::<io::Error>()
        .is_some_and(|fault| fault.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_closes_standard_output_is_noticed_without_a_write() {
        let (reader, writer) = io::pipe().unwrap();
        let mut closed = Box::pin(closed_by_reader(writer));
        assert!(once(&mut closed).await.is_pending());
        drop(reader);
        assert_eq!(closed.await.kind(), io::ErrorKind::BrokenPipe);
    }

    /// What a future says if it is asked once.
    async fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }

    #[test]
    fn json_means_the_same_and_misleads_nobody() {
        let text = "exe.\u{202e}fdp \u{9b}2J\u{e0041} Grüße\n";
        let shown = json(&text).unwrap();
        assert_eq!(shown, r#""exe.\u202efdp \u009b2J\udb40\udc41 Grüße\n""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
