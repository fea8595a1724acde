//! What tunnels have carried up to a moment: each one, and the daemon since its start.

use std::sync::Arc;

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
    /// What tunnels have carried through these sessions and earlier ones.
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
