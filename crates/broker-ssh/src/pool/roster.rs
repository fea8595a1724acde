//! The existing connections, and which of them can be used

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::{Lease, Promise};
use crate::connect::Connection;
use crate::prompt::DialPrompts;
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// Control channels: the most FTP sessions at once that one user's daemon may have.
pub(super) const MAX_CONTROL_CHANNELS: usize = 2048;

/// The number of channels on a control connection from which another connection is made. sshd checks every channel of a
/// connection whenever data comes on one: a session among 1000 others took five times as long as one among 100.
const CROWDED: usize = 128;

/// Control connections: enough for all channels without crowding.
pub(super) const MAX_CONTROL_CONNECTIONS: usize = MAX_CONTROL_CHANNELS / CROWDED;

/// Channels that share one data connection. Each may buffer 8 MiB.
pub(super) const MAX_SHARED_CHANNELS: usize = 64;

/// The connections of a pool.
#[derive(Default)]
pub(super) struct Roster {
    pub(super) open: Vec<Arc<Connection>>,
    pub(super) dialing: Vec<Dialing>,
}

/// A connection being made.
pub(super) struct Dialing {
    pub(super) state: Arc<ConnectionState>,
    pub(super) prompts: Arc<DialPrompts>,
    pub(super) began: Instant,
}

/// An attempt takes less time, even over slow networks. After that the server or the network may be dead.
const DIAL_PATIENCE: Duration = Duration::from_millis(2500);

impl Dialing {
    /// When it counts as slow, so that others are made in parallel; `None` while a person is asked.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        (!self.prompts.is_pending()).then(|| self.began + DIAL_PATIENCE)
    }

    fn is_slow(&self) -> bool {
        self.slow_at().is_some_and(|at| at <= Instant::now())
    }
}

impl Roster {
    /// Open connections of a kind on which something new may be opened.
    pub(super) fn usable(&self, kind: ConnectionKind) -> impl Iterator<Item = &Arc<Connection>> {
        self.open.iter().filter(move |connection| {
            let state = &connection.state;
            state.kind == kind && !state.is_closed() && !state.is_retired()
        })
    }

    pub(super) fn dialing_of(&self, kind: ConnectionKind) -> usize {
        let dialing = self.dialing.iter();
        dialing.filter(|dialing| dialing.state.kind == kind).count()
    }

    /// Attempts that will most likely end soon.
    pub(super) fn prompt_dials_of(&self, kind: ConnectionKind) -> usize {
        let dialing = self.dialing.iter().filter(|dialing| !dialing.is_slow());
        dialing.filter(|dialing| dialing.state.kind == kind).count()
    }

    /// Slow attempts.
    pub(super) fn slow_dials(&self) -> usize {
        self.dialing
            .iter()
            .filter(|dialing| dialing.is_slow())
            .count()
    }

    /// Data connections that nobody uses.
    pub(super) fn idle(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.usable(ConnectionKind::Data)
            .filter(|connection| connection.state.use_count() == 0)
    }

    /// A connection that can be used without harm to others. One with a listener is better left to the owner of that.
    pub(super) fn free(&self, kind: ConnectionKind) -> Option<Lease> {
        let unused = || {
            self.idle()
                .min_by_key(|connection| connection.listeners.any())
        };
        let free = match kind {
            ConnectionKind::Control => self.control(),
            ConnectionKind::Data => unused(),
        };
        free.map(|connection| Lease::new(connection, kind))
    }

    /// Puts to use a listener on a data connection if no more than these places are taken.
    pub(super) fn rejoin(&self, id: u64, places: usize) -> Option<Promise> {
        self.usable(ConnectionKind::Data)
            .find(|connection| connection.state.id == id)
            .filter(|connection| connection.state.use_count() <= places)
            .and_then(|connection| Promise::new(connection).ok())
    }

    /// Data connections, including those that are not used again.
    pub(super) fn data_total(&self) -> usize {
        let data = |connection: &&Arc<Connection>| connection.state.kind == ConnectionKind::Data;
        self.open.iter().filter(data).count() + self.dialing_of(ConnectionKind::Data)
    }

    /// How many transfers are evicted and have not ended yet.
    pub(super) fn evicting(&self) -> usize {
        let stalled = self.open.iter().flat_map(|it| it.state.stalls.stalled());
        stalled.filter(|stall| stall.is_evicted()).count()
    }

