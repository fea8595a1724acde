//! The requests to a SOCKS proxy, and its answers

use broker_settings::ProxyLogin;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_socks::Error;
use tokio_socks::tcp::{Socks4Stream, Socks5Stream};

use super::error::ProxyFault;
use crate::spec::Target;

/// Makes a SOCKS 4 proxy connect to the target; by name with SOCKS 4a.
///
/// # Errors
/// Why it does not.
pub(super) async fn connect_v4<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    login: Option<&ProxyLogin>,
) -> Result<(), ProxyFault> {
    let target = (target.host.as_str(), target.port);
    let asked = match login {
        Some(login) => {
            Socks4Stream::connect_with_userid_and_socket(stream, target, &login.user).await
        }
        None => Socks4Stream::connect_with_socket(stream, target).await,
    };
    asked.map(drop).map_err(refusal)
}

/// Makes a SOCKS 5 proxy connect to the target.
///
/// # Errors
/// Why it does not.
pub(super) async fn connect_v5<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    login: Option<&ProxyLogin>,
) -> Result<(), ProxyFault> {
    let target = (target.host.as_str(), target.port);
    let asked = match login {
        Some(ProxyLogin { user, password }) => {
            let password = password.expose_secret();
            Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
        }
        None => Socks5Stream::connect_with_socket(stream, target).await,
    };
    asked.map(drop).map_err(refusal)
}

/// The proxy's answer (RFC 1928 section 6).
fn refusal(error: Error) -> ProxyFault {
    match error {
        Error::Io(error) => error.into(),
        Error::InvalidResponseVersion
        | Error::InvalidReservedByte
        | Error::UnknownAddressType
        | Error::UnknownAuthMethod => ProxyFault::NotSocks,
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired => {
            ProxyFault::LoginWanted(None)
        }
        Error::PasswordAuthFailure(_) => ProxyFault::LoginRefused(None),
        Error::IdentdAuthFailure | Error::InvalidUserIdAuthFailure => ProxyFault::UserRefused,
        Error::ConnectionNotAllowedByRuleset => ProxyFault::Forbidden,
        Error::ConnectionRefused => ProxyFault::ServerRefused,
        Error::NetworkUnreachable | Error::HostUnreachable | Error::TtlExpired => {
            ProxyFault::ServerUnreachable
        }
        Error::AddressTypeNotSupported => ProxyFault::AddressKind,
        Error::GeneralSocksServerFailure => ProxyFault::Unexplained,
        Error::CommandNotSupported
        | Error::UnknownError
        | Error::ProxyServerUnreachable
        | Error::ParseError(_)
        | Error::InvalidTargetAddress(_)
        | Error::InvalidAuthValues(_) => ProxyFault::Other(error.to_string()),
    }
}
