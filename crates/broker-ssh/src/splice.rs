//! Joining a TCP connection and a channel, with exact half-close, and with cuts that look like cuts

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::channel::{Batch, Channel, ChannelRead, ReadHalf, WriteHalf};
use crate::net::client_socket::{ClientSocket, ClientStream, end_by_reset};
use crate::net::loopback::unpaced;
use crate::state::CutReason;

/// Bytes per read from a client. In a measurement, a quarter of it cost a sixth more processor time, and a sixteenth a
/// third of the throughput.
const COPY_BUFFER: usize = 512 << 10;

/// How long a client may take to begin the layer over its connection, such as TLS, after the other side of the channel
/// has closed. Before that a client can wait for the server's reply.
const LAYER_PATIENCE: Duration = Duration::from_secs(60);

/// How long the orderly end of a client's connection may take once its transfer is over.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// The reason if the receiver of an upload ended it early.
const CLOSED_EARLY: &str = "the other side closed the connection before everything was sent";

/// What a splice is told while it runs. Each is cancelled as a signal.
#[derive(Debug, Clone, Default)]
pub struct SpliceSignals {
    /// Ends the splice at once, as a cut.
    pub cancel: CancellationToken,
    /// Ends TCP in an orderly way: everything that matters has been carried, although the channel has not ended.
    pub over: CancellationToken,
    /// Nothing that TCP sends matters, so the channel's direction to the server ends at once. Ignored if the SSH server
    /// might close the other direction for it.
    pub half_close: CancellationToken,
}

/// The progress of a splice; may be read while it runs.
#[derive(Debug, Default)]
pub struct SpliceProgress {
    /// Bytes read from TCP and accepted by the channel.
    pub to_channel: AtomicU64,
    /// Whether the channel was gone before it accepted what was read from TCP.
    to_gone_channel: AtomicBool,
    /// Bytes read from the channel and accepted by TCP.
    pub from_channel: AtomicU64,
    /// Cancelled, as a signal, once the channel's orderly end was passed on to TCP after all its bytes.
    pub channel_done: CancellationToken,
    /// Cancelled, as a signal, once the orderly end of TCP was passed on to the channel after all its bytes.
    pub tcp_done: CancellationToken,
}

/// How a splice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpliceEnd {
    /// Both sides ended in an orderly way, and the other side of the channel has confirmed that it received everything.
    /// If TCP sent nothing, the channel may have ended before it did.
    Complete,
    /// The channel ended without an orderly end or before TCP did, or the splice was cancelled. TCP was reset, unless it
    /// had received everything and sent nothing.
    ChannelCut(String),
    /// The other side closed its end, through an SSH connection that works, before it had received everything.
    ClosedEarly(String),
    /// TCP was reset or failed, for this reason; the channel was closed.
    TcpGone(String),
}

impl SpliceProgress {
    /// Whether the client was sent everything and has sent nothing itself, as in a complete download. It may still have
    /// to read what waits in its buffers.
    pub fn is_whole_download(&self) -> bool {
        self.channel_done.is_cancelled() && !self.has_uploaded()
    }

    fn has_uploaded(&self) -> bool {
        self.to_channel.load(Ordering::Relaxed) > 0 || self.to_gone_channel.load(Ordering::Relaxed)
    }
}

/// Copies both ways until both have ended. An orderly end in one direction is passed on at once and leaves the other
/// direction running. Any other end resets the TCP connection, whether a cut, `cancel`, a panic, or the end of the
/// process, so nobody mistakes a part for the whole. Only a complete download is not reset.
///
/// The copying runs on the runtime of the channel's connection, and ends with this future.
pub async fn splice(
    tcp: TcpStream,
    channel: Channel,
    progress: &Arc<SpliceProgress>,
    cancel: CancellationToken,
) -> SpliceEnd {
    let signals = SpliceSignals {
        cancel,
        ..SpliceSignals::default()
    };
    splice_layered(tcp, async |tcp| Ok(tcp), channel, progress, signals).await
}

