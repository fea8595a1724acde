//! Which connections are made, shared, kept and closed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use broker_ssh::{
    AuthError, ChannelRead, ConnectSpec, ConnectionKind, ConnectionPhase, CutReason,
    HandshakeError, OpenError, PoolLimits, RouteError, Target,
};
use testkit::ports::unused_port;
use testkit::ssh_server::SshServerOptions;

use crate::peers::{Bench, LIMIT, converse, echo, flood, originator, scripted, soon, wait_for};

fn limits(max_connections: usize) -> PoolLimits {
    PoolLimits {
        max_connections,
        ..PoolLimits::default()
    }
}

#[tokio::test]
async fn control_and_data_channels_use_connections_of_their_own() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
    let mut second = soon(pool.open_control(&echo, originator())).await.unwrap();
    let mut data = soon(pool.open_data(&echo, originator())).await.unwrap();
    converse(&mut control, "control").await;
    converse(&mut second, "second").await;
    converse(&mut data, "data").await;
    assert_eq!(control.info().connection, second.info().connection);
    assert_ne!(control.info().connection, data.info().connection);

    let snapshot = pool.snapshot();
    let states: Vec<_> = snapshot
        .connections
        .iter()
        .map(|found| (found.kind, found.phase, found.channels))
        .collect();
    assert_eq!(
        states,
        [
            (ConnectionKind::Control, ConnectionPhase::Open, 2),
            (ConnectionKind::Data, ConnectionPhase::Leased, 1)
        ]
    );
    let first = &snapshot.connections[0];
    let negotiated = first.negotiated.as_ref().unwrap();
    assert!(
        negotiated.cipher.ends_with("@openssh.com"),
        "{negotiated:?}"
    );
    assert_eq!(negotiated.peer, Some(bench.server.addr()));
    assert!(
        first
            .server_version
            .as_ref()
            .unwrap()
            .starts_with("SSH-2.0-"),
        "{first:?}"
    );
    assert!(first.bytes_in > 0 && first.bytes_out > 0);
    bench.end().await;
}

#[tokio::test]
async fn a_data_connection_is_used_again_after_its_channel() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    for _ in 0..5 {
        let mut data = soon(pool.open_data(&echo, originator())).await.unwrap();
        converse(&mut data, "again").await;
        data.eof().await.unwrap();
        assert_eq!(soon(data.read()).await, ChannelRead::Eof);
        drop(data);
        wait_for(&pool, |seen| {
            seen.connections.iter().all(|found| found.channels == 0)
        })
        .await;
    }
    assert_eq!(bench.server.counters().connections, 1);
    bench.end().await;
}

#[tokio::test]
async fn an_aborted_channel_leaves_its_connection_usable() {
    let bench = Bench::start().await;
    let (pool, echo, flood) = (bench.pool(), echo().await, flood().await);
    let aborted = soon(pool.open_data(&flood, originator())).await.unwrap();
    drop(aborted);
    wait_for(&pool, |seen| {
        seen.connections.iter().all(|found| found.channels == 0)
    })
    .await;
    converse(
        &mut soon(pool.open_data(&echo, originator())).await.unwrap(),
        "after",
    )
    .await;
    assert_eq!(bench.server.counters().connections, 1);
    bench.end().await;
}

#[tokio::test]
async fn a_spare_data_connection_is_kept_while_there_are_sessions() {
    let bench = Bench::start().await;
    let (pool, echo) = (
        bench.limited(PoolLimits {
            idle_timeout: Duration::ZERO,
            ..limits(8)
        }),
        echo().await,
    );
    let session = pool.in_use();
    let control = soon(pool.open_control(&echo, originator())).await.unwrap();
    let idle = |phase| {
        move |seen: &broker_ssh::PoolSnapshot| {
            seen.connections.iter().any(|found| found.phase == phase)
        }
    };
    wait_for(&pool, idle(ConnectionPhase::Idle)).await;
    let data = soon(pool.open_data(&echo, originator())).await.unwrap();
    wait_for(&pool, |seen| {
        idle(ConnectionPhase::Idle)(seen) && idle(ConnectionPhase::Leased)(seen)
    })
    .await;
    assert_eq!(bench.server.counters().connections, 3);
    drop((session, control, data));
    bench
        .server
        .wait_for(LIMIT, |seen| seen.connections_open == 0)
        .await
        .unwrap();
    wait_for(&pool, |seen| seen.connections.is_empty()).await;
    bench.end().await;
}

