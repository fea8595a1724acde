//! Transfers: those that run, and those that are over.

use serde::{Deserialize, Serialize};

use crate::reason::Party;

/// One FTP transfer of a file or listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transfer {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The session's id, which is that of its control channel.
    pub session: u64,
    /// The tunnel listener's id.
    pub tunnel: u64,
    /// The profile's id, or the target that a command named.
    pub profile: String,
    /// The FTP server, `host:port`.
    pub server: String,
    /// The FTP client, `address:port`.
    pub client: String,
    /// The user of the daemon's host whose client it is, if known.
    pub client_uid: Option<u32>,
    /// The name that the client has logged in with at the FTP server, if known.
    pub ftp_user: Option<String>,
    /// The FTP command and its argument.
    pub command: String,
    /// The absolute path at the FTP server; absent if the server has not said enough to know it.
    pub path: Option<String>,
    /// What is moved, and which way.
    pub direction: TransferDirection,
    /// Whether it runs, or how it ended.
    pub state: TransferState,
    /// The bytes that have gone through the daemon.
    pub bytes: u64,
    /// The bytes that are to go through, if the client or the server has said so.
    pub size: Option<u64>,
    /// Bytes per second: of a running one over the last seconds, otherwise of the whole time.
    pub rate: u64,
    /// When it began, in Unix seconds.
    pub started: u64,
    /// How long it has run, in milliseconds.
    pub duration_ms: u64,
    /// Since when no byte has moved, in Unix seconds; absent if bytes move, or if it is over.
    pub stalled_since: Option<u64>,
    /// Seconds that it will still take at this rate; absent if that is unknown, or if it is over.
    pub time_left: Option<u64>,
    /// The line with which the client learned its end; absent while it runs, and if the session ended without one.
    pub reply: Option<String>,
    /// Why it failed, if the daemon knows more than the reply says.
    pub reason: Option<String>,
    /// Whose fault a failure is, as far as known.
    pub by: Option<Party>,
}

impl Transfer {
    /// How much of it has gone through. A server that converts line ends can send more than it has announced.
    pub fn percent(&self) -> Option<u64> {
        let size = self.size.filter(|size| *size > 0)?;
        let hundredths = u128::from(self.bytes) * 100 / u128::from(size);
        u64::try_from(hundredths.min(100)).ok()
    }
}

/// What a transfer moves, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TransferDirection {
    /// A file from the client to the server.
    Upload,
    /// A file from the server to the client.
    Download,
    /// A listing from the server to the client.
    Listing,
    /// Unknown, since the command is unknown.
    Unknown,
}

/// Whether a transfer runs, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TransferState {
    /// It runs.
    Running,
    /// All of it went through, and the client learned so.
    Complete,
    /// The server reported a failure.
    Failed,
    /// The server refused it before it began.
    Refused,
    /// The client aborted it, or left before it knew the result.
    Aborted,
    /// The data was cut, and the broker told the client.
    Cut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_transfer_is_more_than_complete() {
        let percent = |bytes, size| {
            Transfer {
                bytes,
                size,
                ..sample()
            }
            .percent()
        };
        assert_eq!(percent(5, None), None);
        assert_eq!(percent(0, Some(0)), None);
        assert_eq!(percent(1, Some(3)), Some(33));
        assert_eq!(percent(9, Some(3)), Some(100));
        assert_eq!(percent(u64::MAX, Some(u64::MAX)), Some(100));
    }

    fn sample() -> Transfer {
        Transfer {
            id: 1,
            session: 2,
            tunnel: 3,
            profile: "work".to_owned(),
            server: "localhost:21".to_owned(),
            client: "127.0.0.1:50000".to_owned(),
            client_uid: None,
            ftp_user: None,
            command: "RETR file".to_owned(),
            path: None,
            direction: TransferDirection::Download,
            state: TransferState::Running,
            bytes: 0,
            size: None,
            rate: 0,
            started: 0,
            duration_ms: 0,
            stalled_since: None,
            time_left: None,
            reply: None,
            reason: None,
            by: None,
        }
    }
}
