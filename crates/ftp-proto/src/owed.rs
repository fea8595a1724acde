//! Which commands the server still owes a reply, and which of them a reply answers.
//!
//! Counting alone does not do: servers send more replies than commands, or fewer, and answer `NOOP`, `STAT` and `ABOR` in
//! the middle of a transfer. So a reply goes to the first command that such a code can answer, and commands passed over
//! on the way are taken as never to be answered.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::event::{DataId, Direction};

/// The most commands remembered. No client pipelines as many; past it the oldest is taken as never to be answered.
const MAX_OWED: usize = 256;

/// Codes that report a failure.
const FAILURE: RangeInclusive<u16> = 400..=599;

/// What the reply to a command will mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The server's first reply, which no command asks for.
    Greeting,
    Transfer(Direction),
    Abort,
    Passive,
    /// A `PORT` that the server saw; with the channel offered in it, if it was rewritten.
    Port(Option<DataId>),
    Mode {
        ends_with_connection: bool,
    },
    Auth,
    Reinitialize,
    Plain,
    /// A command not known: it may turn out to be a transfer.
    Unknown,
}

impl Expect {
    /// Whether such a command can be answered by a final reply of this code.
    fn fits(self, code: u16) -> bool {
        let failed = FAILURE.contains(&code);
        match self {
            Self::Greeting | Self::Reinitialize => failed || code == 220,
            Self::Transfer(_) => failed || is_completion(code),
            Self::Abort => failed || matches!(code, 225 | 226),
            Self::Passive => failed || matches!(code, 200 | 227..=229),
            Self::Port(_) | Self::Mode { .. } => failed || matches!(code, 200..=219 | 250),
            Self::Auth => failed || matches!(code, 234 | 334),
            Self::Plain | Self::Unknown => true,
        }
    }
}

/// Whether a code can say that a transfer was completed (RFC 959, section 5.4).
fn is_completion(code: u16) -> bool {
    matches!(code, 226 | 250)
}

/// A command that the server was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The command and its argument, as an event may show it.
    pub(crate) text: String,
    pub(crate) expect: Expect,
}

/// What a final reply answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It ends the transfer that runs.
    Running,
    /// It answers this command.
    Command {
        sent: Sent,
        /// Earlier ones that now count as never to be answered.
        skipped: Vec<Sent>,
    },
    /// Nothing: it was not asked for.
    Nothing,
}

/// The commands sent and not answered, in order.
#[derive(Debug)]
pub(crate) struct Owed {
    queue: VecDeque<Sent>,
    /// The last transfer command sent, for a `150` that finds none because a reply too many has taken it.
    last_transfer: Option<Sent>,
}

impl Owed {
    /// A server that owes its greeting.
    pub(crate) fn new() -> Self {
        let greeting = Sent {
            text: String::new(),
            expect: Expect::Greeting,
        };
        Self {
            queue: VecDeque::from([greeting]),
            last_transfer: None,
        }
    }

    /// A command was sent. Gives back one that now counts as never to be answered, where the table is full.
    pub(crate) fn push(&mut self, sent: Sent) -> Option<Sent> {
        if matches!(sent.expect, Expect::Transfer(_)) {
            self.last_transfer = Some(sent.clone());
        }
        self.queue.push_back(sent);
        if self.queue.len() > MAX_OWED {
            self.queue.pop_front()
        } else {
            None
        }
    }

    /// A `125` or `150` came: the transfer that begins, and the commands before it. `None` where no command can have
    /// caused it but the one that `running` already.
    pub(crate) fn start(&mut self, running: bool) -> Option<(Sent, Vec<Sent>)> {
        let known = self
            .queue
            .iter()
            .position(|sent| matches!(sent.expect, Expect::Transfer(_)));
        let at = known.or_else(|| {
            self.queue
                .iter()
                .position(|sent| sent.expect == Expect::Unknown)
        });
        if let Some((sent, skipped)) = at.and_then(|at| self.take(at)) {
            self.last_transfer = None;
            return Some((sent, skipped));
        }
        if running {
            return None;
        }
        let anonymous = Sent {
            text: String::new(),
            expect: Expect::Unknown,
        };
        Some((self.last_transfer.take().unwrap_or(anonymous), Vec::new()))
    }

    /// A final reply came.
    pub(crate) fn answer(&mut self, code: u16, running: bool) -> Answered {
        if running && self.ends_transfer(code) {
            return Answered::Running;
        }
        let completes = |sent: &Sent| code == 226 && matches!(sent.expect, Expect::Transfer(_));
        let at = self.queue.iter().position(completes);
        let at = at.or_else(|| self.queue.iter().position(|sent| sent.expect.fits(code)));
        match at.and_then(|at| self.take(at)) {
            Some((sent, skipped)) => Answered::Command { sent, skipped },
            None => Answered::Nothing,
        }
    }

    /// Whether no reply is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a transfer command has not been answered at all.
    pub(crate) fn has_transfer(&self) -> bool {
        self.queue
            .iter()
            .any(|sent| matches!(sent.expect, Expect::Transfer(_)))
    }

    /// Whether an `ABOR` has not been answered.
    pub(crate) fn has_abort(&self) -> bool {
        self.queue.iter().any(|sent| sent.expect == Expect::Abort)
    }

    /// Takes every command as never to be answered.
    pub(crate) fn clear(&mut self) -> Vec<Sent> {
        self.queue.drain(..).collect()
    }

