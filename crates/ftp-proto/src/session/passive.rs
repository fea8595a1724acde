//! The passive commands, and the wait of a command for the reply to the same one that was sent ahead.

use std::time::Instant;

use super::Session;
use super::exchange::{Claim, Claimed};
use super::forms::substitute;
use crate::address::line_end;
use crate::command::Command;
use crate::event::Announced;
use crate::sent::{Attempt, Sent};

impl Session {
    /// Answers a passive command with the reply that is held for it, or passes it on.
    pub(super) fn passive_command(&mut self, now: Instant, command: Command, line: Vec<u8>) {
        if self.exchange.has_asked(&line) {
            return self.claim(now, command, line, None);
        }
        self.exchange.drop_ahead();
        self.pass_passive(now, &command, &line);
    }

    /// The client's command waits for the reply to the one that was sent ahead.
    pub(super) fn claim(
        &mut self,
        now: Instant,
        command: Command,
        line: Vec<u8>,
        announced: Option<Announced>,
    ) {
        self.exchange.claim(Claim {
            command,
            line,
            announced,
        });
        self.client.wait_for_reply(now, None);
    }

    /// Passes a passive command on in a form that the server supports, as far as that is known.
    fn pass_passive(&mut self, now: Instant, command: &Command, line: &[u8]) {
        let sent = Sent::new(command.shown(line), command.kind);
        let Some(form) = sent.passive_form() else {
            return self.send(sent, line);
        };
        self.exchange.measure(now);
        let attempt = self.exchange.attempt(form);
        match attempt {
            Attempt::Only => self.send(sent, line),
            Attempt::First => {
                self.client.wait_for_reply(now, None);
                self.send(sent.with_attempt(attempt), line);
            }
            Attempt::Substitute(_) => {
                let line = substitute(form, line_end(line));
                self.send(sent.with_attempt(attempt), &line);
            }
        }
    }

    /// Gives the client's command the reply that is held for it, or sends the command after all. False if it
    /// still waits, or if there is none.
    pub(super) fn claim_step(&mut self, now: Instant) -> bool {
        let Some(claimed) = self.exchange.claimed(now) else {
            return false;
        };
        self.client.stop_waiting();
        if let Claimed::Unserved(claim) = claimed {
            match claim.announced {
                Some(_) => self.port_command(now, claim.command, claim.line),
                None => self.passive_command(now, claim.command, claim.line),
            }
        }
        true
    }
}
