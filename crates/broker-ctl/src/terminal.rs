//! The terminal of the person who runs a command. It shows prompts and reads the answers.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc as blocking;
use std::thread;

use plain_text::printable;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// The terminal of this process, whatever its standard streams are.
const DEVICE: &str = "/dev/tty";

/// Terminals deliver no longer line.
const MAX_LINE: usize = 4096;

/// The typed text without the end of the line; `None`: the end of the input (Ctrl-D).
type Line = Option<Zeroizing<String>>;

/// Asks for lines, one at a time.
pub(crate) struct Terminal {
    device: File,
    /// Makes a thread read one more line: a read cannot be cancelled, and must not delay the command.
    wanted: blocking::SyncSender<()>,
    lines: mpsc::Receiver<io::Result<Line>>,
    /// Whether a line is being read, perhaps for a prompt that the daemon has withdrawn.
    reading: bool,
}

impl Terminal {
    /// `None` if standard input is not a terminal: a script has nobody to answer.
    pub(crate) fn open() -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let open = || OpenOptions::new().read(true).write(true).open(DEVICE);
        let (device, input) = (open().ok()?, open().ok()?);
        let (wanted, requests) = blocking::sync_channel(1);
        let (sender, lines) = mpsc::channel(1);
        thread::spawn(move || read_lines(input, &requests, &sender));
        Some(Self {
            device,
            wanted,
            lines,
            reading: false,
        })
    }

    pub(crate) fn show(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.device, "{}", printable(line))?;
        }
        Ok(())
    }

    /// Asks for a line. Discards what was typed before, since it was not meant for this prompt.
    pub(crate) async fn ask(&mut self, label: &str, echo: bool) -> io::Result<Line> {
        while self.lines.try_recv().is_ok() {
            self.reading = false;
        }
        let mut modes = Modes::set(&self.device, echo)?;
        write!(&self.device, "{}", printable(label))?;
        if !self.reading {
            // The thread that reads it lives as long as this value.
            let _ = self.wanted.send(());
            self.reading = true;
        }
        let line = self.lines.recv().await.unwrap_or(Ok(None));
        self.reading = false;
        modes.line_ended = matches!(line, Ok(Some(_)));
        line
    }
}

/// The terminal's mode while a person types a line. Dropping it restores the mode.
struct Modes<'a> {
    device: &'a File,
    before: Termios,
    /// Whether the next output begins on a new line.
    line_ended: bool,
}

impl<'a> Modes<'a> {
    fn set(device: &'a File, echo: bool) -> io::Result<Self> {
        let before = tcgetattr(device)?;
        let mut modes = before.clone();
        if !echo {
            modes.local_modes.remove(LocalModes::ECHO);
            modes.local_modes.insert(LocalModes::ECHONL);
        }
        tcsetattr(device, OptionalActions::Now, &modes)?;
        tcflush(device, QueueSelector::IFlush)?;
        Ok(Self {
            device,
            before,
            line_ended: false,
        })
    }
}

impl Drop for Modes<'_> {
    fn drop(&mut self) {
        // A closed terminal needs neither.
        if !self.line_ended {
            let _ = writeln!(&*self.device);
        }
        let _ = tcsetattr(self.device, OptionalActions::Now, &self.before);
    }
}

fn read_lines(
    mut input: File,
    requests: &blocking::Receiver<()>,
    lines: &mpsc::Sender<io::Result<Line>>,
) {
    while requests.recv().is_ok() {
        if lines.blocking_send(read_line(&mut input)).is_err() {
            return;
        }
    }
}

/// A terminal delivers a whole line at once.
fn read_line(input: &mut impl Read) -> io::Result<Line> {
    let mut bytes = Zeroizing::new([0; MAX_LINE]);
    let count = input.read(&mut bytes[..])?;
    let typed = bytes.get(..count).unwrap_or_default();
    if typed.is_empty() {
        return Ok(None);
    }
    let text =
        std::str::from_utf8(typed).map_err(|_| io::Error::other("the typed text is not UTF-8"))?;
    Ok(Some(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    )))
}

/// Whether the locale's characters include more than those of ASCII.
pub(crate) fn is_utf8_locale() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var_os);
    let first = set.into_iter().flatten().find(|value| !value.is_empty());
    first.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mut typed: &[u8], expected: Option<&str>) {
        let line = read_line(&mut typed).unwrap();
        assert_eq!(line.as_deref().map(String::as_str), expected);
    }

    #[test]
    fn a_line_comes_without_its_end() {
        check(b"hunter2 \n", Some("hunter2 "));
        check(b"\n", Some(""));
        check(b"end of input", Some("end of input"));
        check(b"", None);
    }

    #[test]
    fn what_is_not_text_is_not_repeated() {
        let fault = read_line(&mut &b"hunter2\xff\n"[..])
            .unwrap_err()
            .to_string();
        assert!(!fault.contains("hunter"), "{fault}");
    }
}
