//! Holds the announcement of a transfer's start until the client's data connection is open.
//!
//! An FTP server accepts the data connection before it sends `150`, and clients rely on it: they send a small file and
//! close as soon as they read the `150`. But here the client does not connect to the server's port, so the server's
//! `150` proves nothing about the client's connection. The caller must accept that connection, and check whose it is,
//! before the client closes it.

use std::time::{Duration, Instant};

use crate::channels::Channel;

/// How long the start waits for the client to connect. Some clients connect only after they have read it.
const JOIN_PATIENCE: Duration = Duration::from_secs(1);

/// The first line of a held preliminary reply. The rest of the reply, if any, waits after it.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) line: Vec<u8>,
    since: Instant,
}

impl Start {
    pub(super) fn new(line: Vec<u8>, now: Instant) -> Self {
        Self { line, since: now }
    }

    /// The time until which it can be held.
    pub(super) fn deadline(&self) -> Instant {
        self.since + JOIN_PATIENCE
    }
}

/// Whether the start waits for this channel: the client has not connected, and still can.
pub(super) fn waits_for(channel: &Channel) -> bool {
    !channel.joined && channel.end.is_none()
}
