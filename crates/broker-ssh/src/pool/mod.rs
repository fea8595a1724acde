//! The connections to one server: control connections and data connections

mod actor;
mod backoff;
mod growth;
mod lease;
mod roster;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::{ChannelError, HandshakeError, Liveness, OpenError};
use crate::spec::ConnectSpec;
use crate::state::info::ConnectionKind;
use crate::state::low_latency::SmallPackets;
use crate::state::{ConnectionState, ServerFacts};
use actor::{Actor, Request};
use backoff::Backoff;
pub(crate) use lease::{Lease, Promise};
pub use snapshot::PoolSnapshot;

/// Requests that wait for the actor; it answers each within microseconds, so a full queue only delays.
const REQUEST_QUEUE: usize = 64;

/// After this idle time a connection may be dead without notice: some address translators forget it.
const SUSPICIOUS: Duration = Duration::from_secs(2);

/// The connections to one server for one user. Clones share them; they close when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Pool {
    spec: Arc<ConnectSpec>,
    requests: mpsc::Sender<Request>,
    users: Arc<PoolUsers>,
    states: watch::Receiver<Vec<Arc<ConnectionState>>>,
    backoff: Backoff,
    facts: Arc<ServerFacts>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

/// While one exists, the pool keeps a spare data connection.
#[derive(Debug)]
pub struct PoolUseGuard {
    users: Arc<PoolUsers>,
}

/// While one exists, the pool does not close an unused control connection.
#[derive(Debug)]
pub struct KeepGuard {
    users: Arc<PoolUsers>,
}

/// Who uses the pool.
#[derive(Debug, Default)]
struct PoolUsers {
    /// How many FTP sessions there are.
    sessions: AtomicUsize,
    /// How many [`KeepGuard`]s there are.
    keepers: AtomicUsize,
    wake: Arc<Notify>,
}

impl Pool {
    /// Starts a pool, whose tasks run on `tracker` and end when `cancel` is cancelled. It makes no connection yet. Must
    /// be called within a tokio runtime.
    pub fn new(spec: ConnectSpec, tracker: TaskTracker, cancel: CancellationToken) -> Self {
        Self::start(
            Arc::new(spec),
            Backoff::default(),
            Arc::default(),
            tracker,
            cancel,
        )
    }

    /// Starts another pool for the same server and user, with its own connections. The two share what they learn about an
    /// unreachable server. Must be called within a tokio runtime.
    pub fn sibling(&self) -> Self {
        Self::start(
            Arc::clone(&self.spec),
            self.backoff.clone(),
            Arc::clone(&self.facts),
            self.tracker.clone(),
            self.cancel.clone(),
        )
    }

    fn start(
        spec: Arc<ConnectSpec>,
        backoff: Backoff,
        facts: Arc<ServerFacts>,
        tracker: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let users = Arc::<PoolUsers>::default();
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        let (publisher, states) = watch::channel(Vec::new());
        let actor = Actor::new(
            Arc::clone(&spec),
            tracker.clone(),
            Arc::clone(&users),
            backoff.clone(),
            Arc::clone(&facts),
            publisher,
        );
        tracker.spawn(actor.run(queue, cancel.clone()));
        Self {
            spec,
            requests,
            users,
            states,
            backoff,
            facts,
            tracker,
            cancel,
        }
    }

    /// The specification of this pool.
    pub fn spec(&self) -> &ConnectSpec {
        &self.spec
    }

    /// Opens nothing new on a silent connection, nor on those that were idle for as long as it may have been. Returns the
    /// error that the connection counts as lost.
    pub(crate) async fn gone_silent(&self, liveness: &Liveness) -> ChannelError {
        let state = liveness.state();
        // If readers are slow, the pool itself handles that.
        if !state.stalls.any_behind() {
            tracing::warn!(server = %state.server, connection = state.id, "an SSH connection has gone silent; the broker uses another one");
            state.retire();
            let _ = self.requests.send(Request::RetireIdle(SUSPICIOUS)).await;
        }
        ChannelError::Lost {
            server: state.server.clone(),
            reason: state.lost("the server no longer answers"),
        }
    }

