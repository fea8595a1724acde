//! Liveness checks that detect a silent server
//!
//! While the SSH session waits for the kernel to take more of an upload, or for the reader of a download, the check is
//! not sent, so it proves nothing. In that case the kernel itself gives up (see [`crate::net::keepalive`]).

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::liveness::Liveness;
use crate::net::keepalive::UNANSWERED;
use crate::state::PROMPT;

/// Sends a liveness check whenever the server was silent for an interval, and severs the connection if not a single byte
/// comes back. Ends with the connection.
pub(super) async fn watch(liveness: Liveness, interval: Duration) {
    let state = liveness.state();
    let watching = async {
        loop {
            let (received, quiet_since) = (state.bytes_received(), Instant::now());
            sleep(interval).await;
            if state.bytes_received() != received {
                continue;
            }
            state
                .silence
                .asked((received, state.bytes_sent()), quiet_since);
            let mut responds = pin!(responds(&liveness, interval));
            let is_alive = match timeout(PROMPT, &mut responds).await {
                Ok(is_alive) => is_alive,
                Err(_) => {
                    // From now on the state shows the silence.
                    state.wake_pool();
                    let is_alive = responds.await;
                    state.wake_pool();
                    is_alive
                }
            };
            if !is_alive {
                break;
            }
        }
    };
    if state.closed.run_until_cancelled(watching).await.is_some() {
        state.set_end(state.lost("the server no longer answers keepalives"));
        state.severed.cancel();
    }
}

/// Whether anything came within the time for an answer. A check that was not sent yet gets that time first.
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
