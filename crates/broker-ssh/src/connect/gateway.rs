//! Through a gateway: an SSH connection to it, and on that connection a channel to the server
//!
//! Each connection has its own gateway connection, which ends with it. If data connections shared one, a single stalled
//! transfer would hold up all of them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::channel_error::ChannelError;
use super::connection::Connection;
use crate::route::TimeLimit;
use crate::spec::{ConnectSpec, Target};

/// The originator that a gateway may log: the connection is the broker's own.
const ORIGINATOR: (&str, u32) = ("127.0.0.1", 0);

/// A gateway's connection, which is closed in order when nothing needs it.
pub(super) struct ClosedOnDrop(pub(super) Arc<Connection>);

impl Drop for ClosedOnDrop {
    fn drop(&mut self) {
        let connection = Arc::clone(&self.0);
        let closing = async move { connection.close("no longer used".into()).await };
        self.0.tracker.spawn_on(closing, &self.0.state.runtime);
    }
}

/// The byte stream to a server through a gateway. Its end is the server's; the loss of the gateway is an error.
pub(super) struct GatewayStream {
    // First, so the channel closes before the connection does.
    channel: ChannelStream<Msg>,
    gateway: ClosedOnDrop,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl GatewayStream {
    pub(super) async fn open(
        gateway: ClosedOnDrop,
        spec: &ConnectSpec,
        limit: TimeLimit,
    ) -> Result<Self, ChannelError> {
        let state = &gateway.0.state;
        let target = Target::new(&spec.host, spec.port);
        let late = || ChannelError::Late {
            what: format!("the connection from {} to {target}", state.server),
            after: limit.whole,
        };
        let from = (ORIGINATOR.0.to_owned(), ORIGINATOR.1);
        let opened = limit.run(gateway.0.open_direct_tcpip(&target, from)).await;
        let channel = opened.ok_or_else(late)??;
        let lost = Box::pin(state.closed.clone().cancelled_owned());
        #[expect(
            clippy::disallowed_methods,
            reason = "only the connection itself tells whether it was lost or has ended"
        )]
        let channel = channel.into_stream();
        Ok(Self {
            channel,
            gateway,
            lost,
        })
    }

    /// Fails once the gateway's connection is lost. The channel alone would show that as an end or, during a write, not
    /// at all.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.lost.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let state = &self.gateway.0.state;
                let text = format!("gateway {}: {}", state.server, state.end());
                Err(io::Error::other(text))
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for GatewayStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.channel).poll_read(cx, buf);
        if buf.filled().len() == before {
            self.check(cx)?;
        }
        polled
    }
}

impl AsyncWrite for GatewayStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.channel).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.channel).poll_shutdown(cx)
    }
}
