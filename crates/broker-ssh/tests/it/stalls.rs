//! What others leave unread, or unanswered, costs a newcomer little.

use std::time::{Duration, Instant};

use broker_ssh::{
    Channel, ChannelError, ChannelRead, ConnectSpec, ConnectionKind, CutReason, OpenError, Pool,
    PoolLimits, Target,
};
use futures::future::join_all;
use testkit::relay::{Flow, Passed, Relay};
use testkit::ssh_server::SshServerOptions;

use crate::peers::{Bench, LIMIT, converse, echo, flood, originator, soon, wait_for};

/// No newcomer waits as long.
const SERVED: Duration = Duration::from_secs(5);

/// What is held of a transfer that nobody reads, at least.
const FULL: u64 = 1 << 20;

/// Connections beyond the limit, for newcomers.
const RESERVED: usize = 2;

fn one_connection() -> PoolLimits {
    PoolLimits {
        max_connections: 1,
        ..PoolLimits::default()
    }
}

async fn served(pool: &Pool, echo: &Target) -> Channel {
    let began = Instant::now();
    let mut channel = soon(pool.open_data(echo, originator())).await.unwrap();
    converse(&mut channel, "served").await;
    assert!(began.elapsed() < SERVED, "{:?}", began.elapsed());
    channel
}

