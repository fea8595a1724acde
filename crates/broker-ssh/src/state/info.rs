//! The state of a connection for status output

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// One connection at one moment.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Number within the process, never used twice.
    pub id: u64,
    /// What it carries.
    pub kind: ConnectionKind,
    /// What it is doing.
    pub phase: ConnectionPhase,
    /// The agreed algorithms; `None` before the end of the handshake.
    pub negotiated: Option<Negotiated>,
    /// The proxy and gateways before the server, such as `SOCKS5 proxy p:1080, gateway g:22`; `None`: nothing.
    pub route: Option<String>,
    /// The server's software version, for instance `SSH-2.0-OpenSSH_9.2p1`.
    pub server_version: Option<String>,
    /// When the attempt began.
    pub since: SystemTime,
    /// How long nothing has come from the server, if it owes an answer.
    pub no_answer: Option<Duration>,
    /// Channels and forwards on it.
    pub channels: usize,
    /// Bytes received on the wire.
    pub bytes_in: u64,
    /// Bytes sent on the wire.
    pub bytes_out: u64,
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionKind {
    /// Channels of FTP control sessions, always drained.
    Control,
    /// Data channels, one at a time if possible.
    Data,
}

impl ConnectionKind {
    /// The word for output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }

    /// What goes through it, for a person.
    pub(crate) fn carries(self) -> &'static str {
        match self {
            Self::Control => "control connections",
            Self::Data => "data connections",
        }
    }
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionPhase {
    /// Connecting or authenticating.
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
    /// The word for output.
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
    /// Message authentication code; the word "implicit" if the cipher includes its own.
    pub mac: String,
    /// Algorithm of the host key.
    pub host_key: String,
    /// SHA-256 fingerprint of the host key.
    pub fingerprint: String,
    /// The server's address, unless only a proxy or a gateway knows it.
    pub peer: Option<SocketAddr>,
}
