//! Why a connection, or something on it, could not be opened

use std::time::Duration;

use super::channel_error::ChannelError;
use crate::auth::{AuthError, LoginAttempt};
use crate::host_key::HostKeyError;
use crate::net::text::seconds;
use crate::route::RouteError;

/// Why something could not be opened. Each message says what failed, on what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no route to the server.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The gateway is not available, or does not reach the server.
    #[error("cannot reach SSH server {server} through its gateway: {reason}")]
    Gateway {
        /// Host and port of the server.
        server: String,
        /// The gateway's error, which names the gateway.
        reason: Box<OpenError>,
    },
    /// The server was reached, but the SSH handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The broker does not trust the server's key.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// The user is not logged in.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The connection is open, but a channel or forward on it is not.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Recent connection attempts failed, so none is made now.
    #[error("{reason}; next try in {}", seconds(*.retry_in))]
    BackingOff {
        /// The last failure.
        reason: Box<OpenError>,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// The pool is stopping.
    #[error("the connections to {server} are being closed")]
    ShuttingDown {
        /// Host and port.
        server: String,
    },
    /// A fault in the broker itself.
    #[error("an internal error ended the connection attempt; please report it with the log")]
    Internal,
}

impl OpenError {
    /// Whether a person was missing. The server is not the cause, and a person can appear at any moment.
    pub fn wants_person(&self) -> bool {
        match self {
            Self::BackingOff { reason, .. } | Self::Gateway { reason, .. } => reason.wants_person(),
            Self::HostKey(error) => error.wants_person(),
            Self::Auth(error) => error.wants_person(),
            Self::Route(_)
            | Self::Handshake(_)
            | Self::Channel(_)
            | Self::ShuttingDown { .. }
            | Self::Internal => false,
        }
    }

    /// Whether the fault may pass without intervention, because the server or the network is down. If not, another
    /// attempt would only fail again, and could lock the user out.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::BackingOff { reason, .. } | Self::Gateway { reason, .. } => reason.may_pass(),
            Self::Route(error) => error.may_pass(),
            Self::Handshake(error) => error.may_pass(),
            Self::Auth(error) => error.may_pass(),
            Self::Channel(error) => error.may_pass(),
            Self::HostKey(_) | Self::ShuttingDown { .. } | Self::Internal => false,
        }
    }

    /// The failure itself, behind the gateway that had it and the pause that it caused.
    pub fn innermost(&self) -> &Self {
        let mut error = self;
        while let Self::Gateway { reason, .. } | Self::BackingOff { reason, .. } = error {
            error = reason;
        }
        error
    }

    /// The failure of a login, if it is one.
    pub fn login(&self) -> Option<&AuthError> {
        match self.innermost() {
            Self::Auth(error) => Some(error),
            Self::Gateway { .. }
            | Self::BackingOff { .. }
            | Self::Route(_)
            | Self::Handshake(_)
            | Self::HostKey(_)
            | Self::Channel(_)
            | Self::ShuttingDown { .. }
            | Self::Internal => None,
        }
    }

    /// What was tried in a login that failed.
    pub fn tried(&self) -> &[LoginAttempt] {
        self.login().map_or(&[], AuthError::tried)
    }

    /// Whether the connection for it was lost, so that another connection may work.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Channel(ChannelError::Lost { .. }))
    }

    /// Whether the server refused to listen for a remote forward.
    pub(crate) fn is_forward_refused(&self) -> bool {
        matches!(self, Self::Channel(ChannelError::ForwardRefused { .. }))
    }
}

/// Why the SSH handshake failed with a server that was reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The server ended it, or violated the protocol.
    #[error("SSH handshake with {server} failed: {reason}")]
    Failed {
        /// Host and port.
        server: String,
        /// What went wrong.
        reason: HandshakeFault,
    },
    /// The profile allows no supported algorithm.
    #[error(
        "SSH handshake with {server} failed: none of the {kind} algorithms in the profile is supported: {names}"
    )]
    Unsupported {
        /// Host and port.
        server: String,
        /// Cipher, MAC, key exchange or host key.
        kind: &'static str,
        /// The profile's names, separated by commas.
        names: String,
    },
    /// The two sides have no algorithm in common.
    #[error(
        "no common {kind} with SSH server {server}: it offers {theirs}, the profile allows {ours}; allow one that the \
         server offers"
    )]
    NoCommonAlgorithm {
        /// Host and port.
        server: String,
        /// Cipher, MAC, key exchange, host key or compression.
        kind: String,
        /// Our names, separated by commas.
        ours: String,
        /// The server's names, separated by commas.
        theirs: String,
    },
    /// It accepted the connection and sent nothing.
    #[error(
        "the connection to SSH server {server} opened, but nothing came from there for {}; the server hangs, or waits \
         for another protocol: check the port",
        seconds(*.after)
    )]
    Silent {
        /// Host and port.
        server: String,
        /// The bound.
        after: Duration,
    },
    /// It sent its version, but the handshake took too long.
    #[error(
        "the SSH handshake with {server} ({version}) took longer than {}; the server is slow or overloaded, or the \
         network loses packets: try again later, or raise tcp-connect-timeout",
        seconds(*.after)
    )]
    Late {
        /// Host and port.
        server: String,
        /// Its version, escaped.
        version: String,
        /// The bound.
        after: Duration,
    },
}

