//! What the daemon tells of itself. Times are Unix seconds; sizes are bytes; `up` is towards the SSH server.
//!
//! A reader ignores fields it does not know, so that a newer daemon can say more.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The daemon as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Process id of the daemon.
    pub pid: u32,
    /// Version of the daemon's build.
    pub version: String,
    /// When it started, in Unix seconds.
    pub started: u64,
    /// The configuration files in force, in the order they were read.
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
    /// True once the daemon was told to stop and only lets running transfers finish.
    #[serde(default)]
    pub stopping: bool,
}

/// FTP transfers by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferCounts {
    /// Running at this moment.
    pub active: u64,
    /// Ended as complete.
    pub ok: u64,
    /// Cut, refused or timed out.
    pub failed: u64,
}

/// A profile of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The unique id it is configured under.
    pub id: String,
    /// The name for people, where one is given.
    pub name: Option<String>,
    /// The SSH server.
    pub host: String,
    /// The SSH server's port.
    pub port: u16,
    /// The user to log in as, where one is configured.
    pub user: Option<String>,
    /// Its SSH connections at this moment.
    pub connections: u64,
    /// Its tunnel listeners.
    pub tunnels: u64,
    /// Why the last attempt to connect failed, unless a later one succeeded.
    pub last_error: Option<String>,
    /// Seconds during which clients are refused because of it; absent where the next client makes it connect.
    pub retry_in: Option<u64>,
}

/// An SSH connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The profile's id; absent for a target given on the command line.
    pub profile: Option<String>,
    /// `host#port` as configured or asked for.
    pub target: String,
    /// The user logged in as.
    pub user: String,
    /// What the connection carries.
    pub kind: ConnectionKind,
    /// Where in its life it is.
    pub state: ConnectionPhase,
    /// When it was opened, in Unix seconds.
    pub since: u64,
    /// The server's address and port, once reached; absent where only a proxy or a gateway knows it.
    pub peer: Option<String>,
    /// The proxy and the gateways it goes through, in this order; absent where it goes straight.
    #[serde(default)]
    pub route: Option<String>,
    /// The server's SSH identification, for example `SSH-2.0-OpenSSH_9.2`.
    pub server_version: Option<String>,
    /// The key exchange agreed on.
    pub kex: Option<String>,
    /// The cipher agreed on.
    pub cipher: Option<String>,
    /// The MAC agreed on; absent where the cipher authenticates by itself.
    pub mac: Option<String>,
    /// The server's host key: algorithm and SHA-256 fingerprint.
    pub host_key: Option<String>,
    /// Channels open on it.
    pub channels: u64,
    /// Payload bytes received on its channels.
    pub bytes_in: u64,
    /// Payload bytes sent on its channels.
    pub bytes_out: u64,
    /// What last went wrong on it, if anything did.
    pub last_error: Option<String>,
}

/// What an SSH connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionKind {
    /// FTP control channels and plain TCP tunnels.
    Control,
    /// One FTP data channel at a time.
    Data,
}

/// Where in its life an SSH connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionPhase {
    /// Dialling, or proving who the two ends are.
    Connecting,
    /// Ready, and carrying nothing.
    Idle,
    /// Carrying at least one channel.
    Active,
    /// Ending.
    Closing,
}

/// One SSH connection with the channels on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionDetail {
    /// The connection.
    pub connection: Connection,
    /// Its channels, lowest id first.
    pub channels: Vec<ChannelInfo>,
}

/// An SSH channel, and the local connection it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelInfo {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The SSH connection that carries it; absent until there is one.
    pub connection: Option<u64>,
    /// The tunnel listener whose client it serves.
    pub tunnel: u64,
    /// The session: one client's control connection and all its data channels share it.
    pub session: u64,
    /// What it carries.
    pub kind: ChannelKind,
    /// How the FTP client asked for it; data channels only.
    pub mode: Option<DataMode>,
    /// Which way the transfer goes; data channels only, once known.
    pub direction: Option<Direction>,
    /// The FTP command it belongs to with its file, for example `RETR report.txt`; data channels only, once known.
    pub command: Option<String>,
    /// Where in its life it is.
    pub state: ChannelState,
    /// Bytes sent towards the SSH server.
    pub bytes_up: u64,
    /// Bytes received from the SSH server.
    pub bytes_down: u64,
    /// Bytes a second, both ways together, on average since both ends were there.
    pub rate: u64,
    /// When it was asked for, in Unix seconds.
    pub since: u64,
    /// The far end, `host:port` as the SSH server is asked to reach it.
    pub target: String,
    /// The local client's address and port.
    pub client: String,
}

