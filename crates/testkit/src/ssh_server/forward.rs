//! The bytes of a channel: joined to a TCP connection, and the listeners of remote forwards.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::Active;
use super::Shared;

/// Bytes read from TCP at once: smaller reads cost throughput.
const COPY_BUFFER: usize = 64 * 1024;

/// One granted tcpip-forward.
pub(super) struct Forward {
    pub(super) listener: TcpListener,
    pub(super) address: String,
    pub(super) port: u32,
    pub(super) client: Handle,
    pub(super) shared: Arc<Shared>,
    /// The end of the SSH connection. A cancelled forward stops listening; its open channels go on.
    pub(super) ended: CancellationToken,
    /// Last, so that the port is closed by the time the count says so.
    pub(super) _active: Active,
}

impl Forward {
    /// Offers every connection to the client until the forward is cancelled.
    pub(super) async fn serve(self, cancelled: CancellationToken) {
        while let Some(accepted) = cancelled.run_until_cancelled(self.listener.accept()).await {
            let Ok((stream, peer)) = accepted else {
                continue;
            };
            let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
            let (address, port) = (self.address.clone(), self.port);
            let ended = self.ended.clone();
            self.shared.tasks.spawn(async move {
                let offer = offer(client, &shared, (address, port), stream, peer);
                ended.run_until_cancelled(offer).await;
            });
        }
    }
}

/// Opens a channel for one connection that came to a forwarded address, and carries the bytes.
async fn offer(
    client: Handle,
    shared: &Shared,
    (address, port): (String, u32),
    stream: TcpStream,
    peer: SocketAddr,
) {
    let (ip, peer_port) = (peer.ip().to_string(), u32::from(peer.port()));
    let opened = client.channel_open_forwarded_tcpip(address, port, ip, peer_port);
    match opened.await {
        Ok(channel) => {
            shared.count(|c| c.forwarded_opened += 1);
            join(stream, channel).await;
        }
        Err(_) => shared.count(|c| c.forwarded_refused += 1),
    }
}

/// Carries bytes both ways until both directions have ended or the channel is gone.
///
/// A channel that is lost closes the TCP connection in the orderly way, as OpenSSH does: exactly the case in which an
/// FTP server takes half a file for a whole one. A TCP connection that is reset closes the channel without `Eof`.
pub(super) async fn join(stream: TcpStream, channel: Channel<Msg>) {
    let (from_channel, to_channel) = channel.split();
    let (from_tcp, to_tcp) = stream.into_split();
    let half_closed = CancellationToken::new();
    tokio::select! {
        () = channel_to_tcp(from_channel, to_tcp, half_closed.clone()) => {}
        () = tcp_to_channel(from_tcp, &to_channel, half_closed) => {}
    }
    // The connection may be gone, and the channel with it.
    let _ = to_channel.close().await;
}

/// Returns when the channel is gone; its `Eof` only ends this direction.
async fn channel_to_tcp(
    mut channel: ChannelReadHalf,
    tcp: OwnedWriteHalf,
    half_closed: CancellationToken,
) {
    let mut tcp = Some(tcp);
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::Data { data } = message {
            if let Some(open) = &mut tcp
                && open.write_all(&data).await.is_err()
            {
                // Nobody reads: what else arrives is dropped, while the other direction may still have bytes.
                tcp = None;
            }
        } else if matches!(message, ChannelMsg::Eof) {
            // Dropping the write half sends FIN.
            tcp = None;
            half_closed.cancel();
        } else if matches!(message, ChannelMsg::Close) {
            return;
        }
    }
}

/// Returns when both directions have ended in order, or at once when TCP was reset.
async fn tcp_to_channel(
    mut tcp: OwnedReadHalf,
    channel: &ChannelWriteHalf<Msg>,
    half_closed: CancellationToken,
) {
    loop {
        let mut buffer = BytesMut::with_capacity(COPY_BUFFER);
        match tcp.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) if channel.data_bytes(buffer.freeze()).await.is_ok() => {}
            Ok(_) | Err(_) => return,
        }
    }
    if channel.eof().await.is_ok() {
        half_closed.cancelled().await;
    }
}
