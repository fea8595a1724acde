//! Active mode: what becomes of a command that names where the client listens.

use std::net::{IpAddr, SocketAddr};

use crate::address::{NoAddress, PortCommand, line_end, unreadable};
use crate::command::Command;
use crate::config::{ForeignPort, SessionConfig};
use crate::event::{Announced, DataId};

/// Ports below this belong to services, and to strike one with data is an attack (RFC 2577, section 3).
const FIRST_DATA_PORT: u16 = 1024;

/// The code for an `EPRT` of a family that cannot be used (RFC 2428, section 2).
const WRONG_FAMILY: u16 = 522;

/// What becomes of a `PORT`, `EPRT` or `LPRT`.
#[derive(Debug)]
pub(super) enum PortDecision {
    /// It goes to the server in these words.
    Pass(Vec<u8>),
    /// It is answered here.
    Refuse(Refusal),
    /// An endpoint is to be announced instead of the one that it names.
    Offer(PortCommand),
}

/// Why a command is answered here, with a code.
type Refusal = (u16, String);

/// A `PORT` that waits for an endpoint.
#[derive(Debug)]
pub(super) struct ActiveOffer {
    pub(super) id: DataId,
    /// The line as it came.
    pub(super) line: Vec<u8>,
    pub(super) command: Command,
    pub(super) port: PortCommand,
}

impl ActiveOffer {
    /// The line that announces this endpoint.
    pub(super) fn announce(&self, address: SocketAddr) -> Vec<u8> {
        self.port.rewrite(address, line_end(&self.line))
    }
}

/// Decides on a command. One that cannot be read is the server's to refuse, but it does not see what could not be read
/// here: servers read much, and their own host would be the third party.
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

/// Where the client listens.
pub(super) fn target(config: &SessionConfig, port: &PortCommand) -> Announced {
    let named = Some(port.host).filter(|host| !host.is_unspecified());
    Announced {
        host: named.or(Some(config.client)),
        port: port.port,
    }
}

/// Why the address named must not be used.
///
/// lftp names the unspecified address on IPv6 loopback, and servers take it for the client's own: so does this.
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
