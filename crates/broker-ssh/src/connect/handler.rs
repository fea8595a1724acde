//! The SSH session's callbacks. They run inside its loop, so none of them waits for the network.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use plain_text::printable_start;
use russh::client::{self, ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{ChannelId, ChannelOpenFailure};
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::listeners::{Arrival, ForwardListeners, Originator};
use crate::host_key::{HostKeyError, KnownKeys, Trust, fingerprint, same_key_type};
use crate::net::window::WindowGauge;
use crate::state::ConnectionState;
use crate::state::info::{ConnectionKind, Negotiated};

/// How much of a server's disconnect message is shown.
const MAX_DISCONNECT_TEXT: usize = 256;

/// A page of a server's banner; a longer text is not a notice to a user.
const MAX_BANNER: usize = 2048;

/// An SSH session. Opens and forwards need only a shared reference.
pub(crate) type SshHandle = client::Handle<ConnectionHandler>;

/// Serves one connection. When it is dropped, the connection is marked as closed, however its session ended.
pub(crate) struct ConnectionHandler {
    state: Arc<ConnectionState>,
    check: HostKeyCheck,
    listeners: Arc<ForwardListeners>,
    peer: Option<SocketAddr>,
    /// Whether the server's next banner is logged.
    banners: bool,
    /// Watches how the window for data suits the line.
    gauge: Option<WindowGauge>,
    /// The key that the server has shown.
    shown: Option<PublicKey>,
    /// Keeps the pool's task tracker waiting for the session's own task.
    _session_task: TaskTrackerToken,
}

/// How the server's key is handled.
pub(super) enum HostKeyCheck {
    /// The key must be the right one.
    Verify(Arc<Trust>),
    /// The key is only recorded; the connection ends there.
    Look(Arc<OnceLock<PublicKey>>),
}

impl HostKeyCheck {
    /// Which host keys to request from the server.
    pub(super) fn known_keys(&self) -> KnownKeys {
        match self {
            Self::Verify(trust) => trust.known_keys(),
            Self::Look(_) => KnownKeys::default(),
        }
    }
}

impl ConnectionHandler {
    pub(super) fn new(
        state: Arc<ConnectionState>,
        check: HostKeyCheck,
        listeners: Arc<ForwardListeners>,
        peer: Option<SocketAddr>,
        banners: bool,
        task: TaskTrackerToken,
    ) -> Self {
        Self {
            // Data connections would only repeat it.
            banners: banners && state.kind == ConnectionKind::Control,
            state,
            check,
            listeners,
            peer,
            gauge: None,
            shown: None,
            _session_task: task,
        }
    }

    /// Lets the connection watch how its window suits the line.
    pub(super) fn gauge(&mut self, gauge: WindowGauge) {
        self.gauge = Some(gauge);
    }
}

impl Drop for ConnectionHandler {
    fn drop(&mut self) {
        // First, so that whoever finds a forward gone also finds the reason.
        self.state.mark_closed();
        self.listeners.end();
    }
}

/// What ends a session from within a callback, or from russh itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// The agreed type of host key, and the type of the key.
    #[error("the server agreed on a host key of type {0} but showed one of type {1}")]
    KeyType(String, String),
}

impl Handler for ConnectionHandler {
    type Error = HandlerError;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, HandlerError> {
        match &self.check {
            HostKeyCheck::Verify(trust) => {
                trust.verify(shown).await?;
                self.shown = Some(shown.public_key());
                Ok(true)
            }
            HostKeyCheck::Look(seen) => {
                seen.get_or_init(|| shown.public_key());
                Ok(false)
            }
        }
    }

    /// The banner of RFC 4252 section 5.4. Only one is logged, since a server may send any number.
    async fn auth_banner(
        &mut self,
        banner: &str,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        if std::mem::take(&mut self.banners) {
            let banner = printable_start(banner.trim(), MAX_BANNER);
            tracing::info!(server = %self.state.server, %banner, "banner of the SSH server");
        }
        Ok(())
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        names: &russh::Names,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        let Some(shown) = &self.shown else {
            return Err(HostKeyError::Internal.into());
        };
        if self.state.negotiated.get().is_none() {
            check_type(&names.key, shown)?;
        }
        let cipher = names.cipher.as_ref().to_owned();
        let own_mac = cipher.contains("gcm") || cipher.contains("poly1305");
        let mac = if own_mac {
            "implicit".to_owned()
        } else {
            names.client_mac.as_ref().to_owned()
        };
        // Later exchanges agree on the same names, so the first ones are kept.
        self.state.negotiated.get_or_init(|| Negotiated {
            kex: names.kex.as_ref().to_owned(),
            cipher,
            mac,
            host_key: names.key.to_string(),
            fingerprint: fingerprint(shown),
            peer: self.peer,
        });
        Ok(())
    }

