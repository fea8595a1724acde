//! The state of one SSH connection, shared by the pool, its session's handler and its channels

mod cut_reason;
pub(crate) mod info;
pub(crate) mod low_latency;
pub(crate) mod observer;
mod refused_opens;
mod round_trip;
mod server_facts;
mod silence;
mod software;
pub(crate) mod stall;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::net::lock::lock;
use crate::net::stream::WireCounters;
pub use cut_reason::CutReason;
use info::{ConnectionInfo, ConnectionKind, ConnectionPhase, Negotiated};
use low_latency::{LowLatency, SmallPackets};
use refused_opens::RefusedOpens;
pub(crate) use server_facts::ServerFacts;
pub(crate) use silence::PROMPT;
use silence::Silence;
use stall::Stalls;

/// Channels that we closed first leave a small entry in the SSH session for its lifetime, so a connection with this many
/// of them is not used again.
const MAX_ABANDONED: usize = 256;

/// Unanswered opens after which nothing new is opened on a connection: each stays in the SSH session as well.
const MAX_UNANSWERED: usize = 16;

/// The shared state of one connection. Its locks are held for a few instructions, never across an await.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) id: u64,
    pub(crate) kind: ConnectionKind,
    /// The server in the form for people.
    pub(crate) server: String,
    /// Cancelled when the SSH session has ended for any reason.
    pub(crate) closed: CancellationToken,
    /// Cancelled to make the session's stream fail at once.
    pub(crate) severed: CancellationToken,
    pub(crate) wire: Arc<WireCounters>,
    pub(crate) negotiated: OnceLock<Negotiated>,
    /// How much the server may send ahead on a channel, in bytes.
    pub(crate) window: OnceLock<u32>,
    /// Whether it leads to a gateway on the route, and not to the pool's server.
    pub(crate) is_gateway: bool,
    /// The proxy and gateways before the server, for people.
    route: OnceLock<String>,
    /// What the server accepted as a login, for people.
    login: OnceLock<String>,
    end: Mutex<Option<CutReason>>,
    since: SystemTime,
    up: AtomicBool,
    retired: AtomicBool,
    abandoned: AtomicUsize,
    pub(crate) stalls: Stalls,
    pub(crate) silence: Silence,
    pub(crate) low_latency: LowLatency,
    /// Opens that the server did not answer in time.
    unanswered: AtomicUsize,
    pub(crate) refused_opens: Arc<RefusedOpens>,
    leases: watch::Sender<usize>,
    /// Listeners whose ports were announced.
    promises: AtomicUsize,
    idle_since: Mutex<Instant>,
    /// Tells the pool that something changed.
    wake: Arc<Notify>,
    /// What the connection learned about the servers on its route.
    pub(crate) facts: Arc<ServerFacts>,
    /// Where its session runs, and the tasks that move its bytes.
    pub(crate) runtime: Handle,
}

