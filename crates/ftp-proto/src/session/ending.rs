//! How a session ends: in an orderly way on either side, by a cut, or in encryption.

use super::{ClientHold, Phase, Session};
use crate::event::Action;
use crate::text::reply;
use crate::{DataId, Event};

/// The code of a reply that announces the end of the session (RFC 959, section 5.4).
const SERVICE_CLOSING: u16 = 421;

/// Where one side's end stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The side may say more.
    Open,
    /// It has ended, and some of what it said may wait yet.
    Came,
    /// Its end was passed on.
    Passed,
}

impl End {
    /// The side's end came.
    pub(super) fn came(&mut self) {
        if *self == Self::Open {
            *self = Self::Came;
        }
    }
}

impl Session {
    /// Passes the ends on behind everything that came before them.
    pub(super) fn pass_ends(&mut self) {
        if self.client_end == End::Came && self.client_hold.is_none() {
            self.client_end = End::Passed;
            let unfinished_line = self.from_client.take_rest();
            self.to_server
                .extend(Self::unfinished_command(unfinished_line));
            self.act(Action::EndServer);
        }
        if self.server_end == End::Came && self.server_hold.is_none() {
            self.server_end = End::Passed;
            let unfinished_line = self.from_server.take_rest();
            let code = if self.transfer.is_some() && self.phase == Phase::Clear {
                self.tell_of_broken_transfer()
            } else {
                self.to_client.extend(unfinished_line);
                0
            };
            self.close(code);
        }
    }

    /// A server that leaves in the middle of a transfer says nothing of it, and the client's data may have ended like a
    /// whole file. Half a line of the server's is not passed before it: ended here, it might read as a success. The code
    /// that the client is told.
    fn tell_of_broken_transfer(&mut self) -> u16 {
        let reason = "The FTP server closed the connection in the middle of the transfer; the file is not complete";
        self.tell_closing(reason);
        SERVICE_CLOSING
    }

    /// Tells the client that this is the end, on a line of its own.
    fn tell_closing(&mut self, reason: &str) {
        if self.from_server.is_inside_line() {
            self.to_client.extend(b"\r\n");
        }
        self.to_client.extend(reply(SERVICE_CLOSING, reason));
    }

    /// The way to the server is gone: tells the client, and drops what can no longer be passed on.
    pub(super) fn lose(&mut self, reason: &str) {
        if self.phase == Phase::Over || self.server_end == End::Passed {
            return;
        }
        // In an encrypted stream, text in the clear would be an attack.
        if self.phase == Phase::Clear {
            self.tell_closing(reason);
        }
        self.phase = Phase::Over;
        self.server_end = End::Passed;
        self.from_client.take_rest();
        self.from_server.take_rest();
        self.drop_server_hold(SERVICE_CLOSING);
        self.close(SERVICE_CLOSING);
    }

    /// After the server agreed to encrypt: everything passes as it comes.
    pub(super) fn become_opaque(&mut self) {
        self.phase = Phase::Opaque;
        if let Some(ClientHold::Offer(offer)) = self.client_hold.take() {
            self.withdraw(offer.id);
            self.to_server.extend(offer.line);
        }
        let from_client = self.from_client.take_rest();
        self.to_server.extend(from_client);
        let from_server = self.from_server.take_rest();
        self.to_client.extend(from_server);
        self.tell(Event::Opaque);
    }

    /// The server will say nothing more: ends what depended on it, and the client's side. `code` is what the client was
    /// told of a transfer that runs.
    fn close(&mut self, code: u16) {
        self.drop_announcement();
        if let Some(transfer) = self.transfer.take() {
            self.finish_transfer(transfer, code, false);
        }
        // An encrypted stream may still flow the other way; of a clear one nobody would answer a command.
        if self.phase == Phase::Clear {
            self.phase = Phase::Over;
            self.from_client.take_rest();
        }
        self.unused_offers()
            .into_iter()
            .for_each(|id| self.withdraw(id));
        self.act(Action::EndClient);
    }

    /// Takes every channel that no transfer uses out of the books.
    fn unused_offers(&mut self) -> Vec<DataId> {
        let in_commands = self
            .pending
            .clear()
            .into_iter()
            .filter_map(|sent| sent.offer);
        let being_made = match self.client_hold.take() {
            Some(ClientHold::Offer(offer)) => Some(offer.id),
            Some(ClientHold::Answer(_)) | None => None,
        };
        self.current
            .take()
            .into_iter()
            .chain(in_commands)
            .chain(being_made)
            .collect()
    }
}
