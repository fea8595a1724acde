//! A byte stream that counts what passes and can be severed from outside
//!
//! The SSH session owns its stream and may wait in the middle of a write to a dead peer. Severing makes both of its
//! directions fail at once, so that the session ends when told to.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// RFC 4253 section 4.2: an identification line has 255 bytes at most. Longer preambles are not looked at.
const MAX_IDENTIFICATION: usize = 255;

/// What passed on the wire.
#[derive(Debug, Default)]
pub(crate) struct WireCounters {
    /// The first line the peer sent, which names its software.
    pub(crate) identification: OnceLock<String>,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// A stream that fails once its token is cancelled.
pub(crate) struct SeverableStream<S> {
    inner: S,
    severed: Pin<Box<WaitForCancellationFutureOwned>>,
    counters: Arc<WireCounters>,
    first_line: Vec<u8>,
}

impl<S> SeverableStream<S> {
    pub(crate) fn new(inner: S, severed: CancellationToken, counters: Arc<WireCounters>) -> Self {
        Self {
            inner,
            severed: Box::pin(severed.cancelled_owned()),
            counters,
            first_line: Vec::new(),
        }
    }

    fn note_received(&mut self, data: &[u8]) {
        self.counters
            .received
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        if self.counters.identification.get().is_some()
            || self.first_line.len() >= MAX_IDENTIFICATION
        {
            return;
        }
        let room = MAX_IDENTIFICATION - self.first_line.len();
        self.first_line.extend(data.iter().take(room));
        if let Some(end) = self.first_line.iter().position(|byte| *byte == b'\n') {
            self.first_line.truncate(end);
            let line = String::from_utf8_lossy(&self.first_line)
                .trim_end()
                .to_owned();
            self.counters.identification.get_or_init(|| line);
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.severed.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "closed by the broker",
            )),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SeverableStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.note_received(buf.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SeverableStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let polled = Pin::new(&mut self.inner).poll_write(cx, data);
        if let Poll::Ready(Ok(written)) = &polled {
            self.counters
                .sent
                .fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn severing_wakes_a_blocked_read_and_fails_writes() {
        let (near, _far) = tokio::io::duplex(64);
        let severed = CancellationToken::new();
        let mut stream = SeverableStream::new(near, severed.clone(), Arc::default());
        let mut byte = [0; 1];
        let (read, ()) = tokio::join!(stream.read(&mut byte), async { severed.cancel() });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert!(stream.write(b"x").await.is_err());
    }

    #[tokio::test]
    async fn the_first_line_is_kept_however_it_is_cut_up() {
        let (near, mut far) = tokio::io::duplex(64);
        let counters = Arc::<WireCounters>::default();
        let mut stream =
            SeverableStream::new(near, CancellationToken::new(), Arc::clone(&counters));
        for piece in [&b"SSH-2.0-te"[..], b"st 1\r\nmore\n"] {
            far.write_all(piece).await.unwrap();
            stream.read_exact(&mut vec![0; piece.len()]).await.unwrap();
        }
        assert_eq!(
            counters.identification.get().map(String::as_str),
            Some("SSH-2.0-test 1")
        );
    }

    #[tokio::test]
    async fn bytes_are_counted_in_both_directions() {
        let (near, mut far) = tokio::io::duplex(64);
        let counters = Arc::<WireCounters>::default();
        let mut stream =
            SeverableStream::new(near, CancellationToken::new(), Arc::clone(&counters));
        stream.write_all(b"abc").await.unwrap();
        far.write_all(b"de").await.unwrap();
        stream.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(counters.sent.load(Ordering::Relaxed), 3);
        assert_eq!(counters.received.load(Ordering::Relaxed), 2);
    }
}
