//! Why a connection, or something on it, could not be had

use std::time::Duration;

use super::channel_error::ChannelError;
use crate::auth::AuthError;
use crate::host_key::HostKeyError;
use crate::net::text::seconds;
use crate::route::RouteError;

/// Why something could not be opened. Each message says what failed, on what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no way to the server.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The gateway on the way to the server cannot be had, or does not reach the server.
    #[error("cannot reach SSH server {server} through its gateway: {reason}")]
    Gateway {
        /// Host and port of the server.
        server: String,
        /// What is wrong; it names the gateway.
        reason: Box<OpenError>,
    },
    /// The server was reached, yet the SSH handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The server's key is not believed.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// The user is not logged in.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The connection is there, and a channel or forward on it is not.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Dials failed lately, so none is made now.
    #[error("{reason}; next try in {}", seconds(*.retry_in))]
    BackingOff {
        /// The last failure.
        reason: Box<OpenError>,
        /// How long until a dial is made again.
        retry_in: Duration,
    },
    /// The pool is ending.
    #[error("the connections to {server} are being closed")]
    ShuttingDown {
        /// Host and port.
        server: String,
    },
    /// A fault of the broker's own.
    #[error("an internal error ended the attempt to connect; please report it with the log")]
    Internal,
}

impl OpenError {
    /// Whether it was for want of a person, who may come at any moment, and not for the server's sake.
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

    /// Whether it may be gone some time without anybody's doing: the server or the network is away. Where it is not, to
    /// dial again would only fail again, and perhaps lock the user out.
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

    /// Whether the connection was lost on which it was to be opened, so that another one may do.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Channel(ChannelError::Lost { .. }))
    }

    /// Whether the server refused to listen for a remote forward.
    pub(crate) fn is_forward_refused(&self) -> bool {
        matches!(self, Self::Channel(ChannelError::ForwardRefused { .. }))
    }
}

/// Why the SSH handshake with a server that was reached failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The server broke it off, or spoke in another way than SSH servers do.
    #[error("SSH handshake with {server} failed: {reason}")]
    Failed {
        /// Host and port.
        server: String,
        /// What went wrong.
        reason: HandshakeFault,
    },
    /// The profile allows nothing that is supported.
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
    /// Nothing in common to negotiate.
    #[error(
        "no common {kind} with SSH server {server}: it offers {theirs}, the profile allows {ours}; allow one of the \
         server's"
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
    /// It took too long.
    #[error("the SSH handshake with {server} took longer than {}", seconds(*.after))]
    Late {
        /// Host and port.
        server: String,
        /// The bound.
        after: Duration,
    },
}

impl HandshakeError {
    /// See [`OpenError::may_pass`]: only what the profile or the server is set up with stays.
    fn may_pass(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Late { .. } => true,
            Self::Unsupported { .. } | Self::NoCommonAlgorithm { .. } => false,
        }
    }
}

/// What a server did that speaks no SSH, or speaks it wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    /// With what it sent instead of a version.
    #[error("the server does not begin as SSH servers do (is it one?); it sent: {0}")]
    NotSsh(String),
    /// Its version is none.
    #[error("the server does not begin as SSH servers do (is it one?)")]
    NoVersion,
    /// It hung up.
    #[error("the server ended the connection (is it an SSH server?)")]
    Ended,
    /// With the length that the packet would have.
    #[error("what the server sent is no SSH packet: it would have {0} bytes")]
    PacketSize(usize),
    /// With what the operating system said.
    #[error("the connection broke off ({0})")]
    BrokeOff(String),
    /// The type that it agreed on, and that of the key that it showed.
    #[error("it agreed on a host key of {0} and showed one of {1}")]
    KeyType(String, String),
    /// With what the SSH library says.
    #[error("{0}")]
    Library(String),
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

    fn refused(reason: ChannelRefusal) -> OpenError {
        let (server, target) = ("g:22".into(), Target::new("h", 22));
        let refused = ChannelError::Refused {
            server,
            target,
            reason,
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
