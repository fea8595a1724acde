//! A byte stream that counts its bytes, begins with the peer's version, and can be severed from outside
//!
//! The SSH session owns its stream and may wait in a write to a dead peer. Severing makes both directions fail at once,
//! so the session ends immediately.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::net::lock::lock;
use crate::net::preamble::Preamble;

/// Bytes per read until the version has come.
const READ_AT_ONCE: usize = 1024;

/// RFC 4253 section 4.2: an identification line has at most 255 bytes.
const MAX_IDENTIFICATION: usize = 255;

/// The bytes that passed, and the version.
#[derive(Debug, Default)]
pub(crate) struct WireCounters {
    /// The version line, which names the peer's software.
    pub(crate) identification: OnceLock<String>,
    /// When that line had come.
    pub(crate) identified: OnceLock<Instant>,
    /// What came before that line, or its beginning.
    pub(crate) before_version: Mutex<String>,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl WireCounters {
    fn note_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A stream that fails once its token is cancelled.
pub(crate) struct SeverableStream<S> {
    inner: S,
    severed: Pin<Box<WaitForCancellationFutureOwned>>,
    counters: Arc<WireCounters>,
    /// Present until the version has come.
    preamble: Option<Preamble>,
    /// Data that came with the version and was not read yet.
    ready: Bytes,
    first_line: Vec<u8>,
}

impl<S> SeverableStream<S> {
    pub(crate) fn new(inner: S, severed: CancellationToken, counters: Arc<WireCounters>) -> Self {
        Self {
            inner,
            severed: Box::pin(severed.cancelled_owned()),
            counters,
            preamble: Some(Preamble::default()),
            ready: Bytes::new(),
            first_line: Vec::new(),
        }
    }

    /// Records the version line.
    fn note_version(&mut self, data: &[u8]) {
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
            self.counters.identified.get_or_init(Instant::now);
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

impl<S: AsyncRead + Unpin> SeverableStream<S> {
    /// Reads up to the version and leaves the data from there on in `ready`. False: the stream has ended.
    fn poll_version(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; READ_AT_ONCE];
        while let Some(preamble) = &mut self.preamble {
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
            let read = buf.filled();
            self.counters.note_received(read.len());
            let passed = preamble.take(read)?;
            *lock(&self.counters.before_version) = preamble.text();
            if let Some(passed) = passed {
                self.preamble = None;
                self.ready = Bytes::from(passed);
            } else if read.is_empty() {
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SeverableStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        if !ready!(self.poll_version(cx))? {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if self.ready.is_empty() {
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            let read = buf.filled().len() - before;
            self.counters.note_received(read);
        } else {
            let room = self.ready.len().min(buf.remaining());
            buf.put_slice(&self.ready.split_to(room));
        }
        self.note_version(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
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
    async fn the_line_with_the_version_is_kept_however_it_is_cut_up() {
        let (near, mut far) = tokio::io::duplex(64);
        let counters = Arc::<WireCounters>::default();
        let mut stream =
            SeverableStream::new(near, CancellationToken::new(), Arc::clone(&counters));
        for (piece, passed) in [(&b"hi\nSSH-2.0-te"[..], 10), (b"st 1\r\nmore\n", 11)] {
            far.write_all(piece).await.unwrap();
            stream.read_exact(&mut vec![0; passed]).await.unwrap();
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
        far.write_all(b"SSH-de").await.unwrap();
        stream.read_exact(&mut [0; 6]).await.unwrap();
        assert_eq!(counters.sent.load(Ordering::Relaxed), 3);
        assert_eq!(counters.received.load(Ordering::Relaxed), 6);
    }
}
