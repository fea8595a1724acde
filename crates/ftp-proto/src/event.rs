//! The actions of a session for its caller, and the caller's events about data channels.

use std::fmt;
use std::net::IpAddr;

use crate::text::printable_line;

/// The id of one data channel in a session. It is never used again in that session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId(pub u64);

/// Which side opens the data connection, seen from the FTP server (RFC 959, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The server listens: `PASV`, `EPSV`, `LPSV`.
    Passive,
    /// The client listens: `PORT`, `EPRT`, `LPRT`.
    Active,
}

/// One of the two peers of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The FTP client.
    Client,
    /// The FTP server.
    Server,
}

/// The address that a peer announced for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The announced address; `None` if the form has none (`229`).
    pub host: Option<IpAddr>,
    /// The announced port, never 0.
    pub port: u16,
}

/// An action for the caller. The caller writes the bytes of [`take_to_client`](crate::Session::take_to_client) and
/// [`take_to_server`](crate::Session::take_to_server) before it carries out the actions polled after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Provide an endpoint that leads to `target`, for the peer that did not announce `target`, and answer with
    /// [`offered`](crate::Session::offered). The session holds the peers' input meanwhile, so the answer must always
    /// come.
    Offer {
        /// The new channel.
        id: DataId,
        /// Passive: an endpoint for the client that leads to the server. Active: one for the server that leads to the
        /// client.
        mode: Mode,
        /// The announced address; `None` if the client has not announced it yet, see `ahead`.
        target: Option<Announced>,
        /// Passive only: the connection to `target` must be open before the answer is `Ok`.
        open_first: bool,
        /// Active only: the server has refused an endpoint of the family that the caller provides first, so this one
        /// must be of the other. Only if the configuration says that there are two.
        other_family: bool,
        /// The client's end of the data connection must use TLS, with the caller as the TLS server.
        protected: bool,
        /// The client has not asked for it yet. Passive: open the connection to `target`, report
        /// [`DataEvent::Opening`] and [`DataEvent::Opened`], and provide the endpoint after [`Action::Announce`], which
        /// can come between the two. If the connection fails or ends
        /// before, the answer is `Err`, or the channel ends. Active: answer with an endpoint that nobody may use yet, and
        /// again after [`Action::Announce`]. If the endpoint is lost before, the channel ends.
        ahead: bool,
    },
    /// The client has asked for this channel, which was offered ahead.
    Announce {
        /// The channel.
        id: DataId,
        /// The address to which it leads.
        target: Announced,
    },
    /// Withdraw this endpoint, if nobody uses it yet. A transfer on it continues.
    Withdraw {
        /// The channel.
        id: DataId,
    },
    /// Reset this data channel towards the client, since the session can no longer vouch for it.
    Abort {
        /// The channel.
        id: DataId,
        /// Why, for the log.
        reason: String,
    },
    /// Ask the SSH session that carries this data channel whether it is alive. Report the answer as
    /// [`DataEvent::Alive`]. If the channel ends first, its end is the answer. After a
    /// [`DataEvent::ServerDone`], give a client behind SSH the time to read what is left and to close.
    CheckLiveness {
        /// The channel.
        id: DataId,
        /// The number of the check, which identifies late answers to earlier checks.
        check: u64,
    },
    /// The transfer on this data channel is complete: release what the server leaves open.
    Release {
        /// The channel.
        id: DataId,
    },
    /// End the direction to the server on this data channel now: it is certain to serve a download only. A server that
    /// waits until its end has been acknowledged then has the acknowledgement at once.
    HalfClose {
        /// The channel.
        id: DataId,
    },
    /// Begin TLS as the server on the client's control connection, after the bytes written so far. From then on the
    /// session's bytes for the client are encrypted, and those of the client are decrypted.
    StartTls,
    /// Pass the client's end on to the server.
    EndServer,
    /// Pass the server's end on to the client.
    EndClient,
    /// Record an event.
    Event(Event),
}

