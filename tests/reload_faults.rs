//! Reloads that are refused, that come at a bad moment, and very many of them: no client notices.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use anyhow::ensure;
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::broker::{self, Broker, BrokerOptions, write_private};
use testkit::profile::config;
use testkit::service_manager::ServiceManager;
use tokio::task::JoinSet;

use crate::support::fixture::{CONTENT, SOON, nothing_is_left};
use crate::support::reloading::{OTHER, Site, fetched, names, on, report};
use crate::support::sockets::closed_port;
use crate::support::stream::Stream;
use crate::support::trial;

/// Reloads one after the other.
const MANY: usize = 100;

/// Reloads at the same time.
const AT_ONCE: usize = 8;

/// Clients of the tunnel that changes.
const CLIENTS: usize = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("reload: files with faults change nothing", &[], faults),
        trial("reload: a fault shows no password", &[], masked),
        trial("reload: files that are gone", &[], gone),
        trial("reload: files that others can change", &[], exposed),
        trial("reload: a tunnel that moves to a port in use", &[], in_use),
        trial("reload: a new tunnel whose port is in use", &[], added),
        trial("reload: a tunnel that has failed", &[], failed),
        trial("reload: a log file that cannot be written", &[], log_file),
        trial("reload: only asked what would change", &[], dry_run),
        trial("reload: a hundred, under clients", &[], hundred),
        trial("reload: several at once", &[], at_once),
        trial("reload: while the daemon stops", &[], stopping),
        trial("reload: a daemon on demand", &[], on_demand),
        trial("reload: after a takeover", &[], taken_over),
        trial("reload: the service manager is told", &[], notified),
    ]
}

/// Every change in the file fails with the one that is wrong.
async fn faults() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let right = site.profile.config();
    let half = &right[..right.len() / 2];
    for (text, message) in [
        ("", "error: "),
        (half, "error: "),
        (&right.replace("FTP", "gopher"), "`type` cannot be"),
        (&right.replace("listen-port", "listenport"), "did you mean"),
        (
            &right.replace("<tunnels>", "<tunnels x=\"y\">"),
            "no attribute `x`",
        ),
    ] {
        let told = site.refused(text).await?;
        ensure!(told.contains(message), "{text}: {told}");
        ensure!(told.contains("nothing has changed"), "{told}");
    }
    write_private(&site.broker.config_file(), "<broken")?;
    site.broker.process().signal(Signal::HUP)?;
    site.broker.wait_log("was not reloaded", SOON).await?;
    ensure!(site.reload(&right).await?.is_unchanged());
    download.finishes().await?;
    Ok(())
}

async fn masked() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let secret = "correct-horse";
    let wrong = site.profile.config().replace(
        "<tunnels>",
        &format!(r#"<password string="{secret}" strin="x"/><tunnels>"#),
    );
    let told = site.refused(&wrong).await?;
    ensure!(told.contains("strin") && !told.contains(secret), "{told}");
    ensure!(!site.broker.log().contains(secret));
    Ok(())
}

async fn gone() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    fs::remove_file(site.broker.config_file())?;
    let told = site.reload_fails().await?;
    ensure!(told.contains("cannot read"), "{told}");
    ensure!(fetched(site.tunnel).await? == CONTENT);
    download.finishes().await?;
    Ok(())
}

async fn exposed() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let mut profile = site.profile.clone();
    profile.tunnels.clear();
    let command = r#"<password command="true"/>"#;
    write_private(&site.broker.config_file(), &profile.with(command).config())?;
    fs::set_permissions(site.broker.config_file(), Permissions::from_mode(0o666))?;
    let told = site.reload_fails().await?;
    ensure!(told.contains("other users can change"), "{told}");
    ensure!(fetched(site.tunnel).await? == CONTENT);
    Ok(())
}

/// Its clients keep what they have, and nothing of the new configuration holds, although the rest of it could.
async fn in_use() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let taken = TcpListener::bind(closed_port()?)?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![
        on(site.others.tunnel(), closed_port()?),
        on(site.servers.tunnel(), taken.local_addr()?),
    ];
    let told = site.refused(&profile.config()).await?;
    let address = taken.local_addr()?;
    ensure!(
        told.contains(&format!("nothing has changed: {address} is in use by")),
        "{told}"
    );
    ensure!(fetched(site.tunnel).await? == CONTENT);
    drop(taken);
    let report = site.reload(&profile.config()).await?;
    ensure!(report.tunnels.added.len() == 2, "{report:?}");
    ensure!(fetched(address).await? == CONTENT);
    download.finishes().await?;
    Ok(())
}