/// A transfer that nobody reads, once nothing more of it comes.
async fn stands(pool: &Pool, flood: &Target) -> Channel {
    let channel = soon(pool.open_data(flood, originator())).await.unwrap();
    let id = channel.info().connection;
    let received = || {
        let seen = pool.snapshot().connections;
        let found = seen.iter().find(|it| it.id == id);
        found.map_or(0, |it| it.bytes_in)
    };
    soon(async {
        let mut before = 0;
        while received() < FULL || received() != before {
            before = received();
            // tidy: sleeps because that nothing more comes can only be waited for
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    channel
}

/// Reads to the end, which must be a cut.
async fn cut(channel: &mut Channel) -> CutReason {
    loop {
        match soon(channel.read()).await {
            ChannelRead::Data(_) => {}
            ChannelRead::Eof => panic!("an end in good order"),
            ChannelRead::Cut(reason) => return reason,
        }
    }
}

#[tokio::test]
async fn a_newcomer_is_served_whatever_others_leave_unread() {
    let bench = Bench::start().await;
    let pool = bench.limited(one_connection());
    let (echo, flood) = (echo().await, flood().await);
    let mut stalled = Vec::new();
    for _ in 0..=RESERVED {
        stalled.push(stands(&pool, &flood).await);
    }
    // None of them was cut for the sake of another.
    assert_eq!(pool.snapshot().connections.len(), 1 + RESERVED);
    for _ in 0..3 {
        let newcomer = served(&pool, &echo).await;
        drop(newcomer);
        stalled.push(stands(&pool, &flood).await);
    }
    // Those that had stood longest gave way.
    let reason = cut(&mut stalled[0]).await;
    assert!(matches!(reason, CutReason::Evicted(_)), "{reason}");
    let open = wait_for(&pool, |seen| seen.connections.len() <= 1 + RESERVED).await;
    assert!(
        open.connections
            .iter()
            .all(|it| it.kind == ConnectionKind::Data)
    );
    bench.end().await;
}

#[tokio::test]
async fn where_the_server_lets_in_one_connection_data_shares_it() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    let control = soon(pool.open_control(&echo, originator())).await.unwrap();
    bench.server.stop_accepting().await;
    for _ in 0..2 {
        let data = served(&pool, &echo).await;
        assert_eq!(data.info().connection, control.info().connection);
    }
    let mut forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    let (reached, came) = tokio::join!(
        tokio::net::TcpStream::connect(("127.0.0.1", forward.port())),
        soon(forward.accept())
    );
    let (mut server, mut channel) = (reached.unwrap(), soon(came.unwrap().accept()).await);
    crate::peers::converse_with(&mut channel, &mut server).await;
    drop((control, channel, forward));
    bench.end().await;
}

/// A pool that reaches the bench's server over a line that can go silent.
async fn over_a_line(bench: &Bench) -> (Relay, Pool) {
    let line = Relay::start(bench.server.addr()).await.unwrap();
    let spec = ConnectSpec {
        host: line.addr().ip().to_string(),
        port: line.addr().port(),
        ..bench.spec()
    };
    (line, bench.pool_of(spec))
}

#[tokio::test]
async fn a_data_connection_that_has_gone_silent_is_replaced() {
    let bench = Bench::start().await;
    let (line, pool) = over_a_line(&bench).await;
    let echo = echo().await;
    let idle = served(&pool, &echo).await;
    let silent = idle.info().connection;
    drop(idle);
    wait_for(&pool, |seen| seen.connections[0].channels == 0).await;
    line.set_flow_of(0, Flow::Swallow);
    let other = served(&pool, &echo).await;
    assert_ne!(other.info().connection, silent);
    drop(other);
    bench.cancel.cancel();
    drop(line);
    bench.end().await;
}

#[tokio::test]
async fn a_connection_that_goes_silent_after_a_sign_of_life_is_replaced() {
    let bench = Bench::start().await;
    let (line, pool) = over_a_line(&bench).await;
    let echo = echo().await;
    drop(served(&pool, &echo).await);
    let idle = wait_for(&pool, |seen| seen.connections[0].channels == 0).await;
    bench.server.set_answer_opens(false);
    let before = line.passed()[0].to_client;
    let opening = soon(pool.open_data(&echo, originator()));
    let goes_silent = async {
        // It owes the answer to the open, and has answered a liveness check.
        let lives = |passed: &[Passed]| passed[0].to_client > before;
        line.wait_for(LIMIT, lives).await.unwrap();
        line.set_flow_of(0, Flow::Swallow);
        bench.server.set_answer_opens(true);
    };
    let (opened, ()) = tokio::join!(opening, goes_silent);
    let opened = opened.unwrap();
    assert_ne!(opened.info().connection, idle.connections[0].id);
    drop(opened);
    bench.cancel.cancel();
    drop(line);
    bench.end().await;
}

#[tokio::test]
async fn a_server_that_is_slow_to_connect_to_a_target_is_waited_for() {
    let bench = Bench::start().await;
    let (pool, echo) = (bench.pool(), echo().await);
    bench.server.set_answer_opens(false);
    let opening = tokio::spawn({
        let (pool, echo) = (pool.clone(), echo.clone());
        async move { pool.open_data(&echo, originator()).await }
    });
    // Longer than a silent server is given.
    let waited = tokio::time::timeout(SERVED, opening).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(bench.server.counters().connections, 1);
    bench.end().await;
}

#[tokio::test]
async fn opens_that_are_never_answered_give_their_places_back() {
    let bench = Bench::start().await;
    let echo = echo().await;
    let mut spec = bench.spec();
    spec.settings.keepalive_interval = None;
    let pool = bench.pool_of(spec);
    let mut before = soon(pool.open_control(&echo, originator())).await.unwrap();
    bench.server.set_answer_opens(false);
    tokio::time::pause();
    let opens = (0..16).map(|_| pool.open_control(&echo, originator()));
    for opened in join_all(opens).await {
        let late = opened.unwrap_err();
        assert!(
            matches!(late, OpenError::Channel(ChannelError::Late { .. })),
            "{late}"
        );
    }
    tokio::time::resume();
    assert_eq!(pool.snapshot().connections[0].channels, 1);
    bench.server.set_answer_opens(true);
    let after = soon(pool.open_control(&echo, originator())).await.unwrap();
    assert_ne!(after.info().connection, before.info().connection);
    converse(&mut before, "goes on").await;
    drop((before, after));
    bench.end().await;
}

#[tokio::test]
async fn a_login_that_hangs_is_not_waited_for_alone() {
    let bench = Bench::with(SshServerOptions::default()).await;
    let (line, pool) = over_a_line(&bench).await;
    let echo = echo().await;
    let control = soon(pool.open_control(&echo, originator())).await.unwrap();
    // The second connection is accepted, and nothing comes of it.
    line.set_flow(Flow::Swallow);
    let hangs = async {
        soon(line.wait_for(LIMIT, |passed| passed.len() == 2))
            .await
            .unwrap();
        line.set_flow(Flow::Pass);
        line.set_flow_of(1, Flow::Swallow);
    };
    let (data, ()) = tokio::join!(served(&pool, &echo), hangs);
    drop((control, data));
    bench.cancel.cancel();
    drop(line);
    bench.end().await;
}
