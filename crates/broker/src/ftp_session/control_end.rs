//! One end of a control connection: a TCP connection, TLS over TCP, or an SSH channel, with what waits to be written to
//! it.

use std::fmt;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use broker_ssh::{Channel, ChannelRead, CutReason};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use rustix::net::RecvFlags;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tracing::debug;

use super::control_tls::{READ_SIZE, SharedTls, Started, Starting};
use crate::client_tls::SessionTls;
use crate::own_host::{has_ended, reset_when_dropped, was_reset};
use crate::refusal::Refusal;

/// Bytes per write to a channel.
const WRITE_SIZE: usize = 32 * 1024;

/// How long the last reply may take to reach a slow client.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// What came from one end.
#[derive(Debug)]
pub(crate) enum EndRead {
    /// Bytes in order.
    Bytes(Bytes),
    /// The orderly end.
    End,
    /// The connection failed.
    Lost(EndFault),
}

/// Why an end failed.
#[derive(Debug)]
pub(crate) enum EndFault {
    /// The TCP connection failed.
    Tcp(io::Error),
    /// TLS did not begin.
    Handshake(io::Error),
    /// The SSH channel was cut.
    Channel(CutReason),
}

impl EndFault {
    /// Whether the peer itself reset the connection.
    pub(crate) fn is_reset(&self) -> bool {
        self.is(ErrorKind::ConnectionReset)
    }

    /// Whether the peer's host no longer answers.
    pub(crate) fn is_silence(&self) -> bool {
        self.is(ErrorKind::TimedOut)
    }

    fn is(&self, kind: ErrorKind) -> bool {
        matches!(self, Self::Tcp(error) if error.kind() == kind)
    }
}

impl fmt::Display for EndFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(error) | Self::Handshake(error) => error.fmt(f),
            Self::Channel(reason) => reason.fmt(f),
        }
    }
}

/// One end of a control connection.
pub(crate) struct ControlEnd {
    pub(crate) reader: EndReader,
    pub(crate) writer: EndWriter,
    pub(super) starting: Starting,
}

/// What comes from one end.
pub(crate) struct EndReader {
    source: Source,
    /// Whether more can come.
    open: bool,
}

enum Source {
    Tcp(OwnedReadHalf),
    Tls(SharedTls),
    Channel(broker_ssh::ReadHalf),
    /// None, while TLS begins.
    Absent,
}

/// What goes to one end.
pub(crate) struct EndWriter {
    sink: Sink,
    backlog: BytesMut,
    /// Whether the orderly end follows the backlog.
    ending: bool,
    /// Whether TLS may keep bytes that TCP has not taken.
    unflushed: bool,
}

enum Sink {
    Tcp(OwnedWriteHalf),
    Tls(SharedTls),
    Channel(ChannelSink),
    /// None, while TLS begins.
    Absent,
}

/// The writing half of a channel. A write to a channel cannot be abandoned half-way, so one that has begun is kept here.
struct ChannelSink {
    half: Arc<broker_ssh::WriteHalf>,
    begun: Option<BoxFuture<'static, Result<(), CutReason>>>,
}

impl ControlEnd {
    /// The end of a TCP connection.
    pub(crate) fn tcp(tcp: TcpStream) -> Self {
        let (read, write) = tcp.into_split();
        Self::new(Source::Tcp(read), Sink::Tcp(write))
    }

    /// The end of a channel.
    pub(crate) fn channel(channel: Channel) -> Self {
        let (read, write) = channel.split();
        let sink = ChannelSink {
            half: Arc::new(write),
            begun: None,
        };
        Self::new(Source::Channel(read), Sink::Channel(sink))
    }

    fn new(source: Source, sink: Sink) -> Self {
        Self {
            reader: EndReader { source, open: true },
            writer: EndWriter {
                sink,
                backlog: BytesMut::new(),
                ending: false,
                unflushed: false,
            },
            starting: Starting::default(),
        }
    }

    /// Begins TLS as the server behind what is queued. The end of a channel stays as it is.
    pub(crate) fn start_tls(&mut self, tls: Arc<SessionTls>) {
        let source = std::mem::replace(&mut self.reader.source, Source::Absent);
        let sink = std::mem::replace(&mut self.writer.sink, Sink::Absent);
        match (source, sink) {
            (Source::Tcp(read), Sink::Tcp(write)) => {
                if let Ok(tcp) = read.reunite(write) {
                    let clear = std::mem::take(&mut self.writer.backlog);
                    self.starting.begin(tcp, clear, tls);
                }
            }
            (source, sink) => {
                self.reader.source = source;
                self.writer.sink = sink;
            }
        }
    }

