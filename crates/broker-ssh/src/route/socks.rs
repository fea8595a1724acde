//! What a SOCKS proxy is asked, and its answers in words

use broker_settings::ProxyLogin;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_socks::Error;
use tokio_socks::tcp::{Socks4Stream, Socks5Stream};

use super::proxy::Refusal;
use crate::spec::Target;

/// Has a SOCKS 4 proxy connect to the target; by name with SOCKS 4a.
///
/// # Errors
/// Why it does not.
pub(super) async fn connect_v4<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    login: Option<&ProxyLogin>,
) -> Result<(), Refusal> {
    let target = (target.host.as_str(), target.port);
    let asked = match login {
        Some(login) => {
            Socks4Stream::connect_with_userid_and_socket(stream, target, &login.user).await
        }
        None => Socks4Stream::connect_with_socket(stream, target).await,
    };
    asked.map(drop).map_err(|error| refusal(&error))
}

/// Has a SOCKS 5 proxy connect to the target.
///
/// # Errors
/// Why it does not.
pub(super) async fn connect_v5<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    login: Option<&ProxyLogin>,
) -> Result<(), Refusal> {
    let target = (target.host.as_str(), target.port);
    let asked = match login {
        Some(ProxyLogin { user, password }) => {
            let password = password.expose_secret();
            Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
        }
        None => Socks5Stream::connect_with_socket(stream, target).await,
    };
    asked.map(drop).map_err(|error| refusal(&error))
}

fn refusal(error: &Error) -> Refusal {
    let words = in_words(error);
    let at_the_door = matches!(
        error,
        Error::NoAcceptableAuthMethods
            | Error::AuthorizationRequired
            | Error::PasswordAuthFailure(_)
            | Error::IdentdAuthFailure
            | Error::InvalidUserIdAuthFailure
    );
    if at_the_door {
        Refusal::Login(words)
    } else {
        Refusal::Other(words)
    }
}

/// The proxy's answer (RFC 1928 section 6), and what to do about it.
fn in_words(error: &Error) -> String {
    let words = match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "it ended the connection instead of answering"
        }
        Error::Io(error) => return format!("it broke the connection off ({error})"),
        Error::InvalidResponseVersion
        | Error::InvalidReservedByte
        | Error::UnknownAddressType
        | Error::UnknownAuthMethod => {
            "it does not answer as such a proxy would; check the rule's kind of proxy and its port"
        }
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired => {
            "it wants a login that the rule does not have; write user:password@ before its host"
        }
        Error::PasswordAuthFailure(_) => "it did not accept the rule's user and password",
        Error::IdentdAuthFailure | Error::InvalidUserIdAuthFailure => {
            "it did not accept the rule's user"
        }
        Error::ConnectionNotAllowedByRuleset => "it does not allow connections to this server",
        Error::ConnectionRefused => "the server refused its connection",
        Error::NetworkUnreachable | Error::HostUnreachable | Error::TtlExpired => {
            "it cannot reach the server"
        }
        Error::AddressTypeNotSupported => {
            "it takes no server address of this kind; SOCKS4 knows no IPv6"
        }
        Error::GeneralSocksServerFailure => {
            "it failed to connect to the server and did not say why"
        }
        Error::CommandNotSupported
        | Error::UnknownError
        | Error::ProxyServerUnreachable
        | Error::ParseError(_)
        | Error::InvalidTargetAddress(_)
        | Error::InvalidAuthValues(_) => {
            return format!("it did not connect to the server: {error}");
        }
    };
    words.to_owned()
}
