//! What is known of one SSH connection, shared by the pool, its session's handler and its channels

pub(crate) mod round_trip;
pub(crate) mod snapshot;
pub(crate) mod stall;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connect::liveness::Customs;
use crate::error::CutReason;
use crate::forward::{Arrival, Leftovers};
use crate::net::lock::lock;
use crate::net::stream::WireCounters;
use crate::prompt::asking::Asking;
use crate::state::snapshot::{ConnectionInfo, ConnectionKind, ConnectionPhase, Negotiated};
use crate::state::stall::Stalls;

/// Channels that we closed first leave a small entry in the SSH session for its lifetime, so a connection with this many
/// of them is not used again.
const MAX_ABANDONED: usize = 256;

/// Addresses of forwards that are remembered: those of a profile's tunnels.
const MAX_ADDRESSES: usize = 64;

/// Opens without an answer after which nothing new is opened on a connection: each stays in the SSH session as well.
const MAX_UNANSWERED: usize = 16;

/// One connection's shared facts. Its locks are held for a few instructions, never across an await.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) id: u64,
    pub(crate) kind: ConnectionKind,
    /// The server as a person writes it.
    pub(crate) server: String,
    /// Cancelled when the SSH session has ended, whatever ended it.
    pub(crate) closed: CancellationToken,
    /// Cancelled to make the session's stream fail at once.
    pub(crate) severed: CancellationToken,
    pub(crate) wire: Arc<WireCounters>,
    pub(crate) negotiated: OnceLock<Negotiated>,
    /// Whether a person is asked while it is being made.
    pub(crate) asking: Asking,
    /// What the connection goes through, for a person.
    route: OnceLock<String>,
    /// Listeners of remote forwards by port.
    forwards: Mutex<HashMap<u32, mpsc::Sender<Arrival>>>,
    end: Mutex<Option<CutReason>>,
    since: SystemTime,
    up: AtomicBool,
    needs_person: AtomicBool,
    retired: AtomicBool,
    abandoned: AtomicUsize,
    pub(crate) stalls: Stalls,
    /// Opens that the server did not answer in time.
    unanswered: AtomicUsize,
    leases: watch::Sender<usize>,
    /// Listeners whose ports somebody was told.
    promises: AtomicUsize,
    /// Listeners that the server did not end.
    pub(crate) leftovers: Leftovers,
    /// Addresses at which the server has listened for it. A pool asks for few.
    granted: Mutex<BTreeSet<String>>,
    idle_since: Mutex<Instant>,
    /// Tells the pool that something changed.
    wake: Arc<Notify>,
    /// How the servers on the way behave.
    pub(crate) customs: Arc<Customs>,
    /// Where its session runs, and whatever moves its bytes.
    pub(crate) runtime: Handle,
}

