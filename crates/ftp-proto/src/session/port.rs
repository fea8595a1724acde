//! Active mode: decides about a command with the address on which the client listens.

use std::net::{IpAddr, SocketAddr};

use crate::address::{NoAddress, PortCommand, line_end, unreadable};
use crate::command::Command;
use crate::config::{ForeignPort, SessionConfig};
use crate::event::{Announced, DataId};

/// Ports below this belong to services, and sending data to one is an attack (RFC 2577, section 3).
const FIRST_DATA_PORT: u16 = 1024;

/// The code for an `EPRT` with an unsupported family (RFC 2428, section 2).
const WRONG_FAMILY: u16 = 522;

/// The decision about a `PORT`, `EPRT` or `LPRT`.
#[derive(Debug)]
pub(super) enum PortDecision {
    /// It goes to the server in this form.
    Pass(Vec<u8>),
    /// The session answers it.
    Refuse(Refusal),
    /// The session announces an endpoint instead of its address.
    Offer(PortCommand),
}

/// The code and the reason of the session's answer.
type Refusal = (u16, String);

/// A `PORT` that waits for an endpoint.
#[derive(Debug)]
pub(super) struct ActiveOffer {
    pub(super) id: DataId,
    /// The original line.
    pub(super) line: Vec<u8>,
    pub(super) port: PortCommand,
    /// The server's refusal of the same command with an endpoint of another address family.
    pub(super) refusal: Option<Vec<u8>>,
}

impl ActiveOffer {
    /// The line that announces this endpoint.
    pub(super) fn announce(&self, address: SocketAddr) -> Vec<u8> {
        self.port.rewrite(address, line_end(&self.line))
    }
}

/// Decides about a command. The server itself refuses an unreadable one, but never sees the original argument: servers
/// read leniently, and would open a connection to a third party from their own host.
pub(super) fn decide(config: &SessionConfig, command: &Command, line: &[u8]) -> PortDecision {
    if !config.active {
        let reason = "Active mode is switched off here; use passive mode (PASV or EPSV)";
        return PortDecision::Refuse((502, reason.to_owned()));
    }
    let port = match PortCommand::parse(&command.verb, command.argument(line)) {
        Ok(port) => port,
        Err(NoAddress::Malformed) => {
            return PortDecision::Pass(unreadable(&command.verb, line_end(line)));
        }
        Err(NoAddress::UnknownProtocol) => {
            let reason = "Network protocol not supported, use (1,2)";
            return PortDecision::Refuse((WRONG_FAMILY, reason.to_owned()));
        }
    };
    match objection(config, &port) {
        Some(_) if config.foreign_port == ForeignPort::Pass => {
            PortDecision::Pass(port.as_named(line_end(line)))
        }
        Some(refusal) => PortDecision::Refuse(refusal),
        None => PortDecision::Offer(port),
    }
}

/// The address on which the client listens.
pub(super) fn target(config: &SessionConfig, port: &PortCommand) -> Announced {
    let named = Some(port.host).filter(|host| !host.is_unspecified());
    Announced {
        host: named.or(Some(config.client)),
        port: port.port,
    }
}

/// Why the session must not use the address.
///
/// lftp sends the unspecified address on IPv6 loopback. Servers read it as the client's address, and so does the
/// session.
fn objection(config: &SessionConfig, port: &PortCommand) -> Option<Refusal> {
    let client = config.client.to_canonical();
    let host = port.host.to_canonical();
    let mut also = config.also_client.iter().map(IpAddr::to_canonical);
    let own = host == client || host.is_unspecified() || also.any(|own| own == host);
    if !own && port.names_family() && host.is_ipv4() != client.is_ipv4() {
        let family = if client.is_ipv4() { 1 } else { 2 };
        let reason = format!("Network protocol not supported, use ({family})");
        return Some((WRONG_FAMILY, reason));
    }
    if !own {
        let reason = format!("{host} is not your own address {client}; use that, or passive mode");
        return Some((504, reason));
    }
    let low = port.port < FIRST_DATA_PORT;
    low.then(|| {
        let reason = format!(
            "Port {} is below {FIRST_DATA_PORT}; use a higher one, or passive mode",
            port.port
        );
        (504, reason)
    })
}
