//! Publishes what happens to the connections of one profile.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_ipc::Reason;
use broker_ssh::{ConnectionKind, CutReason, Observer, OpenError};
use tokio::sync::Notify;

use super::connection_totals::ConnectionTotals;
use crate::events::{ConnectionFacts, Event, Events};
use crate::reasons;
use crate::sync::lock;

/// The profiles whose connections can have changed since somebody last looked. Clones share it. At most as many as there
/// are pools.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChangedProfiles(Arc<Changed>);

#[derive(Debug, Default)]
struct Changed {
    ids: Mutex<BTreeSet<String>>,
    some: Notify,
}

impl ChangedProfiles {
    /// This profile can have changed.
    pub(crate) fn note(&self, profile: &str) {
        let mut ids = lock(&self.0.ids);
        if !ids.contains(profile) {
            ids.insert(profile.to_owned());
            self.0.some.notify_one();
        }
    }

    /// Waits until one can have changed. Dropping the future loses nothing.
    pub(crate) async fn some(&self) {
        while lock(&self.0.ids).is_empty() {
            self.0.some.notified().await;
        }
    }

    /// Those that can have changed.
    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut lock(&self.0.ids))
    }
}

/// Publishes and counts the connections of one profile.
#[derive(Debug)]
pub(super) struct ConnectionEvents {
    pub(super) events: Events,
    /// The profile's id, or the target that a command named.
    pub(super) profile: String,
    pub(super) changed: ChangedProfiles,
    pub(super) totals: Arc<ConnectionTotals>,
}

impl ConnectionEvents {
    fn facts(&self, id: u64, kind: ConnectionKind) -> ConnectionFacts {
        ConnectionFacts {
            id,
            profile: self.profile.clone(),
            kind,
        }
    }
}

impl Observer for ConnectionEvents {
    fn connected(&self, id: u64, kind: ConnectionKind) {
        self.events.publish(Event::Connected(self.facts(id, kind)));
    }

    fn attempted(
        &self,
        kind: ConnectionKind,
        took: Duration,
        outcome: Result<(), &(dyn Error + 'static)>,
    ) {
        let reason = |error: &(dyn Error + 'static)| {
            let error = error.downcast_ref::<OpenError>();
            error.map_or(Reason::Other, reasons::of_open)
        };
        let failure = outcome.err().map(reason);
        self.totals.attempted(kind, failure, took);
    }

    fn disconnected(&self, id: u64, kind: ConnectionKind, reason: &CutReason) {
        self.totals.disconnected(kind, reason);
        self.events.publish(Event::Disconnected {
            connection: self.facts(id, kind),
            reason: reason.to_string(),
        });
    }

    fn changed(&self) {
        self.changed.note(&self.profile);
    }
}