#[tokio::test]
async fn a_control_connection_that_is_kept_outlives_the_idle_timeout() {
    let bench = Bench::start().await;
    let pool = bench.limited(PoolLimits {
        idle_timeout: Duration::ZERO,
        ..limits(8)
    });
    let kept = pool.keep_control();
    soon(pool.connect()).await.unwrap();
    let echo = echo().await;
    converse(
        &mut soon(pool.open_data(&echo, originator())).await.unwrap(),
        "once",
    )
    .await;
    // The data connection is closed, and the other one looked at.
    let seen = wait_for(&pool, |seen| seen.connections.len() == 1).await;
    assert_eq!(seen.connections[0].kind, ConnectionKind::Control);
    drop(kept);
    wait_for(&pool, |seen| seen.connections.is_empty()).await;
    bench.end().await;
}

#[tokio::test]
async fn an_idle_connection_stays_for_the_idle_timeout() {
    let bench = Bench::start().await;
    let idle_timeout = Duration::from_millis(200);
    let (pool, echo) = (
        bench.limited(PoolLimits {
            idle_timeout,
            ..limits(8)
        }),
        echo().await,
    );
    drop(soon(pool.open_data(&echo, originator())).await.unwrap());
    let released = Instant::now();
    wait_for(&pool, |seen| seen.connections.is_empty()).await;
    assert!(
        released.elapsed() >= idle_timeout,
        "{:?}",
        released.elapsed()
    );
    bench.end().await;
}

#[tokio::test]
async fn past_the_limit_data_channels_share() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.limited(limits(2)), echo().await);
    let mut channels = Vec::new();
    for _ in 0..6 {
        channels.push(soon(pool.open_data(&echo, originator())).await.unwrap());
    }
    for channel in &mut channels {
        converse(channel, "shared").await;
    }
    assert_eq!(bench.server.counters().connections, 2);
    let loads: Vec<_> = pool
        .snapshot()
        .connections
        .iter()
        .map(|found| found.channels)
        .collect();
    assert_eq!(loads, [3, 3]);
    bench.end().await;
}

#[tokio::test]
async fn many_opens_at_once_are_all_served() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.limited(limits(3)), echo().await);
    let opens = (0..40).map(|_| async {
        let mut channel = pool.open_data(&echo, originator()).await.unwrap();
        converse(&mut channel, "many").await;
        pool.open_control(&echo, originator()).await.unwrap()
    });
    soon(futures::future::join_all(opens)).await;
    assert!(bench.server.counters().connections <= 4);
    bench.end().await;
}

#[tokio::test]
async fn many_control_channels_are_spread_over_connections() {
    const CROWD: usize = 128;
    let bench = Bench::start().await;
    let echo = echo().await;
    let pool = bench.limited(PoolLimits {
        idle_timeout: Duration::ZERO,
        ..limits(8)
    });
    let _session = pool.in_use();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(soon(pool.open_control(&echo, originator())).await.unwrap());
    }
    let controls = |seen: &broker_ssh::PoolSnapshot| {
        let up = |found: &&broker_ssh::ConnectionInfo| found.phase == ConnectionPhase::Open;
        seen.connections.iter().filter(up).count()
    };
    wait_for(&pool, |seen| controls(seen) == 2).await;
    let mut next = soon(pool.open_control(&echo, originator())).await.unwrap();
    converse(&mut next, "spread").await;
    let first = crowd[0].info().connection;
    assert_ne!(next.info().connection, first);
    assert!(crowd.iter().all(|one| one.info().connection == first));
    // Those who come next would need it, until there are few.
    drop(next);
    drop(crowd.split_off(CROWD / 2));
    converse(&mut crowd[0], "still there").await;
    assert_eq!(controls(&pool.snapshot()), 2);
    drop(crowd.split_off(1));
    wait_for(&pool, |seen| controls(seen) == 1).await;
    converse(&mut crowd[0], "still there").await;
    bench.end().await;
}

