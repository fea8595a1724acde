//! Who learns of the connections of a pool

use std::fmt;

use super::CutReason;
use super::info::ConnectionKind;

/// Learns when the connections of a pool begin and end. It must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// This connection is up.
    fn connected(&self, id: u64, kind: ConnectionKind);
    /// This connection was up, and has ended.
    fn disconnected(&self, id: u64, kind: ConnectionKind, reason: &CutReason);
}
