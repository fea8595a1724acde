//! The commands without a reply so far, and the rules that find the command that a reply answers.
//!
//! Counting alone is not enough: servers send more replies than commands, or fewer, and answer `NOOP`, `STAT` and
//! `ABOR` in the middle of a transfer. So a reply answers the first command that can have its code. Commands skipped on
//! the way count as never answered. While a transfer runs, a reply can belong to it or to a command sent meanwhile.
//! Such a reply answers the command: otherwise a server that answers in the middle would seem to have ended the
//! transfer.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::event::Direction;
use crate::kind::{COMPLETED, CommandKind, FAILURE, reports_success};
use crate::sent::{Attempt, Sent};

/// The most pending commands. No client pipelines as many. Above it, the oldest counts as never answered.
const MAX_PENDING: usize = 256;

/// Codes that report a success.
const SUCCESS: RangeInclusive<u16> = 200..=299;

/// Codes that announce where a server listens. They never belong to a transfer.
const ANNOUNCEMENT: RangeInclusive<u16> = 227..=229;

/// Codes that belong to the running transfer, if there is one, or to the whole session (RFC 959, section 5.4).
const ABOUT_TRANSFERS: [u16; 8] = [COMPLETED, 421, 425, 426, 451, 452, 551, 552];

/// A command without a final reply.
#[derive(Debug)]
struct Pending {
    sent: Sent,
    /// Whether the server has been silent for so long that the session's own replies no longer wait for this one.
    overdue: bool,
    /// Whether its reply may have counted as the end of a transfer. If so, the transfer's own comes in its place.
    swapped: bool,
}

/// The probable subject of a final reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// The running transfer.
    Running,
    /// The command at this index.
    Command(usize),
    /// None of these.
    Nothing,
}

/// The subject of a final reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It ends the running transfer.
    Running,
    /// It answers this command.
    Command {
        sent: Sent,
        /// Earlier commands that now count as never answered.
        skipped: Vec<Sent>,
    },
    /// It answers nothing: it is unsolicited.
    Nothing,
}

/// A transfer that begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) sent: Sent,
    /// Earlier commands that now count as never answered.
    pub(crate) skipped: Vec<Sent>,
    /// Whether another reply seemed to be its end.
    pub(crate) was_answered: bool,
}

/// The unanswered commands, in order.
#[derive(Debug)]
pub(crate) struct PendingReplies {
    queue: VecDeque<Pending>,
    /// The last transfer command, for a `150` that finds none because a surplus reply has answered it.
    last_transfer: Option<Sent>,
}

impl PendingReplies {
    /// The state of a server that has not sent its greeting yet.
    pub(crate) fn new() -> Self {
        let mut pending = Self {
            queue: VecDeque::new(),
            last_transfer: None,
        };
        pending.push(Sent::new(String::new(), CommandKind::Greeting));
        pending
    }

    /// Records a sent command. If the table is full, returns the oldest, which now counts as never answered.
    pub(crate) fn push(&mut self, sent: Sent) -> Option<Sent> {
        if sent.kind.is_transfer() {
            self.last_transfer = Some(sent.clone());
        }
        self.queue.push_back(Pending {
            sent,
            overdue: false,
            swapped: false,
        });
        if self.queue.len() > MAX_PENDING {
            self.queue.pop_front().map(|pending| pending.sent)
        } else {
            None
        }
    }

    /// Handles a `125` or `150`. `None` if no command can have caused it, or only the one that is already `running`.
    pub(crate) fn start(&mut self, running: bool) -> Option<Started> {
        let known = self.first_transfer();
        let at = known.or_else(|| self.first(|kind| kind == CommandKind::Unknown));
        if let Some((sent, skipped)) = at.and_then(|at| self.take(at)) {
            self.last_transfer = None;
            return Some(Started {
                sent,
                skipped,
                was_answered: false,
            });
        }
        let last = self.last_transfer.take_if(|_| !running);
        last.map(|sent| Started {
            sent,
            skipped: Vec::new(),
            was_answered: true,
        })
    }

