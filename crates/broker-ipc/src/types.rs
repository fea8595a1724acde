//! The daemon's reports about itself. Times are Unix seconds, sizes are bytes, and `up` is towards the SSH server.
//!
//! A reader ignores unknown fields, so that a newer daemon can send more.

mod client;
mod event;
mod prompt;
mod reload;
mod session;
mod transfer;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::client::{ClientInfo, ConfigEntry};
pub use self::event::{
    Event, EventConfiguration, EventConnection, EventKind, EventSession, EventTunnel, LogLevel,
    LogLine,
};
pub use self::prompt::{CurrentPrompt, Prompt, PromptField, PromptKind};
pub use self::reload::{Change, Changes, ReloadReport};
pub use self::session::Session;
pub use self::transfer::{Transfer, TransferDirection, TransferState};

use crate::error::LoginAttempt;
use crate::reason::{Party, Reason};

/// The daemon as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DaemonStatus {
    /// Process id of the daemon.
    pub pid: u32,
    /// A name that no other daemon has had, as in the answer to `hello`; empty from a daemon that has none.
    #[serde(default)]
    pub instance: String,
    /// Version of the daemon's build.
    pub version: String,
    /// When it started, in Unix seconds.
    pub started: u64,
    /// The configuration files in use, in the order in which they were read.
    pub config: Vec<String>,
    /// Configured profiles.
    pub profiles: u64,
    /// Tunnel listeners, whatever their state.
    pub tunnels: u64,
    /// Clients being served at this moment.
    pub sessions: u64,
    /// SSH connections at this moment.
    pub connections: u64,
    /// SSH channels at this moment.
    pub channels: u64,
    /// FTP transfers since the start.
    pub transfers: TransferCounts,
    /// Payload bytes sent towards SSH servers since the start.
    pub bytes_up: u64,
    /// Payload bytes received from SSH servers since the start.
    pub bytes_down: u64,
    /// True if the daemon is stopping and only lets running transfers finish.
    #[serde(default)]
    pub stopping: bool,
    /// True if the daemon was started on demand and ends when nothing uses it.
    #[serde(default)]
    pub on_demand: bool,
    /// Prompts that wait for an answer.
    #[serde(default)]
    pub prompts: u64,
    /// The failures of all tunnels, newest last.
    #[serde(default)]
    pub failures: Vec<RecentFailure>,
}

impl DaemonStatus {
    /// Its state in words.
    pub fn state(&self) -> &'static str {
        if self.stopping {
            "stopping"
        } else if self.on_demand {
            "running on demand"
        } else {
            "running"
        }
    }
}

/// The metrics of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricsPage {
    /// The text, in the Prometheus text format 0.0.4.
    pub text: String,
}

/// How much the daemon logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogSetting {
    /// The level or filter that holds now.
    pub level: String,
    /// The one of the command line, which holds again after a restart.
    pub default: String,
}

/// Something that a client of a tunnel asked for, and did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// When it last failed, in Unix seconds.
    pub time: u64,
    /// What failed, on what, and what to do.
    pub message: String,
    /// The cause for programs.
    pub reason: Reason,
    /// Whose fault it is.
    pub by: Party,
    /// How often it has failed in a row for this reason.
    pub count: u64,
    /// True once the tunnel has worked again.
    pub recovered: bool,
}

/// A failure and the tunnel in which it occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecentFailure {
    /// The tunnel listener, which may be closed by now.
    pub tunnel: u64,
    /// Where it listens, `address:port`.
    pub listener: String,
    /// What failed.
    #[serde(flatten)]
    pub failure: Failure,
}

/// FTP transfers by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TransferCounts {
    /// Running at this moment.
    pub active: u64,
    /// Ended, and complete.
    pub ok: u64,
    /// Cut, refused or timed out.
    pub failed: u64,
}

/// A profile of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Profile {
    /// The unique id in the configuration.
    pub id: String,
    /// The name for people, if there is one.
    pub name: Option<String>,
    /// The SSH server.
    pub host: String,
    /// The SSH server's port.
    pub port: u16,
    /// The user to log in as, if one is configured.
    pub user: Option<String>,
    /// Its SSH connections at this moment.
    pub connections: u64,
    /// Its tunnel listeners.
    pub tunnels: u64,
    /// Why the last attempt to connect failed, unless a later one succeeded.
    pub last_error: Option<String>,
    /// What was tried if that was a login, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<LoginAttempt>,
    /// Seconds for which the daemon refuses clients because of that error; absent if the daemon connects for the next
    /// client.
    pub retry_in: Option<u64>,
    /// Seconds for which nothing has come on one of its connections, although the SSH server owes an answer; the longest
    /// silence counts.
    #[serde(default)]
    pub no_answer: Option<u64>,
}

