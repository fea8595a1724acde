//! The relay between plain sockets.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// A relay, and the two ends of one connection through it.
async fn connected(change: impl FnOnce(&mut RelayOptions)) -> (Relay, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = RelayOptions::to(listener.local_addr().unwrap());
    change(&mut options);
    let relay = Relay::start_with(options).await.unwrap();
    let client = TcpStream::connect(relay.addr()).await.unwrap();
    let (target, _) = listener.accept().await.unwrap();
    (relay, client, target)
}

async fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

async fn read_to_end(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut bytes))
        .await
        .unwrap()?;
    Ok(bytes)
}

#[tokio::test]
async fn both_directions_pass_and_are_recorded_and_ends_are_half() {
    let (relay, mut client, mut target) = connected(|_| {}).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut target).await.unwrap(), b"question");
    target.write_all(b"answer").await.unwrap();
    drop(target);
    assert_eq!(read_to_end(&mut client).await.unwrap(), b"answer");
    let passed = relay
        .wait_for(LIMIT, |all| all.iter().all(|one| !one.open))
        .await
        .unwrap();
    assert_eq!(
        passed,
        [Passed {
            to_target: 8,
            to_client: 6,
            open: false
        }]
    );
    let recording = Recording {
        to_target: b"question".to_vec(),
        to_client: b"answer".to_vec(),
    };
    assert_eq!(relay.recordings(), [recording]);
}

#[tokio::test]
async fn a_reset_passes_as_a_reset() {
    let (_relay, mut client, target) = connected(|_| {}).await;
    carry::reset(&target);
    drop(target);
    let error = read_to_end(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_unreachable_target_resets_the_client() {
    // Bound and not listening, so that nobody else gets the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let relay = Relay::start(socket.local_addr().unwrap()).await.unwrap();
    // The reset may be here before connecting is done.
    if let Ok(mut client) = TcpStream::connect(relay.addr()).await {
        assert!(read_to_end(&mut client).await.is_err());
    }
}

#[tokio::test]
async fn cutting_resets_or_closes_each_side() {
    let (relay, mut client, mut target) = connected(|_| {}).await;
    relay.cut(0, Cut::Reset);
    assert!(read_to_end(&mut client).await.is_err());
    assert!(read_to_end(&mut target).await.is_err());

    let (relay, mut client, mut target) = connected(|_| {}).await;
    relay.cut_all(Cut::Close);
    assert_eq!(read_to_end(&mut client).await.unwrap(), b"");
    assert_eq!(read_to_end(&mut target).await.unwrap(), b"");

    let (relay, mut client, mut target) = connected(|_| {}).await;
    relay.cut(0, Cut::ResetTarget);
    assert!(read_to_end(&mut target).await.is_err());
    assert_eq!(read_to_end(&mut client).await.unwrap(), b"");
}

#[tokio::test]
async fn a_connection_is_cut_once_it_has_carried_its_share() {
    let (relay, mut client, mut target) = connected(|_| {}).await;
    relay.cut_after(Some((10, Cut::Reset)));
    client.write_all(b"nine byte").await.unwrap();
    read_exactly(&mut target, 9).await;
    target.write_all(b"x").await.unwrap();
    relay.wait_for(LIMIT, |all| !all[0].open).await.unwrap();
    assert!(read_to_end(&mut target).await.is_err());
}

#[tokio::test]
async fn a_stalled_relay_holds_the_sender_and_goes_on_later() {
    let (relay, mut client, mut target) = connected(|_| {}).await;
    relay.set_flow(Flow::Stall);
    client.write_all(b"later").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), target.read_u8()).await;
    assert!(early.is_err(), "a byte passed a stalled relay");
    relay.set_flow(Flow::Pass);
    assert_eq!(read_exactly(&mut target, 5).await, b"later");
}

#[tokio::test]
async fn one_connection_can_be_dead_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = RelayOptions::to(listener.local_addr().unwrap());
    let relay = Relay::start_with(options).await.unwrap();
    let mut first = TcpStream::connect(relay.addr()).await.unwrap();
    let (mut first_target, _) = listener.accept().await.unwrap();
    // The listener is still there, or the relay would end the second connection while it is made.
    let second = TcpStream::connect(relay.addr()).await.unwrap();
    relay.wait_for(LIMIT, |all| all.len() == 2).await.unwrap();
    relay.set_flow_of(1, Flow::Swallow);
    first.write_all(b"alive").await.unwrap();
    assert_eq!(read_exactly(&mut first_target, 5).await, b"alive");
    relay.set_flow_of(0, Flow::Swallow);
    first.write_all(b"lost").await.unwrap();
    let read = tokio::time::timeout(Duration::from_millis(50), first_target.read_u8()).await;
    assert!(read.is_err(), "something passed a dead connection");
    drop(second);
}

#[tokio::test]
async fn a_dead_line_brings_neither_bytes_nor_ends() {
    let (relay, mut client, mut target) = connected(|_| {}).await;
    relay.set_flow(Flow::Swallow);
    client.write_all(b"lost").await.unwrap();
    client.shutdown().await.unwrap();
    let read = tokio::time::timeout(Duration::from_millis(50), target.read_u8()).await;
    assert!(read.is_err(), "something passed a dead line");
}

#[tokio::test]
async fn a_delay_holds_every_byte_but_not_the_rate() {
    let delay = Duration::from_millis(100);
    let (_relay, mut client, mut target) = connected(|options| options.delay = delay).await;
    let sent = crate::files::pattern(1, 8 * 1024 * 1024);
    let started = Instant::now();
    let (written, read) = tokio::join!(
        client.write_all(&sent),
        read_exactly(&mut target, sent.len())
    );
    written.unwrap();
    let took = started.elapsed();
    assert!(read == sent);
    assert!(took >= delay, "8 MiB took {took:?}");
    // Were the delay paid for each chunk, it would be twelve seconds.
    assert!(took < 20 * delay, "8 MiB took {took:?}");
}
