//! Which commands the server still owes a reply, and which of them a reply answers.
//!
//! Counting alone does not do: servers send more replies than commands, or fewer, and answer `NOOP`, `STAT` and `ABOR` in
//! the middle of a transfer. So a reply goes to the first command that such a code can answer, and commands passed over
//! on the way are taken as never to be answered. While a transfer runs, a reply that both it and a command sent meanwhile
//! could cause goes to the command: a server that answers in the middle would else seem to have ended the transfer.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::event::{DataId, Direction};

/// The most commands remembered. No client pipelines as many; past it the oldest is taken as never to be answered.
const MAX_OWED: usize = 256;

/// Codes that report a failure.
const FAILURE: RangeInclusive<u16> = 400..=599;

/// The code for success in general, with which some servers report a transfer's as well.
const SUCCESS: u16 = 200;

/// The code that reports a transfer's success and nothing else's but that of an `ABOR`.
pub(crate) const COMPLETED: u16 = 226;

/// Codes that are about a transfer whenever one runs, or about the whole session (RFC 959, section 5.4).
const ABOUT_TRANSFERS: [u16; 8] = [COMPLETED, 421, 425, 426, 451, 452, 551, 552];

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
    /// Success is 200, as far as that matters.
    Confirmed,
    /// Success is 250 or 200.
    File,
    /// Success is another code than these.
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
            Self::Abort => failed || matches!(code, 225 | COMPLETED),
            Self::Passive => failed || matches!(code, 200 | 227..=229),
            Self::Port(_) | Self::Mode { .. } => failed || matches!(code, 200..=219 | 250),
            Self::Auth => failed || matches!(code, 234 | 334),
            Self::Confirmed | Self::File | Self::Plain => code != COMPLETED,
            Self::Unknown => true,
        }
    }

    /// Whether such a command, sent while a transfer runs, may be what a reply of this code is about. A transfer is
    /// answered before the next one, and before what aborts it.
    fn explains(self, code: u16) -> bool {
        match self {
            Self::Greeting | Self::Transfer(_) | Self::Abort => false,
            Self::Confirmed => code != 250,
            Self::Plain => !matches!(code, 200 | 250),
            Self::File
            | Self::Passive
            | Self::Port(_)
            | Self::Mode { .. }
            | Self::Auth
            | Self::Reinitialize
            | Self::Unknown => self.fits(code),
        }
    }
}

/// Whether a code can say that a transfer was completed (RFC 959, section 5.4).
fn is_completion(code: u16) -> bool {
    matches!(code, COMPLETED | 250)
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
        let first = |wanted: &dyn Fn(Expect) -> bool| {
            self.queue.iter().position(|sent| wanted(sent.expect))
        };
        let at = first(&|it| code == COMPLETED && matches!(it, Expect::Transfer(_)))
            .or_else(|| first(&|it| running && it.explains(code)))
            .or_else(|| first(&|it| it.fits(code)));
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
        let may = is_completion(code) || code == SUCCESS || FAILURE.contains(&code);
        let explained = || self.queue.iter().any(|sent| sent.expect.explains(code));
        ABOUT_TRANSFERS.contains(&code) || (may && !explained())
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
            sent("NOOP", Expect::Confirmed),
            sent("STAT", Expect::Plain),
        ]);
        assert_eq!(owed.start(false).unwrap().0.text, "RETR");
        assert_eq!(answered(&mut owed, 200, true), "NOOP");
        assert_eq!(answered(&mut owed, 226, true), "(running)");
        assert_eq!(answered(&mut owed, 213, false), "STAT");
    }

    #[test]
    fn a_refused_noop_does_not_end_a_transfer() {
        let mut owed = owed(&[download("RETR"), sent("NOOP", Expect::Confirmed)]);
        owed.start(false);
        assert_eq!(answered(&mut owed, 500, true), "NOOP");
        assert_eq!(answered(&mut owed, 426, true), "(running)");
    }

    #[test]
    fn what_a_command_sent_meanwhile_explains_ends_no_transfer() {
        for (command, expect, code) in [
            ("NOOP", Expect::Confirmed, 200),
            ("CWD", Expect::File, 250),
            ("CWD", Expect::File, 200),
            ("CWD", Expect::File, 550),
            ("SIZE", Expect::Plain, 550),
            ("PORT", Expect::Port(None), 200),
            ("X@Y", Expect::Unknown, 250),
        ] {
            let mut owed = owed(&[download("RETR"), sent(command, expect)]);
            owed.start(false);
            assert_eq!(answered(&mut owed, code, true), command, "{code}");
            assert_eq!(answered(&mut owed, code, true), "(running)", "{code}");
        }
    }

    #[test]
    fn what_no_command_sent_meanwhile_explains_ends_the_transfer() {
        for (command, expect, code) in [
            ("NOOP", Expect::Confirmed, 250),
            ("STAT", Expect::Plain, 200),
            ("QUIT", Expect::Plain, 250),
            ("CWD", Expect::File, 226),
            ("CWD", Expect::File, 451),
            ("ABOR", Expect::Abort, 550),
            ("RETR b", Expect::Transfer(Direction::Download), 550),
        ] {
            let mut owed = owed(&[download("RETR"), sent(command, expect)]);
            owed.start(false);
            assert_eq!(answered(&mut owed, code, true), "(running)", "{code}");
            assert!(!owed.is_empty(), "{command} is still owed");
        }
    }

    #[test]
    fn a_complaint_with_nothing_else_owed_ends_a_transfer() {
        let mut owed = owed(&[download("RETR")]);
        owed.start(false);
        assert_eq!(answered(&mut owed, 500, true), "(running)");
    }

    #[test]
    fn a_noop_answered_before_the_transfer_begins_leaves_it_owed() {
        let mut owed = owed(&[download("RETR"), sent("NOOP", Expect::Confirmed)]);
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
        let mut owed = owed(&[
            sent("NOOP", Expect::Confirmed),
            sent("R@TR", Expect::Unknown),
        ]);
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
        let mut owed = owed(&[sent("CWD", Expect::File), download("LIST")]);
        assert_eq!(answered(&mut owed, 250, false), "CWD");
        assert_eq!(answered(&mut owed, 226, false), "LIST");
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let mut owed = owed(&vec![sent("NOOP", Expect::Confirmed); MAX_OWED]);
        assert_eq!(
            owed.push(sent("NOOP", Expect::Confirmed)),
            Some(sent("NOOP", Expect::Confirmed))
        );
        assert_eq!(owed.clear().len(), MAX_OWED);
    }
}
