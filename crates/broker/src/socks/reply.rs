//! The answer to a client's request.

use std::io;

use broker_ssh::{ChannelError, ChannelRefusal, OpenError};
use socks5_protocol::{CommandReply, CommandResponse};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The first byte of an answer of SOCKS 4.
const V4_ANSWER: u8 = 0;
const V4_GRANTED: u8 = 90;
const V4_REFUSED: u8 = 91;

/// The versions of the protocol; 4a differs from 4 only in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V5,
}

/// Why a request is refused, as far as the protocol can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Anything that has no code of its own.
    General,
    /// The broker or the SSH server forbids it.
    NotAllowed,
    /// There is no SSH connection to carry it.
    NetworkUnreachable,
    /// The SSH server could not connect to the destination.
    Refused,
    /// The SSH server did not answer in time.
    TimedOut,
    /// A command other than CONNECT.
    Command,
    /// A destination that is neither an address nor a name.
    AddressType,
}

impl Version {
    /// Tells the client that its destination is connected. The address in the answer is all zeros: only the SSH server
    /// knows it.
    ///
    /// # Errors
    /// If the client is gone.
    pub(crate) async fn grant(self, client: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        self.answer(client, CommandReply::Succeeded).await
    }

    /// Tells the client that its request is refused.
    ///
    /// # Errors
    /// If the client is gone.
    pub(crate) async fn refuse(
        self,
        client: &mut (impl AsyncWrite + Unpin),
        reason: Reason,
    ) -> io::Result<()> {
        self.answer(client, reason.code()).await
    }

    async fn answer(
        self,
        client: &mut (impl AsyncWrite + Unpin),
        reply: CommandReply,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        match self {
            Self::V4 => {
                let granted = reply == CommandReply::Succeeded;
                let code = if granted { V4_GRANTED } else { V4_REFUSED };
                bytes.extend([V4_ANSWER, code, 0, 0, 0, 0, 0, 0]);
            }
            Self::V5 => {
                let response = CommandResponse::reply_error(reply);
                // Writing into memory does not fail.
                let _ = response.write(&mut bytes).await;
            }
        }
        // In one piece: clients read the answer in one piece, and some expect it in one.
        client.write_all(&bytes).await
    }
}

impl Reason {
    /// The reason for this error.
    pub(crate) fn of(error: &OpenError) -> Self {
        match error {
            OpenError::Gateway { reason, .. } | OpenError::BackingOff { reason, .. } => {
                Self::of(reason)
            }
            OpenError::Route(_) => Self::NetworkUnreachable,
            OpenError::Channel(ChannelError::Refused { reason, .. }) => match reason {
                ChannelRefusal::Prohibited => Self::NotAllowed,
                ChannelRefusal::ConnectFailed => Self::Refused,
                ChannelRefusal::Unsupported
                | ChannelRefusal::Resources
                | ChannelRefusal::Unknown(_) => Self::General,
            },
            OpenError::Channel(ChannelError::Late { .. }) => Self::TimedOut,
            OpenError::Channel(
                ChannelError::ForwardRefused { .. }
                | ChannelError::Lost { .. }
                | ChannelError::TooMany { .. },
            )
            | OpenError::Handshake(_)
            | OpenError::HostKey(_)
            | OpenError::Auth(_)
            | OpenError::ShuttingDown { .. }
            | OpenError::Internal => Self::General,
        }
    }

    /// RFC 1928 section 6.
    fn code(self) -> CommandReply {
        match self {
            Self::General => CommandReply::GeneralSocksServerFailure,
            Self::NotAllowed => CommandReply::ConnectionNotAllowedByRuleset,
            Self::NetworkUnreachable => CommandReply::NetworkUnreachable,
            Self::Refused => CommandReply::ConnectionRefused,
            Self::TimedOut => CommandReply::TtlExpired,
            Self::Command => CommandReply::CommandNotSupported,
            Self::AddressType => CommandReply::AddressTypeNotSupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use broker_ssh::Target;

    use super::*;

    fn refused(reason: ChannelRefusal) -> OpenError {
        let target = Target {
            host: "h".into(),
            port: 1,
        };
        let server = "s".into();
        OpenError::Channel(ChannelError::Refused {
            server,
            target,
            reason,
            said: None,
        })
    }

    #[test]
    fn every_error_has_the_code_that_says_most() {
        let late = OpenError::Channel(ChannelError::Late {
            what: "w".into(),
            after: Duration::from_secs(1),
        });
        let behind = |reason| OpenError::BackingOff {
            reason: Box::new(reason),
            retry_in: Duration::from_secs(1),
        };
        for (error, code) in [
            (refused(ChannelRefusal::Prohibited), 2),
            (refused(ChannelRefusal::ConnectFailed), 5),
            (refused(ChannelRefusal::Resources), 1),
            (late.clone(), 6),
            (behind(late), 6),
            (OpenError::Internal, 1),
        ] {
            assert_eq!(Reason::of(&error).code().to_u8(), code, "{error}");
        }
    }
}
