//! A transfer: its start, the outcome of its data, and its end.

use crate::actions::Actions;
use crate::channels::{Channel, Channels, TransferOutcome};
use crate::event::{Action, DataId, Direction, Event, Told, TransferFacts};

/// A running transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    facts: TransferFacts,
    pub(super) data: Option<DataId>,
    /// Whether the client aborted it.
    aborted: bool,
    /// Whether its start was announced.
    started: bool,
    /// Whether the client has received its failure already.
    refuted: bool,
}

impl Transfer {
    /// A transfer on this data channel.
    pub(super) fn new(facts: TransferFacts, data: Option<DataId>, aborted: bool) -> Self {
        Self {
            facts,
            data,
            aborted,
            started: false,
            refuted: false,
        }
    }

    /// A transfer that begins although its client has received its failure: the success that the session replaced was
    /// another one. Neither its start nor its end is news.
    pub(super) fn refuted(facts: TransferFacts) -> Self {
        Self {
            refuted: true,
            ..Self::new(facts, None, false)
        }
    }

    /// See [`refuted`](Self::refuted).
    pub(super) fn is_refuted(&self) -> bool {
        self.refuted
    }

    /// Reports its start.
    pub(super) fn start(&mut self, actions: &mut Actions) {
        self.started = true;
        actions.tell(Event::TransferStarted {
            id: self.data,
            transfer: self.facts.clone(),
        });
    }

    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// The direction of its data.
    pub(super) fn direction(&self) -> Direction {
        self.facts.direction
    }

    /// The client aborts it. A transfer that is already known to be broken stays a failure.
    pub(super) fn abort(&mut self, channels: &Channels) {
        self.aborted |= !matches!(self.outcome(channels), TransferOutcome::Failed(_));
    }

    /// The client has left it.
    pub(super) fn leave(&mut self) {
        self.aborted = true;
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// Whether the client aborted a download. It no longer relies on the result.
    pub(super) fn is_refused_by_client(&self) -> bool {
        self.aborted && self.facts.direction == Direction::Download
    }

    /// Stops the data of an aborted download. Some servers read their commands only when a write fails, since the
    /// signal that comes with `ABOR` (RFC 959, section 4.1.3) does not pass through SSH.
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

    /// Its outcome.
    pub(super) fn outcome(&self, channels: &Channels) -> TransferOutcome {
        channels.outcome(self.data, self.facts.direction)
    }

    /// Whether all data was handed over, and only the other side's confirmation is missing.
    pub(super) fn awaits_confirmation(&self, channels: &Channels) -> bool {
        self.channel(channels)
            .is_some_and(|channel| channel.awaits_confirmation(self.facts.direction))
    }

    /// See [`Channel::is_unclear`].
    pub(super) fn is_unclear(&self, channels: &Channels) -> bool {
        self.channel(channels)
            .is_some_and(|channel| channel.is_unclear(self.facts.direction))
    }

    /// Why the session must not report success; `None` if it has seen the success, or if the client aborted the
    /// transfer.
    pub(super) fn objection(&self, channels: &Channels) -> Option<String> {
        match self.outcome(channels) {
            _ if self.is_refused_by_client() => None,
            TransferOutcome::Complete => None,
            TransferOutcome::Failed(reason) => Some(reason),
            TransferOutcome::Undecided => {
                Some("The transfer was not confirmed as complete".to_owned())
            }
        }
    }

    /// Reports its end, with what the client received.
    pub(super) fn end(self, told: Told, actions: &mut Actions) {
        if self.refuted {
            return;
        }
        let (id, transfer) = (self.data, self.facts);
        actions.tell(if self.started {
            Event::TransferEnded {
                id,
                transfer,
                told,
                aborted: self.aborted,
            }
        } else {
            Event::TransferRefused { id, transfer, told }
        });
    }
}
