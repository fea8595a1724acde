//! The handshake with a client, and its failures in words.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::{AlertDescription, Error, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Makes the handshake. Tickets of the connection contain `mark`.
pub(super) async fn accept<Stream: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ServerConfig>,
    mark: &[u8],
    stream: Stream,
) -> io::Result<TlsStream<Stream>> {
    let acceptor = TlsAcceptor::from(config.clone());
    let accepting = acceptor.accept_with(stream, |connection| connection.set_resumption_data(mark));
    accepting
        .await
        .map_err(|error| io::Error::new(error.kind(), explain(&error)))
}

/// The version and the cipher.
pub(super) fn agreed(connection: &ServerConnection) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite();
    let suite = suite
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or_default();
    format!("{version} {suite}")
}

/// Why a handshake failed, in words that lead to a remedy.
fn explain(error: &io::Error) -> String {
    let fault = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let reason = match fault {
        Some(Error::AlertReceived(alert)) if refuses_certificate(*alert) => {
            format!("the client does not accept the broker's certificate ({alert:?})")
        }
        Some(Error::PeerIncompatible(what)) => {
            format!("the client and the broker have no TLS version or cipher in common ({what:?})")
        }
        Some(Error::InvalidMessage(_)) => "the client did not speak TLS".to_owned(),
        Some(fault) => fault.to_string(),
        None if error.kind() == ErrorKind::UnexpectedEof => {
            "the client closed the connection; it may not accept the broker's certificate"
                .to_owned()
        }
        None => error.to_string(),
    };
    format!("the TLS handshake failed: {reason}")
}

fn refuses_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    )
}