/// As at the start: the answer says so, the other tunnels do not wait for it, and it listens when the port is free.
async fn added() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let taken = TcpListener::bind(closed_port()?)?;
    let (address, free) = (taken.local_addr()?, closed_port()?);
    let mut profile = site.profile.clone();
    profile.tunnels.push(on(site.others.tunnel(), address));
    profile.tunnels.push(on(site.others.tunnel(), free));
    let report = site.reload(&profile.config()).await?;
    ensure!(report.tunnels.added.len() == 2, "{report:?}");
    let warned = format!("a tunnel does not listen: {address} is in use by");
    ensure!(report.warnings.len() == 1, "{report:?}");
    ensure!(report.warnings[0].starts_with(&warned), "{report:?}");
    ensure!(fetched(site.tunnel).await? == CONTENT);
    ensure!(fetched(free).await? == OTHER);
    let mut states: Vec<_> = site.listeners().await?;
    states.retain(|it| it.state == "failed");
    ensure!(states.len() == 1, "{states:?}");
    drop(taken);
    all_listen(&site.broker).await?;
    ensure!(fetched(address).await? == OTHER);
    download.finishes().await?;
    Ok(())
}

async fn all_listen(broker: &Broker) -> anyhow::Result<()> {
    let listening = |it: &serde_json::Value| {
        let all = it.as_array();
        all.is_some_and(|all| all.iter().all(|it| it["state"] == "listening"))
    };
    broker
        .wait_json(&["list-tunnel-listeners"], SOON, listening)
        .await?;
    Ok(())
}

/// It is tried again as before, also with other options.
async fn failed() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let taken = TcpListener::bind(closed_port()?)?;
    let address = taken.local_addr()?;
    let mut profile = site.profile.clone();
    profile.tunnels.push(on(site.servers.tunnel(), address));
    // A daemon that starts has no choice.
    let broker = Broker::start(
        &profile
            .config()
            .replace(&site.tunnel.port().to_string(), "0"),
        &[],
    )
    .await?;
    let states = || async {
        let listed = broker.list(&["list-tunnel-listeners"]).await?;
        let mut states: Vec<_> = listed.iter().map(|it| it["state"].to_string()).collect();
        states.sort();
        anyhow::Ok(states)
    };
    let expected = [r#""failed""#, r#""listening""#];
    ensure!(states().await? == expected);
    let text = fs::read_to_string(broker.config_file())?;
    let destination = format!(r#"dst-port="{}""#, site.servers.ftp.addr().port());
    let other = format!(r#"dst-port="{}""#, site.others.ftp.addr().port());
    write_private(&broker.config_file(), &text.replace(&destination, &other))?;
    report(&broker, &["reload"]).await?;
    ensure!(states().await? == expected);
    drop(taken);
    all_listen(&broker).await?;
    ensure!(fetched(address).await? == OTHER);
    Ok(())
}

async fn log_file() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let logging = r#"<logging><log-target file="/nonexistent/log"/></logging></secsh-broker>"#;
    let mut profile = site.profile.clone();
    profile.tunnels.clear();
    let text = profile.config().replace("</secsh-broker>", logging);
    let told = site.refused(&text).await?;
    ensure!(
        told.contains("nothing has changed: cannot write the log file"),
        "{told}"
    );
    ensure!(fetched(site.tunnel).await? == CONTENT);
    Ok(())
}

async fn dry_run() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let before = site.listeners().await?;
    let mut profile = site.others.profile()?;
    let second = closed_port()?;
    profile.tunnels = vec![on(site.others.tunnel(), second)];
    write_private(&site.broker.config_file(), &profile.config())?;
    let would = report(&site.broker, &["reload", "--dry-run"]).await?;
    ensure!(
        would.dry_run && would.tunnels.added == [second.to_string()],
        "{would:?}"
    );
    ensure!(
        names(&would.tunnels.removed) == [site.tunnel.to_string()],
        "{would:?}"
    );
    ensure!(site.listeners().await? == before);
    ensure!(fetched(site.tunnel).await? == CONTENT);
    let mut did = report(&site.broker, &["reload"]).await?;
    did.dry_run = true;
    ensure!(did == would, "{did:?} {would:?}");
    ensure!(fetched(second).await? == OTHER);
    Ok(())
}

