//! The start of a transfer is told once the client's data connection is there.
//!
//! An FTP server accepts the data connection before it says `150`, and clients count on it: they send a small file and
//! close as soon as they read it. Here the client connects elsewhere than the server listens, so the server's word alone
//! says nothing about the client's connection; the caller must have it, and have seen whose it is, before the client may
//! be done with it.

use std::time::{Duration, Instant};

use crate::channels::Channel;

/// How long the start waits for the client to connect. Some clients connect only once they have read it.
const JOIN_PATIENCE: Duration = Duration::from_secs(1);

/// The first line of a preliminary reply that waits. The rest of the reply, if any, waits behind.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) line: Vec<u8>,
    since: Instant,
}

impl Start {
    pub(super) fn new(line: Vec<u8>, now: Instant) -> Self {
        Self { line, since: now }
    }

    /// Until when it may be held.
    pub(super) fn deadline(&self) -> Instant {
        self.since + JOIN_PATIENCE
    }
}

/// Whether a start waits for this channel: the client has not connected, and still can.
pub(super) fn waits_for(channel: &Channel) -> bool {
    !channel.joined && channel.end.is_none()
}
