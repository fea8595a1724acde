//! How long the kernel puts up with a server's silence: as long as whoever asks that server for a sign of life
//!
//! A line that has gone dead would hold an upload for as long as TCP tries, about 15 minutes. So the kernel is told to try
//! no longer than the questions would. It counts from the last acknowledgement: a slow line is not cut, nor one on which
//! nothing is to be sent.

use std::time::Duration;

use tokio::net::TcpStream;

/// How many intervals a question may go unanswered.
pub(crate) const UNANSWERED: u32 = 3;

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
