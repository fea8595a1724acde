//! A passive reply that the session has requested before its client, and the channel that is opened for it.

use super::Data;
use super::passive::{AskedReply, HeldOffer};
use crate::event::{Action, Direction, Mode};

/// Why a prepared channel is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Failure {
    /// It could not be made.
    Refused,
    /// It has ended, or there was no place for it. The next one may do better.
    Ended,
}

impl Data {
    /// Whether a passive data connection is on offer that ends with its transfer.
    pub(in crate::session) fn is_for_one_transfer(&self) -> bool {
        self.offer.is_none() && !self.channels.is_framed() && self.channels.offers_one()
    }

    /// From now on the server would use a data connection that only the session has asked for. The one before it serves
    /// a transfer in this direction, and nothing else.
    pub(in crate::session) fn set_unasked(&mut self, serves: Option<Direction>) {
        self.channels.set_unasked(true);
        if serves == Some(Direction::Download) {
            self.channels.half_close_current();
        }
    }

    /// Whether it would.
    pub(in crate::session) fn is_unasked(&self) -> bool {
        self.channels.is_unasked()
    }

    /// Holds a passive reply that the client has not asked for, and requests its channel.
    pub(in crate::session) fn prepare_passive(&mut self, reply: AskedReply) {
        let target = reply.found.announced;
        let id = self.offer_channel(Mode::Passive, target, true, false, true);
        self.prepared = Some(HeldOffer {
            id,
            reply,
            open_first: true,
        });
    }

    /// Whether the channel of the held reply will lead to the server, or leads there already if it has to be `open`.
    pub(in crate::session) fn prepared_is_on_its_way(&self, open: bool) -> bool {
        let channel = self
            .prepared
            .as_ref()
            .and_then(|it| self.channels.get(it.id));
        channel.is_some_and(|channel| {
            channel.end.is_none() && (channel.opened || (channel.opening && !open))
        })
    }

    /// What has become of the channel, if it is of no use.
    pub(in crate::session) fn prepared_failure(&self) -> Option<Failure> {
        match self.channels.get(self.prepared.as_ref()?.id) {
            None => Some(Failure::Refused),
            Some(channel) => channel.end.as_ref().map(|_| Failure::Ended),
        }
    }

    /// The client has asked for the held reply, which waits for its endpoint from now on.
    pub(in crate::session) fn announce_prepared(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.replace_current(None);
            self.channels.set_unasked(false);
            let id = prepared.id;
            self.channels.actions().push(Action::Announce { id });
            self.offer = Some(prepared);
        }
    }

    /// Drops the held reply and its channel.
    pub(in crate::session) fn drop_prepared(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.withdraw(prepared.id);
        }
    }
}
