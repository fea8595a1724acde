//! A client's data connection inside TLS, with an end that cannot be forged.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use broker_ssh::{ClientSocket, ClientStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The reason for an upload that TLS did not end. Anybody on the way can end a TCP connection.
const NOT_CLOSED: &str = "TLS did not end in an orderly way (no close_notify), so the file may be cut; for a client that never sends it, set tls-close-notify to no";

/// The client's end of a data connection.
#[derive(Debug)]
pub(crate) struct TlsClient {
    stream: TlsStream<ClientSocket>,
    /// Whether the end of TCP alone is a failure.
    close_notify: bool,
}

impl TlsClient {
    pub(super) fn new(stream: TlsStream<ClientSocket>, close_notify: bool) -> Self {
        Self {
            stream,
            close_notify,
        }
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut TlsStream<ClientSocket>> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl ClientStream for TlsClient {
    fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0.socket()
    }
}

impl AsyncRead for TlsClient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let close_notify = self.close_notify;
        self.as_mut()
            .inner()
            .poll_read(cx, buffer)
            .map(|read| match read {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && !close_notify => Ok(()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    Err(io::Error::new(error.kind(), NOT_CLOSED))
                }
                read => read,
            })
    }
}

impl AsyncWrite for TlsClient {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
