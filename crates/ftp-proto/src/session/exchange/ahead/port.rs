//! Active mode: the `PORT` or `EPRT` that the session sends before its client does.
//!
//! It announces an endpoint that exists when the client sends its transfer command: the session requests one as soon as
//! the client has the reply to the command before. If it is not ready in time, nothing is sent, and it serves the next
//! transfer. The client cannot know the endpoint, so any address of its own fits, and the endpoint leads there from then
//! on.

use std::net::SocketAddr;
use std::time::Instant;

use super::super::{Exchange, ReplyPart};
use super::{Ahead, PATIENCE, Stage};
use crate::address::PortCommand;
use crate::kind::CommandKind;
use crate::sent::{Attempt, Sent};

impl Ahead {
    /// Whether a command of active mode is sent ahead.
    pub(super) fn sends_port(&self) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| last.kind == CommandKind::Port)
    }
}

impl Exchange {
    /// The server has accepted this command of the client, with its own endpoint.
    pub(in crate::session) fn port_accepted(&mut self, sent: &Sent, at: Instant) {
        self.burst.answered(at);
        self.ahead.remember(sent);
        self.prepare_endpoint(at);
    }

    /// Requests the endpoint for the command that follows the next transfer, unless there is one.
    pub(super) fn prepare_endpoint(&mut self, now: Instant) {
        let wanted = self.ahead.sends_port() && self.burst.is_worth();
        if wanted && self.forms.attempt_active() == Attempt::Only {
            self.ahead.endpoint_until = Some(now + PATIENCE);
            self.data.prepare_endpoint(self.forms.other_family());
        }
    }

    /// The command that announces the prepared endpoint, in the form of the last one.
    pub(super) fn ask_port(&mut self, last: &Sent) -> Option<Vec<u8>> {
        let (id, address) = self.data.prepared_endpoint()?;
        let line = named(last)?.rewrite(address, b"\r\n");
        let sent = Sent::port(&line, id);
        self.ahead.last = Some(sent.clone());
        self.sent_ahead(sent);
        Some(line)
    }

    /// Whether the server was sent the same command ahead as it would be sent for this one of the client.
    pub(in crate::session) fn has_announced(&self, port: &PortCommand) -> bool {
        let last = self.ahead.last.as_ref();
        self.ahead.stage != Stage::Idle
            && last.is_some_and(|last| {
                named(last).is_some_and(|named| {
                    let address = SocketAddr::new(named.host, named.port);
                    port.rewrite(address, b"") == last.text.as_bytes()
                })
            })
    }

    /// Whether this reply accepts a command that was sent ahead, at the right time, and is here as a whole.
    pub(super) fn accepts_port(&self, sent: &Sent, part: &ReplyPart) -> bool {
        sent.kind == CommandKind::Port
            && matches!(part.code, 200..=299)
            && !self.is_answered_early()
            && !self.server.is_inside_reply()
    }
}

/// The endpoint that a command names.
fn named(sent: &Sent) -> Option<PortCommand> {
    let (verb, argument) = sent.words();
    PortCommand::parse(verb, argument.as_bytes()).ok()
}
