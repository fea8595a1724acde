//! Why a channel was cut

use std::time::Duration;

use crate::net::text::seconds;

/// Why a channel ended without an orderly end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutReason {
    /// The server closed the channel.
    #[error("the SSH server closed the channel")]
    Closed,
    /// The connection ended.
    #[error("the SSH connection to {server} was lost: {reason}")]
    ConnectionLost {
        /// Host and port of the SSH server.
        server: Box<str>,
        /// How.
        reason: Box<str>,
    },
    /// We closed the connection.
    #[error("the SSH connection to {server} was closed: {reason}")]
    ConnectionClosed {
        /// Host and port of the SSH server.
        server: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// A control channel's reader is too slow.
    #[error("nobody read the {0} bytes that waited on a control channel")]
    Overflow(usize),
    /// The reader stalled on a shared connection.
    #[error("the data stalled for {} while others waited on its SSH connection", seconds(*.0))]
    Stalled(Duration),
    /// The reader stalled, and another channel needed its connection.
    #[error("the data had stalled for {} when another transfer needed an SSH connection", seconds(*.0))]
    Evicted(Duration),
    /// The listener of a remote forward ended.
    #[error("the SSH server no longer listens for the forward")]
    ForwardEnded,
}
