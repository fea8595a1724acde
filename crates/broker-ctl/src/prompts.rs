//! Prompts of the daemon, which the person at the terminal answers.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;

use anyhow::Context;
use broker_ipc::methods::{AnswerPrompt, AttendPrompts, NextPrompt};
use broker_ipc::types::{Prompt, PromptKind};
use broker_ipc::{ClientError, ErrorCode, RpcError, Secret};
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::Daemon;
use crate::terminal::Terminal;

/// `auth-handler`: shows prompts until it is interrupted.
pub(crate) async fn auth_handler(daemon: &Daemon<'_>) -> anyhow::Result<()> {
    let terminal = Terminal::open()
        .context("auth-handler needs a terminal, and standard input is not one: run auth-handler in a terminal")?;
    let mut responder = TerminalResponder::attend(daemon, None, terminal, &|_| ()).await?;
    daemon
        .output()
        .print("This terminal now shows the daemon's prompts; Ctrl-C ends")?;
    tokio::select! {
        never = responder.answer_all() => match never? {},
        () = interrupted() => Ok(()),
    }
}

/// Does something that makes the daemon connect to a target. Meanwhile shows the daemon's prompts, if there is a
/// terminal.
pub(crate) async fn while_asking(
    daemon: &Daemon<'_>,
    target: &str,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let Some(responder) = responder(daemon, target, &|_| ()).await else {
        return work.await;
    };
    tokio::select! {
        biased;
        done = attended(Some(responder), work) => done,
        () = interrupted() => anyhow::bail!("interrupted"),
    }
}

/// Takes on the prompts of a target. `None` if there is no terminal, or if the daemon refuses: the work may need no answer,
/// and if it fails, it reports the reason itself. Calls `around` with true before a prompt is shown, and with false
/// afterwards.
pub(crate) async fn responder<'a>(
    daemon: &'a Daemon<'_>,
    target: &str,
    around: &'a dyn Fn(bool),
) -> Option<TerminalResponder<'a>> {
    let terminal = Terminal::open()?;
    let attending = TerminalResponder::attend(daemon, Some(target), terminal, around).await;
    let note = |refused| {
        let note = format_args!("this command shows no prompts: {refused}");
        daemon.output().note(note);
    };
    attending.map_err(note).ok()
}

/// Shows the prompts that come while something is done.
pub(crate) async fn attended<T>(
    responder: Option<TerminalResponder<'_>>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let Some(mut responder) = responder else {
        return work.await;
    };
    tokio::select! {
        biased;
        done = work => done,
        never = responder.answer_all() => match never? {},
    }
}

/// A refusal, and why this command could not show a prompt.
pub(crate) fn explained(refusal: &RpcError) -> String {
    if refusal.code == ErrorCode::Unanswered && Terminal::open().is_none() {
        format!(
            "{refusal} (this command shows no prompts, since its standard input is not a terminal)"
        )
    } else {
        refusal.to_string()
    }
}

/// Answers the daemon's prompts on a terminal.
pub(crate) struct TerminalResponder<'a> {
    daemon: &'a Daemon<'a>,
    terminal: Terminal,
    /// Learns when a prompt takes the terminal, and when it leaves it.
    around: &'a dyn Fn(bool),
}

impl<'a> TerminalResponder<'a> {
    async fn attend(
        daemon: &'a Daemon<'_>,
        target: Option<&str>,
        terminal: Terminal,
        around: &'a dyn Fn(bool),
    ) -> Result<Self, ClientError> {
        let target = target.map(str::to_owned);
        daemon.call(&AttendPrompts { target }).await?;
        Ok(Self {
            daemon,
            terminal,
            around,
        })
    }

    /// Shows one prompt after another until the daemon or the terminal ends.
    async fn answer_all(&mut self) -> anyhow::Result<Infallible> {
        let mut current = None;
        loop {
            current = match current {
                None => self.daemon.wait(&NextPrompt { shown: None }).await?.prompt,
                Some(prompt) => {
                    (self.around)(true);
                    let next = self.answer(&prompt).await;
                    (self.around)(false);
                    next?
                }
            };
        }
    }

    /// Shows one prompt until it is answered or withdrawn. Returns the next one, if it was withdrawn.
    async fn answer(&mut self, prompt: &Prompt) -> anyhow::Result<Option<Prompt>> {
        let Self {
            daemon, terminal, ..
        } = self;
        let until_another = NextPrompt {
            shown: Some(prompt.id),
        };
        let next = daemon.wait(&until_another);
        tokio::pin!(next);
        let answer = tokio::select! {
            next = &mut next => {
                terminal.show("The daemon has withdrawn this prompt")?;
                return Ok(next?.prompt);
            }
            answer = ask(terminal, prompt) => answer?,
        };
        match daemon.call(&answer).await {
            Err(ClientError::Failed(late)) => terminal.show(&late.to_string())?,
            sent => drop(sent?),
        }
        Ok(next.await?.prompt)
    }
}

async fn ask(terminal: &mut Terminal, prompt: &Prompt) -> io::Result<AnswerPrompt> {
    terminal.show(&prompt.message)?;
    let mut answer = AnswerPrompt {
        id: prompt.id,
        confirm: None,
        texts: None,
    };
    match prompt.kind {
        PromptKind::HostKey => answer.confirm = confirm(terminal, prompt).await?,
        PromptKind::Passphrase | PromptKind::Password | PromptKind::Interactive => {
            answer.texts = texts(terminal, prompt).await?;
        }
    }
    Ok(answer)
}

/// `None`: declined.
async fn confirm(terminal: &mut Terminal, prompt: &Prompt) -> io::Result<Option<bool>> {
    loop {
        let Some(typed) = terminal
            .ask("Accept it (yes, no, or the fingerprint)? ", true)
            .await?
        else {
            return Ok(None);
        };
        match typed.trim() {
            "yes" => return Ok(Some(true)),
            "no" => return Ok(Some(false)),
            typed if Some(typed) == prompt.fingerprint.as_deref() => return Ok(Some(true)),
            _ => terminal.show("Answer yes, no, or the fingerprint shown above")?,
        }
    }
}

/// `None`: declined.
async fn texts(terminal: &mut Terminal, prompt: &Prompt) -> io::Result<Option<Vec<Secret>>> {
    let mut texts = Vec::new();
    for field in &prompt.fields {
        match terminal.ask(&field.label, field.echo).await? {
            Some(typed) => texts.push(Secret::from(typed)),
            None => return Ok(None),
        }
    }
    Ok(Some(texts))
}

/// Waits for a signal that ends the command, so that the command can restore the terminal.
async fn interrupted() {
    let signals = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [interrupt, terminate, hangup] = signals.map(|kind| async move {
        match signal(kind) {
            Ok(mut arrivals) => drop(arrivals.recv().await),
            // Without a handler, the signal ends the process.
            Err(_) => pending().await,
        }
    });
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
        () = hangup => {}
    }
}
