//! What tunnels have carried: each by itself, and the daemon since its start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_ipc::types::TransferCounts;

use super::session::SessionEntry;

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

/// Counts up to this moment, what is under way included.
#[derive(Debug, Default)]
pub(crate) struct TrafficTotals {
    /// Clients being served.
    pub(crate) sessions_active: u64,
    /// FTP transfers by outcome.
    pub(crate) transfers: TransferCounts,
    /// Payload bytes sent towards SSH servers.
    pub(crate) bytes_up: u64,
    /// Payload bytes received from SSH servers.
    pub(crate) bytes_down: u64,
}

impl TrafficTotals {
    /// What tunnels have carried through these sessions and those before.
    pub(crate) fn sum<'a>(
        tunnels: impl IntoIterator<Item = &'a TunnelTotals>,
        sessions: &[Arc<SessionEntry>],
    ) -> Self {
        let mut sum = Self::default();
        tunnels
            .into_iter()
            .for_each(|totals| sum.add_totals(totals));
        sessions.iter().for_each(|session| sum.add_running(session));
        sum
    }

    fn add_totals(&mut self, totals: &TunnelTotals) {
        self.transfers.active += read(&totals.transfers_active);
        self.transfers.ok += read(&totals.transfers_ok);
        self.transfers.failed += read(&totals.transfers_failed);
        self.bytes_up += read(&totals.bytes_up);
        self.bytes_down += read(&totals.bytes_down);
    }

    /// The bytes that the totals will count only at their end.
    fn add_running(&mut self, session: &SessionEntry) {
        self.sessions_active += 1;
        let data = session.data();
        let plain = (!session.tunnel.is_ftp).then_some(&session.progress);
        for progress in data.iter().map(|data| &data.progress).chain(plain) {
            self.bytes_up += read(&progress.to_channel);
            self.bytes_down += read(&progress.from_channel);
        }
    }
}
