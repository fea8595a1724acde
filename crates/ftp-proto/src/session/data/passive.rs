//! Passive mode: holds a reply with an address until there is an endpoint to announce instead.

use std::net::SocketAddr;

use crate::address::PassiveReply;
use crate::event::DataId;

/// A passive reply that waits for an endpoint.
#[derive(Debug)]
pub(super) struct PassiveOffer {
    pub(super) id: DataId,
    pub(super) reply: PassiveReply,
    /// The whole reply.
    pub(super) text: Vec<u8>,
    pub(super) open_first: bool,
}

impl PassiveOffer {
    /// The reply that announces this endpoint, or why there is none.
    pub(super) fn announce(&self, address: SocketAddr) -> Result<Vec<u8>, String> {
        self.reply
            .rewrite(&self.text, address)
            .ok_or_else(|| "PASV cannot announce an IPv6 address; use EPSV".to_owned())
    }
}