    /// Whether a final reply ends the transfer that runs, and not a command sent meanwhile.
    fn ends_transfer(&self, code: u16) -> bool {
        // Codes that complain of a command itself go to the command sent meanwhile.
        let about_a_command = matches!(code, 500..=504) && !self.queue.is_empty();
        is_completion(code) || (FAILURE.contains(&code) && !about_a_command)
    }

    /// Takes the command at this place, and those before it but for transfers, which may still be answered: a server may
    /// answer `NOOP` before the `RETR` that it works on.
    fn take(&mut self, at: usize) -> Option<(Sent, Vec<Sent>)> {
        let sent = self.queue.remove(at)?;
        let before: Vec<Sent> = self.queue.drain(..at).collect();
        let (kept, skipped) = before
            .into_iter()
            .partition(|sent| matches!(sent.expect, Expect::Transfer(_)));
        let kept: Vec<Sent> = kept;
        kept.into_iter()
            .rev()
            .for_each(|sent| self.queue.push_front(sent));
        Some((sent, skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str, expect: Expect) -> Sent {
        Sent {
            text: text.to_owned(),
            expect,
        }
    }

    fn download(text: &str) -> Sent {
        sent(text, Expect::Transfer(Direction::Download))
    }

    /// What is owed after the greeting and these commands.
    fn owed(commands: &[Sent]) -> Owed {
        let mut owed = Owed::new();
        owed.answer(220, false);
        for command in commands {
            assert_eq!(owed.push(command.clone()), None);
        }
        owed
    }

    /// The command that a reply answers.
    fn answered(owed: &mut Owed, code: u16, running: bool) -> String {
        match owed.answer(code, running) {
            Answered::Running => "(running)".to_owned(),
            Answered::Command { sent, .. } => sent.text,
            Answered::Nothing => "(nothing)".to_owned(),
        }
    }

    #[test]
    fn the_greeting_is_owed_first() {
        let mut owed = Owed::new();
        assert!(!owed.is_empty());
        assert_eq!(answered(&mut owed, 220, false), "");
        assert!(owed.is_empty());
        assert_eq!(answered(&mut owed, 200, false), "(nothing)");
    }

    #[test]
    fn replies_to_noop_and_stat_do_not_end_a_transfer() {
        let mut owed = owed(&[
            download("RETR"),
            sent("NOOP", Expect::Plain),
            sent("STAT", Expect::Plain),
        ]);
        assert_eq!(owed.start(false).unwrap().0.text, "RETR");
        assert_eq!(answered(&mut owed, 200, true), "NOOP");
        assert_eq!(answered(&mut owed, 226, true), "(running)");
        assert_eq!(answered(&mut owed, 213, false), "STAT");
    }

    #[test]
    fn a_refused_noop_does_not_end_a_transfer() {
        let mut owed = owed(&[download("RETR"), sent("NOOP", Expect::Plain)]);
        owed.start(false);
        assert_eq!(answered(&mut owed, 500, true), "NOOP");
        assert_eq!(answered(&mut owed, 426, true), "(running)");
    }

    #[test]
    fn a_complaint_with_nothing_else_owed_ends_a_transfer() {
        let mut owed = owed(&[download("RETR")]);
        owed.start(false);
        assert_eq!(answered(&mut owed, 500, true), "(running)");
    }

    #[test]
    fn a_noop_answered_before_the_transfer_begins_leaves_it_owed() {
        let mut owed = owed(&[download("RETR"), sent("NOOP", Expect::Plain)]);
        assert_eq!(answered(&mut owed, 200, false), "NOOP");
        assert!(owed.has_transfer());
        assert_eq!(owed.start(false).unwrap().0.text, "RETR");
    }

    #[test]
    fn a_reply_too_few_is_made_up_for() {
        let mut owed = owed(&[sent("ABOR", Expect::Abort), sent("PASV", Expect::Passive)]);
        assert_eq!(answered(&mut owed, 227, false), "PASV");
        assert!(owed.is_empty());
    }

    #[test]
    fn a_reply_too_many_does_not_lose_the_transfer() {
        let mut owed = owed(&[download("RETR")]);
        assert_eq!(answered(&mut owed, 200, false), "(nothing)");
        assert_eq!(answered(&mut owed, 500, false), "RETR");
        assert_eq!(owed.start(false).unwrap().0.text, "RETR");
    }

    #[test]
    fn an_unknown_command_may_begin_a_transfer() {
        let mut owed = owed(&[sent("NOOP", Expect::Plain), sent("R@TR", Expect::Unknown)]);
        let (started, skipped) = owed.start(false).unwrap();
        assert_eq!((started.text.as_str(), skipped.len()), ("R@TR", 1));
    }

    #[test]
    fn a_second_150_begins_no_second_transfer() {
        let mut owed = owed(&[download("RETR")]);
        assert!(owed.start(false).is_some());
        assert!(owed.start(true).is_none());
    }

    #[test]
    fn a_transfer_may_be_completed_without_a_150() {
        let mut owed = owed(&[sent("CWD", Expect::Plain), download("LIST")]);
        assert_eq!(answered(&mut owed, 250, false), "CWD");
        assert_eq!(answered(&mut owed, 226, false), "LIST");
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let mut owed = owed(&vec![sent("NOOP", Expect::Plain); MAX_OWED]);
        assert_eq!(
            owed.push(sent("NOOP", Expect::Plain)),
            Some(sent("NOOP", Expect::Plain))
        );
        assert_eq!(owed.clear().len(), MAX_OWED);
    }
}
