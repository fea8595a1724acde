//! Counters, and the totals of a tunnel.

use std::sync::atomic::{AtomicU64, Ordering};

use super::failures::LastFailure;

/// Totals of one tunnel since it was opened.
#[derive(Debug, Default)]
pub(crate) struct TunnelTotals {
    /// Sessions accepted.
    pub(crate) sessions: AtomicU64,
    /// Transfers that the FTP server completed and whose success was passed on to the client.
    pub(crate) transfers_ok: AtomicU64,
    /// Transfers that run now.
    pub(crate) transfers_active: AtomicU64,
    /// Transfers that failed.
    pub(crate) transfers_failed: AtomicU64,
    /// Clients that were not served.
    pub(crate) sessions_refused: AtomicU64,
    /// What last failed.
    pub(crate) last_failure: LastFailure,
    /// Bytes of ended data channels from client to server.
    pub(crate) bytes_up: AtomicU64,
    /// Bytes of ended data channels from server to client.
    pub(crate) bytes_down: AtomicU64,
}

impl TunnelTotals {
    /// Adds the bytes in both directions of a channel that has ended.
    pub(crate) fn add_traffic(&self, (up, down): (u64, u64)) {
        add(&self.bytes_up, up);
        add(&self.bytes_down, down);
    }

    /// Adds the totals of something that is over.
    pub(super) fn take_over(&self, other: &Self) {
        add(&self.sessions, read(&other.sessions));
        add(&self.transfers_ok, read(&other.transfers_ok));
        add(&self.transfers_failed, read(&other.transfers_failed));
        add(&self.bytes_up, read(&other.bytes_up));
        add(&self.bytes_down, read(&other.bytes_down));
    }
}

/// Adds to a counter; the order relative to other counters does not matter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Subtracts one from a counter of running things.
pub(crate) fn drop_one(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
