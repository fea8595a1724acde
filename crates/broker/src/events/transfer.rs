//! The record of one transfer: what is moved for whom, and how it ended.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_ipc::Party;
use ftp_proto::Direction;

/// What is known of one transfer of a file or listing as soon as it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferStart {
    /// Its number.
    pub id: u64,
    /// The number of the FTP session.
    pub session: u64,
    /// The number of the tunnel.
    pub tunnel: u64,
    /// The tunnel's profile, or the target that a command named.
    pub profile: String,
    /// The FTP server: `host:port`.
    pub server: String,
    /// The client's address.
    pub client: SocketAddr,
    /// The user of this host whose client it is, if the kernel has told.
    pub client_uid: Option<u32>,
    /// The name that the client has logged in with at the FTP server, if known.
    pub ftp_user: Option<String>,
    /// The command and its argument. Printable, at most 1 KiB.
    pub command: String,
    /// The absolute path of the file or directory; `None` if the server has not said enough to know it. Printable, at
    /// most 1 KiB.
    pub path: Option<String>,
    /// What is moved, and which way.
    pub kind: TransferKind,
    /// The bytes that are to go through, if the client or the server has said so.
    pub size: Option<u64>,
    /// Whether the data is text, whose line ends the two ends may write differently.
    pub text: bool,
}

/// One transfer, once its client knows how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// What was moved for whom.
    pub start: Arc<TransferStart>,
    /// When it began.
    pub started: SystemTime,
    /// The bytes that went through the broker in this direction.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub result: TransferResult,
    /// The line with which the client learned that. Empty if the session ended without one.
    pub reply: String,
    /// Why it failed, if the broker knows more than the reply says.
    pub reason: Option<String>,
    /// Whose fault a failure is, as far as known.
    pub fault: Option<Fault>,
}

/// What a transfer moves, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferKind {
    /// A file from the client to the server.
    Upload,
    /// A file from the server to the client.
    Download,
    /// A listing from the server to the client.
    Listing,
    /// Unknown, since the command is unknown.
    Unknown,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferResult {
    /// All of it went through, and the client learned so.
    Complete,
    /// The server reported a failure.
    Failed,
    /// The server refused it before it began, for instance because there is no such file.
    Refused,
    /// The client aborted it, or left before it knew the result.
    Aborted,
    /// The data was cut, and the broker told the client.
    Cut,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The FTP client's.
    FtpClient,
    /// The FTP server's.
    FtpServer,
    /// The SSH connection's, or the SSH server's.
    Ssh,
    /// The broker's own: it was stopped, or told to cut.
    Broker,
}

impl Deref for TransferRecord {
    type Target = TransferStart;

    fn deref(&self) -> &TransferStart {
        &self.start
    }
}

impl TransferRecord {
    /// Bytes a second; `None` if no time has passed.
    pub fn rate(&self) -> Option<u64> {
        let rate = self.bytes as f64 / self.duration.as_secs_f64();
        rate.is_finite().then_some(rate as u64)
    }
}

impl TransferKind {
    /// What this command moves.
    pub(crate) fn of(command: &str, direction: Direction) -> Self {
        let verb = command.split(' ').next().unwrap_or_default();
        match direction {
            Direction::Download if verb == "RETR" => Self::Download,
            Direction::Download => Self::Listing,
            Direction::Upload => Self::Upload,
            Direction::Unknown => Self::Unknown,
        }
    }

    /// The bytes that count, of those that went up and down.
    pub(crate) fn bytes(self, (up, down): (u64, u64)) -> u64 {
        match self {
            Self::Upload => up,
            Self::Download | Self::Listing => down,
            Self::Unknown => up + down,
        }
    }

    /// The word for output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "up",
            Self::Download => "down",
            Self::Listing => "list",
            Self::Unknown => "unknown",
        }
    }
}

impl TransferResult {
    /// The word for output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::Cut => "cut",
        }
    }
}

impl Fault {
    /// The word for output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FtpClient => "ftp-client",
            Self::FtpServer => "ftp-server",
            Self::Ssh => "ssh",
            Self::Broker => "broker",
        }
    }
}

impl From<Fault> for Party {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::FtpClient => Self::FtpClient,
            Fault::FtpServer => Self::FtpServer,
            Fault::Ssh => Self::Ssh,
            Fault::Broker => Self::Broker,
        }
    }
}

impl From<Party> for Fault {
    fn from(party: Party) -> Self {
        match party {
            Party::FtpClient => Self::FtpClient,
            Party::FtpServer => Self::FtpServer,
            Party::Ssh => Self::Ssh,
            Party::Broker => Self::Broker,
        }
    }
}

impl fmt::Display for TransferKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for TransferResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
