//! The registry: what is going on right now, as counters and labels that anyone may read.
//!
//! Sessions and transfers write here while they run; `status` and the list commands read. Nobody waits for a reader:
//! counters are atomics, and labels are behind locks that are never held across an await.

mod channel;
mod counters;
mod failures;
mod session;
mod traffic;
mod transfers;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use broker_ipc::RpcError;
use broker_ipc::methods::Done;

pub(crate) use channel::{ChannelEntry, DataEntry};
pub(crate) use counters::{TunnelTotals, add, drop_one, read};
pub(crate) use failures::{Cause, Part};
pub(crate) use session::{SessionEntry, SessionTunnel};
pub(crate) use traffic::TrafficTotals;
pub(crate) use transfers::{PastTransfers, RunningTransfer};

use crate::events::{Event, Events};
use crate::sync::lock;
use broker_ipc::types::RecentFailure;
use failures::RecentFailures;

/// All sessions of the daemon, and what its tunnels have carried.
#[derive(Debug, Default)]
pub(crate) struct SessionRegistry {
    next_id: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Arc<SessionEntry>>>,
    tunnels: Mutex<BTreeMap<u64, RegisteredTunnel>>,
    /// The totals of all tunnels that are gone.
    past: TunnelTotals,
    /// The totals of those of them that commands had opened.
    past_requested: TunnelTotals,
    failures: RecentFailures,
    /// The last transfers that are over.
    pub(crate) past_transfers: PastTransfers,
}

/// A tunnel that is open, or that still serves clients.
#[derive(Debug)]
struct RegisteredTunnel {
    totals: Arc<TunnelTotals>,
    /// Whether a command has opened it.
    is_requested: bool,
}

/// The tunnels among which [`SessionRegistry::each_tunnel`] tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// One of the configuration, by its number.
    Configured(u64),
    /// One that a command has opened, or all of those that are gone.
    Requested,
}

impl SessionRegistry {
    /// A number that no other session, channel or tunnel of this daemon has.
    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The recent failures of all tunnels, newest last.
    pub(crate) fn failures(&self) -> Vec<RecentFailure> {
        self.failures.all()
    }

    /// Starts the totals of a tunnel, which the registry has until they are dropped.
    pub(crate) fn add_tunnel(self: &Arc<Self>, id: u64, is_requested: bool) -> TunnelEntry {
        let totals = Arc::<TunnelTotals>::default();
        let tunnel = RegisteredTunnel {
            totals: totals.clone(),
            is_requested,
        };
        lock(&self.tunnels).insert(id, tunnel);
        TunnelEntry {
            registry: self.clone(),
            id,
            port: AtomicU16::new(0),
            totals,
        }
    }

    /// Removes a tunnel whose last session is gone. Its traffic still counts for the daemon as a whole.
    fn remove_tunnel(&self, id: u64) {
        let mut tunnels = lock(&self.tunnels);
        if let Some(tunnel) = tunnels.remove(&id) {
            self.past.take_over(&tunnel.totals);
            if tunnel.is_requested {
                self.past_requested.take_over(&tunnel.totals);
            }
        }
    }