    /// Puts to use a listener on this data connection if no more than `places` are taken. `None` if others use it, or if
    /// it is about to end.
    pub(crate) async fn rejoin(&self, id: u64, places: usize) -> Option<Promise> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Rejoin { id, places, reply };
        self.requests.send(request).await.ok()?;
        answer.await.ok().flatten()
    }

    /// What the pool learned about its servers.
    pub(crate) fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Announces an FTP session, which uses the pool as long as the guard exists.
    pub fn in_use(&self) -> PoolUseGuard {
        self.users.sessions.fetch_add(1, Ordering::AcqRel);
        self.users.wake.notify_one();
        PoolUseGuard {
            users: Arc::clone(&self.users),
        }
    }

    /// Keeps the control connection, once it is open, as long as the guard exists, even if it is unused. Makes no
    /// connection.
    pub fn keep_control(&self) -> KeepGuard {
        self.users.keepers.fetch_add(1, Ordering::AcqRel);
        KeepGuard {
            users: Arc::clone(&self.users),
        }
    }

    /// The current state of the pool.
    pub fn snapshot(&self) -> PoolSnapshot {
        let now = Instant::now();
        PoolSnapshot {
            connections: self
                .states
                .borrow()
                .iter()
                .map(|state| state.info())
                .collect(),
            last_error: self.backoff.last_error(),
            retry_in: self.backoff.until(now).map(|until| until - now),
        }
    }

    /// Waits until connections are opened, closed or reassigned. Returns false once the pool has ended.
    pub async fn changed(&mut self) -> bool {
        self.states.changed().await.is_ok()
    }

    /// Closes one connection with its channels. Returns false if there is none with this number.
    pub async fn close_connection(&self, id: u64) -> bool {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Request::Close { id, reply })
            .await
            .is_ok()
            && answer.await.unwrap_or(false)
    }

    /// Opens the control connection if it is not open. Waits out the short pause after attempts that lacked a person: the
    /// caller may be the one who answers.
    ///
    /// # Errors
    /// Why the server is not available.
    pub async fn connect(&self) -> Result<(), OpenError> {
        let connected = self.lease(ConnectionKind::Control).await;
        if let Err(OpenError::BackingOff { reason, retry_in }) = &connected
            && reason.wants_person()
        {
            sleep(*retry_in).await;
            return self.lease(ConnectionKind::Control).await.map(drop);
        }
        connected.map(drop)
    }

    /// How long the server takes to answer on the control connection, which is opened if necessary; `None`: it gave no
    /// answer.
    ///
    /// # Errors
    /// Why the server is not available.
    pub async fn round_trip(&self) -> Result<Option<Duration>, OpenError> {
        let lease = self.lease(ConnectionKind::Control).await?;
        let liveness = lease.connection().liveness();
        let ask = async || {
            let asked = Instant::now();
            liveness.confirm().await.then(|| asked.elapsed())
        };
        // The first answer may wait at the server until what it sent after the login is acknowledged.
        let Some(first) = ask().await else {
            return Ok(None);
        };
        Ok(Some(ask().await.map_or(first, |second| first.min(second))))
    }

    /// When the server sends small packets on the control connection, which is opened if necessary.
    ///
    /// # Errors
    /// Why the server is not available.
    pub async fn small_packets(&self) -> Result<SmallPackets, OpenError> {
        let lease = self.lease(ConnectionKind::Control).await?;
        let requested = self.spec.settings.low_latency;
        Ok(lease.state().small_packets(requested).await)
    }

    /// Forgets failures, so the next open connects at once: their cause has been fixed.
    pub fn retry_now(&self) {
        self.backoff.succeeded();
    }

    /// An overloaded server drops connections before they are logged in (sshd's MaxStartups). If that happens to a data
    /// connection, an open control connection proves that the server is reachable, so the pool tries once more.
    pub(crate) async fn lease(&self, kind: ConnectionKind) -> Result<Lease, OpenError> {
        let first = self.ask_lease(kind).await;
        let dropped = matches!(
            &first,
            Err(OpenError::Handshake(HandshakeError::Failed { .. }))
        );
        if dropped && kind == ConnectionKind::Data {
            return self.ask_lease(kind).await;
        }
        first
    }

    /// The place of a channel that may not be needed.
    pub(crate) async fn lease_ahead(&self) -> Result<Lease, OpenError> {
        self.ask(|reply| Request::LeaseAhead { reply }).await
    }

    async fn ask_lease(&self, kind: ConnectionKind) -> Result<Lease, OpenError> {
        self.ask(|reply| Request::Lease { kind, reply }).await
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<Lease, OpenError>>) -> Request,
    ) -> Result<Lease, OpenError> {
        let ending = || OpenError::ShuttingDown {
            server: self.spec.server(),
        };
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| ending())?;
        answer.await.map_err(|_| ending())?
    }
}

impl Drop for PoolUseGuard {
    fn drop(&mut self) {
        self.users.sessions.fetch_sub(1, Ordering::AcqRel);
        self.users.wake.notify_one();
    }
}

impl Drop for KeepGuard {
    fn drop(&mut self) {
        self.users.keepers.fetch_sub(1, Ordering::AcqRel);
        self.users.wake.notify_one();
    }
}
