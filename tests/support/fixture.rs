//! The fixtures that most tests start from, and what is asked of them.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use broker_ipc::types::{DaemonStatus, TransferCounts};
use serde::Deserialize;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::fixture::{Builder, Fixture, Servers};
use testkit::ftp_server::FtpServerOptions;
use testkit::ssh_server::SshServerOptions;
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};

use super::sockets::eventually;

/// How long something may take that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a small file holds.
pub(crate) const CONTENT: &[u8] = b"content";

/// sshd and vsftpd with a broker before them.
pub(crate) type Real = Fixture<Sshd, Vsftpd>;

/// sshd and vsftpd.
pub(crate) type RealServers = Servers<Sshd, Vsftpd>;

/// The testkit's servers, which need nothing installed, with a small `file` to fetch.
pub(crate) fn embedded() -> Builder<SshServerOptions, FtpServerOptions> {
    let ssh = SshServerOptions {
        users: vec!["user".into()],
        ..SshServerOptions::default()
    };
    Fixture::builder().ssh(ssh).file("file", CONTENT)
}

/// sshd and vsftpd, with a small `file` to fetch.
pub(crate) fn real() -> Builder<SshdOptions, VsftpdOptions> {
    real_with(SshdOptions::default(), VsftpdOptions::default())
}

/// As [`real`], where clients connect to `near`, and the servers listen on `far`.
pub(crate) fn between(near: IpAddr, far: IpAddr) -> Builder<SshdOptions, VsftpdOptions> {
    let sshd = SshdOptions {
        bind: far,
        ..SshdOptions::default()
    };
    let vsftpd = VsftpdOptions {
        bind: far,
        ..VsftpdOptions::default()
    };
    real_with(sshd, vsftpd).listen(near)
}

/// As [`real`], where the servers are like this.
pub(crate) fn real_with(
    sshd: SshdOptions,
    vsftpd: VsftpdOptions,
) -> Builder<SshdOptions, VsftpdOptions> {
    let builder = Fixture::builder().ssh(sshd).ftp(vsftpd);
    builder.file("file", CONTENT)
}

/// What sshd has carried: channels that it opened to the control port and to others, and connections that came in by
/// forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) control: usize,
    pub(crate) passive: usize,
    pub(crate) active: usize,
}

impl Channels {
    pub(crate) fn of(servers: &RealServers) -> Self {
        let log = servers.ssh.log();
        let control = format!("port {}", servers.ftp.addr().port());
        let opened = |line: &&str| line.contains("server_request_direct_tcpip: originator");
        let (to_control, to_data): (Vec<&str>, Vec<&str>) = log
            .lines()
            .filter(opened)
            .partition(|line| line.ends_with(&control));
        // One that is opened ahead may serve nobody.
        let arrived = |line: &&str| line.contains("Connection to port ");
        Self {
            control: to_control.len(),
            passive: to_data.len(),
            active: log.lines().filter(arrived).count(),
        }
    }
}

/// Waits until sshd has logged exactly so many data channels since `before`. Its log comes through a pipe, so that the
/// last line may still be on its way when the client is done; which one it will be cannot be known.
pub(crate) async fn expect_data_channels(
    servers: &RealServers,
    before: Channels,
    passive: usize,
    active: usize,
) -> anyhow::Result<()> {
    let expected = || {
        let now = Channels::of(servers);
        (now.passive - before.passive, now.active - before.active) == (passive, active)
    };
    let logged = eventually("sshd has logged the data channels", expected).await;
    logged.with_context(|| {
        let now = Channels::of(servers);
        format!("{passive} passive and {active} active ones expected since {before:?}, now {now:?}")
    })
}

/// Waits until the daemon has counted exactly so many transfers, all of them complete.
pub(crate) async fn expect_transfers(broker: &Broker, ok: usize) -> anyhow::Result<()> {
    let expected = TransferCounts {
        active: 0,
        ok: ok as u64,
        failed: 0,
    };
    let counted = |status: &Value| {
        DaemonStatus::deserialize(status).is_ok_and(|status| status.transfers == expected)
    };
    let settled = broker.wait_json(&["status"], SOON, counted).await;
    settled
        .map(drop)
        .with_context(|| format!("expected {expected:?}"))
}

/// Waits until no connection is being made: a spare one that dies while it is dialled is another matter.
pub(crate) async fn nothing_is_dialled(broker: &Broker) -> anyhow::Result<Value> {
    let dialled = |connections: &Value| {
        let all = connections.as_array();
        all.is_some_and(|all| all.iter().all(|one| one["state"] != "connecting"))
    };
    broker.wait_json(&["list-connections"], SOON, dialled).await
}

/// Waits until a list of broker-ctl's is empty.
pub(crate) async fn nothing_is_left(broker: &Broker, list: &str) -> anyhow::Result<()> {
    let empty = |listed: &Value| listed.as_array().is_some_and(Vec::is_empty);
    broker.wait_json(&[list], SOON, empty).await.map(drop)
}

/// The reply that ends a transfer that was cut, which must be no success.
pub(crate) async fn failure(ftp: &mut testkit::ftp_client::FtpClient) -> anyhow::Result<String> {
    let reply = ftp.reply("").await?;
    ensure!(
        !reply.starts_with('2'),
        "a transfer that was cut was reported complete: {reply}"
    );
    Ok(reply)
}
