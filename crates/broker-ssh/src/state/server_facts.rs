//! What a pool learned about its servers

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::round_trip::RoundTrip;
use crate::net::lock::lock;

/// What a pool learned about its servers; shared by all its connections.
#[derive(Debug, Default)]
pub(crate) struct ServerFacts {
    /// Servers that ignore unknown requests: at most one for each hop on the route.
    passing_over: Mutex<BTreeSet<String>>,
    /// The round trip to the server.
    pub(crate) round_trip: RoundTrip,
    /// The window for data that suits the line; 0: not known.
    window: AtomicU32,
    /// Whether the server listens on loopback only if the request says `localhost`.
    pub(crate) listens_by_name: AtomicBool,
}

impl ServerFacts {
    /// The window for data that the line was found to need.
    pub(crate) fn window(&self) -> Option<u32> {
        Some(self.window.load(Ordering::Relaxed)).filter(|window| *window > 0)
    }

    pub(crate) fn note_window(&self, window: u32) {
        self.window.store(window, Ordering::Relaxed);
    }

    pub(crate) fn passes_over(&self, server: &str) -> bool {
        lock(&self.passing_over).contains(server)
    }

    pub(crate) fn note_passing_over(&self, server: &str) {
        if lock(&self.passing_over).insert(server.to_owned()) {
            tracing::info!(
                %server,
                "the SSH server does not answer the request keepalive@openssh.com; the broker opens a session channel to check that it is alive"
            );
        }
    }
}