    /// Uses TLS from now on. Returns the version and cipher.
    ///
    /// # Errors
    /// Why TLS did not begin. Nothing more can be read or written then.
    pub(crate) fn use_tls(&mut self, started: Started) -> Result<String, EndFault> {
        let (stream, agreed) = started.map_err(EndFault::Handshake)?;
        let stream = SharedTls::new(stream);
        self.reader.source = Source::Tls(stream.clone());
        self.writer.sink = Sink::Tls(stream);
        Ok(agreed)
    }

    /// Tells the client why it is not served, with a 421 greeting (RFC 959, section 5.4), and ends.
    pub(crate) async fn refuse(mut self, reason: &Refusal) {
        let line = ftp_proto::reply(421, &reason.to_string());
        self.writer.send(&line);
        self.say_farewell().await;
    }

    /// Writes everything that is queued, and the orderly end, as far as the peer takes it in a short time. Returns whether
    /// it did.
    pub(crate) async fn say_farewell(&mut self) -> bool {
        match timeout(FAREWELL_TIMEOUT, self.finish()).await {
            Ok(finished) => finished.is_ok(),
            Err(_) => {
                debug!("the client did not take the last words");
                false
            }
        }
    }

    async fn finish(&mut self) -> Result<(), EndFault> {
        if self.starting.is_running() {
            let started = self.starting.finished().await;
            self.use_tls(started)?;
        }
        self.writer.finish().await
    }
}

impl EndReader {
    /// Whether more can come.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the peer's end has come, even if nobody has read up to it. SSH does not say that ahead.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.source {
            Source::Tcp(half) => has_ended(half.as_ref()),
            Source::Tls(stream) => stream.has_ended(),
            Source::Channel(_) | Source::Absent => !self.open,
        }
    }

    /// Reads what comes next. May be abandoned.
    pub(crate) async fn read(&mut self) -> EndRead {
        let read = match &mut self.source {
            Source::Tcp(half) => tcp_read(read_tcp(half.as_ref()).await),
            Source::Tls(stream) => tcp_read(stream.read().await),
            Source::Channel(half) => channel_read(half.read().await),
            Source::Absent => pending().await,
        };
        if !matches!(read, EndRead::Bytes(_)) {
            self.open = false;
        }
        read
    }
}

impl EndWriter {
    /// Queues bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.backlog.extend_from_slice(bytes);
    }

    /// Queues the orderly end.
    pub(crate) fn end(&mut self) {
        self.ending = true;
    }

    /// How many bytes the peer has not taken yet.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Whether [`write`](Self::write) has something to do.
    pub(crate) fn has_output(&self) -> bool {
        self.ending || self.unflushed || !self.backlog.is_empty() || self.has_begun()
    }

    /// Whether a write to a channel has begun and not ended.
    fn has_begun(&self) -> bool {
        matches!(&self.sink, Sink::Channel(sink) if sink.begun.is_some())
    }

    /// Writes a part of what is queued. May be abandoned.
    ///
    /// # Errors
    /// Why a TCP connection failed. If a channel was cut, its reader says why.
    pub(crate) async fn write(&mut self) -> Result<(), EndFault> {
        let written = self.write_part().await;
        if self.backlog.is_empty() {
            // Most sessions are idle most of the time, and need no buffer then.
            self.backlog = BytesMut::new();
        }
        written
    }

    async fn write_part(&mut self) -> Result<(), EndFault> {
        match &mut self.sink {
            Sink::Tcp(half) if self.backlog.is_empty() => {
                self.ending = false;
                half.shutdown().await.map_err(EndFault::Tcp)
            }
            Sink::Tcp(half) => {
                let written = half.write_buf(&mut self.backlog).await;
                written.map(drop).map_err(EndFault::Tcp)
            }
            Sink::Tls(stream) if !self.backlog.is_empty() => {
                self.unflushed = true;
                let written = stream.write(&mut self.backlog).await;
                written.map_err(EndFault::Tcp)
            }
            Sink::Tls(stream) if self.unflushed => {
                stream.flush().await.map_err(EndFault::Tcp)?;
                self.unflushed = false;
                Ok(())
            }
            Sink::Tls(stream) => {
                stream.shutdown().await.map_err(EndFault::Tcp)?;
                self.ending = false;
                Ok(())
            }
            Sink::Absent => pending().await,
            Sink::Channel(sink) => {
                if sink
                    .write(&mut self.backlog, &mut self.ending)
                    .await
                    .is_err()
                {
                    self.backlog.clear();
                    self.ending = false;
                }
                Ok(())
            }
        }
    }

    /// Writes everything that is queued, and the orderly end.
    ///
    /// # Errors
    /// Why a TCP connection failed.
    async fn finish(&mut self) -> Result<(), EndFault> {
        self.ending = true;
        while self.has_output() {
            self.write().await?;
        }
        Ok(())
    }

    /// Whether the peer's host has refused what was written, and nobody has learned that yet. SSH does not say that.
    pub(crate) fn is_reset(&self) -> bool {
        match &self.sink {
            Sink::Tcp(half) => was_reset(half.as_ref()),
            Sink::Tls(stream) => stream.is_reset(),
            Sink::Channel { .. } | Sink::Absent => false,
        }
    }

    /// Makes the peer see a failure when this is dropped, if it is a TCP connection. SSH has no message for a reset.
    pub(crate) fn reset(&self) {
        match &self.sink {
            Sink::Tcp(half) => reset_when_dropped(half.as_ref()),
            Sink::Tls(stream) => stream.reset(),
            Sink::Channel(_) | Sink::Absent => {}
        }
    }
}

