//! Remote forwards: listening, accepting, ending.

use broker_ssh::{ChannelError, ChannelRead, CutReason, OpenError, PoolLimits};
use testkit::ports::unused_port;
use testkit::ssh_server::SshServerOptions;
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
    assert!(matches!(ended, CutReason::ConnectionLost { .. }), "{ended}");
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

#[tokio::test]
async fn a_tunnels_listener_serves_any_number_of_clients_on_one_connection() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let mut forward = soon(pool.listen_control("127.0.0.1", 0)).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let client = TcpStream::connect(("127.0.0.1", forward.port()))
            .await
            .unwrap();
        let arrived = soon(forward.accept()).await.unwrap();
        assert_eq!(arrived.originator.address(), client.local_addr().ok());
        clients.push((soon(arrived.accept()).await, client));
    }
    assert_eq!(forward.server_address(), "127.0.0.1".parse().ok());
    soon(forward.cancel()).await;
    for (channel, client) in &mut clients {
        crate::peers::converse_with(channel, client).await;
    }
    assert_eq!(pool.snapshot().connections.len(), 1);
    drop(clients);
    bench.end().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_and_the_connection_still_serves() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let port = unused_port().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let first = soon(pool.listen_data("127.0.0.1", 0)).await.unwrap();
    let refused = soon(pool.listen_data("127.0.0.1", port)).await.unwrap_err();
    for part in [&format!("127.0.0.1 port {port}"), "in use", "GatewayPorts"] {
        assert!(refused.to_string().contains(part), "{refused}");
    }
    drop(taken);
    let second = soon(pool.listen_data("127.0.0.1", port)).await.unwrap();
    assert_eq!(second.port(), port);
    assert_ne!(first.connection(), second.connection());
    assert_eq!(pool.snapshot().connections.len(), 2);
    drop((first, second));
    bench.end().await;
}

/// The session's loop waits for a channel that nobody reads, and would not see the next client.
#[tokio::test]
async fn a_client_that_is_not_read_keeps_no_further_client_waiting_for_long() {
    let bench = Bench::start().await;
    let pool = bench.limited(PoolLimits {
        stall_timeout: STALL,
        ..PoolLimits::default()
    });
    let mut forward = soon(pool.listen_data("127.0.0.1", 0)).await.unwrap();
    let address = ("127.0.0.1", forward.port());
    let mut flooding = TcpStream::connect(address).await.unwrap();
    let unread = soon(soon(forward.accept()).await.unwrap().accept()).await;
    let flood = tokio::spawn(async move { while flooding.write_all(&[0; 65536]).await.is_ok() {} });
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut channel = soon(soon(forward.accept()).await.unwrap().accept()).await;
    crate::peers::converse_with(&mut channel, &mut client).await;
    drop((unread, channel, forward));
    soon(flood).await.unwrap();
    bench.end().await;
}

/// As with dropbear: a later forward must not get the clients of a closed tunnel.
#[tokio::test]
async fn a_tunnels_port_that_the_server_does_not_close_is_never_used_again() {
    let options = SshServerOptions {
        lasting_forwards: Some(20),
        ..SshServerOptions::default()
    };
    let bench = Bench::with(options).await;
    let pool = bench.pool();
    let tunnel = soon(pool.listen_data("127.0.0.1", 0)).await.unwrap();
    let (port, connection) = (tunnel.port(), tunnel.connection());
    soon(tunnel.cancel()).await;
    let next = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    assert_ne!(next.port(), port);
    assert_ne!(next.connection(), connection);
    drop(next);
    bench.end().await;
}
