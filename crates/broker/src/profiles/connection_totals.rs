//! What has become of the SSH connections of one profile, counted over all pools that it has had.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use broker_ipc::Reason;
use broker_ssh::{ConnectionKind, CutReason};

use crate::measures::{Durations, Tally};
use crate::unix_time::unix;

/// Totals of the SSH connections of one profile since the start of the daemon.
#[derive(Debug, Default)]
pub(crate) struct ConnectionTotals {
    /// Attempts to connect, by what is connected and why it failed; `None`: it succeeded.
    pub(crate) attempts: Tally<(ConnectionKind, Option<Reason>)>,
    /// How long the attempts took, by whether they succeeded.
    pub(crate) attempt_times: Durations<bool>,
    /// Connections that were up and have ended.
    pub(crate) ended: Tally<(ConnectionKind, ConnectionEnd)>,
    /// When a connection last came up, in Unix seconds; 0: never.
    last_connected: AtomicU64,
}

/// How a connection that was up has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConnectionEnd {
    /// The broker has closed it.
    Closed,
    /// It broke, or the server has closed it.
    Lost,
}

impl ConnectionTotals {
    /// Counts an attempt.
    pub(crate) fn attempted(&self, kind: ConnectionKind, failure: Option<Reason>, took: Duration) {
        self.attempts.count((kind, failure));
        self.attempt_times.observe(failure.is_none(), took);
        if failure.is_none() {
            let now = unix(SystemTime::now());
            self.last_connected.store(now, Ordering::Relaxed);
        }
    }

    /// Counts the end of a connection.
    pub(crate) fn disconnected(&self, kind: ConnectionKind, reason: &CutReason) {
        let end = match reason {
            CutReason::ConnectionClosed { .. } => ConnectionEnd::Closed,
            CutReason::Closed
            | CutReason::ConnectionLost { .. }
            | CutReason::Overflow(_)
            | CutReason::Stalled(_)
            | CutReason::Evicted(_)
            | CutReason::ForwardEnded => ConnectionEnd::Lost,
        };
        self.ended.count((kind, end));
    }

    /// When a connection last came up, in Unix seconds.
    pub(crate) fn last_connected(&self) -> Option<u64> {
        Some(self.last_connected.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
}

impl ConnectionEnd {
    /// The word for output.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Lost => "lost",
        }
    }
}
