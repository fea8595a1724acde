//! The session state machine: bytes of both peers in, bytes for both peers and actions out.

use std::net::SocketAddr;
use std::time::Instant;

use crate::{Action, DataEvent, DataId, SessionConfig};

/// One FTP control channel between a client and a server.
///
/// - getters: [`logged_in`](Self::logged_in), [`is_opaque`](Self::is_opaque),
///   [`wants_client_bytes`](Self::wants_client_bytes), [`wants_server_bytes`](Self::wants_server_bytes)
/// - events in: [`client_bytes`](Self::client_bytes), [`server_bytes`](Self::server_bytes),
///   [`client_end`](Self::client_end), [`server_end`](Self::server_end), [`server_lost`](Self::server_lost),
///   [`offered`](Self::offered), [`data_event`](Self::data_event), [`handle_timeout`](Self::handle_timeout)
/// - out, to be drained after each event in: [`take_to_client`](Self::take_to_client),
///   [`take_to_server`](Self::take_to_server), then [`poll_action`](Self::poll_action), then
///   [`next_timeout`](Self::next_timeout)
pub struct Session {
    config: SessionConfig,
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    actions: std::collections::VecDeque<Action>,
}

impl Session {
    /// A session whose server has not greeted yet.
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            to_client: Vec::new(),
            to_server: Vec::new(),
            actions: Default::default(),
        }
    }

    /// The client sent these bytes.
    pub fn client_bytes(&mut self, _now: Instant, bytes: &[u8]) {
        self.to_server.extend_from_slice(bytes);
    }

    /// The server sent these bytes.
    pub fn server_bytes(&mut self, _now: Instant, bytes: &[u8]) {
        self.to_client.extend_from_slice(bytes);
    }

    /// The client ended its side in an orderly way.
    pub fn client_end(&mut self, _now: Instant) {
        self.actions.push_back(Action::EndServer);
    }

    /// The server ended its side in an orderly way.
    pub fn server_end(&mut self, _now: Instant) {
        self.actions.push_back(Action::EndClient);
    }

    /// The way to the server was cut: the client is told `421` with this reason, and then the end.
    pub fn server_lost(&mut self, _now: Instant, reason: &str) {
        self.to_client.extend(crate::reply(421, reason));
        self.actions.push_back(Action::EndClient);
    }

    /// The answer to [`Action::Offer`]: the address to announce to the other peer, or why there is none, which becomes
    /// the text of a `425`.
    pub fn offered(&mut self, _now: Instant, _id: DataId, _answer: Result<SocketAddr, String>) {}

    /// Something happened on a data channel. A channel that the session no longer cares about is ignored.
    pub fn data_event(&mut self, _now: Instant, _id: DataId, _event: DataEvent) {}

    /// The time said by [`next_timeout`](Self::next_timeout) has come. Harmless when it has not.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Everything that may go to the client now, to be written at once; `None` where there is nothing.
    pub fn take_to_client(&mut self) -> Option<Vec<u8>> {
        take(&mut self.to_client)
    }

    /// Everything that may go to the server now, to be written at once; `None` where there is nothing.
    pub fn take_to_server(&mut self) -> Option<Vec<u8>> {
        take(&mut self.to_server)
    }

    /// The next thing to do, once the bytes have been taken and written.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether more of the client's bytes should be read now. False while what is held has reached its bound.
    pub fn wants_client_bytes(&self) -> bool {
        true
    }

    /// Whether more of the server's bytes should be read now. False while what is held has reached its bound.
    pub fn wants_server_bytes(&self) -> bool {
        true
    }

    /// Whether the server has accepted a login.
    pub fn logged_in(&self) -> bool {
        false
    }

    /// Whether the control channel is encrypted from end to end.
    pub fn is_opaque(&self) -> bool {
        let _ = &self.config;
        false
    }
}

/// The content of a buffer, which is left empty.
fn take(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    (!buffer.is_empty()).then(|| std::mem::take(buffer))
}
