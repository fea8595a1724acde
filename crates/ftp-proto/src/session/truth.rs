//! Truth: a transfer that was cut is never reported as complete.
//!
//! When a data connection is cut, an FTP server sees an orderly end and may report success. So a report of success waits
//! until the transfer's data channel has said how it ended.

use std::time::{Duration, Instant};

use super::{ServerHold, Session};
use crate::channels::{Channel, Channels};
use crate::event::{Action, DataEnd, DataId, Direction, Event, Mode};
use crate::owed::{Expect, Sent};
use crate::text::reply;

/// How long a report of success waits for data on its way to the client. Past it a slow reader is told early: it sees
/// the true end on its data connection. The same where the server never used the channel.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long a report of success waits for word of an upload. Long enough for a keepalive to find a dead connection;
/// past it the upload counts as cut.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);

/// The code for a transfer that was cut (RFC 959, section 5.4).
const TRANSFER_ABORTED: u16 = 426;

/// A transfer that the server works on.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The command and its argument.
    text: String,
    direction: Direction,
    pub(super) data: Option<DataId>,
    /// The client gave it up while its data was whole.
    pub(super) aborted: bool,
    /// Its start was told.
    started: bool,
}

impl Transfer {
    /// Whether its data is known to have been cut.
    pub(super) fn was_cut(&self, channels: &Channels) -> bool {
        self.channel(channels)
            .is_some_and(|channel| matches!(channel.end, Some(DataEnd::Cut(_))))
    }

    fn channel<'a>(&self, channels: &'a Channels) -> Option<&'a Channel> {
        channels.get(self.data?)
    }

    /// How long a report of success waits, and whether it is true if nothing is heard by then.
    fn patience(&self, channels: &Channels) -> (Duration, bool) {
        let never_used = self
            .channel(channels)
            .is_some_and(|channel| channel.mode == Mode::Active && !channel.joined);
        match self.direction {
            Direction::Upload if !never_used => (UPLOAD_PATIENCE, false),
            Direction::Upload | Direction::Download | Direction::Unknown => {
                (DOWNLOAD_PATIENCE, true)
            }
        }
    }
}

/// The first line of a reply that ends a transfer. The rest of the reply, if any, waits behind.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) transfer: Transfer,
    code: u16,
    line: Vec<u8>,
    since: Instant,
}

/// What is to become of a completion.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing speaks against it.
    Pass,
    /// It is untrue, for this reason.
    Replace(String),
    /// The data channel has not ended.
    Wait,
}

impl Session {
    /// The server has begun a transfer.
    pub(super) fn begin_transfer(&mut self, sent: Sent) {
        // Where the end of an earlier one was missed, it is over now.
        if let Some(missed) = self.transfer.take() {
            self.finish_transfer(missed, 0, false);
        }
        let transfer = self.new_transfer(sent);
        self.transfer = Some(self.announced(transfer));
    }

    /// A reply ended the transfer that runs.
    pub(super) fn end_transfer(&mut self, now: Instant, code: u16, line: Vec<u8>) {
        match self.transfer.take() {
            Some(transfer) => self.complete(Completion {
                transfer,
                code,
                line,
                since: now,
            }),
            None => self.to_client.extend(line),
        }
    }

    /// A reply ended a transfer whose start no reply had told.
    pub(super) fn end_unannounced_transfer(
        &mut self,
        now: Instant,
        sent: Sent,
        code: u16,
        line: Vec<u8>,
    ) {
        let transfer = self.new_transfer(sent);
        let transfer = if code < 400 {
            self.announced(transfer)
        } else {
            transfer
        };
        self.complete(Completion {
            transfer,
            code,
            line,
            since: now,
        });
    }

    /// A success came for which no transfer is left. Where the last one was cut it is that one's, whatever reply was taken
    /// for its end before, and the client is told again. False where it was not.
    pub(super) fn repeat_cut(&mut self) -> bool {
        let Some(reason) = &self.cut else {
            return false;
        };
        let again = reply(TRANSFER_ABORTED, reason);
        self.replace_reply(again);
        true
    }

    /// Decides anew on a completion that is held. True if it is held no longer.
    pub(super) fn review_completion(&mut self) -> bool {
        let verdict = match &self.server_hold {
            Some(ServerHold::Completion(completion)) => self.verdict(completion),
            Some(ServerHold::Offer(_) | ServerHold::Start(_)) | None => return false,
        };
        match verdict {
            Verdict::Wait => return false,
            Verdict::Pass => self.settle_completion(None),
            Verdict::Replace(reason) => self.settle_completion(Some(reason)),
        }
        true
    }

    /// Until when a completion may be held.
    pub(super) fn completion_deadline(&self) -> Option<Instant> {
        match &self.server_hold {
            Some(ServerHold::Completion(completion)) => {
                Some(completion.since + completion.transfer.patience(&self.channels).0)
            }
            Some(ServerHold::Offer(_) | ServerHold::Start(_)) | None => None,
        }
    }