#[tokio::test]
async fn no_more_dials_are_made_at_one_time_than_allowed() {
    let bench = Bench::start().await;
    let echo = echo().await;
    let pool = bench.limited(PoolLimits {
        max_dialing: 2,
        ..limits(6)
    });
    let first = soon(pool.open_data(&echo, originator())).await.unwrap();
    let mut watched = pool.clone();
    let mut most = 0;
    let watching = async {
        while watched.changed().await {
            let seen = watched.snapshot().connections;
            let dialling =
                |found: &&broker_ssh::ConnectionInfo| found.phase == ConnectionPhase::Connecting;
            most = most.max(seen.iter().filter(dialling).count());
        }
    };
    let opens = futures::future::join_all((0..5).map(|_| pool.open_data(&echo, originator())));
    let opened = tokio::select! {
        opened = soon(opens) => opened,
        () = watching => panic!("the pool has ended"),
    };
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    assert_eq!(bench.server.counters().connections, 6);
    assert_eq!(most, 2);
    drop((first, opened));
    bench.end().await;
}

#[tokio::test]
async fn siblings_share_no_connection() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.limited(limits(1)), echo().await);
    let sibling = pool.sibling();
    let first = soon(pool.open_data(&echo, originator())).await.unwrap();
    let second = soon(sibling.open_data(&echo, originator())).await.unwrap();
    assert_ne!(first.info().connection, second.info().connection);
    assert_eq!(sibling.snapshot().connections.len(), 1);
    drop((second, sibling));
    bench
        .server
        .wait_for(LIMIT, |seen| seen.connections_open == 1)
        .await
        .unwrap();
    bench.end().await;
}

#[tokio::test]
async fn a_stalled_transfer_stops_nobody_else() {
    let bench = Bench::start().await;
    let (pool, echo, flood) = (bench.pool(), echo().await, flood().await);
    let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
    let _stalled = soon(pool.open_data(&flood, originator())).await.unwrap();
    let mut other = soon(pool.open_data(&echo, originator())).await.unwrap();
    // Far more than every buffer on the way arrives for the stalled one meanwhile.
    for _ in 0..50 {
        converse(&mut control, "control").await;
        converse(&mut other, "data").await;
    }
    bench.end().await;
}

#[tokio::test]
async fn on_a_shared_connection_a_lag_within_the_overflow_stops_nobody() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.limited(limits(1)), echo().await);
    let (target, listener) = scripted().await;
    let (stalled, accepted) = tokio::join!(
        soon(pool.open_data(&target, originator())),
        soon(listener.accept())
    );
    let mut stalled = stalled.unwrap();
    let mut other = soon(pool.open_data(&echo, originator())).await.unwrap();
    assert_eq!(stalled.info().connection, other.info().connection);
    let sent = 6 << 20;
    soon(tokio::io::AsyncWriteExt::write_all(
        &mut accepted.unwrap().0,
        &vec![7; sent],
    ))
    .await
    .unwrap();
    converse(&mut other, "not held up").await;
    let mut read = 0;
    while read < sent {
        match soon(stalled.read()).await {
            ChannelRead::Data(data) => read += data.len(),
            other => panic!("instead of data: {other:?}"),
        }
    }
    bench.end().await;
}

