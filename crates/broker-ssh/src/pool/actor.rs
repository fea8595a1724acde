//! The task that owns a pool's connections
//!
//! After every event it checks everything once (`reconcile`): who waits, what is free, what to connect, what to close.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PoolUsers;
use super::backoff::Backoff;
use super::lease::{Lease, Promise};
use super::roster::{Dialing, MAX_CONTROL_CHANNELS, MAX_SHARED_CHANNELS, Roster};
use crate::connect::Connection;
use crate::connect::{ChannelError, OpenError};
use crate::spec::ConnectSpec;
use crate::state::info::ConnectionKind;
use crate::state::stall::STALL_AFTER;
use crate::state::{ConnectionState, CutReason, ServerFacts};

/// Opens that wait for a connection; further ones are refused.
const MAX_WAITING: usize = 4096;

/// Why a connection is closed that nobody needs.
const NO_LONGER_USED: &str = "no longer used";

/// The requests of the pool's handles.
#[derive(Debug)]
pub(super) enum Request {
    Lease {
        kind: ConnectionKind,
        reply: oneshot::Sender<Result<Lease, OpenError>>,
    },
    /// For a channel that may not be needed.
    LeaseAhead {
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
    /// A data connection has gone silent, and those that were idle for as long may be dead as well.
    RetireIdle(Duration),
}

pub(super) struct Waiter {
    pub(super) kind: ConnectionKind,
    since: Instant,
    pub(super) reply: oneshot::Sender<Result<Lease, OpenError>>,
}

/// How long an open waits for a slow transfer to continue or to stall. A timer may be late.
const SHARING_PATIENCE: Duration = STALL_AFTER.saturating_add(Duration::from_millis(200));

/// This many slow attempts are no accident: the server accepts no further connection, or the network has changed.
const ENOUGH_SLOW_DIALS: usize = 2;

pub(super) type Dialed = (u64, Result<Arc<Connection>, OpenError>);

pub(super) struct Actor {
    pub(super) spec: Arc<ConnectSpec>,
    /// The same without a responder: the broker asks a person only for the first connection.
    pub(super) unattended: Arc<ConnectSpec>,
    pub(super) tracker: TaskTracker,
    pub(super) users: Arc<PoolUsers>,
    pub(super) wake: Arc<Notify>,
    pub(super) roster: Roster,
    pub(super) dials: FuturesUnordered<JoinHandle<Dialed>>,
    pub(super) waiting: VecDeque<Waiter>,
    pub(super) backoff: Backoff,
    /// The same for data connections while a control connection proves that the server is reachable.
    pub(super) beside: Backoff,
    /// Whether the server refused the last data connection although a control connection is open. Transfers then share
    /// the existing connections.
    pub(super) denied: bool,
    /// What connections learned about the servers.
    pub(super) facts: Arc<ServerFacts>,
    /// Whether the last attempt succeeded. Until one has, there is only one attempt at a time: a wrong key must not count
    /// twice at the server, and nobody must be asked twice.
    pub(super) proven: bool,
    /// Whether the last attempt needed a person. Data channels then share the existing connections.
    pub(super) needs_person: bool,
    /// Since when no FTP session uses the pool; `None` while one does.
    pub(super) quiet_since: Option<Instant>,
    /// All connections, for observers.
    publisher: watch::Sender<Vec<Arc<ConnectionState>>>,
}

impl Actor {
    pub(super) fn new(
        spec: Arc<ConnectSpec>,
        tracker: TaskTracker,
        users: Arc<PoolUsers>,
        backoff: Backoff,
        facts: Arc<ServerFacts>,
        publisher: watch::Sender<Vec<Arc<ConnectionState>>>,
    ) -> Self {
        let mut unattended = ConnectSpec::clone(&spec);
        unattended.for_each_hop(&|hop| hop.responder = None);
        Self {
            spec,
            unattended: Arc::new(unattended),
            tracker,
            wake: Arc::clone(&users.wake),
            users,
            roster: Roster::default(),
            dials: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            backoff,
            beside: Backoff::default(),
            denied: false,
            facts,
            proven: false,
            needs_person: false,
            quiet_since: Some(Instant::now()),
            publisher,
        }
    }

    /// Runs until it is cancelled or the last handle is dropped, and leaves no connection behind.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        cancel: CancellationToken,
    ) {
        let wake = Arc::clone(&self.wake);
        let reason = loop {
            let deadline = self.deadline();
            tokio::select! {
                () = cancel.cancelled() => break "the broker is stopping",
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
                let since = Instant::now();
                self.waiting.push_back(Waiter { kind, since, reply });
            }
            Request::Lease { reply, .. } => {
                let _ = reply.send(Err(self.too_many(MAX_WAITING)));
            }
            Request::LeaseAhead { reply } => {
                let _ = reply.send(self.lease_ahead());
            }
            Request::Rejoin { id, places, reply } => {
                let _ = reply.send(self.roster.rejoin(id, places));
            }
            Request::Close { id, reply } => {
                let _ = reply.send(self.close_by_id(id));
            }
            Request::RetireIdle(idle) => self.roster.retire_idle(idle),
        }
    }

