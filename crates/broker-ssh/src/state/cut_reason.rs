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
    #[error("the SSH connection was lost: {0}")]
    ConnectionLost(String),
    /// We closed the connection.
    #[error("the SSH connection was closed: {0}")]
    ConnectionClosed(String),
    /// A control channel's reader is too slow.
    #[error("nobody read the {0} bytes waiting on a control channel")]
    Overflow(usize),
    /// The transfer stalled on a connection that others share.
    #[error("the transfer stood still for {} while others waited on its SSH connection", seconds(*.0))]
    Stalled(Duration),
    /// The transfer stalled while there was no connection for another one.
    #[error("the transfer had stood still for {} when another one needed an SSH connection", seconds(*.0))]
    Evicted(Duration),
    /// The listener of a remote forward ended.
    #[error("the SSH server no longer listens for the forward")]
    ForwardEnded,
}

impl CutReason {
    /// Whether the server ended the channel by itself, as opposed to a fault.
    pub fn is_close(&self) -> bool {
        matches!(self, Self::Closed)
    }
}
