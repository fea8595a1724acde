//! The task that owns a pool's connections
//!
//! Whatever happens, it then looks at everything once (`reconcile`): who waits, what is free, what to dial, what to close.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Sessions;
use super::backoff::Backoff;
use super::lease::{Connection, Lease, Promise};
use super::roster::{
    Dialing, MAX_CONTROL_CHANNELS, MAX_CONTROL_CONNECTIONS, MAX_SHARED_CHANNELS, Roster,
};
use crate::dial::{Session, dial, runtime};
use crate::error::OpenError;
use crate::link::Link;
use crate::liveness::Customs;
use crate::snapshot::ConnectionKind;
use crate::spec::ConnectSpec;

/// Opens that wait for a dial; more are refused.
const MAX_WAITING: usize = 4096;

/// Why a connection is closed that nobody needs.
const NO_LONGER_USED: &str = "no longer used";

/// What the pool's handles ask for.
#[derive(Debug)]
pub(super) enum Request {
    Lease {
        kind: ConnectionKind,
        reply: oneshot::Sender<Result<Lease, OpenError>>,
    },
    Rejoin {
        id: u64,
        places: usize,
        reply: oneshot::Sender<Option<Promise>>,
    },
    Close {
        id: u64,
        reply: oneshot::Sender<bool>,
    },
    CloseAll {
        reason: String,
        reply: oneshot::Sender<()>,
    },
}

struct Waiter {
    kind: ConnectionKind,
    reply: oneshot::Sender<Result<Lease, OpenError>>,
}

type Dialed = (u64, Result<Session, OpenError>);

pub(super) struct Actor {
    spec: Arc<ConnectSpec>,
    /// The same without anybody to ask: a person is asked for the first connection, never for further ones.
    unattended: Arc<ConnectSpec>,
    tracker: TaskTracker,
    sessions: Arc<Sessions>,
    wake: Arc<Notify>,
    roster: Roster,
    dials: FuturesUnordered<JoinHandle<Dialed>>,
    waiting: VecDeque<Waiter>,
    backoff: Backoff,
    /// How the servers behave, as connections found out.
    customs: Arc<Customs>,
    /// Whether the last dial succeeded. Until one has, only one is made at a time: a wrong key must not count twice at
    /// the server, nor a person be asked twice.
    proven: bool,
    /// Whether the last dial could not have been made without a person: data channels then share what there is.
    needs_person: bool,
    /// Since when no FTP session uses the pool; `None` while one does.
    quiet_since: Option<Instant>,
    /// All connections, for others to see.
    publisher: watch::Sender<Vec<Arc<Link>>>,
}

impl Actor {
    pub(super) fn new(
        spec: Arc<ConnectSpec>,
        tracker: TaskTracker,
        sessions: Arc<Sessions>,
        backoff: Backoff,
        customs: Arc<Customs>,
        publisher: watch::Sender<Vec<Arc<Link>>>,
    ) -> Self {
        let mut unattended = ConnectSpec::clone(&spec);
        unattended.for_each_hop(&|hop| hop.prompter = None);
        Self {
            spec,
            unattended: Arc::new(unattended),
            tracker,
            wake: Arc::clone(&sessions.wake),
            sessions,
            roster: Roster::default(),
            dials: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            backoff,
            customs,
            proven: false,
            needs_person: false,
            quiet_since: Some(Instant::now()),
            publisher,
        }
    }

