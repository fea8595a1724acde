//! Events: what happens in the daemon, as subscribers receive it.

use serde::{Deserialize, Serialize};

use super::transfer::Transfer;
use super::{ConnectionKind, ListenerState};

/// Something that has happened. Which members it has depends on its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: 1 for the first event of the daemon, and one more for each further one.
    pub number: u64,
    /// When it happened, in Unix seconds.
    pub at: u64,
    /// What has happened.
    pub kind: EventKind,
    /// The profile's id, or the target that a command named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The SSH connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<EventConnection>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<EventSession>,
    /// The tunnel listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<EventTunnel>,
    /// The transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Why an SSH connection has ended, or why a listener does not listen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many events this subscriber has missed, this one's number included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// An SSH connection is up.
    Connected,
    /// An SSH connection that was up has ended.
    Disconnected,
    /// A client has connected to a tunnel and may use it.
    SessionOpened,
    /// Its session is over.
    SessionClosed,
    /// An FTP server has begun a transfer.
    TransferStarted,
    /// A transfer is over, or was refused.
    TransferEnded,
    /// The listener of a tunnel has changed.
    TunnelChanged,
    /// A tunnel accepts no more clients.
    TunnelClosed,
    /// This subscriber has missed events.
    Lost,
}

/// The SSH connection of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventConnection {
    /// The connection's id.
    pub id: u64,
    /// What it carries.
    pub kind: ConnectionKind,
}

/// The session of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSession {
    /// The session's id, which is that of its control channel.
    pub id: u64,
    /// The tunnel listener's id.
    pub tunnel: u64,
    /// Whether it is an FTP session.
    pub ftp: bool,
    /// The client, `address:port`.
    pub client: String,
    /// Where it leads, `host:port`.
    pub destination: String,
}

/// The tunnel listener of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTunnel {
    /// The listener's id.
    pub id: u64,
    /// What it does now; absent if it is closed.
    pub state: Option<ListenerState>,
    /// The port that it listens on, or would; absent if it is closed.
    pub port: Option<u16>,
}
