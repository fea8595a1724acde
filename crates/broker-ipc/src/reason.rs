//! Why something failed, for programs: one word for each cause, from a closed list.

use serde::{Deserialize, Serialize};

/// Why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The name of the SSH server has no address.
    Dns,
    /// Nothing listens on the SSH server's port.
    Refused,
    /// The network has no way to the SSH server.
    Unreachable,
    /// The SSH server, or the network before it, did not answer in time.
    Timeout,
    /// The SSH connection was lost.
    Lost,
    /// The proxy, or the command in its place, does not connect to the SSH server.
    Proxy,
    /// What answers in the place of the SSH server is none.
    NotSsh,
    /// The SSH handshake failed.
    Handshake,
    /// The two sides have no algorithm in common.
    Algorithms,
    /// The SSH server's host key is not known.
    HostKeyUnknown,
    /// The SSH server has another host key than the known one.
    HostKeyChanged,
    /// The SSH server's host key is revoked, or cannot be checked or stored.
    HostKey,
    /// The SSH server did not accept the login, or the login cannot be tried.
    Auth,
    /// Nobody answered a prompt.
    Unanswered,
    /// The SSH server forbids the channel or the forward.
    ForwardingDenied,
    /// The SSH server has no resources for a channel.
    SshBusy,
    /// The SSH server cannot connect to the destination.
    FtpUnreachable,
    /// The destination did not answer in time.
    FtpTimeout,
    /// What answers at the destination is no FTP server.
    NotFtp,
    /// The FTP server refused the session, or reported the failure of a transfer.
    FtpRefused,
    /// The FTP server ended the connection.
    FtpLost,
    /// The tunnel does not serve this client.
    NotAllowed,
    /// The address and port are in use.
    PortInUse,
    /// The daemon cannot listen there for another reason.
    Listen,
    /// The configuration has errors.
    Config,
    /// The request is not valid.
    InvalidRequest,
    /// The daemon and the client speak different versions of the interface.
    Version,
    /// What the request names does not exist.
    NotFound,
    /// The daemon does not support the request.
    NotSupported,
    /// This user may not use the daemon.
    Denied,
    /// A limit is reached.
    Limit,
    /// The daemon is stopping, or the work was stopped on request.
    Stopping,
    /// No daemon could be reached.
    NoDaemon,
    /// The daemon does not answer.
    DaemonHangs,
    /// A fault of the daemon.
    Internal,
    /// A reason that this build does not know.
    #[serde(other)]
    Other,
}

/// Whose fault something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The FTP client.
    FtpClient,
    /// The FTP server, or whatever the tunnel leads to.
    FtpServer,
    /// The SSH server, or the way to it.
    Ssh,
    /// The broker, its configuration, or the host that it runs on.
    Broker,
}

impl Reason {
    /// Whether the same request can succeed later although nobody changes anything.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Dns
            | Self::Refused
            | Self::Unreachable
            | Self::Timeout
            | Self::Lost
            | Self::Proxy
            | Self::Handshake
            | Self::SshBusy
            | Self::FtpUnreachable
            | Self::FtpTimeout
            | Self::FtpRefused
            | Self::FtpLost
            | Self::PortInUse
            | Self::Limit
            | Self::Stopping
            | Self::NoDaemon
            | Self::DaemonHangs => true,
            Self::NotSsh
            | Self::Algorithms
            | Self::HostKeyUnknown
            | Self::HostKeyChanged
            | Self::HostKey
            | Self::Auth
            | Self::Unanswered
            | Self::ForwardingDenied
            | Self::NotFtp
            | Self::NotAllowed
            | Self::Listen
            | Self::Config
            | Self::InvalidRequest
            | Self::Version
            | Self::NotFound
            | Self::NotSupported
            | Self::Denied
            | Self::Internal
            | Self::Other => false,
        }
    }

    /// Whose fault it is.
    pub fn party(self) -> Party {
        match self {
            Self::Dns
            | Self::Refused
            | Self::Unreachable
            | Self::Timeout
            | Self::Lost
            | Self::Proxy
            | Self::NotSsh
            | Self::Handshake
            | Self::Algorithms
            | Self::HostKeyUnknown
            | Self::HostKeyChanged
            | Self::HostKey
            | Self::Auth
            | Self::ForwardingDenied
            | Self::SshBusy => Party::Ssh,
            Self::FtpUnreachable
            | Self::FtpTimeout
            | Self::NotFtp
            | Self::FtpRefused
            | Self::FtpLost => Party::FtpServer,
            Self::NotAllowed => Party::FtpClient,
            Self::Unanswered
            | Self::PortInUse
            | Self::Listen
            | Self::Config
            | Self::InvalidRequest
            | Self::Version
            | Self::NotFound
            | Self::NotSupported
            | Self::Denied
            | Self::Limit
            | Self::Stopping
            | Self::NoDaemon
            | Self::DaemonHangs
            | Self::Internal
            | Self::Other => Party::Broker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_word_on_the_wire() {
        let word = serde_json::to_string(&Reason::HostKeyChanged).unwrap();
        assert_eq!(word, r#""host-key-changed""#);
        assert_eq!(
            serde_json::from_str::<Reason>(&word).unwrap(),
            Reason::HostKeyChanged
        );
        let newer = serde_json::from_str::<Reason>(r#""made-up""#).unwrap();
        assert_eq!(newer, Reason::Other);
    }
}
