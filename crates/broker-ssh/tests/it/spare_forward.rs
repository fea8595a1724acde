//! Forwards that are opened ahead: ready when needed, nobody's burden until then, and no gift to strangers.

use std::sync::Arc;
use std::time::Duration;

use broker_ssh::{Channel, Forwards, OpenError, Pool, PoolLimits, RemoteForward};
use testkit::ssh_server::{SshCounters, SshServerOptions};
use tokio::net::TcpStream;

use crate::peers::{Bench, LIMIT, converse, echo, originator, read_all, soon, wait_for};

const HERE: &str = "127.0.0.1";

/// A pool, and the forwards of one session that uses it.
struct Rig {
    bench: Bench,
    pool: Arc<Pool>,
    forwards: Forwards,
}

/// Both ends of a transfer that came in by a forward.
struct Transfer {
    channel: Channel,
    server: TcpStream,
}

impl Rig {
    async fn start() -> Self {
        Self::with(PoolLimits::default()).await
    }

    async fn with(limits: PoolLimits) -> Self {
        Self::on(Bench::start().await, limits).await
    }

    async fn on(bench: Bench, limits: PoolLimits) -> Self {
        let pool = Arc::new(bench.limited(limits));
        let forwards = Forwards::new(Arc::clone(&pool));
        Self {
            bench,
            pool,
            forwards,
        }
    }

    async fn open(&self) -> RemoteForward {
        soon(self.forwards.open(HERE, None)).await.unwrap()
    }

    /// A transfer begins, so that the next forward is opened.
    async fn begin(&self, mut forward: RemoteForward) -> Transfer {
        let server = TcpStream::connect((HERE, forward.port())).await.unwrap();
        let channel = soon(soon(forward.accept()).await.unwrap().accept()).await;
        self.forwards.follow(forward);
        Transfer { channel, server }
    }

    /// Waits until so many forwards were granted, and so many are left.
    async fn forwards(&self, granted: usize, active: usize) -> SshCounters {
        let done =
            |seen: &SshCounters| (seen.forwards_granted, seen.forwards_active) == (granted, active);
        self.bench.server.wait_for(LIMIT, done).await.unwrap()
    }

    async fn end(self) {
        drop((self.pool, self.forwards));
        self.bench.end().await;
    }
}

impl Transfer {
    /// Waits until both ends have ended and the channel is closed.
    async fn end(mut self, pool: &Pool) {
        crate::peers::converse_with(&mut self.channel, &mut self.server).await;
        self.channel.eof().await.unwrap();
        assert_eq!(read_all(&mut self.server).await.unwrap(), b"");
        drop((self.channel, self.server));
        wait_for(pool, |seen| {
            seen.connections.iter().all(|c| c.channels == 0)
        })
        .await;
    }
}

#[tokio::test]
async fn each_forward_is_ready_before_it_is_needed() {
    let rig = Rig::start().await;
    let mut forward = rig.open().await;
    let (connection, mut port) = (forward.connection(), forward.port());
    for used in 1..=5 {
        let transfer = rig.begin(forward).await;
        rig.forwards(used + 1, 1).await;
        transfer.end(&rig.pool).await;
        forward = rig.open().await;
        assert_eq!(rig.bench.server.counters().forwards_granted, used + 1);
        assert_eq!(forward.connection(), connection);
        assert_ne!(forward.port(), port);
        port = forward.port();
    }
    assert_eq!(rig.bench.server.counters().connections, 1);
    drop(forward);
    rig.forwards(6, 0).await;
    rig.end().await;
}

#[tokio::test]
async fn the_next_forward_does_not_wait_for_the_last_word_of_the_transfer_before() {
    let rig = Rig::start().await;
    let transfer = rig.begin(rig.open().await).await;
    rig.forwards(2, 1).await;
    let (connection, next) = (transfer.channel.info().connection, rig.open().await);
    assert_eq!(next.connection(), connection);
    assert_eq!(rig.bench.server.counters().forwards_granted, 2);
    // The transfer before and the listener.
    assert_eq!(rig.pool.snapshot().connections[0].channels, 2);
    drop((transfer, next));
    rig.end().await;
}

