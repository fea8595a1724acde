//! Successes that may be a transfer's although they seem to be about something else.
//!
//! Servers answer commands in the middle of a transfer, or skip replies, or never end one of several lines. So what a success
//! is about can be unclear, and a client may take it for that of its upload. Where the data is known to be broken, such a
//! reply becomes the transfer's failure. Where nothing is known yet, it passes once the SSH session of the data has shown
//! that it is alive.
//!
//! In a download nothing needs to be asked: how its data connection ends tells the client the truth.

use std::time::Instant;

use super::{ServerHold, Session};
use crate::channels::Evidence;
use crate::event::{DataId, Direction};
use crate::pending_replies::{is_completion, reports_success};

/// A line of the server's that waits for a liveness check.
#[derive(Debug)]
pub(super) struct Doubt {
    place: Place,
    line: Vec<u8>,
    data: DataId,
    /// The check that was asked for, once the data connection is there.
    check: Option<u64>,
}

/// Where a doubtful line stands.
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

/// What is known where a success is doubtful.
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
            Some(Finding::Broken) => self.end_in_doubt(now, place.code(), line),
            Some(Finding::Unclear(data)) => {
                self.server_hold = Some(ServerHold::Doubt(Doubt {
                    place,
                    line,
                    data,
                    check: None,
                }));
                self.check_doubt();
            }
        }
    }

    /// Asks for a check once there is a connection that can give one.
    fn check_doubt(&mut self) {
        let Some(ServerHold::Doubt(doubt)) = &self.server_hold else {
            return;
        };
        let data = doubt.data;
        let joined = self.channels.get(data).is_some_and(|it| it.joined);
        if doubt.check.is_none() && joined {
            let check = self.check_liveness(data);
            if let Some(ServerHold::Doubt(doubt)) = &mut self.server_hold {
                doubt.check = Some(check);
            }
        }
    }

    /// Decides anew on a doubtful line that is held. True if it is held no longer.
    pub(super) fn review_doubt(&mut self, now: Instant) -> bool {
        let (unclear, broken) = match self.finding() {
            Some(Finding::Unclear(_)) => (true, false),
            Some(Finding::Broken) => (false, true),
            None => (false, false),
        };
        let alive = |doubt: &Doubt| {
            let channel = self.channels.get(doubt.data);
            let answered = |check| channel.is_some_and(|channel| channel.answered(check));
            doubt.check.is_some_and(answered)
        };
        let waits = |doubt: &Doubt| unclear && !alive(doubt);
        match self.server_hold.take() {
            Some(ServerHold::Doubt(doubt)) if !waits(&doubt) => {
                if broken {
                    self.end_in_doubt(now, doubt.place.code(), doubt.line);
                } else {
                    self.resume(now, doubt.place, doubt.line);
                }
                true
            }
            hold => {
                self.server_hold = hold;
                self.check_doubt();
                false
            }
        }
    }

    /// Goes on with a line that is not doubtful, or no longer.
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
            handed_over || self.evidence(transfer) != Evidence::Open
        })
    }

    /// What is known of the transfer that the client may take a success for; `None` where it may do so, or there is none.
    fn finding(&self) -> Option<Finding> {
        match &self.transfer {
            Some(transfer) if transfer.is_refused_by_client() => None,
            Some(transfer) => match self.evidence(transfer) {
                Evidence::Broken(_) => Some(Finding::Broken),
                Evidence::Open if transfer.direction != Direction::Download => {
                    transfer.data.map(Finding::Unclear)
                }
                Evidence::Open | Evidence::Whole => None,
            },
            None => self.finding_before_the_start(),
        }
    }

    /// The same of a transfer whose start no reply has told. Nothing can have gone wrong with one whose data connection is not
    /// there yet.
    fn finding_before_the_start(&self) -> Option<Finding> {
        let direction = self.pending.transfer_direction()?;
        let channel = self.channels.get(self.current?)?;
        match self.evidence_of_channel(channel, direction) {
            Evidence::Broken(_) => Some(Finding::Broken),
            Evidence::Open if channel.joined && direction != Direction::Download => {
                Some(Finding::Unclear(channel.id))
            }
            Evidence::Open | Evidence::Whole => None,
        }
    }

    /// Takes a success as the end of a transfer that is known to be broken.
    fn end_in_doubt(&mut self, now: Instant, code: u16, line: Vec<u8>) {
        if self.transfer.is_some() {
            return self.end_transfer(now, code, line);
        }
        if let Some((sent, skipped)) = self.pending.take_transfer() {
            self.assume_all_accepted(skipped);
            self.end_unannounced_transfer(now, sent, code, line);
        }
    }
}
