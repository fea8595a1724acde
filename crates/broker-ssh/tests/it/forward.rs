//! Remote forwards: listening, accepting, ending.

use broker_ssh::{ChannelError, ChannelRead, CutReason, OpenError, PoolLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peers::{Bench, LIMIT, flood, originator, read_all, soon, wait_for};

/// Short enough to wait for in a test.
const STALL: std::time::Duration = std::time::Duration::from_millis(50);

#[tokio::test]
async fn a_forwards_channel_goes_on_after_the_listener_ended() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let mut forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    let mut ftp_server = TcpStream::connect((forward.bind_address(), forward.port()))
        .await
        .unwrap();
    let incoming = soon(forward.accept()).await.unwrap();
    assert_eq!(
        incoming.originator.port,
        ftp_server.local_addr().unwrap().port()
    );
    let mut channel = soon(incoming.accept()).await;
    soon(forward.cancel()).await;
    bench
        .server
        .wait_for(LIMIT, |seen| seen.forwards_active == 0)
        .await
        .unwrap();

    crate::peers::converse_with(&mut channel, &mut ftp_server).await;
    assert_eq!(pool.snapshot().connections[0].channels, 1);
    channel.eof().await.unwrap();
    assert_eq!(read_all(&mut ftp_server).await.unwrap(), b"");
    drop((ftp_server, channel));
    wait_for(&pool, |seen| seen.connections[0].channels == 0).await;
    bench.end().await;
}

#[tokio::test]
async fn dropping_a_forward_ends_the_listener() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    bench
        .server
        .wait_for(LIMIT, |seen| seen.forwards_active == 1)
        .await
        .unwrap();
    drop(forward);
    bench
        .server
        .wait_for(LIMIT, |seen| {
            seen.forwards_active == 0 && seen.forwards_cancelled == 1
        })
        .await
        .unwrap();
    bench.end().await;
}

#[tokio::test]
async fn each_forward_has_a_connection_of_its_own() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let first = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    let second = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    assert_ne!(first.connection(), second.connection());
    bench.end().await;
}

#[tokio::test]
async fn a_rejected_connection_is_closed_by_the_server() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let mut forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    let mut ftp_server = TcpStream::connect(("127.0.0.1", forward.port()))
        .await
        .unwrap();
    soon(soon(forward.accept()).await.unwrap().reject()).await;
    let mut byte = [0; 1];
    assert!(matches!(
        soon(ftp_server.read(&mut byte)).await,
        Ok(0) | Err(_)
    ));
    bench.end().await;
}

#[tokio::test]
async fn a_refused_forward_says_what_the_server_must_allow() {
    let bench = Bench::start().await;
    bench.server.set_allow_remote_forward(false);
    let pool = bench.pool();
    let refused = soon(pool.forward("127.0.0.1", None)).await.unwrap_err();
    assert!(matches!(
        refused,
        OpenError::Channel(ChannelError::ForwardRefused { .. })
    ));
    for place in ["AllowTcpForwarding", "authorized_keys", "permitlisten"] {
        assert!(refused.to_string().contains(place), "{refused}");
    }
    wait_for(&pool, |seen| seen.connections[0].channels == 0).await;
    bench.end().await;
}

#[tokio::test]
async fn a_lost_connection_ends_the_wait_for_an_arrival() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let mut forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    bench.server.kill_all();
    let ended = soon(forward.accept()).await.unwrap_err();
    assert!(matches!(ended, CutReason::ConnectionLost(_)), "{ended}");
    bench.end().await;
}

#[tokio::test]
async fn bytes_sent_before_the_channel_is_accepted_arrive() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let mut forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    let mut ftp_server = TcpStream::connect(("127.0.0.1", forward.port()))
        .await
        .unwrap();
    ftp_server.write_all(b"early").await.unwrap();
    ftp_server.shutdown().await.unwrap();
    let (near, mut far) = crate::peers::tcp_pair().await;
    let channel = soon(soon(forward.accept()).await.unwrap().accept()).await;
    let progress = std::sync::Arc::<broker_ssh::SpliceProgress>::default();
    let splice = broker_ssh::splice(near, channel, &progress, bench.cancel.clone());
    let client = async {
        let read = read_all(&mut far).await.unwrap();
        far.shutdown().await.unwrap();
        read
    };
    let (end, read) = soon(async { tokio::join!(splice, client) }).await;
    assert_eq!(end, broker_ssh::SpliceEnd::Complete);
    assert_eq!(read, b"early");
    bench.end().await;
}

#[tokio::test]
async fn the_far_port_is_one_of_those_that_are_allowed() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    // A port in use is passed by.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let low = taken.local_addr().unwrap().port().min(u16::MAX - 7);
    let mut ports = Vec::new();
    for _ in 0..3 {
        let forward = soon(pool.forward("127.0.0.1", Some(low..=low + 7))).await;
        let mut forward = forward.unwrap();
        ports.push(forward.port());
        let port = forward.port();
        let (reached, came) = tokio::join!(
            TcpStream::connect(("127.0.0.1", port)),
            soon(forward.accept())
        );
        drop((reached.unwrap(), came.unwrap()));
        soon(forward.cancel()).await;
    }
    assert!(ports.iter().all(|port| (low..=low + 7).contains(port)));
    assert!(!ports.contains(&taken.local_addr().unwrap().port()));
    bench.end().await;
}

#[tokio::test]
async fn an_idle_forward_takes_no_place_and_keeps_its_connection() {
    let bench = Bench::start().await;
    let pool = bench.limited(PoolLimits {
        max_connections: 1,
        idle_timeout: std::time::Duration::ZERO,
        stall_timeout: STALL,
        ..PoolLimits::default()
    });
    let forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    // Alone as far as channels go: it may stand still for as long as it likes.
    let flood = soon(pool.open_data(&flood().await, originator())).await;
    let mut flood = flood.unwrap();
    assert_eq!(flood.info().connection, forward.connection());
    // tidy: sleeps because that nothing is cut can only be waited for
    tokio::time::sleep(STALL * 5).await;
    assert!(matches!(soon(flood.read()).await, ChannelRead::Data(_)));
    drop(flood);
    wait_for(&pool, |seen| seen.connections[0].channels == 1).await;
    let reached = TcpStream::connect(("127.0.0.1", forward.port())).await;
    drop(reached.unwrap());
    drop(forward);
    wait_for(&pool, |seen| seen.connections.is_empty()).await;
    bench.end().await;
}