#[tokio::test]
async fn nobody_is_let_in_before_it_is_used() {
    let rig = Rig::start().await;
    let transfer = rig.begin(rig.open().await).await;
    let spare = rig.forwards(2, 1).await.last_forward_port;
    // Whoever comes before the pool itself knows the port is only refused; the next one ends the listening too.
    let strangers = async {
        while let Ok(mut stranger) = TcpStream::connect((HERE, spare)).await {
            assert_eq!(read_all(&mut stranger).await.unwrap_or_default(), b"");
        }
    };
    soon(strangers).await;
    let seen = rig.forwards(2, 0).await;
    assert_eq!(seen.forwarded_opened, 1);

    let next = rig.open().await;
    assert_ne!(next.port(), spare);
    assert_eq!(rig.bench.server.counters().forwards_granted, 3);
    drop(transfer);
    rig.begin(next).await.end(&rig.pool).await;
    rig.end().await;
}

#[tokio::test]
async fn it_keeps_nobody_from_the_connection() {
    let one = PoolLimits {
        max_connections: 1,
        ..PoolLimits::default()
    };
    let (rig, echo) = (Rig::with(one).await, echo().await);
    let transfer = rig.begin(rig.open().await).await;
    rig.forwards(2, 1).await;
    transfer.end(&rig.pool).await;

    let mut other = soon(rig.pool.open_data(&echo, originator())).await.unwrap();
    converse(&mut other, "alone").await;
    assert_eq!(rig.pool.snapshot().connections[0].channels, 1);
    let next = rig.open().await;
    let seen = rig.forwards(3, 1).await;
    assert_eq!(next.port(), seen.last_forward_port);
    drop((other, next));
    rig.end().await;
}