impl HandshakeError {
    /// See [`OpenError::may_pass`]: only faults in the setup of the profile or the server stay.
    fn may_pass(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Silent { .. } | Self::Late { .. } => true,
            Self::Unsupported { .. } | Self::NoCommonAlgorithm { .. } => false,
        }
    }
}

/// How a server violated the SSH protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    /// With what it sent instead of a version.
    #[error("{}", not_ssh(*.named, .sent))]
    NotSsh {
        /// What kind of server it is, if that is known.
        named: Option<&'static str>,
        /// The beginning of what it sent, escaped.
        sent: String,
    },
    /// It sent an invalid version.
    #[error("the server sent no valid SSH version; check that it is an SSH server")]
    NoVersion,
    /// It closed the connection.
    #[error("the server ended the connection; check that it is an SSH server")]
    Ended,
    /// With the length that the packet would have.
    #[error("the server sent something other than an SSH packet: its length would be {0} bytes")]
    PacketSize(usize),
    /// With the reason of the operating system.
    #[error(
        "the connection failed ({0}); check that it is an SSH server, and that it accepts this host"
    )]
    BrokeOff(String),
    /// The agreed type of host key, and the type of the key that it showed.
    #[error("it agreed on a host key of type {0} but showed one of type {1}")]
    KeyType(String, String),
    /// With the text of the SSH library.
    #[error("{0}")]
    Library(String),
}

fn not_ssh(named: Option<&str>, sent: &str) -> String {
    match named {
        Some(named) => {
            format!("it is {named}, not an SSH server: it greeted with: {sent}; check the port")
        }
        None => format!(
            "the server sent no valid SSH version: it sent: {sent}; check that it is an SSH server"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::ChannelRefusal;
    use crate::prompt::{NoAnswer, PromptError};
    use crate::spec::Target;
    use crate::state::CutReason;

    fn handshake(reason: HandshakeFault) -> OpenError {
        let server = "h:22".into();
        HandshakeError::Failed { server, reason }.into()
    }

    #[test]
    fn what_to_do_about_a_peer_without_ssh_ends_the_text() {
        let expected =
            "the server sent no valid SSH version: it sent: hi; check that it is an SSH server";
        assert_eq!(not_ssh(None, "hi"), expected);
    }

    fn refused(reason: ChannelRefusal) -> OpenError {
        let (server, target) = ("g:22".into(), Target::new("h", 22));
        let refused = ChannelError::Refused {
            server,
            target,
            reason,
            said: None,
        };
        OpenError::Gateway {
            server: "h:22".into(),
            reason: Box::new(refused.into()),
        }
    }

    #[test]
    fn what_the_network_did_may_pass_and_what_is_set_up_stays() {
        let lost = ChannelError::Lost {
            server: "h:22".into(),
            reason: CutReason::ForwardEnded,
        };
        let unsupported = HandshakeError::Unsupported {
            server: "h:22".into(),
            kind: "cipher",
            names: "made-up".into(),
        };
        let cases = [
            (handshake(HandshakeFault::Ended), true),
            (lost.into(), true),
            (refused(ChannelRefusal::ConnectFailed), true),
            (refused(ChannelRefusal::Prohibited), false),
            (unsupported.into(), false),
            (HostKeyError::Internal.into(), false),
            (OpenError::Internal, false),
        ];
        for (error, expected) in cases {
            assert_eq!(error.may_pass(), expected, "{error}");
            assert!(!error.wants_person(), "{error}");
        }
    }

    #[test]
    fn a_person_is_wanted_wherever_one_was_asked_in_vain() {
        let unanswered = PromptError::Unanswered {
            prompt: "the prompt".into(),
            why: NoAnswer::Nobody,
        };
        let host_key: OpenError = HostKeyError::from(unanswered.clone()).into();
        let login: OpenError = AuthError::from(unanswered).into();
        let behind_gateway = OpenError::Gateway {
            server: "h:22".into(),
            reason: Box::new(login.clone()),
        };
        for error in [host_key, login, behind_gateway] {
            assert!(error.wants_person() && !error.may_pass(), "{error}");
        }
    }
}