/// What an SSH channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[serde(rename_all = "kebab-case")]
pub enum DataMode {
    /// The client connects: PASV, EPSV.
    Passive,
    /// The server connects: PORT, EPRT.
    Active,
}

/// Which way a transfer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server.
    Upload,
    /// From the server to the client; listings too.
    Download,
}

/// Where in its life an SSH channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
pub struct TunnelListener {
    /// Unique while the daemon runs.
    pub id: u64,
    /// What it forwards.
    pub kind: TunnelKind,
    /// The address listened on.
    pub address: String,
    /// The port listened on; the one taken, where any free one was asked for.
    pub port: u16,
    /// The destination, as seen from the SSH server.
    pub dst_host: String,
    /// The destination's port.
    pub dst_port: u16,
    /// The profile's id; absent for a target given on the command line.
    pub profile: Option<String>,
    /// The SSH server, `user@host#port`.
    pub target: String,
    /// True where other hosts may connect.
    pub relay: bool,
    /// Whether it listens.
    pub state: ListenerState,
    /// Why it does not listen, or waits.
    pub reason: Option<String>,
    /// Clients being served at this moment.
    pub sessions_active: u64,
    /// Clients served since the start, the present ones included.
    pub sessions_total: u64,
    /// Its FTP transfers.
    pub transfers: TransferCounts,
    /// Payload bytes sent towards the SSH server.
    pub bytes_up: u64,
    /// Payload bytes received from the SSH server.
    pub bytes_down: u64,
    /// Where the listener comes from.
    pub origin: TunnelOrigin,
}

/// What a tunnel forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelKind {
    /// Any TCP connection, as it is.
    Tcp,
    /// An FTP control connection and every data connection it agrees on.
    Ftp,
}

/// Whether a tunnel listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerState {
    /// It accepts clients.
    Listening,
    /// It will listen once its profile is connected.
    Waiting,
    /// It could not listen.
    Failed,
}

/// Where a tunnel listener comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelOrigin {
    /// A profile of the configuration file.
    File,
    /// The static tunnels of the configuration file.
    Static,
    /// `open-tunnel-listener`.
    Command,
}

/// A question that only a person can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Unique while the daemon runs.
    pub id: u64,
    /// What is asked.
    pub kind: PromptKind,
    /// The question in words, in one or more lines. Text of the server in it is made harmless: control characters are
    /// escaped, and each of its lines begins with `| `.
    pub message: String,
    /// What is to be typed, in order; empty for a host key, which is confirmed or not.
    pub fields: Vec<PromptField>,
    /// The SHA-256 fingerprint of the host key to be confirmed.
    pub fingerprint: Option<String>,
    /// Seconds until it is no longer asked.
    pub seconds_left: u64,
}

/// One thing to be typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptField {
    /// What stands before the input. A server's own is made harmless and begins with `| `.
    pub label: String,
    /// Whether what is typed may be seen.
    pub echo: bool,
}

/// The prompt that a client should be showing at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentPrompt {
    /// Absent where there is none.
    pub prompt: Option<Prompt>,
}

/// What a prompt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptKind {
    /// Whether an SSH server's key is the right one.
    HostKey,
    /// The passphrase of a private key.
    Passphrase,
    /// The user's password.
    Password,
    /// The server's own questions (RFC 4256).
    Interactive,
}

/// A host key that an SSH server has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// Its algorithm, for example `ssh-ed25519`.
    pub algorithm: String,
    /// Its size in bits.
    pub bits: u32,
    /// Its SHA-256 fingerprint, as OpenSSH prints it.
    pub fingerprint: String,
    /// The fingerprint as a picture of several lines, as OpenSSH draws it.
    pub randomart: String,
    /// How it stands to what is known of the server.
    pub standing: HostKeyStanding,
    /// Where that is said: file and line; with the other key's algorithm and fingerprint where it has changed.
    pub known_at: Option<String>,
}

/// How a host key stands to what is known of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyStanding {
    /// It is the server's.
    Known,
    /// No key of its type is known.
    Unknown,
    /// Another key of its type is known.
    Changed,
    /// It is not to be believed, whoever shows it.
    Revoked,
}

/// Shows a value as it stands on the wire, so that people and programs read the same words.
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
    ConnectionKind,
    ConnectionPhase,
    ChannelKind,
    DataMode,
    Direction,
    ChannelState,
    TunnelKind,
    ListenerState,
    TunnelOrigin,
    PromptKind,
    HostKeyStanding
);
