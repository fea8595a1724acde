//! Whether a session is in a burst of transfers, in which the next data connection is worth preparing.

use std::time::{Duration, Instant};

use crate::config::DataAhead;

/// The longest pause between two transfers of a burst. A program asks for the next file at once; a person takes longer.
const PAUSE: Duration = Duration::from_secs(1);

/// The transfers after which a burst is likely to continue. Two can be a listing and its file.
const ENOUGH: u32 = 3;

/// The round trip from which a prepared connection is worth its place at the server. Below it, the time of a transfer is
/// mostly that of the programs at both ends.
const WORTH: Duration = Duration::from_millis(5);

/// What stands in the greeting of servers that read no command while a transfer runs, so that one which is sent behind the
/// transfer's own waits for its end. Others answer at once, or even end the transfer for it.
const READS_IN_TURN: [&[u8]; 2] = [b"vsFTPd", b"GNU inetutils"];

/// How closely the transfers of a session follow each other, and how far away its server is.
#[derive(Debug)]
pub(super) struct Burst {
    policy: DataAhead,
    /// Whether the server reads no command while a transfer runs.
    reads_in_turn: bool,
    /// Short transfers in a row without a pause.
    row: u32,
    /// When the client last asked for a data connection.
    began: Option<Instant>,
    /// When the last transfer ended, until the client asks for the next data connection.
    ended: Option<Instant>,
    /// The ended transfers so far.
    seen: u64,
    /// When the server received a command for a data connection while it had nothing else to do.
    asked: Option<Instant>,
    /// The least time to the reply. Such a command costs a server no work, so the rest is the path.
    round_trip: Option<Duration>,
}

impl Burst {
    pub(super) fn new(policy: DataAhead) -> Self {
        Self {
            policy,
            reads_in_turn: false,
            row: 0,
            began: None,
            ended: None,
            seen: 0,
            asked: None,
            round_trip: None,
        }
    }

    /// The server's greeting says which program it is.
    pub(super) fn greeted(&mut self, line: &[u8]) {
        let names = |name: &&[u8]| line.windows(name.len()).any(|part| part == *name);
        self.reads_in_turn = READS_IN_TURN.iter().any(names);
    }

    /// Records how many transfers have ended by now. A long one ends a burst: the client must be able to abort the next.
    pub(super) fn count(&mut self, now: Instant, ended: u64) {
        if std::mem::replace(&mut self.seen, ended) == ended {
            return;
        }
        self.ended = Some(now);
        if self.began.is_some_and(|began| now > began + PAUSE) {
            self.row = 0;
        }
    }

    /// The client asks for a data connection.
    pub(super) fn client_asks(&mut self, now: Instant) {
        self.began = Some(now);
        match self.ended.take() {
            Some(ended) if now > ended + PAUSE => self.row = 1,
            Some(_) => self.row = self.row.saturating_add(1),
            None => self.row = self.row.max(1),
        }
    }

    /// The server is sent a command of the client for a data connection. `alone`: it owes no other reply.
    pub(super) fn sent(&mut self, now: Instant, alone: bool) {
        self.asked = alone.then_some(now);
    }

    /// The server answers it.
    pub(super) fn answered(&mut self, now: Instant) {
        let took = self.asked.take().map(|asked| now.duration_since(asked));
        self.round_trip = took.into_iter().chain(self.round_trip).min();
    }

    /// Something went wrong with a prepared connection, so the session prepares no other.
    pub(super) fn stop(&mut self) {
        self.policy = DataAhead::Never;
    }

    /// Whether the next data connection is worth preparing.
    pub(super) fn is_worth(&self) -> bool {
        match self.policy {
            _ if !self.reads_in_turn => false,
            DataAhead::Always => true,
            DataAhead::Never => false,
            DataAhead::Auto => {
                self.row >= ENOUGH && self.round_trip.is_some_and(|took| took >= WORTH)
            }
        }
    }
}
