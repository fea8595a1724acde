//! What passes between the daemon and a service manager that speaks systemd's protocols.

use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::broker::{self, Broker, BrokerOptions, socket_in};
use testkit::files;
use testkit::ftp_client::FtpClient;
use testkit::netns::Netns;
use testkit::scripted::Conversation;
use testkit::service_manager::{ServiceManager, spawn_passing};

use crate::support::fixture::{SOON, embedded};
use crate::support::{Need, trial};

/// A configuration without tunnels.
const EMPTY: &str = "<secsh-broker/>";

/// More than the buffers on the way have room for.
const BIG: usize = 64 << 20;

/// A watchdog that a test need not wait for.
const WATCHDOG_USEC: &str = "2000000";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "systemd: ready once every tunnel listens or has failed",
            &[],
            ready,
        ),
        trial(
            "systemd: ready also while loopback is down",
            &[Need::Program("ip"), Need::Namespaces],
            without_loopback,
        ),
        trial("systemd: the status text follows the sessions", &[], status),
        trial("systemd: the watchdog hears a sign of life", &[], watchdog),
        trial(
            "systemd: no watchdog, no sign of life",
            &[],
            without_watchdog,
        ),
        trial(
            "systemd: the time to stop is extended while a transfer runs",
            &[],
            stopping,
        ),
        trial("systemd: a reload has an end", &[], reload),
        trial(
            "systemd: the local socket can be passed",
            &[],
            socket_activation,
        ),
        trial(
            "systemd: a socket of another kind is named",
            &[],
            useless_socket,
        ),
        trial(
            "systemd: sockets for another process are left alone",
            &[],
            another_process,
        ),
    ]
}

async fn start(
    manager: &ServiceManager,
    config: &str,
    more: &[(&str, &Path)],
) -> anyhow::Result<Broker> {
    let path = manager.path();
    let env = [&[("NOTIFY_SOCKET", path.as_path())], more].concat();
    let options = BrokerOptions {
        env: &env,
        ..BrokerOptions::default()
    };
    Broker::start_with(config, &options).await
}

async fn ready() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let config = format!(
        r#"<secsh-broker><profiles><profile id="a" host="127.0.0.1" port="1" user="u"><tunnels>
        <local-tunnel type="ftp" listen-port="0"/><local-tunnel type="ftp" listen-port="{port}"/>
        </tunnels></profile></profiles></secsh-broker>"#
    );
    let manager = ServiceManager::start()?;
    let broker = start(&manager, &config, &[]).await?;
    let ready = manager.wait("READY=1", SOON).await?;
    let expected = "READY=1\nSTATUS=Listening: 1 tunnel, 1 failed; 0 sessions, 0 transfers\n";
    ensure!(ready == expected, "{ready:?}");
    Conversation::connect(broker.listener(0).await?).await?;
    Ok(())
}

/// A daemon that starts before the network must not wait for it.
async fn without_loopback() -> anyhow::Result<()> {
    let netns = Netns::create()?;
    let down = || {
        Command::new("ip")
            .args(["link", "set", "lo", "down"])
            .status()
    };
    ensure!(netns.enter(down)??.success(), "cannot take loopback down");
    let options = BrokerOptions {
        netns: Some(&netns),
        ..BrokerOptions::default()
    };
    Broker::start_with(EMPTY, &options).await?;
    Ok(())
}

async fn status() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let manager = ServiceManager::start()?;
    let broker = start(&manager, &servers.profile()?.config(), &[]).await?;
    let ftp = FtpClient::login(broker.listener(0).await?).await?;
    let with = "STATUS=Listening: 1 tunnel; 1 session, 0 transfers";
    manager.wait(with, SOON).await?;
    drop(ftp);
    let without = "STATUS=Listening: 1 tunnel; 0 sessions, 0 transfers";
    manager.wait(without, SOON).await?;
    Ok(())
}

/// The signs of life continue also after a transfer has started the threads for data.
async fn watchdog() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let manager = ServiceManager::start()?;
    let limit = [("WATCHDOG_USEC", Path::new(WATCHDOG_USEC))];
    let broker = start(&manager, &servers.profile()?.config(), &limit).await?;
    manager.wait("WATCHDOG=1", SOON).await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ftp.fetch("file").await?;
    for _ in 0..3 {
        manager.wait("WATCHDOG=1", SOON).await?;
    }
    Ok(())
}

