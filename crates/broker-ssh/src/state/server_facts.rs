//! What was found out about the servers of a pool

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::round_trip::RoundTrip;
use crate::net::lock::lock;

/// What was found out about the servers of a pool; shared by all its connections.
#[derive(Debug, Default)]
pub(crate) struct ServerFacts {
    /// Those that pass over requests that they do not know: as many as there are hops on the way at most.
    passing_over: Mutex<BTreeSet<String>>,
    /// How far it is.
    pub(crate) round_trip: RoundTrip,
    /// Whether the server listens on loopback only where it is asked for `localhost`.
    pub(crate) listens_by_name: AtomicBool,
}

impl ServerFacts {
    pub(crate) fn passes_over(&self, server: &str) -> bool {
        lock(&self.passing_over).contains(server)
    }

    pub(crate) fn note_passing_over(&self, server: &str) {
        if lock(&self.passing_over).insert(server.to_owned()) {
            tracing::info!(
                %server,
                "the SSH server does not answer the request keepalive@openssh.com; for a sign of life it is asked for a session channel"
            );
        }
    }
}
