//! Counters, and the totals of a tunnel.

use std::sync::atomic::{AtomicU64, Ordering};

use broker_ipc::Reason;

use super::failures::LastFailure;
use crate::events::{TransferKind, TransferRecord, TransferResult};
use crate::measures::{Durations, Tally};

/// Totals of one tunnel since it was opened.
#[derive(Debug, Default)]
pub(crate) struct TunnelTotals {
    /// Sessions accepted.
    pub(crate) sessions: AtomicU64,
    /// Transfers that had begun and are over.
    pub(crate) transfers: Tally<(TransferKind, TransferResult)>,
    /// How long those took that are complete.
    pub(crate) transfer_times: Durations<TransferKind>,
    /// Transfers that the FTP server refused before they began.
    pub(crate) transfers_refused: Tally<TransferKind>,
    /// Transfers that run now.
    pub(crate) transfers_active: AtomicU64,
    /// Transfers, and connections of plain tunnels, that were cut.
    pub(crate) cuts: Tally<Reason>,
    /// Successes of the FTP server that reached the client as failures.
    pub(crate) replies_corrected: AtomicU64,
    /// Clients that were not served.
    pub(crate) sessions_refused: Tally<Reason>,
    /// What last failed.
    pub(crate) last_failure: LastFailure,
    /// Bytes of ended data channels from client to server.
    pub(crate) bytes_up: AtomicU64,
    /// Bytes of ended data channels from server to client.
    pub(crate) bytes_down: AtomicU64,
    /// The most bytes that were shown of it, up and down.
    pub(super) shown: [AtomicU64; 2],
}

impl TunnelTotals {
    /// Adds the bytes in both directions of a channel that has ended, and that the registry no longer has. Whoever reads
    /// the totals before it looks at the running channels never counts a byte twice.
    pub(crate) fn add_traffic(&self, (up, down): (u64, u64)) {
        add(&self.bytes_up, up);
        add(&self.bytes_down, down);
    }

    /// Counts a transfer that had begun and is over.
    pub(crate) fn transfer_over(&self, record: &TransferRecord) {
        self.transfers.count((record.kind, record.result));
        if record.result == TransferResult::Complete {
            self.transfer_times.observe(record.kind, record.duration);
        }
    }

    /// Transfers that the FTP server completed and whose success was passed on to the client.
    pub(crate) fn transfers_ok(&self) -> u64 {
        self.transfers
            .total(|(_, it)| it == TransferResult::Complete)
    }

    /// Transfers that had begun and failed.
    pub(crate) fn transfers_failed(&self) -> u64 {
        self.transfers
            .total(|(_, it)| it != TransferResult::Complete)
    }

    /// Adds the totals of something that is over.
    pub(super) fn take_over(&self, other: &Self) {
        add(&self.sessions, read(&other.sessions));
        self.transfers.take_over(&other.transfers);
        self.transfer_times.take_over(&other.transfer_times);
        self.transfers_refused.take_over(&other.transfers_refused);
        self.cuts.take_over(&other.cuts);
        add(&self.replies_corrected, read(&other.replies_corrected));
        self.sessions_refused.take_over(&other.sessions_refused);
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