    /// Handles a final reply.
    pub(crate) fn answer(&mut self, code: u16, running: bool) -> Answered {
        match self.subject(code, running) {
            Subject::Running => Answered::Running,
            // An answer in the middle of a transfer proves nothing about earlier commands.
            Subject::Command(at) if running => {
                self.queue
                    .remove(at)
                    .map_or(Answered::Nothing, |pending| Answered::Command {
                        sent: pending.sent,
                        skipped: Vec::new(),
                    })
            }
            Subject::Command(at) => {
                self.take(at)
                    .map_or(Answered::Nothing, |(sent, skipped)| Answered::Command {
                        sent,
                        skipped,
                    })
            }
            Subject::Nothing => Answered::Nothing,
        }
    }

    /// Handles a passive reply. Removes the command that requested it, and returns it and the skipped ones. `None` if no
    /// pending command can have requested it.
    pub(crate) fn answer_passive(&mut self) -> Option<(Sent, Vec<Sent>)> {
        let at = self
            .first(|kind| matches!(kind, CommandKind::Passive(_)))
            .or_else(|| self.first(|kind| kind == CommandKind::Unknown))?;
        self.take(at)
    }

    /// Whether a command is pending whose reply decides what the server is sent next.
    pub(crate) fn holds_client(&self) -> bool {
        self.queue.iter().any(|pending| pending.sent.holds_client())
    }

    /// The held refusals of commands that were sent again in another form.
    pub(crate) fn take_refusals(&mut self) -> Vec<Vec<u8>> {
        let held = self.queue.iter_mut().filter_map(|pending| {
            let attempt = std::mem::replace(&mut pending.sent.attempt, Attempt::Only);
            match attempt {
                Attempt::Substitute(refusal) => refusal,
                Attempt::Only | Attempt::First => None,
            }
        });
        held.collect()
    }

    /// The client's next command can no longer wait, so the server's refusals pass.
    pub(crate) fn forgo_attempts(&mut self) {
        for pending in &mut self.queue {
            if pending.sent.attempt == Attempt::First {
                pending.sent.attempt = Attempt::Only;
            }
        }
    }

    /// Whether a final reply with this code can report the success of a transfer although it seems to belong to
    /// something else: a command sent meanwhile, or nothing.
    ///
    /// Replies to commands before the transfer come before its own, and the client reads them in that order too.
    pub(crate) fn may_be_a_transfers(&self, code: u16, running: bool) -> bool {
        let after_the_transfer = match self.subject(code, running) {
            Subject::Running => false,
            Subject::Command(_) if running => true,
            Subject::Command(at) => self.first_transfer().is_some_and(|first| first < at),
            Subject::Nothing => running || self.has_transfer(),
        };
        reports_success(code) && after_the_transfer
    }

    /// A reply with this code ends the running transfer. Notes the command sent meanwhile that it can also answer.
    pub(crate) fn swap(&mut self, code: u16) {
        let at = match self.subject(code, true) {
            Subject::Command(at) => Some(at),
            Subject::Running if code == COMPLETED => self.first(|it| it == CommandKind::Abort),
            Subject::Running | Subject::Nothing => None,
        };
        if let Some(pending) = at.and_then(|at| self.queue.get_mut(at)) {
            pending.swapped = true;
        }
    }

    /// Whether a command may wait for the reply of an earlier transfer, which ended with the command's own.
    pub(crate) fn has_swapped(&self) -> bool {
        self.queue.iter().any(|pending| pending.swapped)
    }

    /// Removes the first such command, which is answered now.
    pub(crate) fn take_swapped(&mut self) -> Option<Sent> {
        let at = self.queue.iter().position(|pending| pending.swapped)?;
        self.queue.remove(at).map(|pending| pending.sent)
    }

    /// Removes the first unanswered transfer, which is answered now.
    pub(crate) fn take_transfer(&mut self) -> Option<(Sent, Vec<Sent>)> {
        self.first_transfer().and_then(|at| self.take(at))
    }

