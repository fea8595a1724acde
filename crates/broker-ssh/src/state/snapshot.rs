//! What status output can know of a pool

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::error::OpenError;

/// A pool at one moment.
#[derive(Debug, Clone, Default)]
pub struct PoolSnapshot {
    /// Connections in the order in which they were dialled.
    pub connections: Vec<ConnectionInfo>,
    /// The last dial's failure, until a dial succeeds.
    pub last_error: Option<OpenError>,
    /// How long no dial is made because of it.
    pub retry_in: Option<Duration>,
}

impl PoolSnapshot {
    /// Why the server could not be had the last time, and when the next dial is made where that is not now.
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

/// One connection at one moment.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Number within the process, never used twice.
    pub id: u64,
    /// What it carries.
    pub kind: ConnectionKind,
    /// What it is doing.
    pub phase: ConnectionPhase,
    /// What was agreed on; `None` before the handshake's end.
    pub negotiated: Option<Negotiated>,
    /// What it goes through on its way to the server, such as `SOCKS5 proxy p:1080, gateway g:22`; `None`: nothing.
    pub route: Option<String>,
    /// How the server names its software, for instance `SSH-2.0-OpenSSH_9.2p1`.
    pub server_version: Option<String>,
    /// When dialling began.
    pub since: SystemTime,
    /// Channels and forwards on it.
    pub channels: usize,
    /// Bytes received on the wire.
    pub bytes_in: u64,
    /// Bytes sent on the wire.
    pub bytes_out: u64,
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionKind {
    /// Channels of FTP control sessions, always drained.
    Control,
    /// Data channels, one at a time where that is possible.
    Data,
}

impl ConnectionKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionPhase {
    /// Being dialled or authenticated.
    Connecting,
    /// A control connection that is up.
    Open,
    /// A data connection without channels.
    Idle,
    /// A data connection with at least one channel or forward.
    Leased,
    /// Ended.
    Closed,
}

impl ConnectionPhase {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Idle => "idle",
            Self::Leased => "leased",
            Self::Closed => "closed",
        }
    }
}

/// What the two ends agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Key exchange method.
    pub kex: String,
    /// Cipher.
    pub cipher: String,
    /// Message authentication code; the word "implicit" where the cipher brings its own.
    pub mac: String,
    /// Algorithm of the host key.
    pub host_key: String,
    /// SHA-256 fingerprint of the host key.
    pub fingerprint: String,
    /// The server's address, unless only a proxy or a gateway knows it.
    pub peer: Option<SocketAddr>,
}
