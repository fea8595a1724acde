//! Active mode: a command that announces an address is held until there is another to announce in its place.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::offer::NO_DATA_CONNECTION;
use super::{ClientHold, Session};
use crate::address::PortCommand;
use crate::command::Command;
use crate::config::ForeignPort;
use crate::event::{Action, Announced, DataId, Mode};

/// Ports below this belong to services, and to strike one with data is an attack (RFC 2577, section 3).
const FIRST_DATA_PORT: u16 = 1024;

/// A `PORT` that waits for an endpoint.
#[derive(Debug)]
pub(super) struct ActiveOffer {
    pub(super) id: DataId,
    /// The line as it came.
    pub(super) line: Vec<u8>,
    command: Command,
    port: PortCommand,
}

impl Session {
    /// Handles a `PORT`, `EPRT` or `LPRT`. One that is malformed is the server's to refuse.
    pub(super) fn port_command(&mut self, now: Instant, command: Command, line: Vec<u8>) {
        let Some(port) = PortCommand::parse(&command, &line) else {
            return self.pass_command(&command, &line);
        };
        match self.objection(&port) {
            Some(_) if self.config.foreign_port == ForeignPort::Pass => {
                self.pass_command(&command, &line)
            }
            Some(reason) => self.answer_in_turn(now, 504, &reason),
            None if !self.config.active => {
                let reason = "Active mode is switched off here; use passive mode (PASV or EPSV)";
                self.answer_in_turn(now, 502, reason);
            }
            None => self.offer_active(command, port, line),
        }
    }

    /// Why the address named must not be used.
    ///
    /// lftp names the unspecified address on IPv6 loopback, and servers take it for the client's own: so does this.
    fn objection(&self, port: &PortCommand) -> Option<String> {
        let client = self.config.client.to_canonical();
        let host = port.host.to_canonical();
        let mut also = self.config.also_client.iter().map(IpAddr::to_canonical);
        let own = host == client || host.is_unspecified() || also.any(|own| own == host);
        if !own {
            return Some(format!(
                "{host} is not your own address {client}; use that, or passive mode"
            ));
        }
        let low = port.port < FIRST_DATA_PORT;
        low.then(|| {
            format!(
                "Port {} is below {FIRST_DATA_PORT}; use a higher one, or passive mode",
                port.port
            )
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
        let rewritten = answer.and_then(|address| {
            let line = offer.port.rewrite(&offer.command, &offer.line, address);
            line.ok_or_else(|| "The data address cannot be announced to the server".to_owned())
        });
        match rewritten {
            Ok(line) => self.send_command(&offer.command, &line, Some(offer.id)),
            Err(reason) => {
                self.channels.forget(offer.id);
                self.answer_in_turn(now, NO_DATA_CONNECTION, &reason);
            }
        }
    }
}
