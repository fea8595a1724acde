//! Sessions: the clients that are being served.

use serde::{Deserialize, Serialize};

/// One client's session through a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// Unique while the daemon runs. Its control channel, or the one channel of a TCP session, has the same id.
    pub id: u64,
    /// The tunnel listener's id.
    pub tunnel: u64,
    /// The profile's id; absent for a tunnel whose target a command named.
    pub profile: Option<String>,
    /// Whether it is an FTP session.
    pub ftp: bool,
    /// The client, `address:port`.
    pub client: String,
    /// Where it leads, `host:port`.
    pub destination: String,
    /// The name that the client has logged in with at the FTP server, if known.
    pub ftp_user: Option<String>,
    /// The TLS version and cipher of the client's control connection, if it uses TLS.
    pub tls: Option<String>,
    /// When it began, in Unix seconds.
    pub since: u64,
    /// The last FTP command, without secrets.
    pub command: Option<String>,
    /// The id of the transfer that runs.
    pub transfer: Option<u64>,
}
