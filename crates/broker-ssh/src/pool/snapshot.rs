//! The state of a pool for status output

use std::time::Duration;

use crate::connect::OpenError;
use crate::state::info::{ConnectionInfo, ConnectionKind, ConnectionPhase};

/// A pool at one moment.
#[derive(Debug, Clone, Default)]
pub struct PoolSnapshot {
    /// Connections in the order of their attempts.
    pub connections: Vec<ConnectionInfo>,
    /// The last failure, until an attempt succeeds.
    pub last_error: Option<OpenError>,
    /// How long the pool makes no attempt because of it.
    pub retry_in: Option<Duration>,
}

impl PoolSnapshot {
    /// Why the server was not available the last time, and when the next attempt is made, if not now.
    pub fn trouble(&self) -> Option<OpenError> {
        let error = self.last_error.clone()?;
        Some(match self.retry_in {
            None => error,
            Some(retry_in) => OpenError::BackingOff {
                reason: Box::new(error),
                retry_in,
            },
        })
    }

    /// Whether the control connection is up.
    pub fn is_connected(&self) -> bool {
        let up = |info: &ConnectionInfo| {
            info.kind == ConnectionKind::Control && info.phase == ConnectionPhase::Open
        };
        self.connections.iter().any(up)
    }
}
