//! A TCP connection that acknowledges small reads at once
//!
//! sshd turns off Nagle's algorithm only for interactive sessions. On a connection that only forwards, it holds back a
//! small packet until the previous one is acknowledged, and Linux delays that acknowledgement by 40 ms. So a greeting
//! after the channel's confirmation, or the end of a short listing after its bytes, came 40 ms late.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Reads up to this size are acknowledged at once. Larger ones come in bulk, where the kernel does so itself.
const SMALL_READ: usize = 16 << 10;

/// See the module.
pub(crate) struct QuickAck(pub(crate) TcpStream);

impl QuickAck {
    /// The kernel forgets the setting after some packets, so it is renewed with each small read.
    fn acknowledge(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Err(error) = socket2::SockRef::from(&self.0).set_tcp_quickack(true) {
            tracing::trace!(%error, "no quick acknowledgement");
        }
    }
}

impl AsyncRead for QuickAck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if polled.is_ready() && read > 0 && read < SMALL_READ {
            self.acknowledge();
        }
        polled
    }
}

impl AsyncWrite for QuickAck {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
