//! A transfer: how it begins, how it ends, and what its end leaves of its data channel.

use super::Session;
use crate::channels::{Channel, TransferOutcome};
use crate::event::{Action, DataId, Direction, Event};
use crate::pending_replies::Sent;

/// A transfer that the server works on.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The command and its argument.
    text: String,
    pub(super) direction: Direction,
    pub(super) data: Option<DataId>,
    /// The client gave it up.
    pub(super) aborted: bool,
    /// Its start was told.
    started: bool,
}

impl Transfer {
    /// Whether the client has given up receiving it. It relies on nothing that is said of it then.
    pub(super) fn is_refused_by_client(&self) -> bool {
        self.aborted && self.direction == Direction::Download
    }
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
        self.stop_refused();
    }

    /// A transfer from the command that asked for it.
    pub(super) fn new_transfer(&mut self, sent: Sent) -> Transfer {
        let aborted = self.pending.has_abort();
        self.incomplete = None;
        Transfer {
            text: sent.text,
            direction: sent.kind.direction().unwrap_or(Direction::Unknown),
            data: self.current,
            aborted,
            started: false,
        }
    }

    /// Tells of a transfer's start.
    pub(super) fn announced(&mut self, transfer: Transfer) -> Transfer {
        self.tell(Event::TransferStarted {
            id: transfer.data,
            command: transfer.text.clone(),
            direction: transfer.direction,
        });
        Transfer {
            started: true,
            ..transfer
        }
    }

    /// The client gives its transfer up. A download that is known to be broken already stays a failure.
    pub(super) fn abort_transfer(&mut self) {
        self.release_start(|_| true);
        let outcome = self.latest_transfer().map(|latest| self.outcome(latest));
        if !matches!(outcome, Some(TransferOutcome::Failed(_)) | None) {
            self.mark_aborted();
        }
        self.stop_refused();
        self.review_completion();
    }

    /// Stops the data of a download that its client gave up. Some servers look at their commands only when a write fails,
    /// since the signal that goes with `ABOR` (RFC 959, section 4.1.3) does not pass through SSH.
    fn stop_refused(&mut self) {
        let stoppable = |transfer: &&Transfer| {
            transfer.is_refused_by_client() && self.outcome(transfer) == TransferOutcome::Undecided
        };
        let data = self
            .latest_transfer()
            .filter(stoppable)
            .and_then(|it| it.data);
        if let Some(id) = data {
            self.act(Action::Abort {
                id,
                reason: "the client aborted the transfer".to_owned(),
            });
        }
    }

    /// A transfer is over, and the client was told this code.
    pub(super) fn finish_transfer(&mut self, transfer: Transfer, code: u16, replaced: bool) {
        // One that never began has not touched its channel.
        if !transfer.started {
            return;
        }
        let told_complete = (200..300).contains(&code) && !replaced;
        self.incomplete = self.objection_to(&transfer).filter(|_| !told_complete);
        self.release_channel(&transfer);
        self.tell(Event::TransferEnded {
            id: transfer.data,
            command: transfer.text,
            code,
            replaced,
        });
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
        if self.channels.get(id).is_none_or(used_up) {
            self.let_go(id);
            self.current = self.current.filter(|current| *current != id);
        } else if self.current != Some(id) {
            self.withdraw(id);
        }
    }

    /// Forgets a channel that was used up. A server may keep its end of a whole upload open, which would hold the channel.
    fn let_go(&mut self, id: DataId) {
        let left_open = |channel: &Channel| {
            channel.end.is_none() && channel.client_done && !channel.server_done
        };
        let whole = self.incomplete.is_none();
        if self
            .channels
            .forget(id)
            .is_some_and(|it| whole && left_open(&it))
        {
            self.act(Action::Release { id });
        }
    }
}
