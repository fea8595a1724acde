//! The start of a transfer is told once the client's data connection is there.
//!
//! An FTP server accepts the data connection before it says `150`, and clients count on it: they send a small file and
//! close as soon as they read it. Here the client connects elsewhere than the server listens, so the server's word alone
//! says nothing about the client's connection; the caller must have it, and have seen whose it is, before the client may
//! be done with it.

use std::time::{Duration, Instant};

use super::{ServerHold, Session};
use crate::channels::Channel;
use crate::event::DataId;

/// How long the start waits for the client to connect. Some clients connect only once they have read it.
const JOIN_PATIENCE: Duration = Duration::from_secs(1);

/// The first line of a preliminary reply that waits. The rest of the reply, if any, waits behind.
#[derive(Debug)]
pub(super) struct Start {
    data: DataId,
    line: Vec<u8>,
    since: Instant,
}

impl Session {
    /// Tells the client that its transfer has begun, as soon as that is true on its side.
    pub(super) fn pass_start(&mut self, now: Instant, line: Vec<u8>) {
        match self.transfer_channel() {
            Some(channel) if !channel.joined && channel.end.is_none() => {
                self.server_hold = Some(ServerHold::Start(Start {
                    data: channel.id,
                    line,
                    since: now,
                }));
            }
            Some(_) | None => self.to_client.extend(line),
        }
    }

    /// Decides anew on a start that is held. True if it is held no longer. Where the client's connection was never there, its
    /// transfer has not begun, and the client is told nothing but how it ended.
    pub(super) fn review_start(&mut self) -> bool {
        let channel = self.transfer_channel();
        let never_joined = channel.is_some_and(Channel::was_never_joined);
        let awaited = channel.filter(|channel| !channel.joined && channel.end.is_none());
        let awaited = awaited.map(|channel| channel.id);
        match self.server_hold.take() {
            Some(ServerHold::Start(start)) if awaited != Some(start.data) => {
                if never_joined {
                    self.swallow = true;
                } else {
                    self.to_client.extend(start.line);
                }
                true
            }
            hold => {
                self.server_hold = hold;
                false
            }
        }
    }

    /// Until when a start may be held.
    pub(super) fn start_deadline(&self) -> Option<Instant> {
        match &self.server_hold {
            Some(ServerHold::Start(start)) => Some(start.since + JOIN_PATIENCE),
            Some(ServerHold::Offer(_) | ServerHold::Completion(_) | ServerHold::Ambiguous(_))
            | None => None,
        }
    }

    /// Tells a start that has been held for long enough. True if one was.
    pub(super) fn expire_start(&mut self, now: Instant) -> bool {
        self.release_start(|start| now >= start.since + JOIN_PATIENCE)
    }

    /// Tells a start that is held, if it is time. True if it was.
    pub(super) fn release_start(&mut self, is_time: impl FnOnce(&Start) -> bool) -> bool {
        match self.server_hold.take() {
            Some(ServerHold::Start(start)) if is_time(&start) => {
                self.to_client.extend(start.line);
                true
            }
            hold => {
                self.server_hold = hold;
                false
            }
        }
    }

    /// The data channel of the transfer that runs.
    fn transfer_channel(&self) -> Option<&Channel> {
        self.channels.get(self.transfer.as_ref()?.data?)
    }
}
