//! Events: what happens in the daemon, as subscribers receive it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::transfer::Transfer;
use super::{
    ConnectionKind, ListenerState, Profile, Prompt, RecentFailure, ReloadReport, TunnelListener,
};

/// Something that has happened. Which members it has depends on its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Its number: 1 for the first event of the daemon, and one more for each further one. What is not numbered itself
    /// has that of the last event.
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
    /// The whole row of that tunnel, as it is when the event is sent; absent if the tunnel is closed by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<TunnelListener>,
    /// The transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// The profile as it is now, or the target that a command named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_state: Option<Profile>,
    /// What a client of a tunnel did not get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RecentFailure>,
    /// The prompt, without any answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// The configuration that the daemon uses now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<EventConfiguration>,
    /// The line of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogLine>,
    /// Why an SSH connection has ended, why a listener does not listen, or why a prompt has no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many events this subscriber has missed, this one's number included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl Event {
    /// An event with nothing but its kind.
    pub fn new(number: u64, at: u64, kind: EventKind) -> Self {
        Self {
            number,
            at,
            kind,
            profile: None,
            connection: None,
            session: None,
            tunnel: None,
            listener: None,
            transfer: None,
            profile_state: None,
            failure: None,
            prompt: None,
            configuration: None,
            log: None,
            reason: None,
            lost: None,
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The state of a profile has changed: its connections, its error, or whether it refuses clients for a while.
    ProfileChanged,
    /// How far a transfer is. Only for a subscriber that names this kind.
    TransferProgress,
    /// A client of a tunnel asked for something, and did not get it.
    Failure,
    /// A prompt waits for its answer.
    PromptWaiting,
    /// A prompt waits no longer.
    PromptAnswered,
    /// The daemon uses another configuration.
    ConfigurationChanged,
    /// A line of the log. Only for a subscriber that names this kind.
    Log,
    /// What was true at the subscription is complete.
    StateComplete,
    /// This subscriber has missed events.
    Lost,
}

/// The SSH connection of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventConnection {
    /// The connection's id.
    pub id: u64,
    /// What it carries.
    pub kind: ConnectionKind,
}

/// The session of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventTunnel {
    /// The listener's id.
    pub id: u64,
    /// What it does now; absent if it is closed.
    pub state: Option<ListenerState>,
    /// The port that it listens on, or would; absent if it is closed.
    pub port: Option<u16>,
}

/// The configuration of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventConfiguration {
    /// 1 for the configuration at the start, and one more with each reload that applied.
    pub generation: u64,
    /// The configuration files, in the order in which they were read.
    pub files: Vec<String>,
    /// What the last reload has changed; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReloadReport>,
}

/// A line of the daemon's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogLine {
    /// How important it is.
    pub level: LogLevel,
    /// The line as the text log has it, without its time and level.
    pub message: String,
    /// The values in it, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something needs attention.
    Warn,
    /// What usually happens.
    Info,
    /// For the search for a fault.
    Debug,
    /// Everything.
    Trace,
}
