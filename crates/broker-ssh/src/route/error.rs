//! Why there is no route to a server

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use broker_settings::AddressFamily;

use crate::net::text::seconds;

/// Why there is no route to a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The server's name has no address (of the requested family).
    #[error("no address for SSH server {host}: {reason}; check the name")]
    Resolve {
        /// The name.
        host: String,
        /// Why the lookup failed.
        reason: ResolveError,
    },
    /// No TCP connection to the server.
    #[error(
        "cannot connect to SSH server {server}: {reason}; check that it runs there, and the port"
    )]
    Connect {
        /// Host and port.
        server: String,
        /// The outcome for each address.
        reason: Unreachable,
    },
    /// The proxy does not connect to the server.
    #[error("cannot reach SSH server {server} through {proxy}: {reason}")]
    Proxy {
        /// Host and port of the server.
        server: String,
        /// Kind, host and port of the proxy, or the name of the command.
        proxy: String,
        /// What is wrong, and what to do.
        reason: ProxyFault,
    },
}

impl RouteError {
    /// See [`OpenError::may_pass`](crate::OpenError::may_pass): a login that a proxy refuses stays refused, and a name that
    /// must not be in a command stays so.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } => true,
            Self::Proxy { reason, .. } => !reason.lasts(),
        }
    }
}

/// Why a name has no address that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The resolver was too slow.
    #[error("the resolver gave no answer within {}", seconds(*.0))]
    Late(Duration),
    /// The reason of the resolver.
    #[error("{0}")]
    Failed(String),
    /// It has none, or none of the only allowed family.
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

/// The outcome for each address of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Unreachable(pub Vec<FailedAttempt>);

/// An address to which the connection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailedAttempt {
    /// Nothing listens there.
    #[error("connection refused at {0}")]
    Refused(SocketAddr),
    /// The attempt failed with this other reason of the operating system.
    #[error("{1} at {0}")]
    Failed(SocketAddr, String),
    /// There was no answer.
    #[error("no answer from {0} within {bound} (a firewall may drop the packets)", bound = seconds(*.1))]
    Silent(SocketAddr, Duration),
}

impl Unreachable {
    /// Whether every address refused the connection.
    pub fn is_refusal(&self) -> bool {
        let refused = |attempt: &FailedAttempt| matches!(attempt, FailedAttempt::Refused(_));
        !self.0.is_empty() && self.0.iter().all(refused)
    }

    /// Whether no address answered.
    pub fn is_silence(&self) -> bool {
        let silent = |attempt: &FailedAttempt| matches!(attempt, FailedAttempt::Silent(..));
        !self.0.is_empty() && self.0.iter().all(silent)
    }
}

fn list(attempts: &[FailedAttempt]) -> String {
    let attempts: Vec<_> = attempts.iter().map(FailedAttempt::to_string).collect();
    attempts.join(", ")
}

/// Why a proxy does not connect, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// Its name has no address.
    #[error("no address for it: {0}")]
    Resolve(#[from] ResolveError),
    /// No connection to it is possible.
    #[error(transparent)]
    Connect(#[from] Unreachable),
    /// It did not answer.
    #[error("it did not answer within {}", seconds(*.0))]
    Silent(Duration),
    /// It closed the connection.
    #[error("it ended the connection instead of answering")]
    Ended,
    /// The connection to it was lost.
    #[error("the connection to it failed ({0})")]
    Lost(String),
    /// It does not speak the protocol of the rule; with its answer.
    #[error("it does not speak HTTP (it said “{0}”); check the rule's kind of proxy and its port")]
    NotHttp(String),
    /// The same for SOCKS, whose answers are not text.
    #[error("it does not answer like such a proxy; check the rule's kind of proxy and its port")]
    NotSocks,
    /// Its answer has no end.
    #[error("its answer has more than {0} bytes of header")]
    LongAnswer(usize),
    /// It requires a login; with the status line of an HTTP proxy.
    #[error("it requires a login that the rule does not have{}; write user:password@ before its host", said(.0.as_deref()))]
    LoginWanted(Option<String>),
    /// The login is wrong; with the status line of an HTTP proxy.
    #[error("it did not accept the rule's user and password{}", said(.0.as_deref()))]
    LoginRefused(Option<String>),
    /// The user is wrong.
    #[error("it did not accept the rule's user")]
    UserRefused,
    /// It does not connect; with the status line of an HTTP proxy.
    #[error("it does not connect to the server ({0}); it may allow only other ports")]
    NotConnected(String),
    /// Its rules forbid it.
    #[error("it does not allow connections to this server")]
    Forbidden,
    /// The server does not listen.
    #[error("the server refused its connection")]
    ServerRefused,
    /// The command ended before the server answered.
    #[error("{}", ended(.status, .wrote))]
    CommandEnded {
        /// Its exit status, if the system tells.
        status: Option<String>,
        /// The last line that it wrote to standard error; empty if there is none.
        wrote: String,
    },
    /// The command does not start.
    #[error("it cannot be started: {0}")]
    NotStarted(String),
    /// A name that would be a part of the command could mean something else to the shell.
    #[error("{0} has characters that must not be in a command")]
    NotForShell(&'static str),
    /// Its network has no route to the server.
    #[error("it cannot reach the server")]
    ServerUnreachable,
    /// It does not accept the server's address.
    #[error("it does not accept a server address of this kind; SOCKS4 does not support IPv6")]
    AddressKind,
    /// It failed without a reason.
    #[error("it failed to connect to the server and did not say why")]
    Unexplained,
    /// Any other reason.
    #[error("it did not connect to the server: {0}")]
    Other(String),
}

impl ProxyFault {
    /// Whether a later attempt fails in the same way.
    pub(super) fn lasts(&self) -> bool {
        self.is_login() || matches!(self, Self::NotForShell(_))
    }

    /// Whether it refuses our login, now or always.
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

fn ended(status: &Option<String>, wrote: &str) -> String {
    let status = status.as_deref().unwrap_or("unknown status");
    let wrote = if wrote.is_empty() {
        String::new()
    } else {
        format!("; it wrote “{wrote}”")
    };
    format!("it ended ({status}) before the server answered{wrote}")
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