    /// Settles a completion that has been held for long enough. True if one was.
    pub(super) fn expire_completion(&mut self, now: Instant) -> bool {
        let Some(ServerHold::Completion(completion)) = &self.server_hold else {
            return false;
        };
        let (patience, believed) = completion.transfer.patience(&self.channels);
        let due = now >= completion.since + patience;
        let data = completion.transfer.data;
        match (due, believed) {
            (false, _) => {}
            (true, true) => self.settle_completion(None),
            (true, false) => self.give_up_upload(data),
        }
        due
    }

    /// Drops what is held of the server; the client is told this code instead.
    pub(super) fn drop_server_hold(&mut self, code: u16) {
        match self.server_hold.take() {
            Some(ServerHold::Completion(completion)) => {
                self.finish_transfer(completion.transfer, code, false)
            }
            Some(ServerHold::Offer(offer)) => self.withdraw(offer.id),
            // The transfer that began is ended by whoever drops what is held.
            Some(ServerHold::Start(_)) | None => {}
        }
    }

    /// A transfer is over, and the client was told this code.
    pub(super) fn finish_transfer(&mut self, transfer: Transfer, code: u16, replaced: bool) {
        // One that never began has not touched its channel.
        if transfer.started {
            self.release_channel(&transfer);
            self.tell(Event::TransferEnded {
                id: transfer.data,
                command: transfer.text,
                code,
                replaced,
            });
        }
    }

    /// Forgets a transfer's channel if it was used up. Otherwise it stays on offer, unless it was replaced meanwhile.
    fn release_channel(&mut self, transfer: &Transfer) {
        let Some(id) = transfer.data else {
            return;
        };
        // In MODE B and C the connection serves the next transfer too.
        let used_up = |channel: &Channel| {
            channel.end.is_some() || (channel.joined && self.ends_with_connection)
        };
        if transfer.channel(&self.channels).is_none_or(used_up) {
            self.channels.forget(id);
            self.current = self.current.filter(|current| *current != id);
        } else if self.current != Some(id) {
            self.withdraw(id);
        }
    }

    fn new_transfer(&mut self, sent: Sent) -> Transfer {
        let direction = match sent.expect {
            Expect::Transfer(direction) => direction,
            Expect::Greeting
            | Expect::Abort
            | Expect::Passive
            | Expect::Port(_)
            | Expect::Mode { .. }
            | Expect::Auth
            | Expect::Reinitialize
            | Expect::Confirmed
            | Expect::File
            | Expect::Plain
            | Expect::Unknown => Direction::Unknown,
        };
        let aborted = self.owed.has_abort();
        self.cut = None;
        Transfer {
            text: sent.text,
            direction,
            data: self.current,
            aborted,
            started: false,
        }
    }

    fn announced(&mut self, transfer: Transfer) -> Transfer {
        let Transfer {
            text,
            direction,
            data,
            ..
        } = &transfer;
        let started = Event::TransferStarted {
            id: *data,
            command: text.clone(),
            direction: *direction,
        };
        self.tell(started);
        Transfer {
            started: true,
            ..transfer
        }
    }

    /// Nothing was heard of an upload that the server reported complete.
    fn give_up_upload(&mut self, data: Option<DataId>) {
        let reason =
            "The upload could not be confirmed as complete; check the file and send it again";
        if let Some(id) = data {
            self.act(Action::Abort {
                id,
                reason: reason.to_owned(),
            });
        }
        self.settle_completion(Some(reason.to_owned()));
    }

    fn complete(&mut self, completion: Completion) {
        self.server_hold = Some(ServerHold::Completion(completion));
        self.review_completion();
    }

    fn verdict(&self, completion: &Completion) -> Verdict {
        let Completion { transfer, code, .. } = completion;
        let Some(channel) = transfer
            .channel(&self.channels)
            .filter(|_| *code < 300 && !transfer.aborted)
        else {
            return Verdict::Pass;
        };
        match &channel.end {
            Some(DataEnd::Cut(reason)) => Verdict::Replace(reason.clone()),
            Some(DataEnd::Complete | DataEnd::ClientGone(_) | DataEnd::Unused) => Verdict::Pass,
            None if channel.server_done || !self.ends_with_connection => Verdict::Pass,
            None => Verdict::Wait,
        }
    }

    /// Passes the completion that is held, or tells the client instead why it is not true.
    fn settle_completion(&mut self, untrue: Option<String>) {
        let Some(ServerHold::Completion(completion)) = self.server_hold.take() else {
            return;
        };
        match untrue {
            Some(reason) => {
                self.replace_reply(reply(TRANSFER_ABORTED, &reason));
                self.cut = Some(reason);
                self.finish_transfer(completion.transfer, TRANSFER_ABORTED, true);
            }
            None => {
                self.to_client.extend(completion.line);
                self.finish_transfer(completion.transfer, completion.code, false);
            }
        }
    }
}