#[tokio::test]
async fn others_use_a_connection_without_one_first() {
    let (rig, echo) = (Rig::start().await, echo().await);
    let idle = soon(rig.pool.open_data(&echo, originator())).await.unwrap();
    let transfer = rig.begin(rig.open().await).await;
    let with_spare = transfer.channel.info().connection;
    rig.forwards(2, 1).await;
    drop(idle);
    transfer.end(&rig.pool).await;
    let other = soon(rig.pool.open_data(&echo, originator())).await.unwrap();
    assert_ne!(other.info().connection, with_spare);
    let next = rig.open().await;
    assert_eq!(next.connection(), with_spare);
    drop((other, next));
    rig.end().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_all_the_same() {
    let at_once = PoolLimits {
        idle_timeout: Duration::ZERO,
        ..PoolLimits::default()
    };
    let rig = Rig::with(at_once).await;
    let transfer = rig.begin(rig.open().await).await;
    rig.forwards(2, 1).await;
    transfer.end(&rig.pool).await;
    wait_for(&rig.pool, |seen| seen.connections.is_empty()).await;
    rig.forwards(2, 0).await;
    drop(rig.open().await);
    rig.forwards(3, 0).await;
    rig.end().await;
}

#[tokio::test]
async fn a_lost_one_is_replaced() {
    let rig = Rig::start().await;
    let transfer = rig.begin(rig.open().await).await;
    rig.forwards(2, 1).await;
    rig.bench.server.kill_all();
    wait_for(&rig.pool, |seen| seen.connections.is_empty()).await;
    drop(transfer);
    let next = rig.open().await;
    assert_eq!(rig.bench.server.counters().forwards_granted, 3);
    drop(next);
    rig.end().await;
}

#[tokio::test]
async fn it_ends_with_its_session() {
    let rig = Rig::start().await;
    let transfer = rig.begin(rig.open().await).await;
    rig.forwards(2, 1).await;
    rig.forwards.discard();
    let seen = rig.forwards(2, 0).await;
    assert_eq!(seen.forwards_cancelled, 2);

    rig.forwards.follow(rig.open().await);
    rig.forwards(4, 1).await;
    let Rig {
        bench,
        pool,
        forwards,
    } = rig;
    drop(forwards);
    let gone = |seen: &SshCounters| seen.forwards_active == 0 && seen.forwards_cancelled == 4;
    bench.server.wait_for(LIMIT, gone).await.unwrap();
    drop((transfer, pool));
    bench.end().await;
}

#[tokio::test]
async fn it_is_not_kept_for_ever() {
    let briefly = PoolLimits {
        spare_forward_timeout: Duration::from_millis(10),
        ..PoolLimits::default()
    };
    let rig = Rig::with(briefly).await;
    let transfer = rig.begin(rig.open().await).await;
    let seen = rig.forwards(2, 0).await;
    assert_eq!(seen.forwards_cancelled, 2);
    transfer.end(&rig.pool).await;
    drop(rig.open().await);
    rig.forwards(3, 0).await;
    rig.end().await;
}

#[tokio::test]
async fn where_the_server_refuses_another_one_the_transfer_goes_on() {
    let rig = Rig::start().await;
    let forward = rig.open().await;
    rig.bench.server.set_allow_remote_forward(false);
    let transfer = rig.begin(forward).await;
    let refused = |seen: &SshCounters| seen.forwards_refused == 1 && seen.forwards_active == 0;
    rig.bench.server.wait_for(LIMIT, refused).await.unwrap();
    transfer.end(&rig.pool).await;
    rig.bench.server.set_allow_remote_forward(true);
    drop(rig.open().await);
    rig.forwards(2, 0).await;
    rig.end().await;
}

/// A server that ends no listener, as dropbear does, and has room for so many a connection.
async fn lasting(room: usize) -> Rig {
    let bench = Bench::with(SshServerOptions {
        lasting_forwards: Some(room),
        ..SshServerOptions::default()
    });
    Rig::on(bench.await, PoolLimits::default()).await
}

#[tokio::test]
async fn where_no_listener_ends_two_of_them_take_turns() {
    let rig = lasting(4).await;
    let mut forward = rig.open().await;
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..50 {
        ports.insert(forward.port());
        let transfer = rig.begin(forward).await;
        transfer.end(&rig.pool).await;
        forward = rig.open().await;
    }
    assert_eq!(ports.len(), 2, "{ports:?}");
    let seen = rig.bench.server.counters();
    assert_eq!((seen.connections, seen.forwards_refused), (1, 0));
    drop(forward);
    rig.end().await;
}

#[tokio::test]
async fn a_listener_that_did_not_end_lets_nobody_in_and_is_not_used_again() {
    let rig = lasting(4).await;
    let forward = rig.open().await;
    let (port, connection) = (forward.port(), forward.connection());
    soon(forward.cancel()).await;
    let mut stranger = TcpStream::connect((HERE, port)).await.unwrap();
    assert_eq!(read_all(&mut stranger).await.unwrap_or_default(), b"");
    wait_for(&rig.pool, |seen| {
        seen.connections.iter().all(|c| c.id != connection)
    })
    .await;
    let next = rig.open().await;
    assert_ne!(next.port(), port);
    rig.begin(next).await.end(&rig.pool).await;
    assert_eq!(rig.bench.server.counters().forwarded_opened, 1);
    rig.end().await;
}

#[tokio::test]
async fn a_server_that_has_no_room_left_is_asked_on_a_fresh_connection() {
    let bench = Bench::with(SshServerOptions {
        lasting_forwards: Some(1),
        ..SshServerOptions::default()
    });
    let one = PoolLimits {
        max_connections: 1,
        ..PoolLimits::default()
    };
    let rig = Rig::on(bench.await, one).await;
    let first = rig.open().await;
    let second = rig.open().await;
    assert_ne!(first.connection(), second.connection());
    assert_eq!(rig.bench.server.counters().forwards_refused, 1);
    drop((first, second));
    rig.end().await;
}

#[tokio::test]
async fn a_forward_that_may_not_be_needed_takes_no_connection_that_a_transfer_may_need() {
    let only_one = PoolLimits {
        max_connections: 1,
        ..PoolLimits::default()
    };
    let rig = Rig::with(only_one).await;
    let forward = rig.open().await;
    let refused = soon(rig.forwards.open_ahead(HERE, None)).await;
    assert!(matches!(refused, Err(OpenError::Channel(_))), "{refused:?}");
    // The spare takes no connection.
    let transfer = rig.begin(forward).await;
    rig.forwards(2, 1).await;
    let spare = soon(rig.forwards.open_ahead(HERE, None)).await.unwrap();
    assert_eq!(rig.bench.server.counters().forwards_granted, 2);
    drop((transfer, spare));
    rig.end().await;
}

#[tokio::test]
async fn a_forward_that_may_not_be_needed_takes_an_idle_connection() {
    let rig = Rig::start().await;
    let (one, other) = (rig.open().await, rig.open().await);
    let idle = other.connection();
    drop(other);
    rig.forwards(2, 1).await;
    let ahead = soon(rig.forwards.open_ahead(HERE, None)).await.unwrap();
    assert_eq!(ahead.connection(), idle);
    assert_eq!(rig.bench.server.counters().connections, 2);
    drop((one, ahead));
    rig.end().await;
}
