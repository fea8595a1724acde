//! What tunnels have carried up to a moment: each one, and the daemon since its start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_ipc::types::TransferCounts;

use super::counters::{TunnelTotals, read};
use super::session::SessionEntry;

/// Totals up to this moment, including what is in progress.
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
    /// What tunnels have carried through channels that are over. Whoever adds the sessions looks for them afterwards.
    pub(crate) fn of<'a>(tunnels: impl IntoIterator<Item = &'a TunnelTotals>) -> Self {
        let mut sum = Self::default();
        let tunnels = tunnels.into_iter();
        tunnels.for_each(|totals| sum.add_totals(totals));
        sum
    }

    /// The same with what these sessions carry.
    pub(crate) fn with(mut self, sessions: &[Arc<SessionEntry>]) -> Self {
        sessions
            .iter()
            .for_each(|session| self.add_running(session));
        self
    }

    /// The same, but never fewer bytes than were shown of this tunnel before. A channel that ends is for a moment neither
    /// among the running ones nor in the totals, and a monitoring system takes a counter that falls for one that starts
    /// again.
    pub(super) fn never_less(self, tunnel: &TunnelTotals) -> Self {
        let [up, down] = &tunnel.shown;
        let most = |shown: &AtomicU64, now: u64| shown.fetch_max(now, Ordering::Relaxed).max(now);
        Self {
            bytes_up: most(up, self.bytes_up),
            bytes_down: most(down, self.bytes_down),
            ..self
        }
    }

    fn add_totals(&mut self, totals: &TunnelTotals) {
        self.transfers.active += read(&totals.transfers_active);
        self.transfers.ok += totals.transfers_ok();
        self.transfers.failed += totals.transfers_failed();
        self.bytes_up += read(&totals.bytes_up);
        self.bytes_down += read(&totals.bytes_down);
    }

    /// Adds the bytes that the totals will count only at their end.
    fn add_running(&mut self, session: &SessionEntry) {
        self.sessions_active += 1;
        let data = session.data();
        let plain = (!session.tunnel.is_ftp).then_some(&session.channel);
        for channel in data.iter().map(|data| &data.channel).chain(plain) {
            let (up, down) = channel.traffic();
            self.bytes_up += up;
            self.bytes_down += down;
        }
    }
}