    /// Evicts the stalled transfer that matters least; false if none has stalled. Its remaining data would come before that
    /// of the next transfer, so its connection is not used again.
    pub(super) fn evict_stalled(&self, kind: ConnectionKind) -> bool {
        let carriers = self.open.iter().filter(|it| it.state.kind == kind);
        let stalled = carriers.flat_map(|connection| {
            let stalls = connection.state.stalls.stalled().into_iter();
            stalls.map(|stall| (Arc::clone(connection), stall))
        });
        let stalled: Vec<_> = stalled.filter(|(_, stall)| !stall.is_evicted()).collect();
        let of_client = |client| {
            stalled
                .iter()
                .filter(|(_, it)| it.client() == client)
                .count()
        };
        let chosen = stalled.iter().max_by_key(|(connection, stall)| {
            let retired = connection.state.is_retired();
            (retired, of_client(stall.client()), Reverse(stall.since()))
        });
        let Some((connection, stall)) = chosen else {
            return false;
        };
        stall.evict();
        if kind == ConnectionKind::Data {
            connection.state.retire();
        }
        true
    }

    /// Gives up data connections that were idle for as long: one of the same age turned out to be dead.
    pub(super) fn retire_idle(&self, idle: Duration) {
        let now = Instant::now();
        let unused = self.usable(ConnectionKind::Data).filter(|connection| {
            let state = &connection.state;
            state.use_count() == 0 && state.idle_since() + idle <= now
        });
        unused.for_each(|connection| connection.state.retire());
    }

    /// Gives up data connections whose window for data is not this one.
    pub(super) fn retire_unfit(&self, window: u32) {
        let unfit = self
            .usable(ConnectionKind::Data)
            .filter(|it| it.state.window.get().is_some_and(|it| *it != window));
        unfit.for_each(|connection| connection.state.retire());
    }

    /// The data connection that is best to share: one without stalled or slow readers, and with few channels.
    pub(super) fn least_loaded(&self) -> Option<&Arc<Connection>> {
        let with_room = self
            .usable(ConnectionKind::Data)
            .filter(|connection| connection.state.lease_count() < MAX_SHARED_CHANNELS);
        with_room.min_by_key(|connection| {
            let state = &connection.state;
            let stalls = &state.stalls;
            (stalls.any(), stalls.any_behind(), state.use_count())
        })
    }

    /// The control connection with the fewest channels, unless all are full.
    pub(super) fn control(&self) -> Option<&Arc<Connection>> {
        let counts = || {
            self.controls()
                .map(|connection| connection.state.lease_count())
        };
        let emptiest = self.controls().min_by_key(|it| it.state.lease_count());
        emptiest.filter(|_| counts().sum::<usize>() < MAX_CONTROL_CHANNELS)
    }

    /// Whether there are control connections, each with many channels.
    pub(super) fn is_crowded(&self) -> bool {
        let emptiest = self.controls().map(|it| it.state.lease_count()).min();
        emptiest.is_some_and(|channels| channels >= CROWDED)
    }

    /// Whether an unused control connection is kept: the one with the most users, or the oldest; and a second one if the
    /// others will soon be crowded.
    pub(super) fn keeps_control(&self, id: u64) -> bool {
        let most = self
            .controls()
            .max_by_key(|it| (it.state.lease_count(), Reverse(it.state.id)));
        let mut others = self.controls().filter(|it| it.state.id != id);
        most.is_some_and(|it| it.state.id == id)
            || others.all(|it| it.state.lease_count() >= CROWDED / 2)
    }

    fn controls(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.usable(ConnectionKind::Control)
    }

    /// The idle data connection to keep while there are FTP sessions: one with a listener that may be needed next, or the
    /// one that was used last.
    pub(super) fn spare(&self) -> Option<u64> {
        self.idle()
            .max_by_key(|connection| {
                let state = &connection.state;
                (connection.listeners.any(), state.idle_since())
            })
            .map(|connection| connection.state.id)
    }

    /// All connections, in the order of their attempts.
    pub(super) fn states(&self) -> Vec<Arc<ConnectionState>> {
        let open = self.open.iter().map(|connection| &connection.state);
        let dialing = self.dialing.iter().map(|dialing| &dialing.state);
        let mut states: Vec<_> = open.chain(dialing).cloned().collect();
        states.sort_by_key(|state| state.id);
        states
    }
}
