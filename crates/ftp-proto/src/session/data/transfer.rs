//! A transfer: how it begins, what became of its data, and how it ends.

use crate::actions::Actions;
use crate::channels::{Channel, Channels, TransferOutcome};
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
    aborted: bool,
    /// Its start was told.
    started: bool,
}

impl Transfer {
    /// A transfer from the command that asked for it.
    pub(super) fn new(sent: Sent, data: Option<DataId>, aborted: bool) -> Self {
        Self {
            text: sent.text,
            direction: sent.kind.direction().unwrap_or(Direction::Unknown),
            data,
            aborted,
            started: false,
        }
    }

    /// Tells of its start.
    pub(super) fn start(&mut self, actions: &mut Actions) {
        self.started = true;
        actions.tell(Event::TransferStarted {
            id: self.data,
            command: self.text.clone(),
            direction: self.direction,
        });
    }

    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// The client gives it up. A transfer that is known to be broken already stays a failure.
    pub(super) fn abort(&mut self, channels: &Channels) {
        self.aborted |= !matches!(self.outcome(channels), TransferOutcome::Failed(_));
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// Whether the client has given up receiving it. It relies on nothing that is said of it then.
    pub(super) fn is_refused_by_client(&self) -> bool {
        self.aborted && self.direction == Direction::Download
    }

    /// Stops the data of a download that its client gave up. Some servers look at their commands only when a write fails,
    /// since the signal that goes with `ABOR` (RFC 959, section 4.1.3) does not pass through SSH.
    pub(super) fn stop_refused(&self, channels: &mut Channels) {
        let stoppable =
            self.is_refused_by_client() && self.outcome(channels) == TransferOutcome::Undecided;
        if let Some(id) = self.data.filter(|_| stoppable) {
            channels.actions().push(Action::Abort {
                id,
                reason: "the client aborted the transfer".to_owned(),
            });
        }
    }

    /// Its data channel.
    pub(super) fn channel<'a>(&self, channels: &'a Channels) -> Option<&'a Channel> {
        channels.get(self.data?)
    }

    /// Whether both peers are connected for it.
    pub(super) fn is_joined(&self, channels: &Channels) -> bool {
        self.channel(channels).is_some_and(|channel| channel.joined)
    }

    /// What became of it.
    pub(super) fn outcome(&self, channels: &Channels) -> TransferOutcome {
        channels.outcome(self.data, self.direction)
    }

    /// Whether all of it was handed over, and only the other side's word is missing.
    pub(super) fn awaits_confirmation(&self, channels: &Channels) -> bool {
        self.channel(channels)
            .is_some_and(|channel| channel.awaits_confirmation(self.direction))
    }

    /// Why success must not be told of it; `None` where it was seen, or where its client has given it up.
    pub(super) fn objection(&self, channels: &Channels) -> Option<String> {
        match self.outcome(channels) {
            _ if self.is_refused_by_client() => None,
            TransferOutcome::Complete => None,
            TransferOutcome::Failed(reason) => Some(reason),
            TransferOutcome::Undecided => {
                Some("The transfer was not seen to be complete".to_owned())
            }
        }
    }

    /// Tells of its end, and what code the client was told.
    pub(super) fn end(self, code: u16, replaced: bool, actions: &mut Actions) {
        actions.tell(Event::TransferEnded {
            id: self.data,
            command: self.text,
            code,
            replaced,
        });
    }
}
