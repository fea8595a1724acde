//! What a pool learned about its servers

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::low_latency::LowLatencyRefusal;
use super::round_trip::RoundTrip;
use crate::net::lock::lock;

/// What a pool learned about its servers; shared by all its connections.
#[derive(Debug, Default)]
pub(crate) struct ServerFacts {
    /// Servers that ignore unknown requests.
    passing_over: Servers,
    /// Servers that did not start the subsystem for which the setting `low-latency` makes the broker ask.
    refusing_low_latency: Servers,
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
        self.passing_over.contains(server)
    }

    pub(crate) fn note_passing_over(&self, server: &str) {
        if self.passing_over.insert(server) {
            tracing::info!(
                %server,
                "the SSH server does not answer the request keepalive@openssh.com; the broker opens a session channel to check that it is alive"
            );
        }
    }

    /// Says once why a server sends small packets late, although the setting `low-latency` is on.
    pub(crate) fn note_low_latency_refusal(&self, server: &str, refusal: &LowLatencyRefusal) {
        if self.refusing_low_latency.insert(server) {
            tracing::info!(%server, "{refusal}");
        }
    }
}

/// Servers with a property: at most one for each hop on the route.
#[derive(Debug, Default)]
struct Servers(Mutex<BTreeSet<String>>);

impl Servers {
    fn contains(&self, server: &str) -> bool {
        lock(&self.0).contains(server)
    }

    /// Returns whether the server is new.
    fn insert(&self, server: &str) -> bool {
        lock(&self.0).insert(server.to_owned())
    }
}
