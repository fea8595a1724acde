//! Holds a reply with an address until there is an endpoint to announce instead.

use std::net::{Ipv4Addr, SocketAddr};

use crate::address::{PassiveReply, passive_reply};
use crate::config::PasvOverIpv6;
use crate::event::{Announced, DataId};
use crate::kind::PassiveForm;

/// A reply that waits for an endpoint.
#[derive(Debug)]
pub(super) struct HeldOffer {
    pub(super) id: DataId,
    pub(super) reply: HeldReply,
    pub(super) open_first: bool,
}

/// A server's reply to a command for a data connection.
#[derive(Debug)]
pub(super) enum HeldReply {
    /// It announces where the server listens.
    Passive(AskedReply),
    /// The server has accepted the endpoint that it was sent.
    Accepted(Vec<u8>),
}

/// A server's passive reply, and the reply that its client asked for.
#[derive(Debug)]
pub(in crate::session) struct AskedReply {
    pub(in crate::session) found: PassiveReply,
    /// The whole reply.
    pub(in crate::session) text: Vec<u8>,
    /// The reply that the client asked for, if its command is known.
    pub(in crate::session) asked: Option<PassiveForm>,
    /// Whether the server was sent another command than the client's, so its reply is not what the client expects.
    pub(in crate::session) substituted: bool,
    pub(in crate::session) pasv_over_ipv6: PasvOverIpv6,
}

impl HeldReply {
    /// Where the server listens, if it does.
    pub(super) fn target(&self) -> Option<Announced> {
        match self {
            Self::Passive(reply) => Some(reply.found.announced),
            Self::Accepted(_) => None,
        }
    }

    /// The client's reply once there is this endpoint, or why there is none.
    pub(super) fn announce(self, address: SocketAddr) -> Result<Vec<u8>, String> {
        match self {
            Self::Passive(reply) => reply.announce(address),
            Self::Accepted(reply) => Ok(reply),
        }
    }
}

impl AskedReply {
    /// The reply that announces this endpoint, or why there is none.
    fn announce(&self, address: SocketAddr) -> Result<Vec<u8>, String> {
        let names_host = self.asked != Some(PassiveForm::Extended);
        // A caller that sees an announcement without an address need not know one.
        if self.substituted && names_host && address.ip().is_unspecified() {
            return Err("The address to announce is not known; use EPSV".to_owned());
        }
        // For clients that use only the port.
        let any_host = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let any = (self.pasv_over_ipv6 == PasvOverIpv6::Any).then_some(any_host);
        self.write(address)
            .or_else(|| self.write(any?))
            .ok_or_else(|| "PASV cannot announce an IPv6 address; use EPSV".to_owned())
    }

    /// The server's reply with the new address if possible, otherwise a new one in the form that the client asked for.
    fn write(&self, address: SocketAddr) -> Option<Vec<u8>> {
        let edited = || self.found.rewrite(&self.text, address);
        let kept = (!self.substituted).then(edited).flatten();
        kept.or_else(|| passive_reply(self.asked?, address))
    }
}