/// An SSH connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Connection {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The profile's id; absent for a target given on the command line.
    pub profile: Option<String>,
    /// `host#port` as configured or requested.
    pub target: String,
    /// The user that the daemon logs in as.
    pub user: String,
    /// What the connection carries.
    pub kind: ConnectionKind,
    /// Its state.
    pub state: ConnectionPhase,
    /// When it was opened, in Unix seconds.
    pub since: u64,
    /// Seconds for which nothing has come from the server, although it owes an answer to a keepalive.
    #[serde(default)]
    pub no_answer: Option<u64>,
    /// The server's address and port, once connected; absent if only a proxy or a gateway knows it.
    pub peer: Option<String>,
    /// The proxy and the gateways on its route, in this order; absent if the connection is direct.
    #[serde(default)]
    pub route: Option<String>,
    /// The server's SSH identification, for example `SSH-2.0-OpenSSH_9.2`.
    pub server_version: Option<String>,
    /// The negotiated key exchange.
    pub kex: Option<String>,
    /// The negotiated cipher.
    pub cipher: Option<String>,
    /// The negotiated MAC; absent if the cipher includes authentication.
    pub mac: Option<String>,
    /// The server's host key: algorithm and SHA-256 fingerprint.
    pub host_key: Option<String>,
    /// Channels open on it.
    pub channels: u64,
    /// Payload bytes received on its channels.
    pub bytes_in: u64,
    /// Payload bytes sent on its channels.
    pub bytes_out: u64,
    /// Its last error, if any.
    pub last_error: Option<String>,
    /// What was tried if that was a login, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<LoginAttempt>,
}

/// What an SSH connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionKind {
    /// FTP control connections and plain TCP tunnels.
    Control,
    /// One FTP data connection at a time.
    Data,
}

/// The state of an SSH connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionPhase {
    /// Connecting or authenticating.
    Connecting,
    /// Ready, without channels.
    Idle,
    /// Carrying at least one channel.
    Active,
    /// Ending.
    Closing,
}

/// One SSH connection with the channels on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionDetail {
    /// The connection.
    pub connection: Connection,
    /// Its channels, lowest id first.
    pub channels: Vec<ChannelInfo>,
}

/// An SSH channel, and the local connection that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelInfo {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The SSH connection that carries it; absent until there is one.
    pub connection: Option<u64>,
    /// The tunnel listener whose client it serves.
    pub tunnel: u64,
    /// The session: one client's control connection and all its data connections share this id.
    pub session: u64,
    /// What it carries.
    pub kind: ChannelKind,
    /// How the FTP client requested it; data connections only.
    pub mode: Option<DataMode>,
    /// The direction of the transfer; data connections only, once known.
    pub direction: Option<Direction>,
    /// The FTP command with its file, for example `RETR report.txt`; data connections only, once known.
    pub command: Option<String>,
    /// Its state.
    pub state: ChannelState,
    /// Bytes sent towards the SSH server.
    pub bytes_up: u64,
    /// Bytes received from the SSH server.
    pub bytes_down: u64,
    /// Bytes per second in both directions together, on average since both ends were connected.
    pub rate: u64,
    /// When it was requested, in Unix seconds.
    pub since: u64,
    /// The remote end, `host:port` as the SSH server sees it.
    pub target: String,
    /// The local client's address and port.
    pub client: String,
    /// The TLS version and cipher between the client and the daemon; absent without TLS.
    pub tls: Option<String>,
}

/// What an SSH channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// An FTP control connection.
    Control,
    /// An FTP data connection.
    Data,
    /// A connection through a plain TCP tunnel.
    Tcp,
}

/// Who opens an FTP data connection (RFC 959, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DataMode {
    /// The client connects: PASV, EPSV.
    Passive,
    /// The server connects: PORT, EPRT.
    Active,
}

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server.
    Upload,
    /// From the server to the client, including listings.
    Download,
}

/// The state of an SSH channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ChannelState {
    /// Waiting for one of its two ends.
    Opening,
    /// Carrying bytes.
    Open,
    /// Ending.
    Closing,
}

