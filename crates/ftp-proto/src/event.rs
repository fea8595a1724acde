//! What a session tells its caller and what it is told about data channels.

use std::fmt;
use std::net::IpAddr;

/// One data channel offered in a session. Never used again in that session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId(pub u64);

/// Who connects to whom for data, seen from the FTP server (RFC 959, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The server listens: `PASV`, `EPSV`, `LPSV`.
    Passive,
    /// The client listens: `PORT`, `EPRT`, `LPRT`.
    Active,
}

/// Where a peer said that it listens for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The address named; `None` where the form names none (`229`).
    pub host: Option<IpAddr>,
    /// The port named, never 0.
    pub port: u16,
}

/// What the caller must do. The bytes of [`take_to_client`](crate::Session::take_to_client) and
/// [`take_to_server`](crate::Session::take_to_server) are written before the actions polled after them are carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Provide an endpoint for the peer that did not announce `target`, leading to `target`, and answer with
    /// [`offered`](crate::Session::offered). What the peers say meanwhile is held, so an answer must always come.
    Offer {
        /// The channel's name from now on.
        id: DataId,
        /// Passive: an endpoint for the client leading to the server. Active: one for the server leading to the client.
        mode: Mode,
        /// What the announcing peer said.
        target: Announced,
        /// Passive only: the way to `target` must be open before the answer is `Ok`.
        open_first: bool,
    },
    /// Stop offering this endpoint, if nobody uses it yet. A transfer that runs on it goes on.
    Withdraw {
        /// The channel.
        id: DataId,
    },
    /// Reset this data channel towards the client: what was promised about it cannot be kept.
    Abort {
        /// The channel.
        id: DataId,
        /// Why, for the log.
        reason: String,
    },
    /// Ask the SSH session that carries this data channel whether it is alive, and report it as [`DataEvent::Alive`] if it
    /// comes. Where the channel ends first, its end is the answer.
    CheckLiveness {
        /// The channel.
        id: DataId,
        /// Names the check, to tell a late answer to an earlier one.
        check: u64,
    },
    /// The transfer on this data channel is over and known to be whole: let go of what the server leaves open of it.
    Release {
        /// The channel.
        id: DataId,
    },
    /// Pass the client's end on to the server.
    EndServer,
    /// Pass the server's end on to the client.
    EndClient,
    /// Something worth recording.
    Event(Event),
}

/// What became of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEvent {
    /// The way to the peer that announced the address works.
    Opened,
    /// Both peers are connected.
    Joined,
    /// The server's end came in an orderly way, every byte before it was written to the client, and the end passed on.
    ServerDone,
    /// The client's end came in an orderly way, and it went to the server behind every byte that the client had sent.
    ClientDone,
    /// The SSH session of the channel answered after this check was asked for, and the channel had not ended.
    Alive {
        /// See [`Action::CheckLiveness`].
        check: u64,
    },
    /// Nothing more will happen on this channel. Comes once, last.
    Ended(DataEnd),
}

/// How a data channel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEnd {
    /// Both directions came to an orderly end, and the other side confirmed it after everything that it was sent.
    Complete,
    /// The way between the peers was lost, or was cut after a stall or for a shutdown; with the reason.
    Cut(String),
    /// The client's own connection was reset, refused or never came; with the reason.
    ClientGone(String),
    /// Nobody used it.
    Unused,
}

/// Something worth recording about a session. Its texts are printable and at most 1 KiB; they hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server accepted a login (`230`, `232`). Once a session.
    LoggedIn,
    /// The client sent a command.
    Command {
        /// In capitals, without Telnet bytes.
        verb: String,
        /// `****` for `PASS`, `ACCT` and every command that is not known to be harmless.
        argument: String,
    },
    /// The server began a transfer.
    TransferStarted {
        /// The channel that carries its data, where one was offered.
        id: Option<DataId>,
        /// The command and its argument.
        command: String,
        /// Which way the data goes.
        direction: Direction,
    },
    /// A transfer that began came to its end. Each start has one end.
    TransferEnded {
        /// The channel that carried its data, where one was offered.
        id: Option<DataId>,
        /// The command and its argument.
        command: String,
        /// The reply as the client got it; 0 where the session ended without one.
        code: u16,
        /// Whether the server had reported success, and the client was told a failure instead.
        replaced: bool,
    },
    /// The client's first bytes were another protocol's. The session has ended.
    NotFtp {
        /// Which one.
        protocol: Protocol,
    },
    /// From here on the control channel is encrypted from end to end, and nothing in it is understood.
    Opaque,
}

/// What a client spoke instead of FTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// An HTTP request.
    Http,
    /// A TLS handshake.
    Tls,
    /// SSH's greeting.
    Ssh,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Ssh => "SSH",
        })
    }
}

/// Which way a transfer's data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the server to the client.
    Download,
    /// From the client to the server.
    Upload,
    /// The command is not one that is known.
    Unknown,
}
