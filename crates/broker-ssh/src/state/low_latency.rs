//! Whether the server sends small packets at once, and the outcome if the setting `low-latency` makes the broker request it

use std::time::Duration;

use tokio::sync::SetOnce;

/// Why a server still sends small packets late.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowLatencyRefusal {
    /// It opens no session channel.
    #[error(
        "SSH server {server} still delays small packets, since it refused a session; set MaxSessions in its sshd_config to \
         1 or more, or low-latency to no"
    )]
    NoSession {
        /// The server.
        server: String,
    },
    /// It does not start the subsystem.
    #[error(
        "SSH server {server} still delays small packets, since it did not start the subsystem sftp; add `Subsystem sftp \
         internal-sftp` to its sshd_config, or set low-latency to no"
    )]
    NoSubsystem {
        /// The server.
        server: String,
    },
    /// It has not answered in time.
    #[error(
        "SSH server {server} still delays small packets, since it did not start the subsystem sftp within {} s; look into \
         its log, or set low-latency to no",
        .after.as_secs()
    )]
    Late {
        /// The server.
        server: String,
        /// How long the broker waited.
        after: Duration,
    },
}

/// The outcome on one connection; unset until the server has answered.
pub(crate) type LowLatency = SetOnce<Result<(), LowLatencyRefusal>>;

/// When a server sends a packet that fills no segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmallPackets {
    /// It needs no request. The server is not OpenSSH, or is 10.1 or newer.
    UpToServer,
    /// When the one before it has been acknowledged. The setting `low-latency` is off.
    Late,
    /// At once, since the broker requested it.
    AtOnce,
    /// Late, although the broker requested the contrary.
    Refused(LowLatencyRefusal),
}