    /// Runs until cancelled or until nobody has a handle, and leaves no connection behind.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        cancel: CancellationToken,
    ) {
        let wake = Arc::clone(&self.wake);
        let reason = loop {
            let deadline = self.deadline();
            tokio::select! {
                () = cancel.cancelled() => break "the broker ends",
                request = requests.recv() => match request {
                    Some(request) => self.handle(request),
                    None => break NO_LONGER_USED,
                },
                Some(Ok(dialed)) = self.dials.next(), if !self.dials.is_empty() => self.dialed(dialed),
                () = wake.notified() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
            self.reconcile();
        };
        self.shut_down(reason);
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Lease { kind, reply } if self.waiting.len() < MAX_WAITING => {
                self.waiting.push_back(Waiter { kind, reply });
            }
            Request::Lease { reply, .. } => {
                let _ = reply.send(Err(self.too_many(MAX_WAITING)));
            }
            Request::Rejoin { id, places, reply } => {
                let _ = reply.send(self.roster.rejoin(id, places));
            }
            Request::Close { id, reply } => {
                let _ = reply.send(self.close_by_id(id));
            }
            Request::CloseAll { reason, reply } => {
                for connection in std::mem::take(&mut self.roster.open) {
                    self.close(connection, &reason);
                }
                let _ = reply.send(());
            }
        }
    }

    /// Returns false where there is none of that number.
    fn close_by_id(&mut self, id: u64) -> bool {
        let mut open = self.roster.open.iter();
        if let Some(index) = open.position(|connection| connection.link.id == id) {
            let connection = self.roster.open.swap_remove(index);
            self.close(connection, "closed on request");
            return true;
        }
        let mut dialing = self.roster.dialing.iter();
        let found = dialing.find(|dialing| dialing.link.id == id);
        // Its dial fails then, as if the server had hung up.
        found.is_some_and(|dialing| {
            dialing.link.severed.cancel();
            true
        })
    }

    /// A dial has ended.
    fn dialed(&mut self, (id, result): Dialed) {
        let Some(index) = self
            .roster
            .dialing
            .iter()
            .position(|dialing| dialing.link.id == id)
        else {
            return;
        };
        let Dialing { link, began } = self.roster.dialing.swap_remove(index);
        self.needs_person = link.needs_person();
        match result {
            Ok(session) => {
                link.mark_up();
                tracing::info!(server = %link.server, connection = id, kind = link.kind.as_str(), "connected");
                self.backoff.succeeded();
                self.proven = true;
                let connection = Connection::new(link, session, self.tracker.clone(), &self.spec);
                self.roster.open.push(connection);
            }
            Err(error) => {
                // A handshake that was given up would wait for the server for ever.
                link.severed.cancel();
                self.dial_failed(link.kind, error, began);
            }
        }
    }

    fn dial_failed(&mut self, kind: ConnectionKind, error: OpenError, began: Instant) {
        tracing::warn!(server = %self.spec.server(), %error, "cannot connect");
        self.proven = false;
        let now = Instant::now();
        self.backoff.failed(error.clone(), began, now);
        let told = self.backoff.error(now).unwrap_or(error);
        let others_may_serve = self.sharable(kind).is_some();
        if self.roster.dialing_of(kind) > 0 || others_may_serve {
            return;
        }
        let (failed, kept) = self
            .waiting
            .drain(..)
            .partition::<Vec<_>, _>(|waiter| waiter.kind == kind);
        self.waiting = kept.into();
        for waiter in failed {
            let _ = waiter.reply.send(Err(told.clone()));
        }
    }

    /// Brings everything into agreement with what is now.
    fn reconcile(&mut self) {
        self.roster
            .open
            .retain(|connection| !connection.link.is_closed());
        self.note_sessions();
        self.serve_waiting();
        self.keep_spare();
        self.spread_control();
        self.close_unused();
        self.publish();
    }

    fn note_sessions(&mut self) {
        let in_use = self.sessions.count.load(Ordering::Acquire) > 0;
        match (in_use, self.quiet_since) {
            (true, _) => self.quiet_since = None,
            (false, None) => self.quiet_since = Some(Instant::now()),
            (false, Some(_)) => {}
        }
    }

    fn serve_waiting(&mut self) {
        let mut covered = [
            self.roster.dialing_of(ConnectionKind::Control),
            self.roster.dialing_of(ConnectionKind::Data),
        ];
        for waiter in std::mem::take(&mut self.waiting) {
            if waiter.reply.is_closed() {
                continue;
            }
            let [control, data] = &mut covered;
            let covered = if waiter.kind == ConnectionKind::Control {
                control
            } else {
                data
            };
            match self.decide(waiter.kind, covered) {
                Decision::Give(lease) => {
                    // A caller that has gone drops the lease, which returns it.
                    let _ = waiter.reply.send(Ok(lease));
                }
                Decision::Wait => self.waiting.push_back(waiter),
                Decision::Refuse(error) => {
                    let _ = waiter.reply.send(Err(error));
                }
            }
        }
    }

    /// What to do for one who waits. `covered` counts the dials under way that no earlier one waits for.
    fn decide(&mut self, kind: ConnectionKind, covered: &mut usize) -> Decision {
        if let Some(lease) = self.roster.free(kind) {
            return Decision::Give(lease);
        }
        // Everyone who waits for the control connection is served by the one dial.
        if *covered > 0 {
            *covered -= usize::from(kind == ConnectionKind::Data);
            return Decision::Wait;
        }
        if self.may_grow(kind) {
            if self.may_dial() {
                self.start_dial(kind);
                *covered = usize::from(kind == ConnectionKind::Control);
            }
            return Decision::Wait;
        }
        match self.sharable(kind) {
            Some(connection) => Decision::Give(Lease::new(connection, kind)),
            None if self.roster.dialing_of(kind) > 0 => Decision::Wait,
            None => Decision::Refuse(self.refusal(kind)),
        }
    }

    /// A connection that others use and that has a place for one more.
    fn sharable(&self, kind: ConnectionKind) -> Option<&Arc<Connection>> {
        let data = || self.roster.least_loaded();
        match kind {
            ConnectionKind::Control => None,
            ConnectionKind::Data if self.needs_person => data().or_else(|| self.roster.control()),
            ConnectionKind::Data => data(),
        }
    }

    /// Whether one more connection of a kind may exist, now or as soon as a dial may be made.
    fn may_grow(&self, kind: ConnectionKind) -> bool {
        let existing = self.roster.usable(kind).count() + self.roster.dialing_of(kind);
        let bound = match kind {
            ConnectionKind::Control if self.roster.is_crowded() && !self.needs_person => {
                MAX_CONTROL_CONNECTIONS
            }
            ConnectionKind::Control => 1,
            // A person who was asked for a connection is not asked for another while it can be shared.
            ConnectionKind::Data if self.needs_person && self.sharable(kind).is_some() => 0,
            ConnectionKind::Data => self.spec.pool.max_connections.max(1),
        };
        existing < bound && self.backoff.until(Instant::now()).is_none()
    }

    /// Whether a dial may be made at this moment.
    fn may_dial(&self) -> bool {
        // A person who has to answer anew shall not have to do it for two.
        let asks_again = self.needs_person && self.roster.open.is_empty();
        let bound = if self.proven && !asks_again {
            self.spec.pool.max_dialing.max(1)
        } else {
            1
        };
        self.roster.dialing.len() < bound
    }

    fn start_dial(&mut self, kind: ConnectionKind) {
        let link = Link::new(
            next_id(),
            kind,
            self.spec.server(),
            Arc::clone(&self.wake),
            Arc::clone(&self.customs),
            runtime(kind),
        );
        tracing::debug!(server = %link.server, connection = link.id, kind = kind.as_str(), "dialling");
        let id = link.id;
        let first = self.roster.open.is_empty();
        let spec = if first { &self.spec } else { &self.unattended };
        let dial = dial(Arc::clone(spec), Arc::clone(&link), self.tracker.clone());
        let dialed = async move { (id, survive(dial).await) };
        self.dials
            .push(self.tracker.spawn_on(dialed, &link.runtime));
        self.roster.dialing.push(Dialing {
            link,
            began: Instant::now(),
        });
    }

    fn refusal(&self, kind: ConnectionKind) -> OpenError {
        let limit = match kind {
            ConnectionKind::Control => MAX_CONTROL_CHANNELS,
            ConnectionKind::Data => self.spec.pool.max_connections * MAX_SHARED_CHANNELS,
        };
        self.backoff
            .error(Instant::now())
            .unwrap_or_else(|| self.too_many(limit))
    }

    fn too_many(&self, limit: usize) -> OpenError {
        OpenError::TooManyChannels {
            server: self.spec.server(),
            limit,
        }
    }

    /// One idle data connection is kept ready while there are FTP sessions, once the server is known to let us in.
    fn keep_spare(&mut self) {
        let idle = self.roster.spare().is_some();
        let wanted = self.quiet_since.is_none() && self.proven && !idle;
        if wanted
            && self.roster.dialing_of(ConnectionKind::Data) == 0
            && self.may_grow(ConnectionKind::Data)
            && self.may_dial()
        {
            self.start_dial(ConnectionKind::Data);
        }
    }

    /// Where each control connection has many channels, another one is made for those to come.
    fn spread_control(&mut self) {
        let kind = ConnectionKind::Control;
        let none_under_way = self.roster.dialing_of(kind) == 0;
        if self.roster.is_crowded() && none_under_way && self.may_grow(kind) && self.may_dial() {
            self.start_dial(kind);
        }
    }

    fn close_unused(&mut self) {
        let now = Instant::now();
        let spare = self.roster.spare();
        let (unused, kept): (Vec<_>, Vec<_>) =
            self.roster.open.iter().cloned().partition(|connection| {
                self.expiry(connection, spare)
                    .is_some_and(|expiry| expiry <= now)
            });
        self.roster.open = kept;
        for connection in unused {
            self.close(connection, NO_LONGER_USED);
        }
    }

    /// When an unused connection is closed; `None` for one that is used or kept.
    fn expiry(&self, connection: &Connection, spare: Option<u64>) -> Option<Instant> {
        let link = &connection.link;
        if link.use_count() > 0 {
            return None;
        }
        if link.is_retired() {
            return Some(link.idle_since());
        }
        let is_control = link.kind == ConnectionKind::Control && self.roster.keeps_control(link.id);
        if is_control && self.sessions.keepers.load(Ordering::Acquire) > 0 {
            return None;
        }
        let kept = is_control || spare == Some(link.id);
        let idle_since = match self.quiet_since {
            None if kept => return None,
            Some(quiet) if kept => quiet.max(link.idle_since()),
            _ => link.idle_since(),
        };
        Some(idle_since + self.spec.pool.idle_timeout)
    }

    /// When to look again without being told.
    fn deadline(&self) -> Option<Instant> {
        let spare = self.roster.spare();
        let expiries = self
            .roster
            .open
            .iter()
            .filter_map(|connection| self.expiry(connection, spare));
        expiries.chain(self.backoff.until(Instant::now())).min()
    }

    fn close(&self, connection: Arc<Connection>, reason: &str) {
        tracing::debug!(connection = connection.link.id, reason, "closing");
        let reason = reason.to_owned();
        self.tracker
            .spawn(async move { connection.close(reason).await });
    }

    fn publish(&self) {
        self.publisher.send_replace(self.roster.links());
    }

    fn shut_down(mut self, reason: &str) {
        for dial in &self.dials {
            dial.abort();
        }
        for dialing in std::mem::take(&mut self.roster.dialing) {
            dialing.link.severed.cancel();
        }
        for connection in std::mem::take(&mut self.roster.open) {
            self.close(connection, reason);
        }
        self.publish();
    }
}

/// Numbers are unique in the whole process: a person names a connection by its number alone.
fn next_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// What becomes of one who waits.
enum Decision {
    Give(Lease),
    Wait,
    Refuse(OpenError),
}

/// A dial that panics has failed, and takes nothing else with it.
async fn survive(
    dial: impl Future<Output = Result<Session, OpenError>>,
) -> Result<Session, OpenError> {
    AssertUnwindSafe(dial)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(OpenError::Internal))
}