    /// Returns false if there is no connection with this number.
    fn close_by_id(&mut self, id: u64) -> bool {
        let mut open = self.roster.open.iter();
        if let Some(index) = open.position(|connection| connection.state.id == id) {
            let connection = self.roster.open.swap_remove(index);
            self.close(connection, "closed on request");
            return true;
        }
        let mut dialing = self.roster.dialing.iter();
        let found = dialing.find(|dialing| dialing.state.id == id);
        // Its attempt then fails as if the server had closed the connection.
        found.is_some_and(|dialing| {
            dialing.state.severed.cancel();
            true
        })
    }

    /// Adjusts everything to the current state.
    fn reconcile(&mut self) {
        self.drop_closed();
        self.note_use();
        self.replace_unfit();
        self.serve_waiting();
        self.keep_spare();
        self.spread_control();
        self.close_unused();
        self.publish();
    }

    fn drop_closed(&mut self) {
        let open = std::mem::take(&mut self.roster.open);
        let (closed, open): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|connection| connection.state.is_closed());
        self.roster.open = open;
        for connection in closed {
            self.tell_end(&connection.state, &connection.state.end());
        }
    }

    fn tell_end(&self, state: &ConnectionState, reason: &CutReason) {
        if let Some(observer) = &self.spec.observer {
            observer.disconnected(state.id, state.kind, reason);
        }
    }

    fn note_use(&mut self) {
        let in_use = self.users.sessions.load(Ordering::Acquire) > 0;
        match (in_use, self.quiet_since) {
            (true, _) => self.quiet_since = None,
            (false, None) => self.quiet_since = Some(Instant::now()),
            (false, Some(_)) => {}
        }
    }

    /// Data connections make room for such with a window that suits the line, where further ones can be had.
    fn replace_unfit(&self) {
        if let Some(window) = self.facts.window()
            && !self.needs_person
            && !self.denied
        {
            self.roster.retire_unfit(window);
        }
    }

    fn serve_waiting(&mut self) {
        let mut covered = [
            self.roster.dialing_of(ConnectionKind::Control),
            self.roster.prompt_dials_of(ConnectionKind::Data),
        ];
        let mut evicting = self.roster.evicting();
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
            match self.decide((waiter.kind, waiter.since), covered, &mut evicting) {
                Decision::Give(lease) => {
                    // If the caller has gone, it drops the lease, which returns it.
                    let _ = waiter.reply.send(Ok(lease));
                }
                Decision::Wait => self.waiting.push_back(waiter),
                Decision::Refuse(error) => {
                    let _ = waiter.reply.send(Err(error));
                }
            }
        }
    }

    /// Decides about one waiting open. `covered` counts the attempts in progress that no earlier one waits for,
    /// `evicting` the evicted transfers whose places no earlier one waits for.
    fn decide(
        &mut self,
        waiting: (ConnectionKind, Instant),
        covered: &mut usize,
        evicting: &mut usize,
    ) -> Decision {
        let (kind, _) = waiting;
        let is_stalled = |it: &Arc<Connection>| it.state.stalls.any();
        if kind == ConnectionKind::Control && self.roster.control().is_some_and(is_stalled) {
            // Data that shares the control connection must not hold up a session.
            self.roster.evict_stalled(kind);
        }
        if let Some(lease) = self.roster.free(kind) {
            return Decision::Give(lease);
        }
        // One attempt serves everyone who waits for the control connection.
        if *covered > 0 {
            *covered -= usize::from(kind == ConnectionKind::Data);
            return Decision::Wait;
        }
        if self.shares_control()
            && let Some(connection) = self.sharable(kind)
            && !connection.state.stalls.any()
        {
            return Decision::Give(Lease::new(connection, kind));
        }
        if self.may_grow(kind) {
            if self.may_dial() {
                self.start_dial(kind);
                *covered = usize::from(kind == ConnectionKind::Control);
            }
            return Decision::Wait;
        }
        match self.sharable(kind) {
            Some(connection) if !connection.state.stalls.any_behind() => {
                Decision::Give(Lease::new(connection, kind))
            }
            Some(connection) => {
                let carriers = connection.state.kind;
                self.relieve(carriers, waiting, evicting)
            }
            None if self.roster.dialing_of(kind) > 0 => Decision::Wait,
            None => Decision::Refuse(self.refusal(kind)),
        }
    }

    /// Decides about an open that waits while every connection has a slow reader. It gets another connection, or the
    /// place of a stalled transfer. If no transfer has stalled, the readers may only be slower than the network, and the
    /// open shares a connection after all.
    fn relieve(
        &mut self,
        carriers: ConnectionKind,
        waiting: (ConnectionKind, Instant),
        evicting: &mut usize,
    ) -> Decision {
        let (kind, since) = waiting;
        if self.may_exceed() {
            if self.may_dial() {
                self.start_dial(kind);
            }
            return Decision::Wait;
        }
        if *evicting > 0 {
            *evicting -= 1;
            return Decision::Wait;
        }
        if self.roster.evict_stalled(carriers) || Instant::now() < since + SHARING_PATIENCE {
            return Decision::Wait;
        }
        match self.sharable(kind) {
            Some(connection) => Decision::Give(Lease::new(connection, kind)),
            None => Decision::Wait,
        }
    }

    /// Whether another data connection is unlikely to succeed.
    fn shares_control(&self) -> bool {
        self.denied || self.roster.slow_dials() >= ENOUGH_SLOW_DIALS
    }

    /// A connection that others use and that has a place for one more. If no further data connection can be opened, the
    /// control connection carries data.
    pub(super) fn sharable(&self, kind: ConnectionKind) -> Option<&Arc<Connection>> {
        if kind == ConnectionKind::Control {
            return None;
        }
        let data = self.roster.least_loaded();
        let flowing = data.filter(|connection| !connection.state.stalls.any_behind());
        match flowing {
            None if self.needs_person => data.or_else(|| self.roster.control()),
            None if self.shares_control() => self.roster.control().or(data),
            None => data,
            Some(flowing) => Some(flowing),
        }
    }

    /// An idle data connection, if a transfer that comes meanwhile gets another one.
    fn lease_ahead(&self) -> Result<Lease, OpenError> {
        let kind = ConnectionKind::Data;
        let limit = self.spec.settings.pool.max_connections;
        let others = self.roster.idle().count() > 1
            || self.roster.dialing_of(kind) > 0
            || self.may_grow(kind);
        let free = self
            .roster
            .free(kind)
            .filter(|_| others && self.waiting.is_empty());
        free.ok_or_else(|| self.too_many(limit))
    }

    fn refusal(&self, kind: ConnectionKind) -> OpenError {
        let limit = match kind {
            ConnectionKind::Control => MAX_CONTROL_CHANNELS,
            ConnectionKind::Data => self.spec.settings.pool.max_connections * MAX_SHARED_CHANNELS,
        };
        self.backoff
            .error(Instant::now())
            .unwrap_or_else(|| self.too_many(limit))
    }

    fn too_many(&self, limit: usize) -> OpenError {
        let server = self.spec.server();
        ChannelError::TooMany { server, limit }.into()
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
        let state = &connection.state;
        if state.use_count() > 0 {
            return None;
        }
        if state.is_retired() {
            return Some(state.idle_since());
        }
        let is_control =
            state.kind == ConnectionKind::Control && self.roster.keeps_control(state.id);
        if is_control && self.users.keepers.load(Ordering::Acquire) > 0 {
            return None;
        }
        let kept = is_control || spare == Some(state.id);
        let idle_since = match self.quiet_since {
            None if kept => return None,
            Some(quiet) if kept => quiet.max(state.idle_since()),
            _ => state.idle_since(),
        };
        Some(idle_since + self.spec.settings.pool.idle_timeout)
    }

    /// When to check again without an event.
    fn deadline(&self) -> Option<Instant> {
        let spare = self.roster.spare();
        let expiries = self
            .roster
            .open
            .iter()
            .filter_map(|connection| self.expiry(connection, spare));
        let pause = self.pause(ConnectionKind::Data);
        let now = Instant::now();
        let dials = self.roster.dialing.iter().filter_map(Dialing::slow_at);
        let slow = dials.filter(|at| *at > now && !self.waiting.is_empty());
        let waiters = self.waiting.iter().map(|it| it.since + SHARING_PATIENCE);
        let waiters = waiters.filter(|at| *at > now);
        expiries.chain(pause).chain(slow).chain(waiters).min()
    }

    fn close(&self, connection: Arc<Connection>, reason: &str) {
        tracing::debug!(connection = connection.state.id, reason, "closing");
        let reason = reason.to_owned();
        let told = connection.state.closed_by_us(reason.as_str());
        self.tell_end(&connection.state, &told);
        self.tracker
            .spawn(async move { connection.close(reason).await });
    }

    fn publish(&self) {
        self.publisher.send_replace(self.roster.states());
        if let Some(observer) = &self.spec.observer {
            observer.changed();
        }
    }

    fn shut_down(mut self, reason: &str) {
        for dial in &self.dials {
            dial.abort();
        }
        for dialing in std::mem::take(&mut self.roster.dialing) {
            dialing.state.severed.cancel();
        }
        for connection in std::mem::take(&mut self.roster.open) {
            self.close(connection, reason);
        }
        self.publish();
    }
}

/// The decision about a waiting open.
enum Decision {
    Give(Lease),
    Wait,
    Refuse(OpenError),
}
