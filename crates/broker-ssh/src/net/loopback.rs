//! TCP connections within this host, which need no congestion control

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Exempts a connection within this host from the system's congestion control. If that one paces its packets (BBR), it
/// does so on loopback as well: its timers took a fifth of an upload's processor time there. Every kernel has Reno, and
/// every user may choose it.
pub(crate) fn unpaced(tcp: &TcpStream) {
    if tcp.peer_addr().is_ok_and(is_loopback) {
        set_reno(tcp);
    }
}

fn is_loopback(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn set_reno(tcp: &TcpStream) {
    if let Err(error) = SockRef::from(tcp).set_tcp_congestion(b"reno") {
        tracing::debug!(%error, "cannot change the congestion control of a loopback connection");
    }
}

/// Other systems have no such choice, and no congestion control that paces.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn set_reno(_tcp: &TcpStream) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_to_this_host_is_not_paced() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        unpaced(&tcp);
        let chosen = SockRef::from(&tcp).tcp_congestion().unwrap();
        assert!(chosen.starts_with(b"reno"), "{chosen:?}");
    }

    #[test]
    fn a_mapped_address_counts_too() {
        assert!(is_loopback("[::ffff:127.0.0.1]:21".parse().unwrap()));
        assert!(!is_loopback("192.0.2.1:21".parse().unwrap()));
    }
}
