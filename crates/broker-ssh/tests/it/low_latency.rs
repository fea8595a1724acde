//! Small packets at once, from OpenSSH before 10.1. Where it is not installed, these tests say so and pass.

use std::sync::Arc;
use std::time::Duration;

use broker_ssh::{ConnectSpec, LowLatencyRefusal, Pool, PoolLimits, PoolUseGuard, SmallPackets};
use testkit::sshd::{Sshd, SshdOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peers::{LIMIT, converse, echo, originator, pinned, soon, wait_for};

const SUBSYSTEM: &str = "Subsystem sftp internal-sftp";

/// What sshd logs when it starts a program, when that has ended, and when it turns Nagle's algorithm off on a connection.
const STARTED: &str = "Starting session: ";
const ENDED: &str = "Close session: ";
const AT_ONCE: &str = "setting TCP_NODELAY";

/// A server with these lines in its sshd_config, and a pool for it.
struct Bench {
    sshd: Sshd,
    pool: Pool,
    /// Keeps the connections while they are unused.
    users: Option<PoolUseGuard>,
}

impl Bench {
    /// `None` where OpenSSH before 10.1 cannot be run.
    async fn start(low_latency: bool, config: &[&str]) -> Option<Self> {
        if testkit::sshd::version().is_none_or(|version| version >= (10, 1)) {
            eprintln!("skipped: sshd before 10.1 is missing; install openssh-server");
            return None;
        }
        let log = ["LogLevel DEBUG2"];
        let lines = config.iter().chain(&log).map(|line| (*line).to_owned());
        let options = SshdOptions {
            extra_config: lines.collect(),
            ..SshdOptions::default()
        };
        let sshd = Sshd::start(options).await.unwrap();
        let addr = sshd.addr();
        let mut spec = ConnectSpec::new(addr.ip().to_string(), addr.port(), sshd.user());
        spec.identities = vec![sshd.identity_file().into()];
        spec.host_key = pinned(sshd.host_key_openssh().unwrap());
        spec.settings.connect_timeout = Some(LIMIT);
        spec.settings.low_latency = low_latency;
        // One control connection and one data connection, which close as soon as nobody uses the pool.
        spec.settings.pool = PoolLimits {
            max_connections: 1,
            idle_timeout: Duration::ZERO,
            ..PoolLimits::default()
        };
        let pool = Pool::new(spec, TaskTracker::new(), CancellationToken::new());
        let users = Some(pool.in_use());
        Some(Self { sshd, pool, users })
    }

    async fn small_packets(&self) -> SmallPackets {
        soon(self.pool.small_packets()).await.unwrap()
    }

    /// Uses the control connection and a data connection.
    async fn use_both(&self) {
        let echo = echo().await;
        let mut control = soon(self.pool.open_control(&echo, originator()))
            .await
            .unwrap();
        converse(&mut control, "control").await;
        let mut data = soon(self.pool.open_data(&echo, originator()))
            .await
            .unwrap();
        converse(&mut data, "data").await;
    }

    async fn logs(&self, text: &str, times: usize) {
        let process = self.sshd.process();
        process.wait_log_times(text, times, LIMIT).await.unwrap();
    }

    fn logged(&self, text: &str) -> usize {
        self.sshd.log().matches(text).count()
    }

    /// Waits until the pool has closed every connection, since nobody uses it any longer.
    async fn all_closed(&mut self) {
        self.users = None;
        wait_for(&self.pool, |seen| seen.connections.is_empty()).await;
    }
}

#[tokio::test]
async fn each_connection_requests_it_once_and_is_used_and_closed_as_before() {
    let Some(mut bench) = Bench::start(true, &[SUBSYSTEM]).await else {
        return;
    };
    assert_eq!(bench.small_packets().await, SmallPackets::AtOnce);
    bench.logs(AT_ONCE, 1).await;
    bench.use_both().await;
    bench.logs(ENDED, 2).await;
    bench.use_both().await;
    bench.all_closed().await;
    assert_eq!(bench.logged(STARTED), 2, "{}", bench.sshd.log());
}

#[tokio::test]
async fn without_the_setting_nothing_is_requested() {
    let Some(mut bench) = Bench::start(false, &[SUBSYSTEM]).await else {
        return;
    };
    assert_eq!(bench.small_packets().await, SmallPackets::Late);
    assert_eq!(bench.logged(AT_ONCE), 0, "{}", bench.sshd.log());
    bench.use_both().await;
    bench.all_closed().await;
    assert_eq!(bench.logged("ctype session"), 0, "{}", bench.sshd.log());
}

#[tokio::test]
async fn a_server_that_refuses_serves_as_before() {
    let no_subsystem = |server| LowLatencyRefusal::NoSubsystem { server };
    serves_as_before(&[], no_subsystem).await;
    let no_session = |server| LowLatencyRefusal::NoSession { server };
    serves_as_before(&[SUBSYSTEM, "MaxSessions 0"], no_session).await;
}

async fn serves_as_before(lines: &[&str], refusal: impl FnOnce(String) -> LowLatencyRefusal) {
    let Some(mut bench) = Bench::start(true, lines).await else {
        return;
    };
    let refusal = refusal(bench.sshd.addr().to_string());
    assert_eq!(bench.small_packets().await, SmallPackets::Refused(refusal));
    bench.use_both().await;
    bench.all_closed().await;
}

#[tokio::test]
async fn a_forced_command_that_writes_without_end_holds_nothing_up() {
    let Some(mut bench) = Bench::start(true, &[SUBSYSTEM, "ForceCommand yes"]).await else {
        return;
    };
    assert_eq!(bench.small_packets().await, SmallPackets::AtOnce);
    bench.use_both().await;
    // The broker has closed the channel, so the command could not write any more.
    bench.logs(ENDED, 2).await;
    bench.use_both().await;
    assert_eq!(bench.logged("(config) 'yes'"), 2, "{}", bench.sshd.log());
    bench.all_closed().await;
}

#[tokio::test]
async fn a_gateway_follows_its_own_setting() {
    let Some(bench) = Bench::start(true, &[SUBSYSTEM]).await else {
        return;
    };
    let gateway = bench.pool.spec().clone();
    let mut spec = gateway.clone();
    spec.gateway = Some(Arc::new(gateway));
    spec.settings.low_latency = false;
    let pool = Pool::new(spec, TaskTracker::new(), CancellationToken::new());
    let small_packets = soon(pool.small_packets()).await.unwrap();
    assert_eq!(small_packets, SmallPackets::Late);
    bench.logs(ENDED, 1).await;
    assert_eq!(bench.logged(STARTED), 1, "{}", bench.sshd.log());
}
