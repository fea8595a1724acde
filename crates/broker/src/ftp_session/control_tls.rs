//! A control connection inside TLS: the handshake, and the stream that a reader and a writer share.

use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::client_tls::SessionTls;
use crate::own_host::{has_ended, reset_when_dropped, was_reset};
use crate::sync::lock;

/// Bytes per read from TCP: enough for a pipeline of commands. The buffer is on the stack, so an idle session has none.
pub(super) const READ_SIZE: usize = 8 * 1024;

/// The stream after the handshake, and the version and cipher.
pub(super) type Started = io::Result<(TlsStream<TcpStream>, String)>;

/// A handshake that has not ended. Nothing else may read from the connection or write to it meanwhile.
#[derive(Default)]
pub(super) struct Starting(Option<BoxFuture<'static, Started>>);

impl Starting {
    /// Begins after these bytes, which are still in the clear.
    pub(super) fn begin(&mut self, mut tcp: TcpStream, clear: BytesMut, tls: Arc<SessionTls>) {
        self.0 = Some(Box::pin(async move {
            tcp.write_all(&clear).await?;
            tls.accept_control(tcp).await
        }));
    }

    /// Whether a handshake has begun and not ended.
    pub(super) fn is_running(&self) -> bool {
        self.0.is_some()
    }

    /// Returns when the handshake ends. May be abandoned.
    pub(super) async fn finished(&mut self) -> Started {
        let Some(handshake) = &mut self.0 else {
            return pending().await;
        };
        let started = handshake.await;
        self.0 = None;
        started
    }
}

/// A TLS stream. One task owns both users, so neither waits for the other.
#[derive(Clone)]
pub(super) struct SharedTls(Arc<Mutex<TlsStream<TcpStream>>>);

impl SharedTls {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    /// Reads; no bytes are the end. Many clients end a control connection without TLS's `close_notify`. That hides
    /// nothing: each command has its own end.
    pub(super) async fn read(&self) -> io::Result<Bytes> {
        let read = poll_fn(|cx| {
            let mut buffer = [0; READ_SIZE];
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = Pin::new(&mut *lock(&self.0)).poll_read(cx, &mut buffer);
            read.map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
        });
        match read.await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Bytes::new()),
            read => read,
        }
    }

    /// Encrypts and writes some of the bytes. What TCP does not take at once waits for [`flush`](Self::flush).
    pub(super) async fn write(&self, bytes: &mut BytesMut) -> io::Result<()> {
        let written = poll_fn(|cx| Pin::new(&mut *lock(&self.0)).poll_write(cx, bytes)).await?;
        bytes.advance(written);
        Ok(())
    }

    pub(super) async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *lock(&self.0)).poll_flush(cx)).await
    }

    /// Passes the orderly end on.
    pub(super) async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *lock(&self.0)).poll_shutdown(cx)).await
    }

    /// Whether the peer's end has come, even if nobody has read up to it.
    pub(super) fn has_ended(&self) -> bool {
        has_ended(lock(&self.0).get_ref().0)
    }

    /// Whether the peer's host has refused what was written.
    pub(super) fn is_reset(&self) -> bool {
        was_reset(lock(&self.0).get_ref().0)
    }

    /// Makes the peer see a failure when this is dropped.
    pub(super) fn reset(&self) {
        reset_when_dropped(lock(&self.0).get_ref().0);
    }
}
