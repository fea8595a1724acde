//! Making connections: how many, when, and how to treat the result

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use tokio::time::Instant;

use super::actor::{Actor, Dialed};
use super::roster::{Dialing, MAX_CONTROL_CONNECTIONS};
use crate::auth::numbered;
use crate::connect::OpenError;
use crate::connect::{Connection, Dial, runtime};
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// Data connections beyond `max-connections`, for new transfers that would otherwise wait for stalled connections.
const RESERVED_CONNECTIONS: usize = 2;

/// How many slow attempts can be in progress while others are made: each may occupy a login at the server.
const MAX_SLOW_DIALS: usize = 4;

impl Actor {
    /// An attempt has ended.
    pub(super) fn dialed(&mut self, (id, result): Dialed) {
        let Some(index) = self
            .roster
            .dialing
            .iter()
            .position(|dialing| dialing.state.id == id)
        else {
            return;
        };
        let Dialing {
            state,
            prompts,
            began,
        } = self.roster.dialing.swap_remove(index);
        self.needs_person = prompts.needs_person();
        if let Some(observer) = &self.spec.observer {
            let outcome = result.as_ref().map(drop);
            let outcome = outcome.map_err(|error| error as &(dyn Error + 'static));
            observer.attempted(state.kind, began.elapsed(), outcome);
        }
        match result {
            Ok(connection) => {
                self.log_connected(&state);
                if let Some(observer) = &self.spec.observer {
                    observer.connected(id, state.kind);
                }
                self.backoff.succeeded();
                self.proven = true;
                // A new control connection may lead to a restarted server, which may accept data connections again.
                self.beside.succeeded();
                if state.kind == ConnectionKind::Data {
                    self.denied = false;
                }
                if state.kind == ConnectionKind::Control {
                    self.measure(&connection);
                }
                self.roster.open.push(connection);
            }
            Err(error) => {
                // An abandoned handshake would wait for the server forever.
                state.severed.cancel();
                self.dial_failed(state.kind, error, began);
            }
        }
    }

    /// Measures the round trip on a control connection, for data connections. Data connections themselves send no check:
    /// a server that ignores it would make the answer to the next request look like its own.
    fn measure(&self, connection: &Connection) {
        let (facts, liveness) = (Arc::clone(&self.facts), connection.liveness());
        facts.round_trip.announce();
        let measuring = async move {
            facts.round_trip.measure(liveness.answered()).await;
            // The first answer may have waited at the server until what it sent after the login was acknowledged.
            facts.round_trip.measure(liveness.answered()).await;
        };
        self.tracker.spawn_on(measuring, &connection.state.runtime);
    }

    fn dial_failed(&mut self, kind: ConnectionKind, error: OpenError, began: Instant) {
        let tried = numbered(error.tried());
        tracing::warn!(server = %self.spec.server(), %error, tried, "cannot connect");
        self.proven = false;
        let now = Instant::now();
        let told = if kind == ConnectionKind::Data && self.roster.control().is_some() {
            self.note_denied();
            self.beside.failed(error.clone(), began, now);
            error
        } else {
            self.backoff.failed(error.clone(), began, now);
            self.backoff.error(now).unwrap_or(error)
        };
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

    /// The server accepts no connection in addition to the one that carries control channels.
    fn note_denied(&mut self) {
        if !std::mem::replace(&mut self.denied, true) {
            tracing::warn!(
                server = %self.spec.server(),
                "no further SSH connection could be made; transfers share those that there are"
            );
        }
    }

    /// Whether one more connection of a kind may exist, now or after a pause.
    pub(super) fn may_grow(&self, kind: ConnectionKind) -> bool {
        let existing = self.roster.usable(kind).count() + self.roster.prompt_dials_of(kind);
        let bound = match kind {
            ConnectionKind::Control if self.roster.is_crowded() && !self.needs_person => {
                MAX_CONTROL_CONNECTIONS
            }
            ConnectionKind::Control => 1,
            // The broker does not ask a person for another connection while the existing one can be shared.
            ConnectionKind::Data if self.needs_person && self.sharable(kind).is_some() => 0,
            ConnectionKind::Data => self.spec.settings.pool.max_connections.max(1),
        };
        // A slow attempt for a control connection is waited for: a login must not count twice.
        let slow_control = kind == ConnectionKind::Control && self.roster.dialing_of(kind) > 0;
        existing < bound && !slow_control && self.pause(kind).is_none()
    }

    /// Whether a data connection may exceed the usual limit because the existing ones have stalled.
    pub(super) fn may_exceed(&self) -> bool {
        let bound = self.spec.settings.pool.max_connections.max(1) + RESERVED_CONNECTIONS;
        let shares = self.needs_person || self.denied;
        !shares && self.roster.data_total() < bound && self.pause(ConnectionKind::Data).is_none()
    }

    /// Until when the pool makes no connection of a kind.
    pub(super) fn pause(&self, kind: ConnectionKind) -> Option<Instant> {
        let now = Instant::now();
        let beside = match kind {
            ConnectionKind::Control => None,
            ConnectionKind::Data => self.beside.until(now),
        };
        self.backoff.until(now).max(beside)
    }

    /// Whether the pool may connect at this moment.
    pub(super) fn may_dial(&self) -> bool {
        // A person who must answer again should not have to answer twice.
        let asks_again = self.needs_person && self.roster.open.is_empty();
        if !self.proven || asks_again {
            return self.roster.dialing.is_empty();
        }
        // Other attempts run in parallel to slow ones, up to a limit.
        let bound = self.spec.settings.pool.max_dialing.max(1);
        let beside_slow = self.roster.slow_dials().min(MAX_SLOW_DIALS);
        self.roster.dialing.len() < bound + beside_slow
    }

    /// Writes the line about a new connection: what it is for, and as whom and with what the broker logged in.
    fn log_connected(&self, state: &ConnectionState) {
        tracing::info!(
            target: "broker_ssh::works",
            server = %state.server,
            connection = state.id,
            user = %self.spec.user,
            with = state.login(),
            carries = state.kind.carries(),
            "connected"
        );
    }

    pub(super) fn start_dial(&mut self, kind: ConnectionKind) {
        let state = ConnectionState::new(
            next_id(),
            kind,
            self.spec.server(),
            Arc::clone(&self.wake),
            Arc::clone(&self.facts),
            runtime(kind),
        );
        tracing::debug!(server = %state.server, connection = state.id, kind = kind.as_str(), "dialling");
        let id = state.id;
        let first = self.roster.open.is_empty();
        let spec = if first { &self.spec } else { &self.unattended };
        let dial = Dial {
            spec: Arc::clone(spec),
            state: Arc::clone(&state),
            prompts: Arc::default(),
            tracker: self.tracker.clone(),
        };
        let prompts = Arc::clone(&dial.prompts);
        let dialed = async move { (id, catch_panic(dial.run()).await) };
        self.dials
            .push(self.tracker.spawn_on(dialed, &state.runtime));
        self.roster.dialing.push(Dialing {
            state,
            prompts,
            began: Instant::now(),
        });
    }

    /// Keeps one idle data connection ready while there are FTP sessions, once the server is known to accept the user. If
    /// the server refuses one, the pool tries again from time to time.
    pub(super) fn keep_spare(&mut self) {
        let idle = self.roster.spare().is_some();
        let known = self.proven || self.denied;
        let wanted = self.quiet_since.is_none() && known && !idle;
        if wanted
            && self.roster.dialing_of(ConnectionKind::Data) == 0
            && self.may_grow(ConnectionKind::Data)
            && self.may_dial()
        {
            self.start_dial(ConnectionKind::Data);
        }
    }

    /// Makes another control connection for new channels if each existing one has many.
    pub(super) fn spread_control(&mut self) {
        let kind = ConnectionKind::Control;
        let none_under_way = self.roster.dialing_of(kind) == 0;
        if self.roster.is_crowded() && none_under_way && self.may_grow(kind) && self.may_dial() {
            self.start_dial(kind);
        }
    }
}

/// Numbers are unique in the whole process: a person names a connection by its number alone.
fn next_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// An attempt that panics has failed, and affects nothing else.
async fn catch_panic<T>(dial: impl Future<Output = Result<T, OpenError>>) -> Result<T, OpenError> {
    AssertUnwindSafe(dial)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(OpenError::Internal))
}