    /// Adds a session to the registry until the returned guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, session: SessionEntry, events: &Events) -> Registration {
        let entry = Arc::new(session);
        lock(&self.sessions).insert(entry.channel.id, entry.clone());
        events.publish(Event::SessionOpened(entry.facts()));
        Registration {
            registry: self.clone(),
            entry,
            events: events.clone(),
        }
    }

    /// The sessions, oldest first.
    pub(crate) fn sessions(&self) -> Vec<Arc<SessionEntry>> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// The sessions of one tunnel, oldest first.
    pub(crate) fn sessions_of(&self, tunnel: u64) -> Vec<Arc<SessionEntry>> {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.tunnel.id == tunnel);
        sessions
    }

    /// Ends a session or cuts a data channel.
    ///
    /// # Errors
    /// If there is none with this number.
    pub(crate) fn close_channel(&self, id: u64) -> Result<Done, RpcError> {
        for session in self.sessions() {
            if session.channel.id == id {
                session.end("an administrator closed the session");
                return Ok(Done {});
            }
            if let Some(data) = session
                .data()
                .into_iter()
                .find(|data| data.channel.id == id)
            {
                data.cut("an administrator cut the transfer");
                return Ok(Done {});
            }
        }
        Err(RpcError::not_found(format!(
            "there is no channel {id}; see list-channels"
        )))
    }

    /// Ends the sessions that came through the configured tunnels of a profile, and cuts their transfers.
    pub(crate) fn end_sessions_of(&self, profile: &str, reason: &str) {
        for session in self.sessions() {
            if session.tunnel.profile.as_deref() == Some(profile) {
                session.end(reason);
            }
        }
    }

    /// Shows the totals of each tunnel, with what its sessions carry now. No tunnel comes or goes meanwhile, so none counts
    /// twice: `show` must drop no tunnel.
    pub(crate) fn each_tunnel(&self, mut show: impl FnMut(Whose, &TunnelTotals, TrafficTotals)) {
        let tunnels = lock(&self.tunnels);
        let ended = tunnels.values().map(|it| TrafficTotals::of([&*it.totals]));
        let ended: Vec<_> = ended.collect();
        let mut sessions = BTreeMap::<u64, Vec<_>>::new();
        for session in self.sessions() {
            sessions.entry(session.tunnel.id).or_default().push(session);
        }
        for ((id, tunnel), ended) in tunnels.iter().zip(ended) {
            let its = sessions.remove(id).unwrap_or_default();
            let whose = match tunnel.is_requested {
                true => Whose::Requested,
                false => Whose::Configured(*id),
            };
            let traffic = ended.with(&its).never_less(&tunnel.totals);
            show(whose, &tunnel.totals, traffic);
        }
        let gone = TrafficTotals::of([&self.past_requested]);
        show(Whose::Requested, &self.past_requested, gone);
    }

    /// What the daemon has carried since its start: through open tunnels, through closed ones that still serve clients,
    /// and through those that are gone.
    pub(crate) fn traffic(&self) -> TrafficTotals {
        let tunnels = lock(&self.tunnels);
        let totals = tunnels.values().map(|it| &*it.totals);
        TrafficTotals::of(totals.chain([&self.past])).with(&self.sessions())
    }
}

/// The totals of a tunnel, which the registry forgets when this is dropped.
#[derive(Debug)]
pub(crate) struct TunnelEntry {
    registry: Arc<SessionRegistry>,
    id: u64,
    /// The port on which it listens; 0: it has not listened yet.
    port: AtomicU16,
    totals: Arc<TunnelTotals>,
}

impl TunnelEntry {
    /// Records on which port the tunnel listens.
    pub(crate) fn listens_on(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// The port on which the tunnel listens or has listened last.
    pub(crate) fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// Records what a client asked for and did not get.
    pub(crate) fn failed(&self, listener: &str, cause: &Cause) -> RecentFailure {
        let failures = &self.registry.failures;
        failures.note(&self.last_failure, self.id, listener, cause)
    }

    /// Records that a part of the tunnel works. Returns the failures that are over.
    pub(crate) fn works(&self, part: Part) -> Vec<RecentFailure> {
        let failures = &self.registry.failures;
        failures.recover(&self.last_failure, self.id, part)
    }
}

impl Deref for TunnelEntry {
    type Target = TunnelTotals;

    fn deref(&self) -> &TunnelTotals {
        &self.totals
    }
}

impl Drop for TunnelEntry {
    fn drop(&mut self) {
        self.registry.remove_tunnel(self.id);
    }
}

/// Removes a session from the registry when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<SessionRegistry>,
    pub(crate) entry: Arc<SessionEntry>,
    events: Events,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.registry.sessions).remove(&self.entry.channel.id);
        self.events
            .publish(Event::SessionClosed(self.entry.facts()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tunnel_has_carried_counts_once_also_when_it_is_gone() {
        let registry = Arc::<SessionRegistry>::default();
        let [first, second] = [1, 2].map(|id| registry.add_tunnel(id, false));
        add(&first.bytes_up, 5);
        add(&second.bytes_up, 7);
        assert_eq!(registry.traffic().bytes_up, 12);
        drop(first);
        assert_eq!(registry.traffic().bytes_up, 12);
    }
}
