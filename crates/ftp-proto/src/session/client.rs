//! What the client says: commands, passed on or answered here.

use std::time::Instant;

use super::{Phase, Session};
use crate::command::Command;
use crate::event::DataId;
use crate::kind::CommandKind;
use crate::line::Piece;
use crate::pending_replies::Sent;
use crate::{Event, TlsPolicy, telnet};

impl Session {
    /// Handles the client's next line, unless its bytes are held. False where there is none.
    pub(super) fn client_step(&mut self, now: Instant) -> bool {
        if self.client_hold.is_some() || self.phase != Phase::Clear {
            return false;
        }
        match self.from_client.next() {
            Some(Piece::Line(line)) => self.client_line(now, line),
            Some(Piece::Fragment { bytes, first }) => self.client_fragment(bytes, first),
            None => return false,
        }
        true
    }

    fn client_line(&mut self, now: Instant, line: Vec<u8>) {
        let line = telnet::closed(line);
        let Some(command) = Command::parse(&line) else {
            self.to_server.extend(line);
            return;
        };
        self.tell(Event::Command {
            verb: command.verb.clone(),
            argument: command.shown_argument(&line),
        });
        if command.kind == CommandKind::Auth && self.config.tls == TlsPolicy::Refuse {
            return self.refuse_auth(now);
        }
        if command.kind == CommandKind::Port {
            return self.port_command(now, command, line);
        }
        if command.kind == CommandKind::Abort {
            self.abort_transfer();
        }
        self.pass_command(&command, &line);
    }

    /// A line too long to be understood. The server will answer it once.
    fn client_fragment(&mut self, bytes: Vec<u8>, first: bool) {
        let bytes = self.overlong_command(bytes, first);
        if first {
            self.expect_reply(Sent::new(String::new(), CommandKind::Unknown));
        }
        self.to_server.extend(bytes);
    }

    /// Hands a command on as it came.
    pub(super) fn pass_command(&mut self, command: &Command, line: &[u8]) {
        self.send_command(command, line, None);
    }

    /// Hands a command on in these words; `offer` is the channel that they announce.
    pub(super) fn send_command(&mut self, command: &Command, line: &[u8], offer: Option<DataId>) {
        let text = match command.shown_argument(line) {
            argument if argument.is_empty() => command.verb.clone(),
            argument => format!("{} {argument}", command.verb),
        };
        self.expect_reply(Sent {
            text,
            kind: command.kind,
            offer,
        });
        self.replies.command_sent();
        self.to_server.extend_from_slice(line);
    }

    fn expect_reply(&mut self, sent: Sent) {
        if let Some(never_answered) = self.pending.push(sent) {
            self.assume_accepted(never_answered);
        }
    }

    fn refuse_auth(&mut self, now: Instant) {
        let reason = "AUTH is refused: SSH already encrypts this connection; go on without TLS";
        self.answer_in_turn(now, 534, reason);
    }
}
