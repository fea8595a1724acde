//! Clients of the local socket, and values of the configuration.

use serde::{Deserialize, Serialize};

/// A client of the local socket, such as broker-ctl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientInfo {
    /// Unique while the daemon runs.
    pub id: u64,
    /// Its process id, if the system reports it.
    pub pid: Option<u32>,
    /// The id of its user, if the system reports it.
    pub uid: Option<u32>,
    /// The name of its program, if the system reports it.
    pub program: Option<String>,
    /// The version of its build, as it has introduced itself.
    pub build: String,
    /// When it connected, in Unix seconds.
    pub since: u64,
    /// The methods whose answers it waits for, and `subscribe` if it gets events.
    pub waits_for: Vec<String>,
}

/// A value of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigEntry {
    /// Its place, from the outermost element on: `profiles/profile[1]/@port`.
    pub path: String,
    /// The value as written, or the default. Asterisks replace a secret.
    pub value: String,
}
