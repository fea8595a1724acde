//! How a client learns whether it is served.

use std::fmt;
use std::io;
use std::time::Duration;

use broker_config::TunnelKind;
use broker_ssh::{AuthError, OpenError};
use ftp_proto::NO_DATA_CONNECTION;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::own_host::reset_when_dropped;
use crate::reasons;
use crate::socks::{Reason, Version};

/// How long a client may take to read the reason.
pub(crate) const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The protocol in which a client awaits the first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstWord {
    /// FTP: the greeting comes from the server, or is a refusal.
    Ftp,
    /// None: a client that cannot be served sees a reset.
    Nothing,
    /// SOCKS: an answer to its request comes first.
    Socks(Version),
}

/// Why a client cannot be served.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    reason: String,
    /// More about the reason, in lines for a client that can be told several.
    details: Vec<String>,
    socks: Reason,
    /// Whether there is no SSH connection. The log has the reason already, in a line about the failed attempt.
    unconnected: bool,
    /// The cause for programs.
    pub(crate) why: broker_ipc::Reason,
}

impl FirstWord {
    /// In a tunnel of this kind, before its client has asked for anything. A SOCKS client that has not cannot be told, and
    /// neither can one that begins with TLS.
    pub(crate) fn of(kind: &TunnelKind) -> Self {
        match kind {
            TunnelKind::Ftp(options) if options.begins_with_tls() => Self::Nothing,
            TunnelKind::Ftp(_) => Self::Ftp,
            TunnelKind::Tcp | TunnelKind::Socks(_) => Self::Nothing,
        }
    }

    /// Tells the client that its destination is connected, if it awaits that.
    ///
    /// # Errors
    /// If the client is gone.
    pub(crate) async fn grant(self, client: &mut TcpStream) -> io::Result<()> {
        match self {
            Self::Socks(version) => version.grant(client).await,
            Self::Ftp | Self::Nothing => Ok(()),
        }
    }

    /// The text that tells the reason, if there is one: in FTP a 421 greeting (RFC 959, section 5.4). Its last line says it
    /// alone, since many clients show only that.
    pub(crate) fn text(self, refusal: &Refusal) -> Option<Vec<u8>> {
        let Refusal {
            reason, details, ..
        } = refusal;
        (self == Self::Ftp).then(|| ftp_proto::long_reply(421, details, reason))
    }

    /// Tells the client the reason as far as its protocol can, and closes.
    pub(crate) async fn refuse(self, mut client: TcpStream, refusal: &Refusal) {
        let told = async {
            match self {
                Self::Socks(version) => version.refuse(&mut client, refusal.socks).await?,
                Self::Ftp | Self::Nothing => match self.text(refusal) {
                    Some(text) => client.write_all(&text).await?,
                    None => {
                        reset_when_dropped(&client);
                        return Ok(());
                    }
                },
            }
            client.shutdown().await
        };
        let _ = timeout(REFUSAL_TIMEOUT, told).await;
    }
}

impl Refusal {
    /// The broker's own rules forbid it.
    pub(crate) fn forbidden(reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            details: Vec::new(),
            socks: Reason::NotAllowed,
            unconnected: false,
            why: broker_ipc::Reason::NotAllowed,
        }
    }

    /// Any other failure.
    pub(crate) fn because(why: broker_ipc::Reason, reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            details: Vec::new(),
            socks: Reason::General,
            unconnected: false,
            why,
        }
    }

    /// Whether this is the reply with which an FTP client learns that it gets no data connection for this reason.
    pub(crate) fn is_told_by(&self, reply: &str) -> bool {
        let told = ftp_proto::reply(NO_DATA_CONNECTION, &self.reason);
        told.trim_ascii_end() == reply.as_bytes()
    }

    /// Writes the line about a client that is not served.
    pub(crate) fn log(&self, what: &str) {
        if self.unconnected {
            info!(reason = "there is no SSH connection", "{what}");
        } else {
            warn!(reason = %self.reason, "{what}");
        }
    }
}

impl From<&OpenError> for Refusal {
    fn from(error: &OpenError) -> Self {
        Self {
            reason: error.to_string(),
            details: login_details(error),
            socks: Reason::of(error),
            unconnected: !matches!(
                error,
                OpenError::Channel(_) | OpenError::ShuttingDown { .. } | OpenError::Internal
            ),
            why: reasons::of_open(error),
        }
    }
}

/// Each attempt of a login that failed.
fn login_details(error: &OpenError) -> Vec<String> {
    let Some(AuthError::Refused { server, user, .. } | AuthError::Ended { server, user, .. }) =
        error.login()
    else {
        return Vec::new();
    };
    let attempts = error.tried().iter().map(|attempt| format!("  {attempt}"));
    let heading = format!("Login of user {user} at SSH server {server}:");
    std::iter::once(heading).chain(attempts).collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_data_connection_is_recognised_in_its_reply_alone() {
        let refusal = Refusal::because(broker_ipc::Reason::Config, "no port for caf\u{e9}");
        for (reply, expected) in [
            ("425 no port for caf?", true),
            ("425 no port", false),
            ("504 no port for caf?", false),
        ] {
            assert_eq!(refusal.is_told_by(reply), expected, "{reply}");
        }
    }
}