/// The same with a layer over the TCP connection, such as TLS, which `layer` makes. If `layer` fails, TCP is reset.
pub async fn splice_layered<Stream, Made>(
    tcp: TcpStream,
    layer: impl FnOnce(ClientSocket) -> Made + Send + 'static,
    channel: Channel,
    progress: &Arc<SpliceProgress>,
    signals: SpliceSignals,
) -> SpliceEnd
where
    Stream: ClientStream,
    Made: Future<Output = io::Result<Stream>> + Send,
{
    end_by_reset(&tcp, true);
    unpaced(&tcp);
    let progress = Arc::clone(progress);
    let copying = channel.spawner().spawn(async move {
        // A socket belongs to the runtime that polls it.
        match tcp.into_std().and_then(TcpStream::from_std) {
            Ok(tcp) => {
                let layered = layer(ClientSocket::new(tcp));
                copy(layered, channel, &progress, signals).await
            }
            Err(error) => tcp_gone(error),
        }
    });
    let ended = AbortOnDropHandle::new(copying).await;
    ended.unwrap_or_else(|_| SpliceEnd::ChannelCut("the copying ended unexpectedly".into()))
}

async fn copy<Stream: ClientStream>(
    layered: impl Future<Output = io::Result<Stream>>,
    channel: Channel,
    progress: &SpliceProgress,
    signals: SpliceSignals,
) -> SpliceEnd {
    let SpliceSignals {
        cancel,
        over,
        half_close,
    } = signals;
    let (mut from_channel, to_channel) = channel.split();
    let layered = tokio::select! {
        biased;
        () = cancel.cancelled() => return cancelled(),
        layered = layered => layered,
        end = without_layer(&to_channel) => return end,
    };
    let (mut read, mut write) = match layered {
        Ok(stream) => tokio::io::split(stream),
        Err(error) => return tcp_gone(error),
    };
    let copy = async {
        let (uploaded, ()) = tokio::try_join!(
            upload(&mut read, &to_channel, progress, &half_close),
            download(&mut from_channel, &mut write, progress)
        )?;
        confirm(uploaded, &to_channel, progress).await
    };
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Some(Err(cancelled())),
        () = over.cancelled() => None,
        result = copy => Some(result),
    };
    match result {
        Some(Ok(())) => SpliceEnd::Complete,
        None => {
            let mut stream = read.unsplit(write);
            let _ = timeout(RELEASE_PATIENCE, stream.shutdown()).await;
            SpliceEnd::Complete
        }
        Some(Err(end)) => {
            // One direction may have ended in an orderly way before the other one failed. The success of a download may
            // already be reported, and a reset would discard what the client has not read yet.
            let stream = read.unsplit(write);
            end_by_reset(stream.socket(), !progress.is_whole_download());
            end
        }
    }
}

fn cancelled() -> SpliceEnd {
    SpliceEnd::ChannelCut("the broker closed the connection".into())
}

/// Returns when the client will no longer begin the layer over its connection.
async fn without_layer(to: &WriteHalf) -> SpliceEnd {
    match closed(to.gone().await) {
        Err(cut) => cut,
        Ok(()) => {
            sleep(LAYER_PATIENCE).await;
            SpliceEnd::TcpGone("the client did not begin to use its connection".into())
        }
    }
}

/// How the direction towards the channel ended without a TCP failure.
enum Upload {
    /// The client has sent its orderly end, and it was passed on.
    Ended,
    /// The channel ended first.
    ChannelGone(CutReason),
}

/// Both directions have ended. Data sent to the channel counts as received once the other side closes the channel after
/// our end: a peer may have ended its own direction long before.
async fn confirm(
    uploaded: Upload,
    to: &WriteHalf,
    progress: &SpliceProgress,
) -> Result<(), SpliceEnd> {
    match uploaded {
        Upload::Ended if !progress.has_uploaded() => Ok(()),
        Upload::Ended => closed(to.gone().await),
        Upload::ChannelGone(CutReason::Closed) if progress.has_uploaded() => {
            Err(SpliceEnd::ClosedEarly(CLOSED_EARLY.into()))
        }
        Upload::ChannelGone(reason) => closed(reason),
    }
}

/// Accepts the end of a channel that the other side closed, and not a cut.
fn closed(reason: CutReason) -> Result<(), SpliceEnd> {
    if reason == CutReason::Closed {
        Ok(())
    } else {
        Err(SpliceEnd::ChannelCut(reason.to_string()))
    }
}

