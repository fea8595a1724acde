//! The channel that the session has requested before its client, and what the server has said about it.

use std::net::SocketAddr;

use super::Data;
use super::passive::{AskedReply, HeldOffer, HeldReply};
use crate::event::{Action, Announced, DataId, Mode};

/// The channel.
#[derive(Debug)]
pub(super) enum Prepared {
    /// Its endpoint, once there is one, is for the server, which has not accepted it yet.
    Endpoint {
        id: DataId,
        address: Option<SocketAddr>,
    },
    /// The server has answered.
    Offer(HeldOffer),
}

/// Why a prepared channel is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Failure {
    /// It could not be made.
    Refused,
    /// It has ended, or there was no place for it. The next one may do better.
    Ended,
}

impl Data {
    /// Whether a data connection is on offer that ends with its transfer.
    pub(in crate::session) fn is_for_one_transfer(&self) -> bool {
        self.offer.is_none() && !self.channels.is_framed() && self.channels.offers_one()
    }

    /// From now on the server would use a data connection that only the session has asked for.
    pub(in crate::session) fn set_unasked(&mut self) {
        self.channels.set_unasked(true);
    }

    /// The data connection on offer serves a download and nothing else, so nothing will be sent to the server on it.
    pub(in crate::session) fn half_close_current(&mut self) {
        self.channels.half_close_current();
    }

    /// Whether it would.
    pub(in crate::session) fn is_unasked(&self) -> bool {
        self.channels.is_unasked()
    }

    /// Holds a passive reply that the client has not asked for, and requests its channel.
    pub(in crate::session) fn prepare_passive(&mut self, reply: AskedReply) {
        let target = Some(reply.found.announced);
        let id = self.offer_channel(Mode::Passive, target, true, false, true);
        self.prepared = Some(Prepared::Offer(HeldOffer {
            id,
            reply: HeldReply::Passive(reply),
            open_first: true,
        }));
    }

    /// Requests an endpoint for the server that the client has not asked for, unless there is one.
    pub(in crate::session) fn prepare_endpoint(&mut self, other_family: bool) {
        if self.prepared.is_none() {
            let id = self.offer_channel(Mode::Active, None, false, other_family, true);
            self.prepared = Some(Prepared::Endpoint { id, address: None });
        }
    }

    /// Records that the endpoint for the server is ready. False if the channel is another one.
    pub(super) fn endpoint_ready(&mut self, offered: DataId, at: SocketAddr) -> bool {
        match &mut self.prepared {
            Some(Prepared::Endpoint { id, address }) if *id == offered => {
                *address = Some(at);
                true
            }
            Some(Prepared::Endpoint { .. } | Prepared::Offer(_)) | None => false,
        }
    }

    /// The endpoint that is ready for the server, with its channel.
    pub(in crate::session) fn prepared_endpoint(&self) -> Option<(DataId, SocketAddr)> {
        match self.prepared {
            Some(Prepared::Endpoint { id, address }) => Some((id, address?)),
            Some(Prepared::Offer(_)) | None => None,
        }
    }

    /// Holds the server's reply to the command that announced this endpoint.
    pub(in crate::session) fn hold_accepted(&mut self, reply: Vec<u8>) {
        if let Some((id, _)) = self.prepared_endpoint() {
            self.prepared = Some(Prepared::Offer(HeldOffer {
                id,
                reply: HeldReply::Accepted(reply),
                open_first: false,
            }));
        }
    }

    /// Whether the channel of the held reply will lead to the server, or leads there already if it has to be `open`.
    pub(in crate::session) fn prepared_is_on_its_way(&self, open: bool) -> bool {
        let channel = self
            .prepared
            .as_ref()
            .and_then(|it| self.channels.get(it.id()));
        channel.is_some_and(|channel| {
            let leads = channel.opened || (channel.opening && !open);
            channel.end.is_none() && (leads || channel.mode == Mode::Active)
        })
    }

    /// What has become of the channel, if it is of no use.
    pub(in crate::session) fn prepared_failure(&self) -> Option<Failure> {
        match self.channels.get(self.prepared.as_ref()?.id()) {
            None => Some(Failure::Refused),
            Some(channel) => channel.end.as_ref().map(|_| Failure::Ended),
        }
    }

    /// The client has asked for the held reply, which waits for its endpoint from now on. `announced`: where the client
    /// listens, if it does.
    pub(in crate::session) fn announce_prepared(&mut self, announced: Option<Announced>) {
        if let Some(Prepared::Offer(offer)) = self.prepared.take()
            && let Some(target) = offer.reply.target().or(announced)
        {
            self.replace_current(None);
            self.channels.set_unasked(false);
            let id = offer.id;
            let announce = Action::Announce { id, target };
            self.channels.actions().push(announce);
            self.offer = Some(offer);
        }
    }

    /// Drops the prepared channel, and the reply to it.
    pub(in crate::session) fn drop_prepared(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.withdraw(prepared.id());
        }
    }
}

impl Prepared {
    fn id(&self) -> DataId {
        match self {
            Self::Endpoint { id, .. } => *id,
            Self::Offer(offer) => offer.id,
        }
    }
}