    /// Called when half of a channel's window has come. What is returned has no effect on clients.
    fn adjust_window(&mut self, channel: ChannelId, window: u32) -> u32 {
        let Some(gauge) = &mut self.gauge else {
            return window;
        };
        if self.state.stalls.any_behind() {
            // What comes now is as slow as its reader, which says nothing of the line.
            gauge.forget();
            return window;
        }
        let known = self.state.facts.round_trip.shortest();
        if let Some(better) = gauge.half_used(channel, Instant::now(), known) {
            let connection = self.state.id;
            tracing::debug!(connection, window, better, "another window suits the line");
            self.state.facts.note_window(better);
            self.state.wake_pool();
            self.gauge = None;
        }
        window
    }

    async fn channel_open_failure(
        &mut self,
        _channel: russh::ChannelId,
        _reason: ChannelOpenFailure,
        description: &str,
        _language: &str,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        self.state.refused_opens.told(description);
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: russh::Channel<Msg>,
        _connected_address: &str,
        connected_port: u32,
        originator_address: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        // Found by port alone: servers write the address back in different forms, and one connection has no two listeners
        // on one port. Dropping `reply` rejects.
        if let Some(listener) = self.listeners.at(connected_port) {
            let originator = Originator::new(originator_address, originator_port);
            let _ = listener.try_send(Arrival {
                channel,
                reply,
                originator,
            });
        } else if self.listeners.leftovers.has(connected_port) {
            tracing::warn!(
                connection = self.state.id,
                port = connected_port,
                from = %printable_start(originator_address, MAX_DISCONNECT_TEXT),
                "refused a connection to a listener that the server did not end; the broker no longer uses its port"
            );
            self.state.retire();
        }
        Ok(())
    }

    // russh accepts the following kinds of channels by default. Dropping `reply` rejects them.
    async fn server_channel_open_session(
        &mut self,
        _channel: russh::Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: russh::Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: russh::Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: russh::Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: russh::Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: russh::Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<HandlerError>,
    ) -> Result<(), HandlerError> {
        let text = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => disconnect_text(&info.message),
            DisconnectReason::Error(error) => describe(error),
        };
        self.state.set_end(self.state.lost(text));
        Ok(())
    }
}

/// The library accepts a key of any type, whatever type was agreed on. Another type means that the server is cheating.
fn check_type(agreed: &Algorithm, shown: &PublicKey) -> Result<(), HandlerError> {
    let shown = shown.algorithm();
    if same_key_type(agreed, &shown) {
        Ok(())
    } else {
        Err(HandlerError::KeyType(agreed.to_string(), shown.to_string()))
    }
}

/// A server's disconnect message (RFC 4253 section 11.1), escaped for messages and logs.
fn disconnect_text(message: &str) -> String {
    let message = printable_start(message, MAX_DISCONNECT_TEXT);
    format!("the server disconnected: {message}")
}

fn describe_io(error: &std::io::Error) -> String {
    const UNREACHABLE: &str = "the server can no longer be reached";
    let said = [
        (ErrorKind::UnexpectedEof, "the server closed the connection"),
        (ErrorKind::ConnectionReset, "the connection was reset"),
        (ErrorKind::TimedOut, "the server no longer answers"),
        (ErrorKind::HostUnreachable, UNREACHABLE),
        (ErrorKind::NetworkUnreachable, UNREACHABLE),
    ];
    let known = said.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(
        || format!("network error ({error})"),
        |(_, text)| (*text).to_owned(),
    )
}

/// A sentence for a session's end; russh's own texts are not meant for users.
fn describe(error: &HandlerError) -> String {
    match error {
        HandlerError::Ssh(russh::Error::Disconnect | russh::Error::HUP) => {
            "the server ended the connection".into()
        }
        HandlerError::Ssh(russh::Error::NoAuthMethod) => {
            "the server accepts no other authentication method".into()
        }
        HandlerError::Ssh(russh::Error::IO(io)) => describe_io(io),
        HandlerError::Ssh(other) => other.to_string(),
        HandlerError::HostKey(_) | HandlerError::KeyType(..) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use russh::keys::{HashAlg, PrivateKey};

    use super::*;

    #[test]
    fn a_key_of_another_type_than_agreed_on_is_a_trick() {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        let check = |agreed| check_type(&agreed, key.public_key());
        assert!(check(Algorithm::Ed25519).is_ok());
        let rsa = Algorithm::Rsa {
            hash: Some(HashAlg::Sha512),
        };
        let refused = check(rsa).unwrap_err().to_string();
        assert!(
            refused.contains("rsa-sha2-512") && refused.contains("ssh-ed25519"),
            "{refused}"
        );
    }

    #[test]
    fn parting_words_steer_no_terminal_and_are_not_long() {
        let words = disconnect_text(&format!("bye\x1b[2J\r\n421{}", "x".repeat(9999)));
        assert!(
            words.starts_with("the server disconnected: bye\\u{1b}[2J\\r\\n421xx"),
            "{words}"
        );
        assert!(words.chars().count() < 300);
    }
}