    /// Whether the session's own reply can be sent now: no reply for the client is pending that can still be expected.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue
            .iter()
            .all(|pending| pending.overdue || pending.sent.ahead)
    }

    /// Whether a command of the client is pending, however long ago it was sent.
    pub(crate) fn has_clients(&self) -> bool {
        self.queue.iter().any(|pending| !pending.sent.ahead)
    }

    /// Whether no reply at all is pending.
    pub(crate) fn has_none(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a transfer command is the next one to be answered.
    pub(crate) fn begins_with_transfer(&self) -> bool {
        let first = self.queue.front();
        first.is_some_and(|pending| pending.sent.kind.is_transfer())
    }

    /// Whether a transfer command is the only one without an answer.
    pub(crate) fn is_one_transfer(&self) -> bool {
        self.queue.len() == 1 && self.begins_with_transfer()
    }

    /// Whether the reply to a command that was sent ahead comes next.
    pub(crate) fn begins_with_ahead(&self) -> bool {
        self.queue.front().is_some_and(|pending| pending.sent.ahead)
    }

    /// Whether a command of the client is pending that asks for a data connection, or can do so.
    pub(crate) fn asks_for_data(&self) -> bool {
        self.queue.iter().any(|Pending { sent, .. }| {
            let asks = matches!(
                sent.kind,
                CommandKind::Passive(_) | CommandKind::Port | CommandKind::Unknown
            );
            asks && !sent.ahead
        })
    }

    /// Whether a transfer command has no answer at all.
    pub(crate) fn has_transfer(&self) -> bool {
        self.first_transfer().is_some()
    }

    /// The direction of the first transfer command without any answer.
    pub(crate) fn transfer_direction(&self) -> Option<Direction> {
        self.queue
            .iter()
            .find_map(|pending| pending.sent.kind.direction())
    }

    /// Whether a `125` or `150` can be the answer to a transfer command: an unanswered one, or the last one if another
    /// reply seemed to answer it.
    pub(crate) fn expects_start(&self) -> bool {
        self.has_transfer() || self.last_transfer.is_some()
    }

    /// Whether the client's first command without an answer is an `ABOR`.
    pub(crate) fn abort_is_next(&self) -> bool {
        let mut clients = self.queue.iter().filter(|pending| !pending.sent.ahead);
        let next = clients.next();
        next.is_some_and(|pending| pending.sent.kind == CommandKind::Abort)
    }

    /// Whether an `ABOR` has not been answered.
    pub(crate) fn has_abort(&self) -> bool {
        self.first(|kind| kind == CommandKind::Abort).is_some()
    }

    /// The server has been silent for too long, so the session's own replies no longer wait for these commands. Their
    /// replies can still come, and then answer them.
    pub(crate) fn mark_overdue(&mut self) {
        for pending in &mut self.queue {
            pending.overdue = true;
        }
    }

    /// Counts every command as never answered.
    pub(crate) fn clear(&mut self) -> Vec<Sent> {
        self.queue.drain(..).map(|pending| pending.sent).collect()
    }

    /// The probable subject of a final reply with this code.
    fn subject(&self, code: u16, running: bool) -> Subject {
        if running && self.ends_transfer(code) {
            return Subject::Running;
        }
        // It belongs to the transfer, or to an ABOR before it.
        self.first(|it| {
            code == COMPLETED && matches!(it, CommandKind::Transfer(_) | CommandKind::Abort)
        })
        .or_else(|| self.first(|it| running && it.explains(code)))
        .or_else(|| self.queue.iter().position(|it| it.sent.fits(code)))
        .map_or(Subject::Nothing, Subject::Command)
    }

    /// Whether a final reply ends the running transfer instead of answering a command sent meanwhile. A client that
    /// waits for the end of its transfer takes any success for it.
    fn ends_transfer(&self, code: u16) -> bool {
        let success = SUCCESS.contains(&code) && !ANNOUNCEMENT.contains(&code);
        let failure = FAILURE.contains(&code);
        // A failure of what was sent ahead comes after the transfer.
        let explains = |it: &Pending| it.sent.kind.explains(code) && !(failure && it.sent.ahead);
        let explained = || self.queue.iter().any(explains);
        ABOUT_TRANSFERS.contains(&code) || ((success || failure) && !explained())
    }

    fn first(&self, wanted: impl Fn(CommandKind) -> bool) -> Option<usize> {
        self.queue
            .iter()
            .position(|pending| wanted(pending.sent.kind))
    }

    fn first_transfer(&self) -> Option<usize> {
        self.first(CommandKind::is_transfer)
    }

    /// Removes the command at this index and those before it, except transfers, which can still be answered: a server
    /// can answer `NOOP` before the `RETR` that it works on.
    fn take(&mut self, at: usize) -> Option<(Sent, Vec<Sent>)> {
        let taken = self.queue.remove(at)?;
        let (kept, skipped): (Vec<_>, Vec<_>) = self
            .queue
            .drain(..at)
            .partition(|pending| pending.sent.kind.is_transfer());
        for pending in kept.into_iter().rev() {
            self.queue.push_front(pending);
        }
        let skipped = skipped.into_iter().map(|pending| pending.sent).collect();
        Some((taken.sent, skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::PassiveForm;

    fn sent(text: &str, kind: CommandKind) -> Sent {
        Sent::new(text.to_owned(), kind)
    }

    fn download(text: &str) -> Sent {
        sent(text, CommandKind::Transfer(Direction::Download))
    }

    /// What is pending after the greeting and these commands.
    fn pending(commands: &[Sent]) -> PendingReplies {
        let mut pending = PendingReplies::new();
        pending.answer(220, false);
        for command in commands {
            assert_eq!(pending.push(command.clone()), None);
        }
        pending
    }

    /// The command that a reply answers.
    fn answered(pending: &mut PendingReplies, code: u16, running: bool) -> String {
        match pending.answer(code, running) {
            Answered::Running => "(running)".to_owned(),
            Answered::Command { sent, .. } => sent.text,
            Answered::Nothing => "(nothing)".to_owned(),
        }
    }

    #[test]
    fn the_greeting_is_owed_first() {
        let mut pending = PendingReplies::new();
        assert!(!pending.is_empty());
        assert_eq!(answered(&mut pending, 220, false), "");
        assert!(pending.is_empty());
        assert_eq!(answered(&mut pending, 200, false), "(nothing)");
    }

    #[test]
    fn replies_to_noop_and_stat_do_not_end_a_transfer() {
        let mut pending = pending(&[
            download("RETR"),
            sent("NOOP", CommandKind::Confirmed),
            sent("STAT", CommandKind::Plain),
        ]);
        assert_eq!(pending.start(false).unwrap().sent.text, "RETR");
        assert_eq!(answered(&mut pending, 200, true), "NOOP");
        assert_eq!(answered(&mut pending, 226, true), "(running)");
        assert_eq!(answered(&mut pending, 213, false), "STAT");
    }

    #[test]
    fn a_refused_noop_does_not_end_a_transfer() {
        let mut pending = pending(&[download("RETR"), sent("NOOP", CommandKind::Confirmed)]);
        pending.start(false);
        assert_eq!(answered(&mut pending, 500, true), "NOOP");
        assert_eq!(answered(&mut pending, 426, true), "(running)");
    }

    #[test]
    fn what_a_command_sent_meanwhile_explains_ends_no_transfer() {
        for (command, kind, code) in [
            ("NOOP", CommandKind::Confirmed, 200),
            ("CWD", CommandKind::File, 250),
            ("CWD", CommandKind::File, 200),
            ("CWD", CommandKind::File, 550),
            ("SIZE", CommandKind::Plain, 550),
            ("PORT", CommandKind::Port, 200),
            ("X@Y", CommandKind::Unknown, 250),
        ] {
            let mut pending = pending(&[download("RETR"), sent(command, kind)]);
            pending.start(false);
            assert_eq!(answered(&mut pending, code, true), command, "{code}");
            assert_eq!(answered(&mut pending, code, true), "(running)", "{code}");
        }
    }

    #[test]
    fn what_no_command_sent_meanwhile_explains_ends_the_transfer() {
        for (command, kind, code) in [
            ("NOOP", CommandKind::Confirmed, 250),
            ("STAT", CommandKind::Plain, 200),
            ("NOOP", CommandKind::Abort, 257),
            ("QUIT", CommandKind::Plain, 250),
            ("CWD", CommandKind::File, 226),
            ("CWD", CommandKind::File, 451),
            ("ABOR", CommandKind::Abort, 550),
            ("RETR b", CommandKind::Transfer(Direction::Download), 550),
        ] {
            let mut pending = pending(&[download("RETR"), sent(command, kind)]);
            pending.start(false);
            assert_eq!(answered(&mut pending, code, true), "(running)", "{code}");
            assert!(!pending.is_empty(), "{command} is still pending");
        }
    }

    #[test]
    fn a_complaint_with_nothing_else_owed_ends_a_transfer() {
        let mut pending = pending(&[download("RETR")]);
        pending.start(false);
        assert_eq!(answered(&mut pending, 500, true), "(running)");
    }

    #[test]
    fn a_noop_answered_before_the_transfer_begins_leaves_it_owed() {
        let mut pending = pending(&[download("RETR"), sent("NOOP", CommandKind::Confirmed)]);
        assert_eq!(answered(&mut pending, 200, false), "NOOP");
        assert!(pending.has_transfer());
        assert_eq!(pending.start(false).unwrap().sent.text, "RETR");
    }

    #[test]
    fn a_reply_too_few_is_made_up_for() {
        let mut pending = pending(&[
            sent("ABOR", CommandKind::Abort),
            sent("PASV", CommandKind::Passive(PassiveForm::Short)),
        ]);
        assert_eq!(answered(&mut pending, 227, false), "PASV");
        assert!(pending.is_empty());
    }

    #[test]
    fn a_reply_too_many_does_not_lose_the_transfer() {
        let mut pending = pending(&[download("RETR")]);
        assert_eq!(answered(&mut pending, 200, false), "(nothing)");
        assert_eq!(answered(&mut pending, 500, false), "RETR");
        assert_eq!(pending.start(false).unwrap().sent.text, "RETR");
    }

    #[test]
    fn an_unknown_command_may_begin_a_transfer() {
        let mut pending = pending(&[
            sent("NOOP", CommandKind::Confirmed),
            sent("R@TR", CommandKind::Unknown),
        ]);
        let Started {
            sent: started,
            skipped,
            ..
        } = pending.start(false).unwrap();
        assert_eq!((started.text.as_str(), skipped.len()), ("R@TR", 1));
    }

    #[test]
    fn a_150_that_nothing_asked_for_begins_no_transfer() {
        let noop = sent("NOOP", CommandKind::Confirmed);
        assert!(pending(&[noop]).start(false).is_none());
    }

    #[test]
    fn a_second_150_begins_no_second_transfer() {
        let mut pending = pending(&[download("RETR")]);
        assert!(pending.start(false).is_some());
        assert!(pending.start(true).is_none());
    }

    #[test]
    fn a_transfer_may_be_completed_without_a_150() {
        let mut pending = pending(&[sent("CWD", CommandKind::File), download("LIST")]);
        assert_eq!(answered(&mut pending, 250, false), "CWD");
        assert_eq!(answered(&mut pending, 226, false), "LIST");
    }

    #[test]
    fn a_success_that_a_command_sent_meanwhile_explains_may_be_the_transfers() {
        let noop = || sent("NOOP", CommandKind::Confirmed);
        let stat = || sent("STAT", CommandKind::Plain);
        let mut behind = pending(&[download("STOR"), noop(), stat()]);
        behind.start(false);
        assert!(behind.may_be_a_transfers(200, true));
        assert!(!behind.may_be_a_transfers(213, true), "no transfer ends so");
        assert!(
            !behind.may_be_a_transfers(226, true),
            "it is the transfer's"
        );
        let before = pending(&[noop(), download("STOR"), noop()]);
        assert!(
            !before.may_be_a_transfers(200, false),
            "it is the first one's"
        );
        let unasked = pending(&[download("STOR")]);
        assert!(unasked.may_be_a_transfers(200, false));
        assert!(!pending(&[]).may_be_a_transfers(200, false));
    }

    #[test]
    fn a_command_whose_reply_is_overdue_still_gets_it() {
        let mut pending = pending(&[sent("CWD", CommandKind::File)]);
        pending.mark_overdue();
        assert!(pending.is_empty());
        pending.push(download("STOR"));
        assert!(!pending.is_empty());
        assert_eq!(answered(&mut pending, 250, false), "CWD");
        assert_eq!(answered(&mut pending, 250, false), "STOR");
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let mut pending = pending(&vec![sent("NOOP", CommandKind::Confirmed); MAX_PENDING]);
        assert_eq!(
            pending.push(sent("NOOP", CommandKind::Confirmed)),
            Some(sent("NOOP", CommandKind::Confirmed))
        );
        assert_eq!(pending.clear().len(), MAX_PENDING);
    }
}