async fn without_watchdog() -> anyhow::Result<()> {
    let manager = ServiceManager::start()?;
    let broker = start(&manager, EMPTY, &[]).await?;
    broker.process().signal(Signal::TERM)?;
    loop {
        let message = manager.message(SOON).await?;
        ensure!(!message.contains("WATCHDOG"), "{message}");
        if message.contains("STOPPING=1") {
            return Ok(());
        }
    }
}

async fn stopping() -> anyhow::Result<()> {
    let servers = embedded().file("big", files::pattern(1, BIG));
    let servers = servers.servers().await?;
    let manager = ServiceManager::start()?;
    let mut broker = start(&manager, &servers.profile()?.config(), &[]).await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    broker.process().signal(Signal::TERM)?;
    manager.wait("STOPPING=1", SOON).await?;
    manager.wait("EXTEND_TIMEOUT_USEC=30000000", SOON).await?;
    let status = "STATUS=Stopping; still running: 1 session, 1 transfer";
    manager.wait(status, SOON).await?;
    ensure!(data.rest().await?.len() == BIG, "the download is short");
    data.finish().await?;
    ftp.reply("226").await?;
    drop((ftp, data));
    let status = broker.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

async fn reload() -> anyhow::Result<()> {
    let manager = ServiceManager::start()?;
    let broker = start(&manager, EMPTY, &[]).await?;
    manager.wait("READY=1", SOON).await?;
    broker.process().signal(Signal::HUP)?;
    let message = manager.wait("RELOADING=1", SOON).await?;
    let moment = message
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    let moment: u64 = moment.context("a reload without its moment")?.parse()?;
    ensure!(moment > 0, "{message}");
    manager.wait("READY=1", SOON).await?;
    Ok(())
}

/// A socket as a socket unit opens it, in the place where the daemon would open its own.
fn local_socket(directory: &Path) -> anyhow::Result<UnixListener> {
    let path = socket_in(directory);
    let parent = path.parent().context("no directory")?;
    DirBuilder::new().mode(0o700).create(parent)?;
    Ok(UnixListener::bind(path)?)
}

async fn socket_activation() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = local_socket(directory.path())?;
    let command = broker::command(directory.path(), EMPTY, &BrokerOptions::default())?;
    // The client comes before the daemon, whom the service manager starts because of it.
    let path = socket_in(directory.path());
    let first = ["status", "--pid"];
    let (told, daemon) = tokio::join!(broker::ctl(&path, &first), async {
        spawn_passing(&command, [("brokerd.socket", OwnedFd::from(socket))])
    });
    let (told, mut daemon) = (told?.success()?, daemon?);
    ensure!(told.text().trim() == daemon.pid().to_string(), "{told:?}");
    broker::ctl(&path, &["stop"]).await?.success()?;
    ensure!(daemon.wait(SOON).await?.success(), "{}", daemon.log());
    ensure!(path.exists(), "the service manager's socket is gone");
    Ok(())
}

async fn useless_socket() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let command = broker::command(directory.path(), EMPTY, &BrokerOptions::default())?;
    let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let daemon = spawn_passing(&command, [("odd", OwnedFd::from(udp))])?;
    daemon.wait_log("broker ready", SOON).await?;
    let log = daemon.log();
    ensure!(
        log.contains("no use for") && log.contains("name=odd"),
        "{log}"
    );
    Ok(())
}

/// The environment of a shell that was passed sockets, in which a person starts the daemon.
async fn another_process() -> anyhow::Result<()> {
    let env = [
        ("LISTEN_PID", Path::new("1")),
        ("LISTEN_FDS", Path::new("1")),
    ];
    let options = BrokerOptions {
        env: &env,
        ..BrokerOptions::default()
    };
    let broker = Broker::start_with(EMPTY, &options).await?;
    ensure!(fs::exists(broker.socket())?, "it did not open its own");
    Ok(())
}