#[tokio::test]
async fn a_control_channel_that_nobody_reads_is_cut_and_others_go_on() {
    let bench = Bench::start().await;
    let (pool, echo, flood) = (bench.pool(), echo().await, flood().await);
    let mut unread = soon(pool.open_control(&flood, originator())).await.unwrap();
    let mut other = soon(pool.open_control(&echo, originator())).await.unwrap();
    wait_for(&pool, |seen| seen.connections[0].channels == 1).await;
    converse(&mut other, "goes on").await;
    let cut = soon(async {
        loop {
            if let ChannelRead::Cut(reason) = unread.read().await {
                return reason;
            }
        }
    });
    assert!(matches!(cut.await, CutReason::Overflow(_)));
    bench.end().await;
}

#[tokio::test]
async fn a_refused_channel_names_the_reason_and_what_to_do() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, unused_port().unwrap()));
    let refused = soon(pool.open_data(&crate::peers::target(nobody), originator()))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("could not connect"));

    bench.server.set_allow_local_forward(false);
    let refused = soon(pool.open_control(&Target::new("127.0.0.1", 21), originator()))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("AllowTcpForwarding yes"),
        "{refused}"
    );
    bench.end().await;
}

#[tokio::test]
async fn an_unreachable_server_fails_twice_and_then_backs_off() {
    let bench = Bench::start().await;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, unused_port().unwrap()));
    let pool = bench.pool_of(ConnectSpec {
        port: addr.port(),
        ..bench.spec()
    });
    let echo = echo().await;
    let failed = soon(pool.open_control(&echo, originator()))
        .await
        .unwrap_err();
    assert!(matches!(
        failed,
        OpenError::Route(RouteError::Connect { .. })
    ));
    assert!(
        failed.to_string().contains("connection refused"),
        "{failed}"
    );
    // The second failure, one that dials no more, and one on other connections to the same server.
    let sibling = pool.sibling();
    for pool in [&pool, &pool, &sibling] {
        let failed = soon(pool.open_control(&echo, originator()))
            .await
            .unwrap_err();
        assert!(
            matches!(&failed, OpenError::BackingOff { reason, .. } if reason.to_string().contains("refused")),
            "{failed}"
        );
        assert!(pool.snapshot().last_error.is_some() && pool.snapshot().retry_in.is_some());
    }
    bench.end().await;
}

#[tokio::test]
async fn a_connection_can_be_closed_while_it_is_made() {
    let bench = Bench::start().await;
    let (silent, listener) = scripted().await;
    let pool = bench.pool_of(ConnectSpec {
        port: silent.port,
        ..bench.spec()
    });
    let close = async {
        let _connected = listener.accept().await.unwrap();
        let id = pool.snapshot().connections[0].id;
        assert!(pool.close_connection(id).await);
        assert!(!pool.close_connection(id + 1000).await);
    };
    let (opened, ()) = tokio::join!(soon(pool.open_control(&silent, originator())), close);
    assert!(opened.is_err());
    wait_for(&pool, |seen| seen.connections.is_empty()).await;
    bench.end().await;
}

#[tokio::test]
async fn a_dial_into_silence_ends_with_its_timeout_and_leaves_nothing() {
    let bench = Bench::start().await;
    let (silent, listener) = scripted().await;
    let mut spec = bench.spec();
    spec.port = silent.port;
    spec.settings.connect_timeout = Some(Duration::from_millis(300));
    let pool = bench.pool_of(spec);
    let (opened, accepted) = tokio::join!(
        soon(pool.open_control(&silent, originator())),
        listener.accept()
    );
    let failed = opened.unwrap_err();
    assert!(matches!(
        failed,
        OpenError::Handshake(HandshakeError::Silent { .. })
    ));
    // The broker's end is closed, although the server never said a word.
    let mut greeting = Vec::new();
    soon(tokio::io::AsyncReadExt::read_to_end(
        &mut accepted.unwrap().0,
        &mut greeting,
    ))
    .await
    .unwrap();
    assert!(greeting.starts_with(b"SSH-2.0-"));
    bench.end().await;
}

