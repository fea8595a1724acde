//! What servers say before the protocol begins, whether they live, and long ways to them.

use std::sync::Arc;

use broker_ssh::{ConnectSpec, OpenError};
use testkit::ports::unused_port;
use tokio::net::TcpListener;

use crate::peers::{Bench, converse, echo, originator, scripted, soon, wait_for};

/// Far more than anybody has; each once took a piece of one thread's stack.
const GATEWAYS: usize = 100;

#[tokio::test]
async fn many_gateways_in_a_row_are_only_slow() {
    let bench = Bench::start().await;
    let port = unused_port().unwrap();
    let mut spec = ConnectSpec {
        port,
        ..bench.spec()
    };
    for _ in 0..GATEWAYS {
        spec = ConnectSpec {
            gateway: Some(Arc::new(spec)),
            ..bench.spec()
        };
    }
    let pool = bench.pool_of(spec);
    let refused = soon(pool.open_control(&echo().await, originator())).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, OpenError::Gateway { .. }), "{refused}");
    bench.end().await;
}

#[tokio::test]
async fn a_live_connection_confirms_that_it_lives_also_after_the_channels_end() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    let channel = soon(pool.open_data(&echo, originator())).await.unwrap();
    let liveness = channel.liveness();
    assert!(soon(liveness.confirm()).await);
    drop(channel);
    assert!(soon(liveness.clone().confirm()).await);
    wait_for(&pool, |seen| seen.connections[0].channels == 0).await;
    bench.end().await;
}

#[tokio::test]
async fn a_connection_that_ends_does_not_confirm_that_it_lives() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    let channel = soon(pool.open_data(&echo, originator())).await.unwrap();
    let liveness = channel.liveness();
    bench.server.kill_all();
    assert!(!soon(liveness.confirm()).await);
    bench.end().await;
}

/// A server that says these lines before its version: a relay that sends them first.
async fn opening_with(bench: &Bench, lines: &[u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, server, lines) = (
        listener.local_addr().unwrap(),
        bench.server.addr(),
        lines.to_vec(),
    );
    bench.tracker.spawn(async move {
        let mut client = listener.accept().await.unwrap().0;
        tokio::io::AsyncWriteExt::write_all(&mut client, &lines)
            .await
            .unwrap();
        let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    address
}

#[tokio::test]
async fn lines_before_the_version_are_no_fault() {
    let thirty = b"a line of the notice\r\n".repeat(30);
    for lines in [&b"\n"[..], b"*** hello ***\n\n", &thirty] {
        let bench = Bench::start().await;
        let echo = echo().await;
        let port = opening_with(&bench, lines).await.port();
        let pool = bench.pool_of(ConnectSpec {
            port,
            ..bench.spec()
        });
        let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
        converse(&mut control, "hello").await;
        let version = pool.snapshot().connections[0].server_version.clone();
        assert!(version.unwrap().starts_with("SSH-2.0-"));
        bench.end().await;
    }
}

#[tokio::test]
async fn what_is_no_ssh_server_is_shown_by_what_it_sends() {
    let bench = Bench::start().await;
    let (target, listener) = scripted().await;
    let pool = bench.pool_of(ConnectSpec {
        port: target.port,
        ..bench.spec()
    });
    let (opened, ()) = tokio::join!(soon(pool.open_control(&target, originator())), async {
        let mut client = listener.accept().await.unwrap().0;
        let greeting = b"220 FTP\x1b[2J ready\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut client, greeting)
            .await
            .unwrap();
    });
    let failed = opened.unwrap_err().to_string();
    assert!(
        failed.contains(
            "it is an FTP server, not an SSH server: it greeted with: 220 FTP\\u{1b}[2J ready"
        ),
        "{failed}"
    );
    bench.end().await;
}