/// The tunnel and its profile change each time; what the clients get does not.
async fn hundred() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let clients: Vec<_> = (0..CLIENTS).map(|_| Stream::start(site.tunnel)).collect();
    for round in 0..MANY {
        let mut profile = site.profile.clone();
        let options = format!(r#"max-sessions="{}""#, 100 + round);
        profile.tunnels = vec![profile.tunnels.remove(0).with(&options)];
        if round % 2 == 0 {
            profile = profile.with(r#"<keepalive-interval time="7"/>"#);
        }
        if round % 3 == 0 {
            profile
                .tunnels
                .push(on(site.servers.tunnel(), closed_port()?));
        }
        site.reload(&profile.config()).await?;
    }
    for client in clients {
        client.goes_on().await?;
        client.end().await?;
    }
    site.reload(&site.profile.config()).await?;
    ensure!(site.listeners().await? == before);
    let ftp = download.finishes().await?;
    drop(ftp);
    nothing_is_left(&site.broker, "list-channels").await?;
    nothing_is_left(&site.broker, "list-connections").await
}

async fn at_once() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![on(site.others.tunnel(), site.tunnel)];
    write_private(&site.broker.config_file(), &profile.config())?;
    let mut reloads = JoinSet::new();
    for _ in 0..AT_ONCE {
        let socket = site.broker.socket();
        reloads.spawn(async move { broker::ctl(&socket, &["reload", "--json"]).await?.success() });
        site.broker.process().signal(Signal::HUP)?;
    }
    let mut changed = 0;
    while let Some(told) = reloads.join_next().await {
        let report: broker_ipc::types::ReloadReport = serde_json::from_str(&told??.text())?;
        changed += usize::from(!report.is_unchanged());
    }
    ensure!(changed <= 1, "{changed} reloads have changed something");
    ensure!(fetched(site.tunnel).await? == OTHER);
    download.finishes().await?;
    Ok(())
}

async fn stopping() -> anyhow::Result<()> {
    let mut site = Site::start().await?;
    let download = site.download().await?;
    site.broker
        .ctl(&["stop", "--no-wait", "--when-idle"])
        .await?
        .success()?;
    site.broker.wait_log("stopping", SOON).await?;
    let told = site.broker.ctl(&["reload"]).await?;
    ensure!(told.status.code() == Some(4), "{told:?}");
    ensure!(told.stderr.contains("the broker is stopping"), "{told:?}");
    site.broker.process().signal(Signal::HUP)?;
    drop(download.ends_whole().await?);
    let status = site.broker.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// A new tunnel of the files keeps it running as little as any other.
async fn on_demand() -> anyhow::Result<()> {
    let mut site = Site::start_with(&["--on-demand"]).await?;
    let second = closed_port()?;
    let mut profile = site.profile.clone();
    profile.tunnels.push(on(site.servers.tunnel(), second));
    site.reload(&profile.config()).await?;
    ensure!(fetched(second).await? == CONTENT);
    let status = site.broker.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The successor reloads, and the old daemon no longer does.
async fn taken_over() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let text = site.profile.config();
    let mut successor = broker::launch(site.broker.directory(), &text, &["--takeover"])?;
    successor.wait_log("broker ready", SOON).await?;
    site.broker
        .wait_log("another process serves the sockets", SOON)
        .await?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![on(site.others.tunnel(), site.tunnel)];
    write_private(&site.broker.config_file(), &profile.config())?;
    site.broker.process().signal(Signal::HUP)?;
    site.broker
        .wait_log("reads no configuration any more", SOON)
        .await?;
    ensure!(fetched(site.tunnel).await? == CONTENT);
    let report = report(&site.broker, &["reload"]).await?;
    ensure!(
        names(&report.tunnels.changed) == [site.tunnel.to_string()],
        "{report:?}"
    );
    ensure!(fetched(site.tunnel).await? == OTHER);
    let sockets = |all: Vec<crate::support::reloading::Listener>| {
        all.into_iter().map(|it| it.socket).collect::<Vec<_>>()
    };
    ensure!(sockets(site.listeners().await?) == sockets(before));
    drop(download.finishes().await?);
    broker::ctl(&site.broker.socket(), &["stop"])
        .await?
        .success()?;
    ensure!(successor.wait(SOON).await?.success());
    Ok(())
}

/// It learns of the beginning and the end, also of a reload that fails, and keeps the sockets of new tunnels.
async fn notified() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let manager = ServiceManager::start()?;
    let path = manager.path();
    let options = BrokerOptions {
        env: &[("NOTIFY_SOCKET", path.as_path())],
        ..BrokerOptions::default()
    };
    let broker = Broker::start_with("<secsh-broker/>", &options).await?;
    manager.wait("READY=1", SOON).await?;
    let mut profile = site.servers.profile()?;
    let port = closed_port()?;
    profile.tunnels = vec![on(site.servers.tunnel(), port)];
    write_private(&broker.config_file(), &config("", [&profile]))?;
    broker.ctl(&["reload"]).await?.success()?;
    manager.wait("RELOADING=1", SOON).await?;
    manager
        .wait(&format!("FDNAME=tunnel-127.0.0.1.{}", port.port()), SOON)
        .await?;
    manager.wait("READY=1", SOON).await?;
    write_private(&broker.config_file(), "<broken")?;
    broker.process().signal(Signal::HUP)?;
    manager.wait("RELOADING=1", SOON).await?;
    manager.wait("READY=1", SOON).await?;
    Ok(())
}
