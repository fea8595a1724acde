//! How a server that has gone silent is noticed
//!
//! A server from which nothing comes is asked for a sign of life. But while the SSH session waits for the kernel to take
//! more of an upload, or for the reader of a download, the question does not leave, and says nothing. A line that has gone
//! dead would hold an upload for as long as TCP tries, about 15 minutes. So the kernel is told to try no longer than the
//! questions would. It counts from the last acknowledgement: a slow line is not cut, nor one on which nothing is to be sent.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connect::liveness::Liveness;
use crate::error::CutReason;
use crate::state::ConnectionState;

/// How many intervals a question may go unanswered.
pub(crate) const UNANSWERED: u32 = 3;

/// Asks the server whenever nothing came from it for an interval, and severs the connection where that brings nothing either,
/// not a byte. Ends with the connection.
pub(crate) async fn watch(liveness: Liveness, interval: Duration) {
    let closed = liveness.state().closed.clone();
    let watching = async {
        loop {
            let heard = received(liveness.state());
            sleep(interval).await;
            if received(liveness.state()) == heard && !responds(&liveness, interval).await {
                break;
            }
        }
    };
    if closed.run_until_cancelled(watching).await.is_some() {
        let state = liveness.state();
        let reason = "the server no longer answers keepalives".to_owned();
        state.set_end(CutReason::ConnectionLost(reason));
        state.severed.cancel();
    }
}

/// Whether anything came within the time for an answer. A question that has not left has its time before it.
async fn responds(liveness: &Liveness, interval: Duration) -> bool {
    let state = liveness.state();
    let (heard, said) = (received(state), sent(state));
    let deadline = Instant::now() + interval.saturating_mul(UNANSWERED);
    let mut answered = pin!(liveness.answered());
    tokio::select! {
        true = &mut answered => true,
        () = sleep_until(deadline) => received(state) != heard || sent(state) == said,
    }
}

fn received(state: &ConnectionState) -> u64 {
    state.wire.received.load(Ordering::Relaxed)
}

fn sent(state: &ConnectionState) -> u64 {
    state.wire.sent.load(Ordering::Relaxed)
}

/// Has the kernel end the connection when what was sent stays unacknowledged, or untaken, for as long as the server
/// may be silent that is asked at this interval. Without an interval, and on systems that cannot do so, TCP's own
/// patience stays.
pub(crate) fn bound_silence(tcp: &TcpStream, interval: Option<Duration>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(tcp).set_tcp_user_timeout(interval.map(patience)) {
        tracing::debug!(%error, "a line that goes dead in the middle of an upload is noticed late");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (tcp, interval);
}

/// How long a server may be silent that is asked at this interval.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn patience(interval: Duration) -> Duration {
    interval.saturating_mul(UNANSWERED + 1)
}
