//! Counters, and what is counted of a tunnel.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals of one tunnel since it was opened.
#[derive(Debug, Default)]
pub(crate) struct TunnelTotals {
    /// Sessions accepted.
    pub(crate) sessions: AtomicU64,
    /// Transfers the FTP server completed and the client was told so.
    pub(crate) transfers_ok: AtomicU64,
    /// Transfers running right now.
    pub(crate) transfers_active: AtomicU64,
    /// Transfers that ended in a failure.
    pub(crate) transfers_failed: AtomicU64,
    /// Bytes of ended data channels from client to server.
    pub(crate) bytes_up: AtomicU64,
    /// Bytes of ended data channels from server to client.
    pub(crate) bytes_down: AtomicU64,
}

impl TunnelTotals {
    /// Counts the bytes that went up and down through a channel that has ended.
    pub(crate) fn add_traffic(&self, (up, down): (u64, u64)) {
        add(&self.bytes_up, up);
        add(&self.bytes_down, down);
    }

    /// Takes over what another has counted of things that are over.
    pub(super) fn take_over(&self, other: &Self) {
        add(&self.sessions, read(&other.sessions));
        add(&self.transfers_ok, read(&other.transfers_ok));
        add(&self.transfers_failed, read(&other.transfers_failed));
        add(&self.bytes_up, read(&other.bytes_up));
        add(&self.bytes_down, read(&other.bytes_down));
    }
}

/// Adds to a counter; the order against other counters does not matter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Takes one from a counter of what is going on.
pub(crate) fn drop_one(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
