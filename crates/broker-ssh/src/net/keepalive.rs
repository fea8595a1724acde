//! How long the kernel tolerates a server's silence: as long as the liveness checks do
//!
//! A dead connection would hold an upload for as long as TCP retries, about 15 minutes. So the kernel may retry only as
//! long as the liveness checks would wait. It counts from the last acknowledgement, so it ends neither a slow connection
//! nor an idle one.

use std::time::Duration;

use tokio::net::TcpStream;

/// How many liveness checks in a row may go unanswered.
pub(crate) const UNANSWERED: u32 = 3;

/// Makes the kernel end the connection if sent data stays unacknowledged, or unread, for as long as a server may be
/// silent with this interval of checks. Without an interval, and on systems that do not support it, TCP's own timeout
/// applies.
pub(crate) fn bound_silence(tcp: &TcpStream, interval: Option<Duration>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(tcp).set_tcp_user_timeout(interval.map(patience)) {
        tracing::debug!(%error, "cannot limit TCP's retries: the broker notices late if a connection dies during an upload");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (tcp, interval);
}

/// How long a server may be silent with this interval of checks.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn patience(interval: Duration) -> Duration {
    interval.saturating_mul(UNANSWERED + 1)
}
