//! The task behind each channel: it drains the SSH session's queue so that the session does not block
//!
//! The session waits for each channel's queue in turn, so a channel that nobody drains freezes all others on its
//! connection. How much may wait here, and for how long, depends on who shares the connection.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use russh::{ChannelMsg, ChannelReadHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Backlog, Core};
use crate::connect::{close, until_closed};
use crate::pool::Lease;
use crate::state::CutReason;
use crate::state::info::ConnectionKind;

/// For a data channel alone on its connection: enough to keep both sides busy, and little to buffer during a stall.
const ALONE_LIMIT: usize = 1 << 20;

/// How far a data channel that shares its connection may lag behind before it holds up the others.
const OVERFLOW_LIMIT: usize = 8 << 20;

/// Replies that nobody has read yet. A server may send a directory of tens of thousands of files as one reply (STAT, RFC
/// 959 section 4.1.3), faster than the client reads it. A client with more than this waiting is gone or broken.
const CONTROL_BACKLOG: usize = 4 << 20;

/// How long the server may take to confirm the end of a channel that both sides have finished.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Drains `messages` until the channel ends or its owner drops it, then ends it on the wire. The lease is returned only
/// then, so nobody reuses the connection with a channel half open.
pub(super) async fn pump(mut messages: ChannelReadHalf, core: Arc<Core>, lease: Arc<Lease>) {
    let mut leases = lease.state().leases();
    let ended = drain(&mut messages, &core, &lease, &mut leases).await;
    core.gone.cancel();
    if !ended {
        finish(&mut messages, &core, &lease).await;
    }
}

/// Returns whether the channel has ended on the wire.
async fn drain(
    messages: &mut ChannelReadHalf,
    core: &Core,
    lease: &Lease,
    leases: &mut watch::Receiver<usize>,
) -> bool {
    let mut released = pin!(core.released.cancelled());
    loop {
        let message = tokio::select! {
            () = &mut released => return false,
            message = messages.wait() => message,
        };
        match message {
            Some(ChannelMsg::Data { data }) => {
                if let Err(reason) = admit(core, data, lease, leases).await {
                    core.backlog.cut(reason);
                    return false;
                }
            }
            Some(ChannelMsg::Eof) => core.backlog.set_eof(),
            Some(ChannelMsg::WindowAdjusted { .. }) => {
                core.rooms_made.fetch_add(1, Ordering::Relaxed);
            }
            Some(ChannelMsg::Close) => {
                core.backlog.cut(CutReason::Closed);
                return true;
            }
            Some(_) => {}
            None => {
                core.backlog.cut(lease.state().end());
                return true;
            }
        }
    }
}

/// Puts data into the backlog, and waits for room if there is a bound.
async fn admit(
    core: &Core,
    data: Bytes,
    lease: &Lease,
    leases: &mut watch::Receiver<usize>,
) -> Result<(), CutReason> {
    let waiting = core.backlog.push(data);
    match lease.kind() {
        ConnectionKind::Control if waiting > CONTROL_BACKLOG => Err(CutReason::Overflow(waiting)),
        ConnectionKind::Control => Ok(()),
        // The usual case, without a check of who shares the connection.
        ConnectionKind::Data if waiting < ALONE_LIMIT => Ok(()),
        ConnectionKind::Data => {
            let waiting = lease.state().stalls.enter(core.client);
            tokio::select! {
                room = wait_for_room(&core.backlog, leases, lease.connection().stall_timeout) => room,
                stalled_for = waiting.eviction() => Err(CutReason::Evicted(stalled_for)),
                // The connection is gone or about to go, so no more than the session's queue is left to drain.
                () = lease.state().closed.cancelled() => Ok(()),
                () = lease.state().severed.cancelled() => Ok(()),
                () = core.released.cancelled() => Ok(()),
            }
        }
    }
}

/// Waits until a data channel may take more: without a limit if it is alone, for a limited time if it shares.
async fn wait_for_room(
    backlog: &Backlog,
    leases: &mut watch::Receiver<usize>,
    stall: Duration,
) -> Result<(), CutReason> {
    let mut deadline = None;
    loop {
        let shared = *leases.borrow_and_update() > 1;
        if backlog.bytes() < if shared { OVERFLOW_LIMIT } else { ALONE_LIMIT } {
            return Ok(());
        }
        deadline = shared.then(|| deadline.unwrap_or_else(|| Instant::now() + stall));
        tokio::select! {
            () = backlog.taken() => {}
            changed = leases.changed() => if changed.is_err() { return Ok(()) },
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Err(CutReason::Stalled(stall));
            }
        }
    }
}

/// Ends a channel that the server has not ended. After an orderly end in both directions the server closes it.
async fn finish(messages: &mut ChannelReadHalf, core: &Core, lease: &Lease) {
    if core.is_finished() && timeout(CLOSE_GRACE, until_closed(messages)).await.is_ok() {
        return;
    }
    match timeout(CLOSE_GRACE, close(messages, &core.writer)).await {
        Ok(_) => lease.state().count_abandoned(),
        Err(_) => lease.state().retire(),
    }
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