/// An event on a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEvent {
    /// A channel that was offered ahead has what it needs: the connection to the peer that announced the address is being
    /// made.
    Opening,
    /// The connection to the peer that announced the address works.
    Opened,
    /// Both peers are connected.
    Joined,
    /// The server's end was orderly. Every byte before it was written to the client, and the end was passed on.
    ServerDone,
    /// The client's end was orderly, and was passed on to the server after every byte of the client.
    ClientDone,
    /// The channel's SSH session answered this check, and the channel had not ended.
    Alive {
        /// See [`Action::CheckLiveness`].
        check: u64,
    },
    /// The channel has ended. This is its last event.
    Ended(DataEnd),
}

/// How a data channel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEnd {
    /// Both directions ended in an orderly way, and the other side confirmed it after everything that was sent to it.
    Complete,
    /// The connection between the peers was lost, or was closed after a stall or for a shutdown; with the reason.
    Cut(String),
    /// The client's connection was reset, was refused, or never came; with the reason.
    ClientGone(String),
    /// Nobody used it.
    Unused,
}

/// An event of a session to record. Its texts are printable, have at most 1 KiB, and contain no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server accepted a login.
    LoggedIn {
        /// The name in the last `USER`, if there was one.
        user: Option<String>,
    },
    /// The server refused a login.
    LoginRefused {
        /// The name in this `USER`, or in the last one, if there was one.
        user: Option<String>,
        /// Its reply.
        reply: String,
    },
    /// The session itself refused a command.
    Refused {
        /// The reply that the client receives.
        reply: String,
    },
    /// The client sent a command.
    Command {
        /// The verb in capitals, without Telnet bytes.
        verb: String,
        /// The argument; `****` for `PASS`, `ACCT` and every command that is not known to be harmless.
        argument: String,
    },
    /// The server began a transfer.
    TransferStarted {
        /// The channel that carries its data, if one was offered.
        id: Option<DataId>,
        /// The transfer.
        transfer: TransferFacts,
    },
    /// A transfer ended. Each start has one end.
    TransferEnded {
        /// The channel that carried its data, if one was offered.
        id: Option<DataId>,
        /// The transfer.
        transfer: TransferFacts,
        /// What the client received.
        told: Told,
        /// Whether the client aborted it.
        aborted: bool,
    },
    /// The server refused a transfer, which had not begun.
    TransferRefused {
        /// The channel that was offered for it, if there is one.
        id: Option<DataId>,
        /// The transfer.
        transfer: TransferFacts,
        /// What the client received.
        told: Told,
    },
    /// The client's first bytes belong to another protocol. The session has ended.
    NotFtp {
        /// The protocol.
        protocol: Protocol,
    },
    /// From now on the control connection is encrypted from end to end, and the session cannot read it.
    Opaque,
}

/// What a transfer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferFacts {
    /// The command and its argument.
    pub command: String,
    /// The absolute path of the file or directory; `None` if the server has not said enough to know it.
    pub path: Option<String>,
    /// The direction of the data.
    pub direction: Direction,
    /// The bytes that are to be transferred, if the client or the server has said so.
    pub size: Option<u64>,
    /// Whether the data is text, whose line ends the two ends may write differently.
    pub text: bool,
}

/// The reply that ended a transfer for its client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Its code; 0 if the session ended without one.
    pub code: u16,
    /// Its deciding line, with the code.
    pub reply: String,
    /// Whether the server reported success, and the client received this failure instead.
    pub replaced: bool,
    /// Whether the session wrote it; otherwise it is the server's.
    pub own: bool,
}

impl Told {
    /// This line of a reply of the server.
    pub(crate) fn servers(code: u16, line: &[u8]) -> Self {
        Self {
            code,
            reply: printable_line(line),
            replaced: false,
            own: false,
        }
    }

    /// This reply of the session.
    pub(crate) fn own(code: u16, line: &[u8]) -> Self {
        Self {
            own: true,
            ..Self::servers(code, line)
        }
    }

    /// The session's own reply in the place of a success.
    pub(crate) fn instead(code: u16, line: &[u8]) -> Self {
        Self {
            replaced: true,
            ..Self::own(code, line)
        }
    }

    /// Whether the client was told that the transfer is complete.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// A protocol that a client used instead of FTP.
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

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the server to the client.
    Download,
    /// From the client to the server.
    Upload,
    /// Unknown, since the command is unknown.
    Unknown,
}
