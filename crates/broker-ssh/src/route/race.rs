//! One TCP connection to whichever of a host's addresses answers first (Happy Eyeballs, RFC 8305 section 5)
//!
//! The families alternate. A new attempt begins as soon as one has failed, or a quarter of a second after the last, so an
//! address that drops packets costs no more than that. Attempts that lose are dropped.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::error::{FailedAttempt, Unreachable};
use super::limit::TimeLimit;
use crate::net::loopback::unpaced;

/// The delay between two attempts that RFC 8305 section 8 recommends.
const STAGGER: Duration = Duration::from_millis(250);

/// How many addresses are tried: a name has a handful, and its DNS server must not make us try thousands.
const MAX_ATTEMPTS: usize = 16;

/// The kernel's own keepalives. They end a connection whose peer is gone if SSH's keepalives are turned off, and keep
/// address translators from forgetting it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// An established connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) tcp: TcpStream,
    pub(super) peer: SocketAddr,
    /// How long it took, which is a round trip.
    pub(super) took: Duration,
}

/// Connects to one of the addresses.
///
/// # Errors
/// The outcome for each address.
pub(super) async fn connect(
    addresses: Vec<SocketAddr>,
    limit: TimeLimit,
) -> Result<Connected, Unreachable> {
    let mut waiting = in_turns(addresses).into_iter().take(MAX_ATTEMPTS);
    let mut attempts = FuturesUnordered::new();
    let mut unanswered = Vec::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(attempt(address));
            unanswered.push(address);
        }
        tokio::select! {
            ended = attempts.next() => match ended {
                Some((_, Ok(connected))) => return Ok(connected),
                Some((address, Err(error))) => {
                    unanswered.retain(|other| *other != address);
                    failures.push(failed(address, &error));
                }
                None => return Err(Unreachable(failures)),
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
            () = sleep_until(limit.ends) => {
                let silent = unanswered.iter();
                failures.extend(silent.map(|address| FailedAttempt::Silent(*address, limit.whole)));
                return Err(Unreachable(failures));
            }
        }
    }
}

/// An attempt for each address at the same time: how long it took, or why it failed.
pub(super) async fn each(
    addresses: Vec<SocketAddr>,
    limit: TimeLimit,
) -> Vec<(SocketAddr, Result<Duration, FailedAttempt>)> {
    let tried = in_turns(addresses).into_iter().take(MAX_ATTEMPTS);
    futures::future::join_all(tried.map(|address| alone(address, limit))).await
}

async fn alone(
    address: SocketAddr,
    limit: TimeLimit,
) -> (SocketAddr, Result<Duration, FailedAttempt>) {
    let outcome = match limit.run(attempt(address)).await {
        Some((_, Ok(connected))) => Ok(connected.took),
        Some((_, Err(error))) => Err(failed(address, &error)),
        None => Err(FailedAttempt::Silent(address, limit.whole)),
    };
    (address, outcome)
}

/// The addresses with alternating families, that of the first one first (RFC 8305 section 4).
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    while first.len() + second.len() > 0 {
        mixed.extend(first.next());
        mixed.extend(second.next());
    }
    mixed
}

async fn attempt(peer: SocketAddr) -> (SocketAddr, io::Result<Connected>) {
    let began = Instant::now();
    let connected = TcpStream::connect(peer).await;
    let took = began.elapsed();
    let prepared = connected.and_then(prepare);
    (peer, prepared.map(|tcp| Connected { tcp, peer, took }))
}

fn prepare(tcp: TcpStream) -> io::Result<TcpStream> {
    tcp.set_nodelay(true)?;
    unpaced(&tcp);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    Ok(tcp)
}

/// The usual reasons in plain words.
fn failed(address: SocketAddr, error: &io::Error) -> FailedAttempt {
    let words = if error.kind() == io::ErrorKind::ConnectionRefused {
        return FailedAttempt::Refused(address);
    } else if error.kind() == io::ErrorKind::HostUnreachable {
        "host unreachable".to_owned()
    } else if error.kind() == io::ErrorKind::NetworkUnreachable {
        "network unreachable".to_owned()
    } else {
        error.to_string()
    };
    FailedAttempt::Failed(address, words)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    /// A packet on loopback that takes longer was dropped.
    const DROPPED: Duration = Duration::from_millis(100);

    async fn good() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    /// An address that drops the packets of new connections because its queue is full; the caller must keep the queue.
    async fn swallowing() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(connected) = timeout(DROPPED, TcpStream::connect(address)).await {
            queue.push(connected.unwrap());
        }
        (address, listener, queue)
    }

    async fn refusing() -> SocketAddr {
        good().await.local_addr().unwrap()
    }

    #[tokio::test]
    async fn an_address_that_refuses_costs_nothing() {
        let (bad, good) = (refusing().await, good().await);
        let (before, there) = (Instant::now(), good.local_addr().unwrap());
        let tcp = connect(vec![bad, there], TimeLimit::starts_now(None)).await;
        assert_eq!(tcp.unwrap().peer, there);
        assert!(before.elapsed() < STAGGER);
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_costs_the_stagger() {
        let (bad, _listener, _queue) = swallowing().await;
        let good = good().await;
        let (before, there) = (Instant::now(), good.local_addr().unwrap());
        let tcp = connect(vec![bad, there], TimeLimit::starts_now(None)).await;
        assert_eq!(tcp.unwrap().peer, there);
        assert!((STAGGER..STAGGER * 4).contains(&before.elapsed()));
    }

    #[tokio::test]
    async fn every_address_that_failed_is_named() {
        let (silent, _listener, _queue) = swallowing().await;
        let refused = refusing().await;
        let limit = TimeLimit::starts_now(Some(STAGGER * 2));
        let error = connect(vec![silent, refused], limit).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "connection refused at {refused}, no answer from {silent} within 1 s (a firewall may drop the packets)"
            )
        );
    }

    #[tokio::test]
    async fn connections_are_kept_alive_and_send_at_once() {
        let good = good().await;
        let there = vec![good.local_addr().unwrap()];
        let connected = connect(there, TimeLimit::starts_now(None)).await;
        let tcp = connected.unwrap().tcp;
        assert!(tcp.nodelay().unwrap());
        assert!(SockRef::from(&tcp).keepalive().unwrap());
    }

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| -> Vec<SocketAddr> {
            let texts = texts.iter();
            texts
                .map(|text| format!("{text}:22").parse().unwrap())
                .collect()
        };
        assert_eq!(
            in_turns(of(&["[::1]", "[::2]", "[::3]", "10.0.0.1", "10.0.0.2"])),
            of(&["[::1]", "10.0.0.1", "[::2]", "10.0.0.2", "[::3]"])
        );
        assert_eq!(
            in_turns(of(&["10.0.0.1", "[::1]"])),
            of(&["10.0.0.1", "[::1]"])
        );
        assert_eq!(in_turns(Vec::new()), Vec::new());
    }
}
