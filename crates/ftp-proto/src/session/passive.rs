//! Passive mode: a reply that announces an address is held until there is another to announce in its place.

use std::net::SocketAddr;

use super::offer::NO_DATA_CONNECTION;
use super::{ServerHold, Session};
use crate::address::PassiveReply;
use crate::config::DataOpen;
use crate::event::{Action, DataId, Mode};
use crate::text::reply;

/// A passive reply that waits for an endpoint.
#[derive(Debug)]
pub(super) struct PassiveOffer {
    pub(super) id: DataId,
    reply: PassiveReply,
    /// The whole reply.
    text: Vec<u8>,
    open_first: bool,
}

impl Session {
    /// Asks for an endpoint to announce instead of the server's.
    pub(super) fn offer_passive(&mut self, reply: PassiveReply, text: Vec<u8>) {
        self.in_use = true;
        // The server listens there no longer (RFC 959 allows one data port at a time).
        self.replace_current(None);
        let id = self.channels.allocate(Mode::Passive);
        let open_first = match self.config.data_open {
            DataOpen::Auto => !self.channels.passive_worked(),
            DataOpen::Eager => true,
            DataOpen::Lazy => false,
        };
        self.act(Action::Offer {
            id,
            mode: Mode::Passive,
            target: reply.announced,
            open_first,
        });
        self.server_hold = Some(ServerHold::Offer(PassiveOffer {
            id,
            reply,
            text,
            open_first,
        }));
    }

    /// Announces the endpoint, or that there is none.
    pub(super) fn passive_offered(
        &mut self,
        offer: PassiveOffer,
        answer: Result<SocketAddr, String>,
    ) {
        let address = match answer {
            Ok(address) => address,
            Err(reason) => {
                self.channels.forget(offer.id);
                return self.to_client.extend(reply(NO_DATA_CONNECTION, &reason));
            }
        };
        if offer.open_first {
            self.channels.passive_opened();
        }
        match offer.reply.rewrite(&offer.text, address) {
            Some(text) => {
                self.to_client.extend(text);
                self.current = Some(offer.id);
                self.data_unseen = false;
            }
            None => {
                self.withdraw(offer.id);
                let reason = "PASV cannot announce an IPv6 address; use EPSV";
                self.to_client.extend(reply(NO_DATA_CONNECTION, reason));
            }
        }
    }
}