#[tokio::test]
async fn what_is_no_ssh_server_is_named_so() {
    let bench = Bench::start().await;
    let (target, listener) = scripted().await;
    let pool = bench.pool_of(ConnectSpec {
        port: target.port,
        ..bench.spec()
    });
    let (opened, ()) = tokio::join!(soon(pool.open_control(&target, originator())), async {
        drop(listener.accept().await.unwrap());
    });
    let failed = opened.unwrap_err();
    assert!(matches!(
        failed,
        OpenError::Handshake(HandshakeError::Failed { .. })
    ));
    bench.end().await;
}

#[tokio::test]
async fn a_lost_connection_cuts_its_channels_and_the_next_open_dials_again() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
    let mut data = soon(pool.open_data(&echo, originator())).await.unwrap();
    bench.server.kill_all();
    for channel in [&mut control, &mut data] {
        let end = soon(channel.read()).await;
        assert!(
            matches!(end, ChannelRead::Cut(CutReason::ConnectionLost { .. })),
            "{end:?}"
        );
        assert!(
            soon(channel.write(bytes::Bytes::from_static(b"x")))
                .await
                .is_err()
        );
    }
    converse(
        &mut soon(pool.open_control(&echo, originator())).await.unwrap(),
        "again",
    )
    .await;
    bench.end().await;
}

#[tokio::test]
async fn a_write_that_waits_for_the_window_notices_a_lost_connection() {
    let bench = Bench::start().await;
    let (pool, (target, listener)) = (bench.pool(), scripted().await);
    let data = soon(pool.open_data(&target, originator())).await.unwrap();
    let unread = listener.accept().await.unwrap().0;
    // More than every window and buffer on the way, so it can only end with the connection.
    let write = data.write(bytes::Bytes::from(vec![7; 64 << 20]));
    let kill = async {
        unread.readable().await.unwrap();
        bench.server.kill_all();
    };
    let (written, ()) = soon(async { tokio::join!(write, kill) }).await;
    assert!(
        matches!(written, Err(CutReason::ConnectionLost { .. })),
        "{written:?}"
    );
    bench.end().await;
}

#[tokio::test]
async fn connections_can_be_closed_one_by_one() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
    let mut data = soon(pool.open_data(&echo, originator())).await.unwrap();
    assert!(soon(pool.close_connection(data.info().connection)).await);
    assert!(matches!(
        soon(data.read()).await,
        ChannelRead::Cut(CutReason::ConnectionClosed { .. })
    ));
    assert!(!soon(pool.close_connection(data.info().connection)).await);
    converse(&mut control, "untouched").await;
    assert!(soon(pool.close_connection(control.info().connection)).await);
    assert!(matches!(
        soon(control.read()).await,
        ChannelRead::Cut(CutReason::ConnectionClosed { .. })
    ));
    bench.end().await;
}

#[tokio::test]
async fn cancelling_ends_even_stalled_channels_and_refuses_new_ones() {
    let bench = Bench::start().await;
    let (pool, flood) = (bench.pool(), flood().await);
    let _stalled = soon(pool.open_data(&flood, originator())).await.unwrap();
    bench.cancel.cancel();
    bench.tracker.close();
    soon(bench.tracker.wait()).await;
    let refused = soon(pool.open_data(&flood, originator()))
        .await
        .unwrap_err();
    assert!(matches!(refused, OpenError::ShuttingDown { .. }));
    bench.end().await;
}

#[tokio::test]
async fn a_failing_login_is_tried_once_for_an_open_not_once_for_each_connection() {
    let bench = Bench::with(SshServerOptions {
        users: vec!["you".into()],
        ..SshServerOptions::default()
    })
    .await;
    let (pool, echo) = (bench.pool(), echo().await);
    let _session = pool.in_use();
    let failed = soon(pool.open_control(&echo, originator()))
        .await
        .unwrap_err();
    assert!(matches!(failed, OpenError::Auth(AuthError::Refused { .. })));
    assert_eq!(bench.server.counters().connections, 1);
    bench.end().await;
}
