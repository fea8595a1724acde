//! Through a gateway: an SSH connection to it, and on that a channel to the server
//!
//! Each connection has a gateway connection of its own, which ends with it. Data connections that shared one would hold
//! each other up as soon as one of them stalls.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::either::Either;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::Transport;
use super::limit::TimeLimit;
use crate::connect::dial::dial_gateway;
use crate::error::OpenError;
use crate::pool::Connection;
use crate::spec::{ConnectSpec, Target};
use crate::state::ConnectionState;

/// What a gateway's log may say of who asks for the channel: the connection is the broker's own.
const ORIGINATOR: (&str, u32) = ("127.0.0.1", 0);

/// Dials the gateway, within its own times, and has it connect to the server of `spec`.
///
/// # Errors
/// What is wrong with the gateway, or what it says is wrong with the server.
pub(super) async fn open(
    spec: &ConnectSpec,
    gateway: Arc<ConnectSpec>,
    state: &ConnectionState,
    tracker: &TaskTracker,
) -> Result<Transport, OpenError> {
    let failed = |reason: OpenError| OpenError::Gateway {
        server: spec.server(),
        reason: Box::new(reason),
    };
    let connection = connect(gateway, state, tracker).await.map_err(failed)?;
    let limit = TimeLimit::starts_now(spec.settings.connect_timeout);
    let began = Instant::now();
    let stream = GatewayStream::open(connection, spec, limit)
        .await
        .map_err(failed)?;
    Ok(Transport {
        stream: Either::Right(stream),
        peer: None,
        round_trip: began.elapsed(),
        limit,
    })
}

async fn connect(
    gateway: Arc<ConnectSpec>,
    state: &ConnectionState,
    tracker: &TaskTracker,
) -> Result<Goodbye, OpenError> {
    let hop = state.hop(gateway.server());
    // Whatever ends the attempt ends the gateway's session with it.
    let severed = hop.severed.clone().drop_guard();
    // A task of its own, since a gateway may have a gateway: their dials shall not all stand on one stack.
    let dialling = dial_gateway(Arc::clone(&gateway), Arc::clone(&hop), tracker.clone());
    let dialling = AbortOnDropHandle::new(tracker.spawn_on(dialling, &hop.runtime));
    let dialled = state.severed.run_until_cancelled(dialling).await;
    let closing = || OpenError::ShuttingDown {
        server: state.server.clone(),
    };
    if hop.needs_person() {
        state.mark_needs_person();
    }
    let dialled = dialled.ok_or_else(closing)?;
    let session = dialled.unwrap_or(Err(OpenError::Internal))?;
    hop.mark_up();
    let own_route = hop
        .route()
        .map_or(String::new(), |route| format!("{route}, "));
    state.note_route(format!("{own_route}gateway {}", hop.server));
    severed.disarm();
    Ok(Goodbye {
        connection: Connection::new(hop, session, tracker.clone(), &gateway),
        tracker: tracker.clone(),
    })
}

/// A gateway's connection, which is closed in order when nothing needs it any more.
struct Goodbye {
    connection: Arc<Connection>,
    tracker: TaskTracker,
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        let connection = Arc::clone(&self.connection);
        let runtime = connection.state().runtime.clone();
        let closing = async move { connection.close("no longer used".into()).await };
        self.tracker.spawn_on(closing, &runtime);
    }
}

/// The byte stream to a server through a gateway. Its end is the server's; the loss of the gateway is an error.
pub(crate) struct GatewayStream {
    // First, so that the channel is closed before the connection is.
    channel: ChannelStream<Msg>,
    gateway: Goodbye,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl GatewayStream {
    async fn open(
        gateway: Goodbye,
        spec: &ConnectSpec,
        limit: TimeLimit,
    ) -> Result<Self, OpenError> {
        let state = gateway.connection.state();
        let target = Target::new(&spec.host, spec.port);
        let late = || OpenError::Timeout {
            what: format!("the connection from {} to {target}", state.server),
            after: limit.whole,
        };
        let from = (ORIGINATOR.0.to_owned(), ORIGINATOR.1);
        let opened = limit.run(gateway.connection.open(&target, from)).await;
        let channel = opened.ok_or_else(late)??;
        let lost = Box::pin(state.closed.clone().cancelled_owned());
        #[expect(
            clippy::disallowed_methods,
            reason = "a lost connection is told from an end by asking the connection itself"
        )]
        let channel = channel.into_stream();
        Ok(Self {
            channel,
            gateway,
            lost,
        })
    }

    /// Fails once the gateway's connection is lost, which the channel alone would show as an end, or, in the middle of a
    /// write, not at all.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.lost.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let state = self.gateway.connection.state();
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