impl ChannelSink {
    /// Ends the write that has begun; otherwise begins one with a part of these bytes, or with the end behind them. May be
    /// abandoned.
    async fn write(&mut self, backlog: &mut BytesMut, ending: &mut bool) -> Result<(), CutReason> {
        let half = &self.half;
        let begun = self
            .begun
            .get_or_insert_with(|| begin(half.clone(), backlog, ending));
        let written = begun.await;
        self.begun = None;
        written
    }
}

/// Begins to write the next part of what is queued, or the end behind it.
fn begin(
    half: Arc<broker_ssh::WriteHalf>,
    backlog: &mut BytesMut,
    ending: &mut bool,
) -> BoxFuture<'static, Result<(), CutReason>> {
    if backlog.is_empty() {
        *ending = false;
        return Box::pin(async move { half.eof().await });
    }
    let size = backlog.len().min(WRITE_SIZE);
    let bytes = backlog.split_to(size).freeze();
    Box::pin(async move { half.write(bytes).await })
}

/// Reads from TCP.
///
/// A read ends at the mark of urgent data, with more data after it. The runtime's own reads take a short read for an
/// empty socket and would then wait forever. This one waits only if the system says that there is nothing.
async fn read_tcp(tcp: &TcpStream) -> io::Result<Bytes> {
    tcp.async_io(Interest::READABLE, || {
        let mut buffer = [0; READ_SIZE];
        let (_, length) = rustix::net::recv(tcp, &mut buffer, RecvFlags::empty())?;
        Ok(Bytes::copy_from_slice(
            buffer.get(..length).unwrap_or_default(),
        ))
    })
    .await
}

fn tcp_read(read: io::Result<Bytes>) -> EndRead {
    match read {
        Ok(bytes) if bytes.is_empty() => EndRead::End,
        Ok(bytes) => EndRead::Bytes(bytes),
        Err(error) => EndRead::Lost(EndFault::Tcp(error)),
    }
}

fn channel_read(read: ChannelRead) -> EndRead {
    match read {
        ChannelRead::Data(bytes) => EndRead::Bytes(bytes),
        ChannelRead::Eof => EndRead::End,
        ChannelRead::Cut(reason) => EndRead::Lost(EndFault::Channel(reason)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::net::SendFlags;
    use socket2::SockRef;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Clients that abort send the end of `ABOR` as urgent data, and wait for the answer.
    #[tokio::test]
    async fn what_stands_behind_the_urgent_mark_is_read_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        SockRef::from(&server).set_out_of_band_inline(true).unwrap();
        rustix::net::send(&client, b"\xff\xf4\xff", SendFlags::OOB).unwrap();
        rustix::net::send(&client, b"\xf2ABOR\r\n", SendFlags::empty()).unwrap();
        let mut end = ControlEnd::tcp(server);
        let mut received = Vec::new();
        while received.len() < 10 {
            let read = timeout(Duration::from_secs(5), end.reader.read()).await;
            let EndRead::Bytes(bytes) = read.expect("nothing came") else {
                panic!("the end came too early");
            };
            received.extend(bytes);
        }
        assert_eq!(received, b"\xff\xf4\xff\xf2ABOR\r\n");
    }

    #[tokio::test]
    async fn what_is_queued_comes_before_the_orderly_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (mut near, mut far) = (ControlEnd::tcp(server), ControlEnd::tcp(client));
        near.writer.send(b"221 Goodbye.\r\n");
        near.writer.finish().await.unwrap();
        assert!(
            matches!(far.reader.read().await, EndRead::Bytes(bytes) if bytes == b"221 Goodbye.\r\n"[..])
        );
        assert!(matches!(far.reader.read().await, EndRead::End));
        assert!(!far.reader.is_open());
    }
}
