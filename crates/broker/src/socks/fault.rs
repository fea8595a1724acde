//! Why a client's SOCKS request is not served.

use std::io;
use std::time::Duration;

use socks5_protocol::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first letters of HTTP's methods (RFC 9110 section 9): a client that is set to an HTTP proxy sends one of them.
const HTTP: [&[u8]; 9] = [
    b"GET ", b"CONN", b"POST", b"HEAD", b"PUT ", b"OPTI", b"DELE", b"TRAC", b"PATC",
];

/// The first byte of a TLS connection (RFC 8446 section 5.1).
const TLS: u8 = 22;

/// Why there is no request to serve, as a person reads it in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Another protocol.
    #[error(
        "the client speaks {0} instead of SOCKS: set it to a SOCKS proxy, or it has the wrong port"
    )]
    OtherProtocol(&'static str),
    /// An unknown version, or none at all.
    #[error("the client does not speak SOCKS: its first byte is {0}")]
    Version(u8),
    /// The client knows no login method that the listener accepts.
    #[error("the client offers no login with user and password, which this listener requires")]
    LoginMissing,
    /// The client offers only logins that the broker does not support.
    #[error("the client offers only login methods that the broker does not support")]
    Methods,
    /// The login is wrong.
    #[error("the client gave a wrong user or password")]
    LoginWrong,
    /// SOCKS 4 has no passwords.
    #[error(
        "the client speaks SOCKS 4, which has no passwords: this listener requires one, so use SOCKS 5"
    )]
    NoPasswords,
    /// BIND, UDP ASSOCIATE, or an unknown command.
    #[error("the client asked for the SOCKS command {0}: the broker supports only CONNECT")]
    Command(u8),
    /// The destination cannot be one.
    #[error("the client named no usable destination")]
    Destination,
    /// The request violates the protocol.
    #[error("the client's SOCKS request is malformed")]
    Malformed,
    /// The whole took too long.
    #[error("the client did not finish its SOCKS request within {} seconds", .0.as_secs())]
    Late(Duration),
    /// The connection failed, or ended early.
    #[error("the client's connection ended before its SOCKS request: {0}")]
    Io(#[from] io::Error),
}

impl Fault {
    /// What a client speaks that does not begin with a version of SOCKS.
    pub(super) async fn other_protocol(first: u8, client: &mut (impl AsyncRead + Unpin)) -> Self {
        if first == TLS {
            return Self::OtherProtocol("TLS");
        }
        let mut method = [first, 0, 0, 0];
        let [_, rest @ ..] = &mut method;
        let begins_http = HTTP.iter().any(|known| known.first() == Some(&first));
        if begins_http && client.read_exact(rest).await.is_ok() && HTTP.contains(&&method[..]) {
            return Self::OtherProtocol("HTTP");
        }
        Self::Version(first)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => Self::Io(error),
            Error::InvalidCommand(command) => Self::Command(command),
            Error::InvalidDomain(_) | Error::DomainTooLong(_) | Error::InvalidAddressType(_) => {
                Self::Destination
            }
            Error::InvalidVersion(_)
            | Error::TooManyMethods
            | Error::InvalidHandshake
            | Error::InvalidCommandReply(_)
            | Error::CommandReply(_) => Self::Malformed,
        }
    }
}
