//! What tunnels have carried: each by itself, and the daemon since its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_config::LocalKind;
use broker_ipc::types::TransferCounts;

use crate::registry::{SessionEntry, TunnelTotals, read};
use crate::supervisor::Supervisor;
use crate::tunnel::Tunnel;

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
    /// What one tunnel has carried; `sessions` may be those of others too.
    pub(crate) fn by(tunnel: &Tunnel, sessions: &[Arc<SessionEntry>]) -> Self {
        let mut carried = Self::default();
        carried.add_totals(&tunnel.totals);
        let own = sessions.iter().filter(|s| s.tunnel.id == tunnel.id);
        own.for_each(|session| carried.add_running(session));
        carried
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
        let plain = matches!(session.tunnel.spec.kind, LocalKind::Tcp);
        let plain = plain.then_some(&session.progress);
        for progress in data.iter().map(|data| &data.progress).chain(plain) {
            self.bytes_up += read(&progress.to_channel);
            self.bytes_down += read(&progress.from_channel);
        }
    }

    fn add(&mut self, other: &Self) {
        self.sessions_active += other.sessions_active;
        self.transfers.active += other.transfers.active;
        self.transfers.ok += other.transfers.ok;
        self.transfers.failed += other.transfers.failed;
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
    }
}

impl Supervisor {
    /// What the daemon has carried since its start: through open tunnels, through closed ones that still serve clients,
    /// and through those that are gone.
    pub(crate) fn traffic_totals(&self) -> TrafficTotals {
        let sessions = self.registry.sessions();
        let open = self.tunnels.values().map(|open| &open.tunnel);
        let serving = sessions.iter().map(|session| &session.tunnel);
        let tunnels: BTreeMap<u64, &Arc<Tunnel>> = open
            .chain(serving)
            .map(|tunnel| (tunnel.id, tunnel))
            .collect();
        let mut all = TrafficTotals::default();
        all.add_totals(self.registry.past());
        for tunnel in tunnels.values() {
            all.add(&TrafficTotals::by(tunnel, &sessions));
        }
        all
    }
}
