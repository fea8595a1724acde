//! A daemon is replaced by another one, and no client is refused.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;
use testkit::broker::{self, Broker, BrokerOptions};
use testkit::fixture::Servers;
use testkit::ftp_client::FtpClient;
use testkit::peer::FtpFiles;
use testkit::process::Process;
use testkit::service_manager::{ServiceManager, spawn_passing};

use crate::support::fixture::{SOON, embedded};
use crate::support::sockets::closed_port;
use crate::support::stream::{Stream, fetches};
use crate::support::trial;

/// What an upload has moved before and after the daemon is replaced.
const HALF: usize = 4 << 20;

const NO_CONFIGURATION: i32 = 78;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "upgrade: a takeover refuses no client and cuts no upload",
            &[],
            takeover,
        ),
        trial(
            "upgrade: a tunnel that a command opened is taken over",
            &[],
            requested_tunnel,
        ),
        trial(
            "upgrade: an old daemon ends its idle sessions after the grace period",
            &[],
            idle_session,
        ),
        trial(
            "upgrade: a successor that cannot start changes nothing",
            &[],
            faulty_successor,
        ),
        trial(
            "upgrade: without a daemon, a takeover is a start",
            &[],
            nothing_to_take,
        ),
        trial(
            "upgrade: the service manager keeps the listeners while the daemon restarts",
            &[],
            kept_by_service_manager,
        ),
        trial(
            "upgrade: the service manager forgets a tunnel that is closed",
            &[],
            forgotten,
        ),
    ]
}

/// A configuration with a tunnel on a port that the next daemon will want as well.
async fn config(servers: &Servers) -> anyhow::Result<(String, SocketAddr)> {
    let tunnel = closed_port()?;
    let mut profile = servers.profile()?;
    for it in &mut profile.tunnels {
        it.port = tunnel.port();
    }
    Ok((profile.config(), tunnel))
}

async fn successor(of: &Broker, config: &str) -> anyhow::Result<Process> {
    let daemon = broker::launch(of.directory(), config, &["--takeover"])?;
    daemon.wait_log("broker ready", SOON).await?;
    Ok(daemon)
}

async fn pid(socket: &Path) -> anyhow::Result<String> {
    let told = broker::ctl(socket, &["status", "--pid"]).await?.success()?;
    Ok(told.text().trim().to_owned())
}

async fn takeover() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let (config, tunnel) = config(&servers).await?;
    // Only what is cut would need the grace period.
    let mut old = Broker::start(&config, &["--grace", "600"]).await?;
    let mut uploads = FtpClient::login(tunnel).await?;
    let mut upload = uploads.begin("EPSV", "STOR big").await?;
    upload.send(vec![1; HALF]).await?;
    let clients = Stream::start(tunnel);
    clients.goes_on().await?;

    let new = successor(&old, &config).await?;
    old.wait_log("another process serves the sockets", SOON)
        .await?;
    clients.goes_on().await?;
    ensure!(pid(&old.socket()).await? == new.pid().to_string());
    clients.end().await?;

    upload.send(vec![2; HALF]).await?;
    upload.finish().await?;
    uploads.reply("226").await?;
    let stored = servers.ftp.file("big");
    ensure!(stored == Some([vec![1; HALF], vec![2; HALF]].concat()));
    // The old one waits for its last session only.
    uploads.ask("QUIT", "221").await?;
    drop((upload, uploads));
    let status = old.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    // It has left the socket and the lock to the new one.
    ensure!(pid(&old.socket()).await? == new.pid().to_string());
    fetches(tunnel).await?;
    let third = broker::launch(old.directory(), &config, &[])?
        .wait(SOON)
        .await?;
    ensure!(
        third.code() == Some(1),
        "two daemons on one socket: {third}"
    );
    broker::ctl(&old.socket(), &["stop"]).await?.success()?;
    ensure!(!old.socket().exists(), "the socket is still there");
    Ok(())
}