/// Channel to TCP, up to the channel's orderly end.
async fn download(
    from: &mut ReadHalf,
    tcp: &mut (impl AsyncWrite + Unpin),
    progress: &SpliceProgress,
) -> Result<(), SpliceEnd> {
    loop {
        match from.read().await {
            ChannelRead::Data(data) => {
                let mut batch = Batch::from(data);
                from.take_waiting(&mut batch);
                let count = batch.remaining() as u64;
                // A client that reads nothing must not hide that the channel is gone.
                let written = async {
                    tcp.write_all_buf(&mut batch).await?;
                    // A layer may keep what TCP does not take at once.
                    tcp.flush().await
                };
                tokio::select! {
                    biased;
                    written = written => written.map_err(tcp_gone)?,
                    reason = from.cut() => return Err(SpliceEnd::ChannelCut(reason.to_string())),
                }
                progress.from_channel.fetch_add(count, Ordering::Relaxed);
            }
            ChannelRead::Eof => {
                let ended = tcp.shutdown().await;
                ended.or_else(|error| gone_after_upload(error, progress))?;
                progress.channel_done.cancel();
                return Ok(());
            }
            ChannelRead::Cut(reason) => return Err(SpliceEnd::ChannelCut(reason.to_string())),
        }
    }
}

/// TCP to channel, up to the client's orderly end or the end of the channel.
async fn upload(
    tcp: &mut (impl AsyncRead + Unpin),
    to: &WriteHalf,
    progress: &SpliceProgress,
    half_close: &CancellationToken,
) -> Result<Upload, SpliceEnd> {
    let mut buffer = BytesMut::new();
    loop {
        let count = tokio::select! {
            count = read(tcp, &mut buffer, progress) => count?,
            reason = to.gone() => {
                // A client that has sent nothing may still have to read what the channel brought.
                if reason == CutReason::Closed && !progress.has_uploaded() {
                    let sent = read(tcp, &mut buffer, progress).await? > 0;
                    progress.to_gone_channel.store(sent, Ordering::Relaxed);
                }
                return Ok(Upload::ChannelGone(reason));
            }
            () = half_close.cancelled(), if to.may_half_close() => {
                // If the channel is gone, its own end shows that.
                let _ = to.eof().await;
                return discard(tcp, progress).await;
            }
        };
        if count == 0 {
            return Ok(match to.eof().await {
                Ok(()) => {
                    progress.tcp_done.cancel();
                    Upload::Ended
                }
                Err(reason) => Upload::ChannelGone(reason),
            });
        }
        let data = buffer.split().freeze();
        // What the other side sent before it closed the channel still goes to the client: perhaps it says why.
        if let Err(reason) = to.write(data).await {
            progress.to_gone_channel.store(true, Ordering::Relaxed);
            return Ok(Upload::ChannelGone(reason));
        }
        progress
            .to_channel
            .fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Reads until the client ends, once the direction to the server has ended.
async fn discard(
    tcp: &mut (impl AsyncRead + Unpin),
    progress: &SpliceProgress,
) -> Result<Upload, SpliceEnd> {
    let mut buffer = BytesMut::new();
    while read(tcp, &mut buffer, progress).await? > 0 {
        buffer.clear();
        progress.to_gone_channel.store(true, Ordering::Relaxed);
    }
    progress.tcp_done.cancel();
    Ok(Upload::Ended)
}

/// The number of bytes that came from the client, 0 at its end. Cancelling loses nothing.
async fn read(
    tcp: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    progress: &SpliceProgress,
) -> Result<usize, SpliceEnd> {
    buffer.reserve(COPY_BUFFER);
    let read = tcp.read_buf(buffer).await;
    read.or_else(|error| end_after_download(error, progress))
}

/// A client that has received everything and sent nothing need not end a layer over its connection: nothing of its own
/// can be cut.
fn end_after_download(error: io::Error, progress: &SpliceProgress) -> Result<usize, SpliceEnd> {
    if error.kind() == ErrorKind::UnexpectedEof && progress.is_whole_download() {
        return Ok(0);
    }
    Err(tcp_gone(error))
}

/// A client whose upload has ended, and that has received nothing, need not wait for the other end.
fn gone_after_upload(error: io::Error, progress: &SpliceProgress) -> Result<(), SpliceEnd> {
    let received = progress.from_channel.load(Ordering::Relaxed);
    if progress.tcp_done.is_cancelled() && received == 0 {
        return Ok(());
    }
    Err(tcp_gone(error))
}

fn tcp_gone(error: io::Error) -> SpliceEnd {
    let was_reset = matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    );
    SpliceEnd::TcpGone(if was_reset {
        "its other end reset it".to_owned()
    } else {
        error.to_string()
    })
}