impl ConnectionState {
    pub(crate) fn new(
        id: u64,
        kind: ConnectionKind,
        server: String,
        wake: Arc<Notify>,
        customs: Arc<Customs>,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            kind,
            server,
            closed: CancellationToken::new(),
            severed: CancellationToken::new(),
            wire: Arc::default(),
            negotiated: OnceLock::new(),
            asking: Asking::default(),
            route: OnceLock::new(),
            forwards: Mutex::default(),
            end: Mutex::default(),
            since: SystemTime::now(),
            up: AtomicBool::new(false),
            needs_person: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            abandoned: AtomicUsize::new(0),
            stalls: Stalls::default(),
            unanswered: AtomicUsize::new(0),
            leases: watch::Sender::new(0),
            promises: AtomicUsize::new(0),
            leftovers: Leftovers::default(),
            granted: Mutex::default(),
            idle_since: Mutex::new(Instant::now()),
            wake,
            customs,
            runtime,
        })
    }

    /// The state of a gateway that this connection goes through: a part of this one that no pool knows.
    pub(crate) fn hop(&self, server: String) -> Arc<Self> {
        Self::new(
            self.id,
            self.kind,
            server,
            Arc::default(),
            Arc::clone(&self.customs),
            self.runtime.clone(),
        )
    }

    /// Notes what the connection goes through.
    pub(crate) fn note_route(&self, route: String) {
        self.route.get_or_init(|| route);
    }

    /// What the connection goes through; `None`: nothing, or it is not known yet.
    pub(crate) fn route(&self) -> Option<&str> {
        self.route.get().map(String::as_str)
    }

    /// Records why the connection ends; the first reason stays.
    pub(crate) fn set_end(&self, reason: CutReason) {
        lock(&self.end).get_or_insert(reason);
    }

    /// Why the connection ended.
    pub(crate) fn end(&self) -> CutReason {
        let known = lock(&self.end).clone();
        known.unwrap_or_else(|| {
            CutReason::ConnectionLost("the SSH session ended unexpectedly".into())
        })
    }

    /// The session is over: whoever waits on the connection learns it, and so does the pool.
    pub(crate) fn mark_closed(&self) {
        // First, so that whoever finds a forward gone also finds out why.
        self.closed.cancel();
        lock(&self.forwards).clear();
        self.wake.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(crate) fn mark_up(&self) {
        self.up.store(true, Ordering::Release);
        self.touch();
    }

    /// Another dial would have to ask a person again: what was answered cannot be used twice, or there was no answer.
    pub(crate) fn mark_needs_person(&self) {
        self.needs_person.store(true, Ordering::Release);
    }

    /// See [`ConnectionState::mark_needs_person`]; valid once the dial has ended, well or not.
    pub(crate) fn needs_person(&self) -> bool {
        self.needs_person.load(Ordering::Acquire)
    }

    /// Nothing new is opened on a retired connection; the pool closes it when its last lease is returned.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Counts a channel that we closed before the server did.
    pub(crate) fn count_abandoned(&self) {
        if self.abandoned.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_ABANDONED {
            self.retire();
        }
    }

    /// Counts an open that the server did not answer in time.
    pub(crate) fn count_unanswered(&self) {
        if self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_UNANSWERED {
            self.retire();
        }
    }

    pub(crate) fn add_lease(&self) {
        self.leases.send_modify(|count| *count += 1);
    }

    pub(crate) fn return_lease(&self) {
        self.touch();
        self.leases
            .send_modify(|count| *count = count.saturating_sub(1));
        self.wake.notify_one();
    }

    pub(crate) fn lease_count(&self) -> usize {
        *self.leases.borrow()
    }

    pub(crate) fn add_promise(&self) {
        self.promises.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end_promise(&self) {
        self.touch();
        self.promises.fetch_sub(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    pub(crate) fn promise_count(&self) -> usize {
        self.promises.load(Ordering::Acquire)
    }

    /// Channels, and listeners whose ports somebody was told.
    pub(crate) fn use_count(&self) -> usize {
        self.lease_count() + self.promise_count()
    }

    /// The server has granted a request to listen at an address.
    pub(crate) fn note_granted(&self, bind: &str) {
        let mut granted = lock(&self.granted);
        if granted.len() < MAX_ADDRESSES {
            granted.insert(bind.to_owned());
        }
    }

    /// See [`ConnectionState::note_granted`].
    pub(crate) fn has_granted(&self, bind: &str) -> bool {
        lock(&self.granted).contains(bind)
    }

    /// Follows the number of leases.
    pub(crate) fn leases(&self) -> watch::Receiver<usize> {
        self.leases.subscribe()
    }

    pub(crate) fn idle_since(&self) -> Instant {
        *lock(&self.idle_since)
    }

    fn touch(&self) {
        *lock(&self.idle_since) = Instant::now();
    }

    /// Registers a listener; false where the port is taken already.
    pub(crate) fn add_forward(&self, port: u32, arrivals: mpsc::Sender<Arrival>) -> bool {
        let mut forwards = lock(&self.forwards);
        if self.is_closed() || forwards.contains_key(&port) {
            return false;
        }
        forwards.insert(port, arrivals);
        true
    }

    pub(crate) fn remove_forward(&self, port: u32) {
        lock(&self.forwards).remove(&port);
    }

    pub(crate) fn forward(&self, port: u32) -> Option<mpsc::Sender<Arrival>> {
        lock(&self.forwards).get(&port).cloned()
    }

    /// Whether the server listens for it.
    pub(crate) fn has_forwards(&self) -> bool {
        !lock(&self.forwards).is_empty()
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        let channels = self.use_count();
        ConnectionInfo {
            id: self.id,
            kind: self.kind,
            phase: self.phase(channels),
            negotiated: self.negotiated.get().cloned(),
            route: self.route().map(str::to_owned),
            server_version: self.wire.identification.get().cloned(),
            since: self.since,
            channels,
            bytes_in: self.wire.received.load(Ordering::Relaxed),
            bytes_out: self.wire.sent.load(Ordering::Relaxed),
        }
    }

    fn phase(&self, channels: usize) -> ConnectionPhase {
        match self.kind {
            _ if self.is_closed() => ConnectionPhase::Closed,
            _ if !self.up.load(Ordering::Acquire) => ConnectionPhase::Connecting,
            ConnectionKind::Control => ConnectionPhase::Open,
            ConnectionKind::Data if channels == 0 => ConnectionPhase::Idle,
            ConnectionKind::Data => ConnectionPhase::Leased,
        }
    }
}
