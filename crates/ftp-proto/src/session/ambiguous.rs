//! Successes that may be a transfer's although they seem to be about something else.
//!
//! Servers answer commands in the middle of a transfer, or skip replies, or never end one of several lines. So what a success
//! is about can be unclear, and a client may take it for that of its upload. Where the data is known to be broken, such a
//! reply becomes the transfer's failure. Where nothing is known yet, it passes once the SSH session of the data has shown
//! that it is alive.
//!
//! In a download nothing needs to be asked: how its data connection ends tells the client the outcome.

use std::time::Instant;

use super::{ServerHold, Session};
use crate::channels::TransferOutcome;
use crate::event::{DataId, Direction};
use crate::kind::{is_completion, reports_success};

/// A line of the server's that waits for a liveness check.
#[derive(Debug)]
pub(super) struct AmbiguousReply {
    place: Place,
    line: Vec<u8>,
    data: DataId,
    /// The check that was asked for, once the data connection is there.
    check: Option<u64>,
}

/// Where an ambiguous line stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// It begins a final reply.
    First(u16),
    /// It stands within a reply of several lines, and looks like the end of one with this code.
    Within(u16),
}

impl Place {
    fn code(self) -> u16 {
        match self {
            Self::First(code) | Self::Within(code) => code,
        }
    }
}

/// What is known where a success is ambiguous.
enum Finding {
    Broken,
    Unclear(DataId),
}

impl Session {
    /// Handles a line that is, or looks like, the end of a reply: at once, or where it may be a success that is not true, as a
    /// transfer's failure or when more is known.
    pub(super) fn consider(&mut self, now: Instant, place: Place, line: Vec<u8>) {
        let running = self.transfer.is_some();
        let may_be = match place {
            Place::First(code) => self.pending.may_be_a_transfers(code, running),
            Place::Within(code) => reports_success(code),
        };
        match self.finding().filter(|_| may_be) {
            None => self.resume(now, place, line),
            Some(Finding::Broken) => self.end_ambiguous(now, place.code(), line),
            Some(Finding::Unclear(data)) => {
                self.server_hold = Some(ServerHold::Ambiguous(AmbiguousReply {
                    place,
                    line,
                    data,
                    check: None,
                }));
                self.check_ambiguous();
            }
        }
    }

    /// Asks for a check once there is a connection that can give one.
    fn check_ambiguous(&mut self) {
        let Some(ServerHold::Ambiguous(ambiguous)) = &self.server_hold else {
            return;
        };
        let data = ambiguous.data;
        let joined = self.channels.get(data).is_some_and(|it| it.joined);
        if ambiguous.check.is_none() && joined {
            let check = self.check_liveness(data);
            if let Some(ServerHold::Ambiguous(ambiguous)) = &mut self.server_hold {
                ambiguous.check = Some(check);
            }
        }
    }

    /// Decides anew on an ambiguous line that is held. True if it is held no longer.
    pub(super) fn review_ambiguous(&mut self, now: Instant) -> bool {
        let (unclear, broken) = match self.finding() {
            Some(Finding::Unclear(_)) => (true, false),
            Some(Finding::Broken) => (false, true),
            None => (false, false),
        };
        let alive = |ambiguous: &AmbiguousReply| {
            let channel = self.channels.get(ambiguous.data);
            let answered = |check| channel.is_some_and(|channel| channel.answered(check));
            ambiguous.check.is_some_and(answered)
        };
        let waits = |ambiguous: &AmbiguousReply| unclear && !alive(ambiguous);
        match self.server_hold.take() {
            Some(ServerHold::Ambiguous(ambiguous)) if !waits(&ambiguous) => {
                if broken {
                    self.end_ambiguous(now, ambiguous.place.code(), ambiguous.line);
                } else {
                    self.resume(now, ambiguous.place, ambiguous.line);
                }
                true
            }
            hold => {
                self.server_hold = hold;
                self.check_ambiguous();
                false
            }
        }
    }

    /// Goes on with a line that is not ambiguous, or no longer.
    fn resume(&mut self, now: Instant, place: Place, line: Vec<u8>) {
        // A completion that is due, although a command sent meanwhile could be answered so, too.
        let due = match place {
            Place::First(code) => is_completion(code),
            Place::Within(code) => reports_success(code),
        };
        match place {
            _ if due && self.awaits_last_word() => self.end_transfer(now, place.code(), line),
            Place::First(code) => self.attribute_reply(now, code, line),
            Place::Within(_) => self.to_client.extend(line),
        }
    }

    /// Whether nothing is left to be done for the transfer that runs, so that the server's last word on it is due.
    fn awaits_last_word(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| {
            let channel = transfer.data.and_then(|id| self.channels.get(id));
            let handed_over = channel.is_some_and(|it| it.awaits_confirmation(transfer.direction));
            handed_over || self.outcome(transfer) != TransferOutcome::Undecided
        })
    }

    /// What is known of the transfer that the client may take a success for; `None` where it may do so, or there is none.
    fn finding(&self) -> Option<Finding> {
        match &self.transfer {
            Some(transfer) if transfer.is_refused_by_client() => None,
            Some(transfer) => match self.outcome(transfer) {
                TransferOutcome::Failed(_) => Some(Finding::Broken),
                TransferOutcome::Undecided if transfer.direction != Direction::Download => {
                    transfer.data.map(Finding::Unclear)
                }
                TransferOutcome::Undecided | TransferOutcome::Complete => None,
            },
            None => self.finding_before_the_start(),
        }
    }

    /// The same of a transfer whose start no reply has told. Nothing can have gone wrong with one whose data connection is not
    /// there yet.
    fn finding_before_the_start(&self) -> Option<Finding> {
        let direction = self.pending.transfer_direction()?;
        let channel = self.channels.get(self.current?)?;
        match self.outcome_on_channel(channel, direction) {
            TransferOutcome::Failed(_) => Some(Finding::Broken),
            TransferOutcome::Undecided if channel.joined && direction != Direction::Download => {
                Some(Finding::Unclear(channel.id))
            }
            TransferOutcome::Undecided | TransferOutcome::Complete => None,
        }
    }

    /// Takes a success as the end of a transfer that is known to be broken.
    fn end_ambiguous(&mut self, now: Instant, code: u16, line: Vec<u8>) {
        if self.transfer.is_some() {
            return self.end_transfer(now, code, line);
        }
        if let Some((sent, skipped)) = self.pending.take_transfer() {
            self.assume_all_accepted(skipped);
            self.end_unannounced_transfer(now, sent, code, line);
        }
    }
}
