//! Making connections: how many, when, and what comes of a dial

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use tokio::time::Instant;

use super::actor::{Actor, Dialed};
use super::roster::{Dialing, MAX_CONTROL_CONNECTIONS};
use crate::connect::OpenError;
use crate::connect::{Connection, Dial, runtime};
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// Data connections beyond `max-connections`, for newcomers who would else wait on connections that stand still.
const RESERVED_CONNECTIONS: usize = 2;

/// Dials beside which others are made, since they take long: each may hold a login at the server.
const MAX_SLOW_DIALS: usize = 4;

impl Actor {
    /// A dial has ended.
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
        match result {
            Ok(connection) => {
                tracing::info!(server = %state.server, connection = id, kind = state.kind.as_str(), "connected");
                self.backoff.succeeded();
                self.proven = true;
                // A new control connection may lead to a server that was started anew, and then lets others in.
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
                // A handshake that was given up would wait for the server for ever.
                state.severed.cancel();
                self.dial_failed(state.kind, error, began);
            }
        }
    }

    /// What a control connection tells of the line is for data connections. Those are asked nothing: a server that passes over
    /// the question would have the answer to the next request taken for its own.
    fn measure(&self, connection: &Connection) {
        let (facts, liveness) = (Arc::clone(&self.facts), connection.liveness());
        facts.round_trip.announce();
        let measuring = async move { facts.round_trip.measure(liveness.answered()).await };
        self.tracker.spawn_on(measuring, &connection.state.runtime);
    }

    fn dial_failed(&mut self, kind: ConnectionKind, error: OpenError, began: Instant) {
        tracing::warn!(server = %self.spec.server(), %error, "cannot connect");
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

    /// The server lets in no further connection beside the one that carries control channels.
    fn note_denied(&mut self) {
        if !std::mem::replace(&mut self.denied, true) {
            tracing::warn!(
                server = %self.spec.server(),
                "no further SSH connection can be had beside the control connection; transfers share those that there are"
            );
        }
    }

    /// Whether one more connection of a kind may exist, now or as soon as a dial may be made.
    pub(super) fn may_grow(&self, kind: ConnectionKind) -> bool {
        let existing = self.roster.usable(kind).count() + self.roster.prompt_dials_of(kind);
        let bound = match kind {
            ConnectionKind::Control if self.roster.is_crowded() && !self.needs_person => {
                MAX_CONTROL_CONNECTIONS
            }
            ConnectionKind::Control => 1,
            // A person who was asked for a connection is not asked for another while it can be shared.
            ConnectionKind::Data if self.needs_person && self.sharable(kind).is_some() => 0,
            ConnectionKind::Data => self.spec.settings.pool.max_connections.max(1),
        };
        // A control connection that is dialled slowly is waited for: a login must not count twice.
        let slow_control = kind == ConnectionKind::Control && self.roster.dialing_of(kind) > 0;
        existing < bound && !slow_control && self.pause(kind).is_none()
    }

    /// Whether a data connection may be made beyond the usual bound, since those that there are stand still.
    pub(super) fn may_exceed(&self) -> bool {
        let bound = self.spec.settings.pool.max_connections.max(1) + RESERVED_CONNECTIONS;
        let shares = self.needs_person || self.denied;
        !shares && self.roster.data_total() < bound && self.pause(ConnectionKind::Data).is_none()
    }

    /// Until when no connection of a kind is dialled.
    pub(super) fn pause(&self, kind: ConnectionKind) -> Option<Instant> {
        let now = Instant::now();
        let beside = match kind {
            ConnectionKind::Control => None,
            ConnectionKind::Data => self.beside.until(now),
        };
        self.backoff.until(now).max(beside)
    }

    /// Whether a dial may be made at this moment.
    pub(super) fn may_dial(&self) -> bool {
        // A person who has to answer anew shall not have to do it for two.
        let asks_again = self.needs_person && self.roster.open.is_empty();
        if !self.proven || asks_again {
            return self.roster.dialing.is_empty();
        }
        // Beside those that will not end soon others are made, but not without end.
        let bound = self.spec.settings.pool.max_dialing.max(1);
        let beside_slow = self.roster.slow_dials().min(MAX_SLOW_DIALS);
        self.roster.dialing.len() < bound + beside_slow
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

    /// One idle data connection is kept ready while there are FTP sessions, once the server is known to let us in. Where it
    /// denies one it is asked again from time to time.
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

    /// Where each control connection has many channels, another one is made for those to come.
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

/// A dial that panics has failed, and takes nothing else with it.
async fn catch_panic<T>(dial: impl Future<Output = Result<T, OpenError>>) -> Result<T, OpenError> {
    AssertUnwindSafe(dial)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(OpenError::Internal))
}
