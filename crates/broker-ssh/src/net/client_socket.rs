//! The client's end of a splice, whose closing resets it until its orderly end was passed on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The client's end of a splice: a TCP connection, or a layer over one.
pub trait ClientStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The TCP connection underneath.
    fn socket(&self) -> &TcpStream;
}

/// A TCP connection. Its shutdown also makes its closing orderly.
#[derive(Debug)]
pub struct ClientSocket(TcpStream);

impl ClientSocket {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self(tcp)
    }
}

impl ClientStream for ClientSocket {
    fn socket(&self) -> &TcpStream {
        &self.0
    }
}

/// Sets whether closing the connection resets it; otherwise its end is orderly.
pub(crate) fn end_by_reset(tcp: &TcpStream, reset: bool) {
    let linger = reset.then_some(Duration::ZERO);
    if let Err(error) = SockRef::from(tcp).set_linger(linger) {
        tracing::debug!(%error, "connection already gone");
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_shutdown(cx))?;
        end_by_reset(&self.0, false);
        Poll::Ready(Ok(()))
    }
}
