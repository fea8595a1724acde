//! Small packets without a delay, from OpenSSH before 10.1
//!
//! Such a server leaves Nagle's algorithm on for a connection that carries only forwardings: each small packet waits until
//! the one before it has been acknowledged, which takes a round trip. The server turns the algorithm off for good when a
//! session on the connection starts a program. So if the settings allow it, the broker requests the subsystem `sftp` once
//! on each connection, and sends it nothing, so the program ends at once. This happens beside the connection's use: it
//! takes no lease, and does not keep the connection open.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf};
use tokio::time::{Instant, timeout_at};

use super::channel_end::close;
use super::handler::SshHandle;
use super::session_channel::{self, NotOpened};
use crate::state::ConnectionState;
use crate::state::low_latency::LowLatencyRefusal;

/// The program that most servers have, and that does nothing unless it is asked to.
const SUBSYSTEM: &str = "sftp";

/// How long the program may take to start and to end: the server may have to fetch the account's home directory from
/// another host. A forced command that continues for longer loses its channel.
const LIMIT: Duration = Duration::from_secs(30);

/// How much the program may write: a notice fits. More is a forced command's own business, and would slow down the
/// connection.
const MAX_OUTPUT: usize = 64 << 10;

/// Makes the server send small packets at once. The connection's state shows the outcome.
pub(super) async fn request(state: Arc<ConnectionState>, handle: Arc<SshHandle>) {
    let requesting = async {
        // The library keeps half-open channels forever, so the broker waits as long as the connection exists.
        match session_channel::open(&state, &handle).await {
            Ok(channel) => start(&state, channel).await,
            Err(NotOpened::Refused) => {
                let server = state.server.clone();
                note(&state, Err(LowLatencyRefusal::NoSession { server }));
            }
            Err(NotOpened::ConnectionEnded) => {}
        }
    };
    state.closed.run_until_cancelled(requesting).await;
}

/// Starts the program and waits until it has ended.
async fn start(state: &ConnectionState, channel: Channel<Msg>) {
    let (mut messages, writer) = channel.split();
    let deadline = Instant::now() + LIMIT;
    let sent = async {
        writer.request_subsystem(true, SUBSYSTEM).await?;
        writer.eof().await
    };
    if sent.await.is_err() {
        return;
    }
    let started = timeout_at(deadline, starts(&mut messages)).await;
    let server = || state.server.clone();
    let outcome = match started {
        Ok(true) => Ok(()),
        Ok(false) => Err(LowLatencyRefusal::NoSubsystem { server: server() }),
        Err(_) => Err(LowLatencyRefusal::Late {
            server: server(),
            after: LIMIT,
        }),
    };
    let runs = outcome.is_ok();
    note(state, outcome);
    let ended = runs && timeout_at(deadline, ends(&mut messages)).await == Ok(true);
    if !ended && close(&mut messages, &writer).await {
        state.count_abandoned();
    }
}

/// Whether the server starts the program.
async fn starts(messages: &mut ChannelReadHalf) -> bool {
    loop {
        match messages.wait().await {
            Some(ChannelMsg::Success) => return true,
            Some(ChannelMsg::Failure | ChannelMsg::Close) | None => return false,
            Some(_) => {}
        }
    }
}

/// Takes what the program writes until the server has closed the channel: one that nobody drains would freeze all others
/// on the connection. False if it is too much.
async fn ends(messages: &mut ChannelReadHalf) -> bool {
    let mut room = MAX_OUTPUT;
    loop {
        let written = match messages.wait().await {
            Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) => data.len(),
            Some(ChannelMsg::Close) | None => return true,
            Some(_) => 0,
        };
        let Some(left) = room.checked_sub(written) else {
            return false;
        };
        room = left;
    }
}

fn note(state: &ConnectionState, outcome: Result<(), LowLatencyRefusal>) {
    if let Err(refusal) = &outcome {
        state.facts.note_low_latency_refusal(&state.server, refusal);
    }
    let connection = state.id;
    tracing::debug!(connection, ?outcome, "requested small packets at once");
    // It is requested only once.
    let _ = state.low_latency.set(outcome);
}