impl ConnectionState {
    pub(crate) fn new(
        id: u64,
        kind: ConnectionKind,
        server: String,
        wake: Arc<Notify>,
        facts: Arc<ServerFacts>,
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
            window: OnceLock::new(),
            is_gateway: false,
            route: OnceLock::new(),
            login: OnceLock::new(),
            end: Mutex::default(),
            since: SystemTime::now(),
            up: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            abandoned: AtomicUsize::new(0),
            stalls: Stalls::default(),
            silence: Silence::default(),
            low_latency: LowLatency::default(),
            unanswered: AtomicUsize::new(0),
            refused_opens: Arc::default(),
            leases: watch::Sender::new(0),
            promises: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            wake,
            facts,
            runtime,
        })
    }

    /// The state of a gateway before this connection's server: a part of this one that no pool knows.
    pub(crate) fn gateway(&self, server: String) -> Arc<Self> {
        let mut state = Self::new(
            self.id,
            self.kind,
            server,
            Arc::default(),
            Arc::clone(&self.facts),
            self.runtime.clone(),
        );
        if let Some(state) = Arc::get_mut(&mut state) {
            state.is_gateway = true;
        }
        state
    }

    /// Records the proxy or gateway before the server.
    pub(crate) fn note_route(&self, route: String) {
        self.route.get_or_init(|| route);
    }

    /// The proxy and gateways before the server; `None`: none, or not known yet.
    pub(crate) fn route(&self) -> Option<&str> {
        self.route.get().map(String::as_str)
    }

    /// Records what the server accepted as a login.
    pub(crate) fn note_login(&self, with: String) {
        self.login.get_or_init(|| with);
    }

    /// What the server accepted as a login; `None`: nothing yet.
    pub(crate) fn login(&self) -> Option<&str> {
        self.login.get().map(String::as_str)
    }

    /// Records why the connection ends; the first reason is kept.
    pub(crate) fn set_end(&self, reason: CutReason) {
        lock(&self.end).get_or_insert(reason);
    }

    /// Why the connection ended.
    pub(crate) fn end(&self) -> CutReason {
        let known = lock(&self.end).clone();
        known.unwrap_or_else(|| self.lost("the SSH session ended unexpectedly"))
    }

    /// That the connection was lost in this way.
    pub(crate) fn lost(&self, reason: impl Into<Box<str>>) -> CutReason {
        CutReason::ConnectionLost {
            server: self.server.as_str().into(),
            reason: reason.into(),
        }
    }

    /// That the broker has closed the connection for this reason.
    pub(crate) fn closed_by_us(&self, reason: impl Into<Box<str>>) -> CutReason {
        CutReason::ConnectionClosed {
            server: self.server.as_str().into(),
            reason: reason.into(),
        }
    }

    /// The session is over. This informs the pool and whoever waits on the connection.
    pub(crate) fn mark_closed(&self) {
        self.closed.cancel();
        self.wake.notify_one();
    }

    /// What the pool shows of the connection has changed.
    pub(crate) fn wake_pool(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(crate) fn mark_up(&self) {
        self.up.store(true, Ordering::Release);
        self.touch();
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

    /// Channels, and listeners whose ports were announced.
    pub(crate) fn use_count(&self) -> usize {
        self.lease_count() + self.promise_count()
    }

    /// Watches the number of leases.
    pub(crate) fn leases(&self) -> watch::Receiver<usize> {
        self.leases.subscribe()
    }

    pub(crate) fn idle_since(&self) -> Instant {
        *lock(&self.idle_since)
    }

    fn touch(&self) {
        *lock(&self.idle_since) = Instant::now();
    }

    /// The server's version of OpenSSH; `None`: it is something else.
    pub(crate) fn openssh(&self) -> Option<(u32, u32)> {
        software::openssh(self.wire.identification.get()?)
    }

    /// Whether the server holds a small packet back until the one before it has been acknowledged, as long as its
    /// connection carries only forwardings.
    pub(crate) fn delays_small_packets(&self) -> bool {
        self.openssh().is_some_and(software::delays_small_packets)
    }

    /// When the server sends small packets, after its answer if the broker has requested them at once.
    pub(crate) async fn small_packets(&self, requested: bool) -> SmallPackets {
        if !self.delays_small_packets() {
            return SmallPackets::UpToServer;
        }
        if !requested {
            return SmallPackets::Late;
        }
        let outcome = self.low_latency.wait();
        match self.closed.run_until_cancelled(outcome).await {
            Some(Ok(())) => SmallPackets::AtOnce,
            Some(Err(refusal)) => SmallPackets::Refused(refusal.clone()),
            None => SmallPackets::Late,
        }
    }

    /// Bytes received on the wire.
    pub(crate) fn bytes_received(&self) -> u64 {
        self.wire.received.load(Ordering::Relaxed)
    }

    /// Bytes sent on the wire.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.wire.sent.load(Ordering::Relaxed)
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
            no_answer: self.no_answer(),
            channels,
            bytes_in: self.bytes_received(),
            bytes_out: self.bytes_sent(),
        }
    }

    /// For how long the server has not answered.
    fn no_answer(&self) -> Option<Duration> {
        let silence = self
            .silence
            .lasts((self.bytes_received(), self.bytes_sent()));
        silence.filter(|_| !self.is_closed())
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
