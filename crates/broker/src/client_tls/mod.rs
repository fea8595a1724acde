//! TLS on the client's side: the broker is the TLS server of an FTP client's control and data connections, in passive and
//! in active mode (RFC 4217, section 10).

mod certificate;
mod handshake;
mod stream;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use broker_config::{Tls, TlsServer, TunnelKind, TunnelSpec};
use broker_ssh::ClientSocket;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::version::TLS13;
use rustls::{DEFAULT_VERSIONS, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use certificate::Certificate;
use handshake::{accept, agreed};
pub(crate) use stream::TlsClient;

/// How long a client may take for the handshake on its control connection. It needs two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a session's mark: nobody can guess it.
const MARK: usize = 16;

/// The TLS server of a tunnel.
pub(crate) struct TunnelTls {
    configs: Configs,
    certificate: Arc<Certificate>,
    options: TlsServer,
}

/// How connections are accepted.
#[derive(Clone)]
struct Configs {
    control: Arc<ServerConfig>,
    /// Without tickets in TLS 1.3: a client that uploads and reads nothing would leave them unread, and its system would
    /// reset the connection when the client closes it.
    data: Arc<ServerConfig>,
}

/// The TLS server of one FTP session.
pub(crate) struct SessionTls {
    configs: Configs,
    certificate: Arc<Certificate>,
    /// What the session's tickets contain, so that a data connection that resumes one proves to be the session's.
    mark: [u8; MARK],
    close_notify: bool,
    session_reuse: bool,
}

impl TunnelTls {
    /// The TLS server of this tunnel, if it terminates TLS.
    ///
    /// # Errors
    /// Why its certificate cannot be used, and what to do.
    pub(crate) fn of(spec: &TunnelSpec) -> Result<Option<Self>, String> {
        let tls = match &spec.kind {
            TunnelKind::Ftp(options) => &options.tls,
            // The client names the server, whose certificate the broker does not have.
            TunnelKind::Socks(_) | TunnelKind::Tcp => return Ok(None),
        };
        match tls {
            Tls::Terminate(options) => Self::new(options.clone()).map(Some),
            Tls::Refuse | Tls::Pass => Ok(None),
        }
    }

    fn new(options: TlsServer) -> Result<Self, String> {
        let certificate = Arc::new(Certificate::read(&options.certificate, &options.key)?);
        let config = server_config(certificate.clone(), versions(&options));
        let control = config.map_err(|error| format!("cannot prepare TLS: {error}"))?;
        let mut data = control.clone();
        data.send_tls13_tickets = 0;
        Ok(Self {
            configs: Configs {
                control: Arc::new(control),
                data: Arc::new(data),
            },
            certificate,
            options,
        })
    }

    /// Whether TLS begins when a client connects.
    pub(crate) fn is_implicit(&self) -> bool {
        self.options.implicit
    }

    /// The TLS server of a new session.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn session(&self) -> Result<SessionTls, String> {
        let mut mark = [0; MARK];
        let random = self.configs.control.crypto_provider().secure_random;
        let filled = random.fill(&mut mark);
        filled.map_err(|_| "the system has no random numbers for TLS".to_owned())?;
        Ok(SessionTls {
            configs: self.configs.clone(),
            certificate: self.certificate.clone(),
            mark,
            close_notify: self.options.close_notify,
            session_reuse: self.options.session_reuse,
        })
    }
}

/// The versions if clients must resume sessions: only with TLS 1.3 does the library report whose session it was.
static WITH_SESSION_REUSE: [&SupportedProtocolVersion; 1] = [&TLS13];

fn versions(options: &TlsServer) -> &'static [&'static SupportedProtocolVersion] {
    match options.session_reuse {
        true => &WITH_SESSION_REUSE,
        false => DEFAULT_VERSIONS,
    }
}

/// The sessions of all clients share the keys of the tickets, since clients resume the session of the control connection
/// on each data connection. A ticket can be used several times.
fn server_config(
    certificate: Arc<Certificate>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.ticketer = Ticketer::new()?;
    Ok(config)
}

impl SessionTls {
    /// Makes the handshake on a control connection. Returns the stream, and the version and cipher.
    ///
    /// # Errors
    /// Why it failed, for a person.
    pub(crate) async fn accept_control(
        &self,
        tcp: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, String)> {
        self.certificate.refresh().await;
        let accepted = timeout(
            HANDSHAKE_TIMEOUT,
            accept(&self.configs.control, &self.mark, tcp),
        )
        .await;
        let stream = accepted.unwrap_or_else(|_| {
            let waited = HANDSHAKE_TIMEOUT.as_secs();
            Err(io::Error::other(format!(
                "the client did not finish the TLS handshake within {waited} seconds"
            )))
        })?;
        let agreed = agreed(stream.get_ref().1);
        Ok((stream, agreed))
    }

    /// Makes the handshake on a data connection. Returns the stream, and the version and cipher.
    ///
    /// # Errors
    /// Why it failed, for a person.
    pub(crate) async fn accept_data(&self, tcp: ClientSocket) -> io::Result<(TlsClient, String)> {
        let stream = accept(&self.configs.data, &self.mark, tcp).await?;
        let connection = stream.get_ref().1;
        let resumed = connection.received_resumption_data() == Some(&self.mark[..]);
        if self.session_reuse && !resumed {
            return Err(io::Error::other(
                "the client did not resume the TLS session of its control connection, which tls-session-reuse requires",
            ));
        }
        let agreed = agreed(connection);
        Ok((TlsClient::new(stream, self.close_notify), agreed))
    }
}

impl fmt::Debug for TunnelTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelTls").finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTls").finish_non_exhaustive()
    }
}
