//! Why there is no way to a server

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use broker_settings::AddressFamily;

use crate::net::text::seconds;

/// Why there is no way to a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The server's name has no address (of the family asked for).
    #[error("no address for SSH server {host}: {reason}; check the name")]
    Resolve {
        /// The name.
        host: String,
        /// What came of looking it up.
        reason: ResolveError,
    },
    /// No TCP connection to the server.
    #[error("cannot connect to SSH server {server}: {reason}; check that it runs there")]
    Connect {
        /// Host and port.
        server: String,
        /// What came of each address.
        reason: Unreachable,
    },
    /// The proxy on the way to the server does not do its part.
    #[error("cannot reach SSH server {server} through {proxy}: {reason}")]
    Proxy {
        /// Host and port of the server.
        server: String,
        /// Kind, host and port of the proxy.
        proxy: String,
        /// What is wrong, and what to do.
        reason: ProxyFault,
    },
}

impl RouteError {
    /// See [`OpenError::may_pass`](crate::OpenError::may_pass): only a login that a proxy refuses stays refused.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } => true,
            Self::Proxy { reason, .. } => !reason.is_login(),
        }
    }
}

/// Why a name leads to no address that may be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The resolver was too slow.
    #[error("the resolver gave no answer within {}", seconds(*.0))]
    Late(Duration),
    /// What the resolver said.
    #[error("{0}")]
    Failed(String),
    /// There is none, or none of the only family that may be dialled.
    #[error("it has {}", none_of(*.0))]
    None(AddressFamily),
}

fn none_of(family: AddressFamily) -> &'static str {
    match family {
        AddressFamily::Any => "none",
        AddressFamily::Inet => "no IPv4 address, and no other is allowed",
        AddressFamily::Inet6 => "no IPv6 address, and no other is allowed",
    }
}

/// What came of each address of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Unreachable(pub Vec<FailedAttempt>);

/// An address that could not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailedAttempt {
    /// The attempt failed, for a reason of the operating system.
    #[error("{1} at {0}")]
    Failed(SocketAddr, String),
    /// There was no answer.
    #[error("no answer from {0} within {bound}", bound = seconds(*.1))]
    Silent(SocketAddr, Duration),
}

fn list(attempts: &[FailedAttempt]) -> String {
    let attempts: Vec<_> = attempts.iter().map(FailedAttempt::to_string).collect();
    attempts.join(", ")
}

/// Why a proxy does not connect us, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// Its name leads nowhere.
    #[error("no address for it: {0}")]
    Resolve(#[from] ResolveError),
    /// It cannot be connected to.
    #[error(transparent)]
    Connect(#[from] Unreachable),
    /// It says nothing.
    #[error("it did not answer within {}", seconds(*.0))]
    Silent(Duration),
    /// It hung up.
    #[error("it ended the connection instead of answering")]
    Ended,
    /// The connection to it was lost.
    #[error("it broke the connection off ({0})")]
    Lost(String),
    /// It does not speak the language that the rule says; with what it said.
    #[error("it does not speak HTTP (it said “{0}”); check the rule's kind of proxy and its port")]
    NotHttp(String),
    /// The same of SOCKS, whose words are no text.
    #[error(
        "it does not answer as such a proxy would; check the rule's kind of proxy and its port"
    )]
    NotSocks,
    /// Its answer has no end.
    #[error("its answer has more than {0} bytes of header")]
    LongAnswer(usize),
    /// It wants a login; with what an HTTP proxy said.
    #[error("it wants a login that the rule does not have{}; write user:password@ before its host", said(.0.as_deref()))]
    LoginWanted(Option<String>),
    /// The login is wrong; with what an HTTP proxy said.
    #[error("it did not accept the rule's user and password{}", said(.0.as_deref()))]
    LoginRefused(Option<String>),
    /// The user is wrong.
    #[error("it did not accept the rule's user")]
    UserRefused,
    /// It does not connect; with what an HTTP proxy said.
    #[error("it does not connect to the server ({0}); it may allow other ports only")]
    NotConnected(String),
    /// Its rules are against it.
    #[error("it does not allow connections to this server")]
    Forbidden,
    /// The server does not listen.
    #[error("the server refused its connection")]
    ServerRefused,
    /// The network is against it.
    #[error("it cannot reach the server")]
    ServerUnreachable,
    /// It does not take the server's address.
    #[error("it takes no server address of this kind; SOCKS4 knows no IPv6")]
    AddressKind,
    /// It failed without a reason.
    #[error("it failed to connect to the server and did not say why")]
    Unexplained,
    /// Whatever else there is.
    #[error("it did not connect to the server: {0}")]
    Other(String),
}

impl ProxyFault {
    /// Whether it does not let us in, now or ever.
    pub(super) fn is_login(&self) -> bool {
        matches!(
            self,
            Self::LoginWanted(_) | Self::LoginRefused(_) | Self::UserRefused
        )
    }
}

impl From<io::Error> for ProxyFault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Ended
        } else {
            Self::Lost(error.to_string())
        }
    }
}

fn said(words: Option<&str>) -> String {
    words.map_or(String::new(), |words| format!(" ({words})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_login_that_a_proxy_refuses_stays_refused() {
        let through_proxy = |reason| RouteError::Proxy {
            server: "h:22".into(),
            proxy: "HTTP proxy p:80".into(),
            reason,
        };
        assert!(through_proxy(ProxyFault::Ended).may_pass());
        assert!(through_proxy(Unreachable::default().into()).may_pass());
        for refused in [
            ProxyFault::LoginWanted(None),
            ProxyFault::LoginRefused(None),
            ProxyFault::UserRefused,
        ] {
            assert!(!through_proxy(refused).may_pass());
        }
    }
}
