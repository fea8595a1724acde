//! Active mode: a command that announces an address is held until there is another to announce in its place.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::offer::NO_DATA_CONNECTION;
use super::{ClientHold, Session};
use crate::address::{NoAddress, PortCommand, Verb, announcing_verb, line_end, unreadable, verb};
use crate::command::Command;
use crate::config::ForeignPort;
use crate::event::{Action, Announced, DataId, Mode};

/// Ports below this belong to services, and to strike one with data is an attack (RFC 2577, section 3).
const FIRST_DATA_PORT: u16 = 1024;

/// The code for an `EPRT` of a family that cannot be used (RFC 2428, section 2).
const WRONG_FAMILY: u16 = 522;

/// A `PORT` that waits for an endpoint.
#[derive(Debug)]
pub(super) struct ActiveOffer {
    pub(super) id: DataId,
    /// The line as it came.
    pub(super) line: Vec<u8>,
    command: Command,
    port: PortCommand,
}

/// Why a command is answered here, with a code.
type Refusal = (u16, String);

impl Session {
    /// Handles a `PORT`, `EPRT` or `LPRT`. One that cannot be read is the server's to refuse, but it does not see what
    /// could not be read here: servers read much, and their own host would be the third party.
    pub(super) fn port_command(&mut self, now: Instant, command: Command, line: Vec<u8>) {
        if !self.config.active {
            let reason = "Active mode is switched off here; use passive mode (PASV or EPSV)";
            return self.answer_in_turn(now, 502, reason);
        }
        match PortCommand::parse(&command, &line) {
            Ok(port) => self.port_named(now, command, port, line),
            Err(NoAddress::Malformed) => {
                let harmless = unreadable(&command.verb, line_end(&line));
                self.pass_command(&command, &harmless);
            }
            Err(NoAddress::UnknownProtocol) => {
                let reason = "Network protocol not supported, use (1,2)";
                self.answer_in_turn(now, WRONG_FAMILY, reason);
            }
        }
    }

    fn port_named(&mut self, now: Instant, command: Command, port: PortCommand, line: Vec<u8>) {
        match self.objection(&port) {
            Some(_) if self.config.foreign_port == ForeignPort::Pass => {
                self.pass_command(&command, &port.as_named(line_end(&line)));
            }
            Some((code, reason)) => self.answer_in_turn(now, code, &reason),
            None => self.offer_active(command, port, line),
        }
    }

    /// Why the address named must not be used.
    ///
    /// lftp names the unspecified address on IPv6 loopback, and servers take it for the client's own: so does this.
    fn objection(&self, port: &PortCommand) -> Option<Refusal> {
        let client = self.config.client.to_canonical();
        let host = port.host.to_canonical();
        let mut also = self.config.also_client.iter().map(IpAddr::to_canonical);
        let own = host == client || host.is_unspecified() || also.any(|own| own == host);
        if !own && port.names_family() && host.is_ipv4() != client.is_ipv4() {
            let family = if client.is_ipv4() { 1 } else { 2 };
            let reason = format!("Network protocol not supported, use ({family})");
            return Some((WRONG_FAMILY, reason));
        }
        if !own {
            let reason =
                format!("{host} is not your own address {client}; use that, or passive mode");
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

    /// Asks for an endpoint to announce instead of the client's.
    fn offer_active(&mut self, command: Command, port: PortCommand, line: Vec<u8>) {
        let id = self.channels.allocate(Mode::Active);
        let named = Some(port.host).filter(|host| !host.is_unspecified());
        let target = Announced {
            host: named.or(Some(self.config.client)),
            port: port.port,
        };
        self.act(Action::Offer {
            id,
            mode: Mode::Active,
            target,
            open_first: false,
        });
        self.client_hold = Some(ClientHold::Offer(ActiveOffer {
            id,
            line,
            command,
            port,
        }));
    }

    /// Announces the endpoint to the server, or tells the client that there is none.
    pub(super) fn active_offered(
        &mut self,
        now: Instant,
        offer: ActiveOffer,
        answer: Result<SocketAddr, String>,
    ) {
        match answer {
            Ok(address) => {
                let line = offer.port.rewrite(address, line_end(&offer.line));
                self.send_command(&offer.command, &line, Some(offer.id));
            }
            Err(reason) => {
                self.channels.forget(offer.id);
                self.answer_in_turn(now, NO_DATA_CONNECTION, &reason);
            }
        }
    }

    /// What of a line too long to be understood may go to the server. One that could name an address, or that is not seen
    /// to be another command, gives way to a command that the server refuses.
    pub(super) fn overlong_command(&mut self, bytes: Vec<u8>, first: bool) -> Vec<u8> {
        if !first {
            return if self.drop_command { Vec::new() } else { bytes };
        }
        let dangerous = match verb(&bytes) {
            Verb::Announcing(verb) => Some(verb),
            Verb::Incomplete => Some("PORT"),
            Verb::Other => None,
        };
        self.drop_command = dangerous.is_some();
        dangerous.map_or(bytes, |verb| unreadable(verb, b"\r\n"))
    }

    /// The client has ended in the middle of this line. Some servers carry it out, so an address in it must not pass.
    pub(super) fn unfinished_command(line: Vec<u8>) -> Vec<u8> {
        if announcing_verb(&line).is_some() {
            Vec::new()
        } else {
            line
        }
    }
}
