//! The commands with the address on which the client listens: each waits for an endpoint, which the server is told instead.

use std::net::SocketAddr;
use std::time::Instant;

use super::Session;
use super::announcement::NO_DATA_CONNECTION;
use super::port::{ActiveOffer, PortDecision, decide, target};
use crate::command::Command;
use crate::sent::{Attempt, Sent};

impl Session {
    pub(super) fn port_command(&mut self, now: Instant, command: Command, line: Vec<u8>) {
        match decide(&self.config, &command, &line) {
            PortDecision::Pass(line) => {
                self.exchange.drop_ahead();
                self.send_command(&command, &line);
            }
            PortDecision::Refuse((code, reason)) => {
                self.exchange.drop_ahead();
                self.client.answer_in_turn(now, code, &reason);
            }
            PortDecision::Offer(port) => {
                let target = target(&self.config, &port);
                if self.exchange.has_announced(&port) {
                    let announced = Some(target);
                    return self.claim(now, command, line, announced);
                }
                self.exchange.drop_asked();
                let id = self.exchange.offer_active(target);
                self.client.hold(ActiveOffer {
                    id,
                    line,
                    port,
                    refusal: None,
                });
            }
        }
    }

    /// Announces the endpoint to the server, or sends the client the reason for the failure.
    pub(super) fn active_offered(
        &mut self,
        now: Instant,
        offer: ActiveOffer,
        answer: Result<SocketAddr, String>,
    ) {
        match answer {
            Ok(address) => self.announce_active(now, offer, address),
            Err(reason) => {
                self.exchange.data.forget(offer.id);
                match offer.refusal {
                    Some(refusal) => self.exchange.keep_family(&refusal),
                    None => self.client.answer_in_turn(now, NO_DATA_CONNECTION, &reason),
                }
            }
        }
    }

    fn announce_active(&mut self, now: Instant, mut offer: ActiveOffer, address: SocketAddr) {
        self.exchange.measure(now);
        let line = offer.announce(address);
        let attempt = match offer.refusal.take() {
            Some(refusal) => Attempt::Substitute(Some(refusal)),
            None => self.exchange.attempt_active(),
        };
        let sent = Sent::port(&line, offer.id).with_attempt(attempt);
        if sent.attempt != Attempt::Only {
            self.client.wait_for_reply(now, Some(offer));
        }
        self.send(sent, &line);
    }
}
