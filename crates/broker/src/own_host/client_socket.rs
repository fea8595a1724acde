//! Kernel options for a connection with a client.

use std::os::fd::AsFd;
use std::time::Duration;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tracing::debug;

/// How long a client may be silent before the kernel probes it.
const IDLE: Duration = Duration::from_secs(60);
/// How long until the next probe.
const INTERVAL: Duration = Duration::from_secs(15);
/// How many probes may go unanswered.
const UNANSWERED: u32 = 3;
/// How long replies may stay unacknowledged, or unread.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// Makes the kernel end an idle connection whose other end no longer answers. A client that does not read does not count:
/// its host answers, and a download may pause as long as its client likes.
pub(crate) fn notice_when_idle(client: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(IDLE)
        .with_interval(INTERVAL)
        .with_retries(UNANSWERED);
    if let Err(error) = SockRef::from(client).set_tcp_keepalive(&keepalive) {
        debug!(%error, "cannot set the TCP keepalive: the broker notices late if a client's host vanishes");
    }
}

/// Makes the kernel also end it while data is in flight. Only for a connection on which nobody pauses: the kernel also
/// counts the time in which the client's window is closed, even if its host answers.
pub(crate) fn notice_when_sending(client: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(client).set_tcp_user_timeout(Some(UNACKNOWLEDGED)) {
        debug!(%error, "cannot limit TCP's retries: the broker notices late if a client's host vanishes");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = client;
}

/// Makes the next drop a failure for the peer instead of an orderly end.
pub(crate) fn reset_when_dropped(tcp: &impl AsFd) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

/// Whether the peer's end has come, even if nobody has read up to it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn has_ended(tcp: &impl AsFd) -> bool {
    let ended = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut polled = [PollFd::new(tcp, PollFlags::RDHUP)];
    let at_once = Timespec::default();
    let known = poll(&mut polled, Some(&at_once)).is_ok();
    known && polled.iter().any(|it| it.revents().intersects(ended))
}

/// Whether the peer's end comes next. Other kernels do not say what stands behind unread bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn has_ended(tcp: &impl AsFd) -> bool {
    let mut next = [std::mem::MaybeUninit::uninit()];
    match SockRef::from(tcp).peek(&mut next) {
        Ok(ready) => ready == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Whether the peer's host has reset the connection, and no read or write has failed with that yet.
pub(crate) fn was_reset(tcp: &impl AsFd) -> bool {
    matches!(SockRef::from(tcp).take_error(), Ok(Some(_)) | Err(_))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn an_end_is_seen_behind_unread_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (tcp, _) = listener.accept().unwrap();
        peer.write_all(b"QUIT\r\n").unwrap();
        assert!(!has_ended(&tcp));
        peer.shutdown(Shutdown::Write).unwrap();
        assert!(has_ended(&tcp));
    }
}
