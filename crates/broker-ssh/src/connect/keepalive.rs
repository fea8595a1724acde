//! How a server that has gone silent is noticed: it is asked for a sign of life
//!
//! While the SSH session waits for the kernel to take more of an upload, or for the reader of a download, the question
//! does not leave, and says nothing. There the kernel itself gives up (see [`crate::net::keepalive`]).

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::liveness::Liveness;
use crate::net::keepalive::UNANSWERED;
use crate::state::CutReason;

/// Asks the server whenever nothing came from it for an interval, and severs the connection where that brings nothing either,
/// not a byte. Ends with the connection.
pub(super) async fn watch(liveness: Liveness, interval: Duration) {
    let state = liveness.state();
    let watching = async {
        loop {
            let received = state.bytes_received();
            sleep(interval).await;
            if state.bytes_received() == received && !responds(&liveness, interval).await {
                break;
            }
        }
    };
    if state.closed.run_until_cancelled(watching).await.is_some() {
        let reason = "the server no longer answers keepalives".to_owned();
        state.set_end(CutReason::ConnectionLost(reason));
        state.severed.cancel();
    }
}

/// Whether anything came within the time for an answer. A question that has not left has its time before it.
async fn responds(liveness: &Liveness, interval: Duration) -> bool {
    let state = liveness.state();
    let (received, sent) = (state.bytes_received(), state.bytes_sent());
    let deadline = Instant::now() + interval.saturating_mul(UNANSWERED);
    let mut answered = pin!(liveness.answered());
    tokio::select! {
        true = &mut answered => true,
        () = sleep_until(deadline) => state.bytes_received() != received || state.bytes_sent() == sent,
    }
}
