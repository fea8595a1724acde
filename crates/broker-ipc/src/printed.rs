//! What `broker-ctl --json` prints if that is neither a reply of the daemon nor a [`crate::checks::Check`].

use std::path::PathBuf;

use serde::Serialize;

use crate::error::{ErrorCode, ErrorData};
use crate::types::{ChannelInfo, Connection};

/// An error, in the form of an answer of the daemon.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failed {
    /// What failed.
    pub error: FailedWith,
}

/// What failed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailedWith {
    /// The daemon's code; null if the error is not the daemon's.
    pub code: Option<ErrorCode>,
    /// What failed, on what, and what to do.
    pub message: String,
    /// The cause for programs.
    pub data: ErrorData,
}

/// What the commands that close something have closed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Closed {
    /// The ids of those that were closed.
    pub closed: Vec<u64>,
}

/// The daemon after `start`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Started {
    /// Its process id.
    pub pid: u32,
}

/// The daemon after `stop`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stopped {
    /// Whether it has stopped.
    pub state: StopState,
}

/// Whether the daemon has stopped.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StopState {
    /// It has stopped.
    Stopped,
    /// It is stopping.
    Stopping,
}

/// What `health` has found.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// The worst state.
    pub state: HealthState,
    /// The line for people.
    pub line: String,
    /// What is wrong, the worst first.
    pub findings: Vec<HealthFinding>,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthFinding {
    /// How bad that is.
    pub state: HealthState,
    /// What is wrong, on what.
    pub text: String,
}

/// The state of the daemon, as plug-ins of monitoring systems name it. The number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthState {
    /// Nothing is wrong.
    Ok = 0,
    /// Something needs attention.
    Warning = 1,
    /// Something does not work.
    Critical = 2,
    /// The state is unknown.
    Unknown = 3,
}

/// What `check-config` has found.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckedConfig {
    /// The files that were read.
    pub files: Vec<String>,
    /// Whether the daemon can use them.
    pub valid: bool,
    /// The number of profiles.
    pub profiles: usize,
    /// What was found, in the order of the files.
    pub diagnostics: Vec<ConfigDiagnostic>,
}

/// Something in a configuration file that a person should look at.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigDiagnostic {
    /// How bad that is.
    pub severity: ConfigSeverity,
    /// What it is about.
    pub concern: ConfigConcern,
    /// The file.
    pub file: String,
    /// The line; 0 for the whole file.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What was found.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// How bad something in a configuration file is.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ConfigSeverity {
    /// The daemon cannot use the file.
    Error,
    /// It probably does not mean what its author wants.
    Warning,
    /// The daemon does not support it.
    Unsupported,
    /// It has no effect.
    Note,
}

/// What a diagnostic is about.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ConfigConcern {
    /// What the file says.
    Content,
    /// Who can change the file.
    Access,
}

/// One daemon, as `status --all` lists it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DaemonInstance {
    /// Its process id; null if it does not answer.
    pub pid: Option<u32>,
    /// The id of its user, if the system reports it.
    pub uid: Option<u32>,
    /// The name of its user, if it has one.
    pub user: Option<String>,
    /// Its socket.
    pub socket: PathBuf,
    /// The version of its build; null if it does not answer.
    pub version: Option<String>,
    /// `running`, `running on demand`, `stopping`, or why it does not answer.
    pub state: String,
}

/// A connection, as `list-connections --show-channels` lists it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionWithChannels {
    /// The connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// The channels on it.
    pub channel_list: Vec<ChannelInfo>,
}
