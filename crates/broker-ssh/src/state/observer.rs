//! Who learns of the connections of a pool

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::CutReason;
use super::info::{ConnectionKind, Negotiated};

/// Learns when the connections of a pool begin and end, and how far attempts come. It must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// This connection is up.
    fn connected(&self, _id: u64, _kind: ConnectionKind) {}
    /// An attempt has ended after this time. The error of one that failed is an [`OpenError`](crate::OpenError), which
    /// this module cannot name: attempts are made on top of it.
    fn attempted(
        &self,
        _kind: ConnectionKind,
        _took: Duration,
        _outcome: Result<(), &(dyn Error + 'static)>,
    ) {
    }
    /// This connection was up, and has ended.
    fn disconnected(&self, _id: u64, _kind: ConnectionKind, _reason: &CutReason) {}
    /// The pool has looked at its connections, and any of them, its last error or its pause can have changed. This comes
    /// often.
    fn changed(&self) {}
    /// A connection attempt has passed this step. `server` is its host and port, which may be those of a gateway.
    fn passed(&self, _server: &str, _step: Passed) {}
}

/// A step of a connection attempt that has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// The server has sent its version line; `after` counts from the open byte stream.
    Greeting {
        /// The line, which names the server's software. Untrusted text.
        version: String,
        /// How long it took.
        after: Duration,
    },
    /// Keys are exchanged, and the policy allows the host key.
    KeyExchange {
        /// The algorithms and the key.
        negotiated: Negotiated,
        /// The place where the key is known; `None`: it was not, and has just been accepted.
        known_at: Option<String>,
    },
    /// The user is logged in.
    Login {
        /// The user.
        user: String,
        /// What the server accepted, such as a key; `None`: it wanted nothing.
        with: Option<String>,
    },
}