async fn requested_tunnel() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let (config, _) = config(&servers).await?;
    let old = Broker::start(&config, &[]).await?;
    let ftp = servers.ftp.addr();
    let spec = format!("ftp/0:{}:{}", ftp.ip(), ftp.port());
    let option = ["--option", "max-sessions=3"];
    let open = [&["open-tunnel-listener", "-L", &spec, "work"][..], &option].concat();
    let opened = old.json(&open).await?;
    let port = u16::try_from(opened["port"].as_u64().context("no port")?)?;
    let _new = successor(&old, &config).await?;
    let listed = old.list(&["list-tunnel-listeners"]).await?;
    let same = |it: &&Value| it["origin"] == "command" && it["port"] == port;
    let same = listed.iter().find(same).context("it is gone")?;
    ensure!(same["state"] == "listening", "{same:#}");
    fetches(([127, 0, 0, 1], port).into()).await
}

async fn idle_session() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let (config, tunnel) = config(&servers).await?;
    let mut old = Broker::start(&config, &["--grace", "0"]).await?;
    let mut idle = FtpClient::login(tunnel).await?;
    let _new = successor(&old, &config).await?;
    idle.reply("421").await?;
    ensure!(old.wait(SOON).await?.success(), "{}", old.log());
    fetches(tunnel).await
}

async fn faulty_successor() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let (config, tunnel) = config(&servers).await?;
    let mut old = Broker::start(&config, &[]).await?;
    let faulty = broker::launch(
        old.directory(),
        "<secsh-broker><profiels/></secsh-broker>",
        &["--takeover"],
    );
    let status = faulty?.wait(SOON).await?;
    ensure!(status.code() == Some(NO_CONFIGURATION), "{status}");
    fetches(tunnel).await?;
    ensure!(pid(&old.socket()).await? == old.process().pid().to_string());
    ensure!(old.stop(SOON).await?.success());
    Ok(())
}

async fn nothing_to_take() -> anyhow::Result<()> {
    let mut broker = Broker::start("<secsh-broker/>", &["--takeover"]).await?;
    ensure!(broker.stop(SOON).await?.success());
    ensure!(!broker.socket().exists(), "the socket is still there");
    Ok(())
}

/// The next message with this line, and its descriptor.
async fn descriptor(manager: &ServiceManager, line: &str) -> anyhow::Result<(String, OwnedFd)> {
    loop {
        let (message, descriptor) = manager.next(SOON).await?;
        if message.lines().any(|it| it == line) {
            return Ok((message, descriptor.context("no descriptor came")?));
        }
    }
}

async fn kept_by_service_manager() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let (config, tunnel) = config(&servers).await?;
    let manager = ServiceManager::start()?;
    let path = manager.path();
    let options = BrokerOptions {
        env: &[("NOTIFY_SOCKET", &path)],
        ..BrokerOptions::default()
    };
    let mut old = Broker::start_with(&config, &options).await?;
    let (message, socket) = descriptor(&manager, "FDSTORE=1").await?;
    let name = format!("FDNAME=tunnel-127.0.0.1.{}", tunnel.port());
    ensure!(message.lines().any(|line| line == name), "{message}");
    old.process().signal(Signal::TERM)?;
    ensure!(old.wait(SOON).await?.success(), "{}", old.log());

    // Nobody accepts this client now, and nobody refuses it.
    let command = broker::command(old.directory(), &config, &options)?;
    let (served, new) = tokio::join!(fetches(tunnel), async {
        spawn_passing(&command, [("tunnel", socket)])
    });
    let new = new?;
    served.with_context(|| new.log())?;
    ensure!(!new.log().contains("no tunnel has it"), "{}", new.log());
    loop {
        let message = manager.message(Duration::from_secs(20)).await?;
        ensure!(!message.contains("FDSTOREREMOVE"), "{message}");
        if message.contains("READY=1") {
            return Ok(());
        }
    }
}

async fn forgotten() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let (config, tunnel) = config(&servers).await?;
    let manager = ServiceManager::start()?;
    let path = manager.path();
    let options = BrokerOptions {
        env: &[("NOTIFY_SOCKET", &path)],
        ..BrokerOptions::default()
    };
    let broker = Broker::start_with(&config, &options).await?;
    let at = format!(":{}", tunnel.port());
    broker.told(&["close-tunnel-listener", &at]).await?;
    let message = manager.wait("FDSTOREREMOVE=1", SOON).await?;
    ensure!(message.contains(&format!("FDNAME=tunnel-127.0.0.1.{}", tunnel.port())));
    Ok(())
}
