//! What the kernel is asked to do about a connection with a client.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tracing::debug;

/// A client that has said nothing for so long is asked whether it is there.
const IDLE: Duration = Duration::from_secs(60);
/// How long until it is asked again.
const INTERVAL: Duration = Duration::from_secs(15);
/// How many questions may go unanswered.
const UNANSWERED: u32 = 3;
/// How long replies may stay unacknowledged, or untaken.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// Has the kernel end a connection whose other end no longer answers while nothing is sent. That a client does not read
/// is no such sign: its host answers, and a download may pause for as long as its client likes.
pub(crate) fn notice_when_idle(client: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(IDLE)
        .with_interval(INTERVAL)
        .with_retries(UNANSWERED);
    if let Err(error) = SockRef::from(client).set_tcp_keepalive(&keepalive) {
        debug!(%error, "a client whose host vanishes is noticed late");
    }
}

/// Has the kernel also end it while something is on its way. Only for a connection on which nobody pauses: the kernel
/// counts the time in which the client's window is closed, whether its host answers or not.
pub(crate) fn notice_when_sending(client: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(client).set_tcp_user_timeout(Some(UNACKNOWLEDGED)) {
        debug!(%error, "a client whose host vanishes is noticed late");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = client;
}

/// Lets the coming drop be a failure to the peer and not an end.
pub(crate) fn reset_when_dropped(tcp: &impl AsFd) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}
