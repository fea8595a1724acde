//! Why a channel or a remote forward could not be opened on a connection

use std::time::Duration;

use russh::ChannelOpenFailure;

use crate::net::text::seconds;
use crate::spec::Target;
use crate::state::CutReason;

/// Why a channel or a remote forward could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The server refused to open a channel.
    #[error("SSH server {server} did not open a channel to {target}: {}", explained(reason, said.as_deref()))]
    Refused {
        /// Host and port.
        server: String,
        /// The target of the channel.
        target: Target,
        /// The server's reason, and what to do.
        reason: ChannelRefusal,
        /// The server's own words, if they are known. Untrusted text, already escaped and shortened.
        said: Option<String>,
    },
    /// The server refused to listen for a remote forward.
    #[error(
        "SSH server {server} refused to listen on {bind}: the port may be in use or need a privilege (below 1024); otherwise \
         allow it in its sshd_config (AllowTcpForwarding yes or remote, and GatewayPorts or PermitListen for this address) \
         and at the key in authorized_keys (no restrict or no-port-forwarding, and permitlisten for this address)"
    )]
    ForwardRefused {
        /// Host and port.
        server: String,
        /// The requested address.
        bind: String,
    },
    /// The server did not answer in time.
    #[error("{what} took longer than {}", seconds(*.after))]
    Late {
        /// What took too long, and on what.
        what: String,
        /// The bound.
        after: Duration,
    },
    /// The connection was lost during the attempt.
    #[error("SSH server {server} did not answer a request: {reason}")]
    Lost {
        /// Host and port.
        server: String,
        /// Why.
        reason: CutReason,
    },
    /// The limit of channels is reached.
    #[error(
        "too many channels to {server} ({limit}); wait for a transfer to end or raise max-connections"
    )]
    TooMany {
        /// Host and port.
        server: String,
        /// The bound.
        limit: usize,
    },
}

impl ChannelError {
    /// Whether the server forbids the channel's target.
    pub fn is_prohibited(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                reason: ChannelRefusal::Prohibited,
                ..
            }
        )
    }

    /// See [`OpenError::may_pass`](crate::OpenError::may_pass).
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused { reason, .. } => reason.may_pass(),
            Self::Late { .. } | Self::Lost { .. } => true,
            Self::ForwardRefused { .. } | Self::TooMany { .. } => false,
        }
    }
}

/// The reason in words, then the server's own words, then what to do.
fn explained(reason: &ChannelRefusal, said: Option<&str>) -> String {
    // Many servers only repeat the code in words.
    const EMPTY: [&str; 4] = [
        "open failed",
        "connect failed",
        "Connect failed",
        "administratively prohibited",
    ];
    let said = said.filter(|said| !EMPTY.contains(said));
    let said = said.map_or(String::new(), |said| format!(" (it says: {said})"));
    let remedy = reason
        .remedy()
        .map_or(String::new(), |remedy| format!("; {remedy}"));
    format!("{reason}{said}{remedy}")
}

/// A server's reason not to open a channel (RFC 4254 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelRefusal {
    /// The server forbids it. Servers compare the host literally.
    #[error("administratively prohibited")]
    Prohibited,
    /// Nobody listens there, or something blocks the connection.
    #[error("it could not connect")]
    ConnectFailed,
    /// It does not support such channels.
    #[error("it does not support port forwarding")]
    Unsupported,
    /// It lacks resources.
    #[error("it is short of resources")]
    Resources,
    /// A code that no standard defines.
    #[error("its reason has the unknown code {0}")]
    Unknown(u32),
}

impl ChannelRefusal {
    /// What to do about it.
    fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Prohibited => Some(
                "set AllowTcpForwarding yes and check PermitOpen in its sshd_config, and check the key in \
                 authorized_keys for restrict, no-port-forwarding and permitopen",
            ),
            Self::ConnectFailed => {
                Some("check that the server runs there and that the SSH server can reach it")
            }
            Self::Resources => Some("try again later"),
            Self::Unsupported | Self::Unknown(_) => None,
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::ConnectFailed | Self::Resources => true,
            Self::Prohibited | Self::Unsupported | Self::Unknown(_) => false,
        }
    }
}

impl From<ChannelOpenFailure> for ChannelRefusal {
    fn from(failure: ChannelOpenFailure) -> Self {
        match failure {
            ChannelOpenFailure::AdministrativelyProhibited => Self::Prohibited,
            ChannelOpenFailure::ConnectFailed => Self::ConnectFailed,
            ChannelOpenFailure::UnknownChannelType => Self::Unsupported,
            ChannelOpenFailure::ResourceShortage => Self::Resources,
            ChannelOpenFailure::Other { code, .. } => Self::Unknown(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: ChannelRefusal, said: &str) -> String {
        let refused = ChannelError::Refused {
            server: "h:22".into(),
            target: Target::new("ftp", 21),
            reason,
            said: Some(said.into()),
        };
        let text = refused.to_string();
        let start = "SSH server h:22 did not open a channel to ftp:21: ";
        text.strip_prefix(start).unwrap().to_owned()
    }

    #[test]
    fn the_servers_own_words_are_between_the_reason_and_the_remedy() {
        assert_eq!(
            refused(ChannelRefusal::ConnectFailed, "Name or service not known"),
            "it could not connect (it says: Name or service not known); check that the server runs there and that \
             the SSH server can reach it"
        );
        assert_eq!(
            refused(ChannelRefusal::Unsupported, "unknown channel type"),
            "it does not support port forwarding (it says: unknown channel type)"
        );
    }

    #[test]
    fn words_that_only_repeat_the_code_are_left_out() {
        let text = refused(ChannelRefusal::Prohibited, "open failed");
        assert!(
            text.starts_with("administratively prohibited; set AllowTcpForwarding yes"),
            "{text}"
        );
        assert_eq!(
            refused(ChannelRefusal::Resources, "open failed"),
            "it is short of resources; try again later"
        );
    }
}