/// A local listener and the tunnel behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TunnelListener {
    /// Unique while the daemon runs.
    pub id: u64,
    /// What it forwards.
    pub kind: TunnelKind,
    /// The side that listens.
    #[serde(default)]
    pub side: TunnelSide,
    /// The address listened on.
    pub address: String,
    /// The port listened on. If the request was for any free port, the port taken.
    pub port: u16,
    /// The destination, as seen from the side that does not listen. Empty for SOCKS: the clients name it.
    pub dst_host: String,
    /// The destination's port. 0 for SOCKS.
    pub dst_port: u16,
    /// The profile's id; absent for a target given on the command line.
    pub profile: Option<String>,
    /// The SSH server, `user@host#port`.
    pub target: String,
    /// Whether hosts other than the one that listens may connect.
    pub relay: bool,
    /// How its FTP clients begin TLS; absent if they cannot.
    pub tls: Option<TlsStart>,
    /// Whether it listens.
    pub state: ListenerState,
    /// Why it waits or does not listen.
    pub reason: Option<String>,
    /// Since when it has failed, in Unix seconds; absent if it has not.
    #[serde(default)]
    pub failed_since: Option<u64>,
    /// Seconds until the daemon tries again; absent if it does not, or only once the profile is connected.
    #[serde(default)]
    pub retry_in: Option<u64>,
    /// Clients being served at this moment.
    pub sessions_active: u64,
    /// Clients served since the start, including the current ones.
    pub sessions_total: u64,
    /// Its FTP transfers.
    pub transfers: TransferCounts,
    /// Payload bytes from its clients to the destination.
    pub bytes_up: u64,
    /// Payload bytes from the destination to its clients.
    pub bytes_down: u64,
    /// The listener's origin.
    pub origin: TunnelOrigin,
    /// Clients that the daemon could not serve, since the start.
    #[serde(default)]
    pub sessions_refused: u64,
    /// What last failed, also after the tunnel has worked again.
    #[serde(default)]
    pub last_failure: Option<Failure>,
    /// The most clients that are served at the same time; absent from older daemons.
    #[serde(default)]
    pub max_sessions: Option<u64>,
}

/// The side of a tunnel that listens; the other one connects to the destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TunnelSide {
    /// The daemon's host.
    #[default]
    Local,
    /// The SSH server.
    Remote,
}

/// What a tunnel forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TunnelKind {
    /// Any TCP connection, as it is.
    Tcp,
    /// An FTP control connection and every data connection that it negotiates.
    Ftp,
    /// Connections to destinations that the clients name by SOCKS.
    Socks,
}

/// How an FTP client begins TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TlsStart {
    /// With the command `AUTH`.
    Explicit,
    /// When it connects.
    Implicit,
}

/// Whether a tunnel listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ListenerState {
    /// It accepts clients.
    Listening,
    /// It will listen once its profile is connected.
    Waiting,
    /// It could not listen.
    Failed,
}

/// The origin of a tunnel listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TunnelOrigin {
    /// A profile of the configuration file.
    File,
    /// The static tunnels of the configuration file.
    Static,
    /// `open-tunnel-listener`.
    Command,
}

/// A host key that an SSH server has presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostKey {
    /// Its algorithm, for example `ssh-ed25519`.
    pub algorithm: String,
    /// Its size in bits.
    pub bits: u32,
    /// Its SHA-256 fingerprint, as OpenSSH prints it.
    pub fingerprint: String,
    /// The fingerprint as a picture of several lines, as OpenSSH draws it.
    pub randomart: String,
    /// Whether it is known, unknown, changed or revoked.
    pub standing: HostKeyStanding,
    /// The file and line that decide it. If the key has changed, also the known key's algorithm and fingerprint.
    pub known_at: Option<String>,
}

/// A host key compared with the known keys of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyStanding {
    /// It is a known key of the server.
    Known,
    /// No key of its type is known.
    Unknown,
    /// Another key of its type is known.
    Changed,
    /// It is revoked: no server may use it.
    Revoked,
}

/// Displays a value in its wire form, so that people and programs read the same words.
macro_rules! display_as_on_the_wire {
    ($($name:ty),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )* };
}

display_as_on_the_wire!(
    EventKind,
    LogLevel,
    TransferDirection,
    TransferState,
    ConnectionKind,
    ConnectionPhase,
    ChannelKind,
    DataMode,
    Direction,
    ChannelState,
    TunnelKind,
    TunnelSide,
    TlsStart,
    ListenerState,
    TunnelOrigin,
    PromptKind,
    HostKeyStanding,
    Party,
    Reason
);
