//! The configuration changes while a download runs: what runs ends as it is, and the next session has what is new.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::ensure;
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::broker::write_private;
use testkit::ftp_client::FtpClient;
use testkit::profile::{Profile, config};
use testkit::scripted::Conversation;

use crate::support::fixture::{CONTENT, SOON, nothing_is_left};
use crate::support::reloading::{OTHER, Site, fetched, names, on, report};
use crate::support::sockets::{closed_port, eventually};
use crate::support::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("reload: what has not changed is not touched", &[], nothing),
        trial("reload: options of a tunnel", &[], options),
        trial("reload: the destination of a tunnel", &[], destination),
        trial("reload: another port", &[], port),
        trial("reload: all addresses of the same port", &[], all_addresses),
        trial("reload: two tunnels exchange their ports", &[], exchange),
        trial("reload: a port moves to another tunnel", &[], port_moves),
        trial("reload: a tunnel is gone", &[], tunnel_gone),
        trial(
            "reload: a tunnel on a free port, and one that never listened",
            &[],
            free_port,
        ),
        trial("reload: another way in", &[], way_in),
        trial("reload: another way in, and back", &[], there_and_back),
        trial("reload: a profile is gone", &[], profile_gone),
        trial("reload: a profile comes back in time", &[], profile_back),
        trial("reload: a profile has another id", &[], profile_renamed),
        trial(
            "reload: a profile listens while connected",
            &[],
            listens_later,
        ),
        trial("reload: an entity of the file", &[], entity),
        trial("reload: a tunnel that a command opened", &[], by_command),
        trial("reload: a remote tunnel", &[], remote),
        trial("reload: log files can be rotated", &[], log_files),
        trial("reload: SIGHUP", &[], hang_up),
    ]
}

async fn nothing() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let report = site
        .reload(&format!("<!-- a comment -->\n{}", site.profile.config()))
        .await?;
    ensure!(report.is_unchanged(), "{report:?}");
    ensure!(report.profiles.kept == ["id1"], "{report:?}");
    ensure!(
        report.tunnels.kept == [site.tunnel.to_string()],
        "{report:?}"
    );
    ensure!(site.listeners().await? == before);
    download.finishes().await?;
    Ok(())
}

/// The listener stays, and the next session has the options.
async fn options() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![profile.tunnels.remove(0).with(r#"max-sessions="1""#)];
    let report = site.reload(&profile.config()).await?;
    ensure!(
        names(&report.tunnels.changed) == [site.tunnel.to_string()],
        "{report:?}"
    );
    ensure!(report.profiles.kept == ["id1"], "{report:?}");
    ensure!(site.listeners().await? == before, "{before:?}");
    let mut refused = Conversation::connect(site.tunnel).await?;
    let reply = refused.reply().await?;
    ensure!(
        reply.starts_with("421") && reply.contains("1 session,"),
        "{reply}"
    );
    drop(download.finishes().await?);
    nothing_is_left(&site.broker, "list-channels").await?;
    FtpClient::login(site.tunnel).await?;
    Ok(())
}

async fn destination() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![on(site.others.tunnel(), site.tunnel)];
    site.reload(&profile.config()).await?;
    ensure!(site.listeners().await? == before);
    ensure!(fetched(site.tunnel).await? == OTHER);
    download.finishes().await?;
    Ok(())
}

async fn port() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let moved = closed_port()?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![on(site.servers.tunnel(), moved)];
    let report = site.reload(&profile.config()).await?;
    ensure!(report.tunnels.added == [moved.to_string()], "{report:?}");
    ensure!(
        names(&report.tunnels.removed) == [site.tunnel.to_string()],
        "{report:?}"
    );
    ensure!(fetched(moved).await? == CONTENT);
    is_closed(&site).await?;
    download.finishes().await?;
    Ok(())
}

async fn is_closed(site: &Site) -> anyhow::Result<()> {
    let connected = Conversation::connect(site.tunnel).await;
    ensure!(connected.is_err(), "the old listener is still open");
    Ok(())
}

/// The new listener overlaps with the old one.
async fn all_addresses() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let relay = r#"listen-address="*" allow-relay="yes""#;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![profile.tunnels.remove(0).with(relay)];
    let report = site.reload(&profile.config()).await?;
    ensure!(
        report.tunnels.added == [format!("*:{}", site.tunnel.port())],
        "{report:?}"
    );
    ensure!(fetched(site.tunnel).await? == CONTENT);
    ensure!(site.listeners().await?.len() == 1);
    site.reload(&site.profile.config()).await?;
    ensure!(fetched(site.tunnel).await? == CONTENT);
    download.finishes().await?;
    Ok(())
}

/// Both listeners stay, and lead to the other server.
async fn exchange() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let second = closed_port()?;
    let with = |first, second_one| {
        let mut profile = site.profile.clone();
        profile.tunnels = vec![
            on(site.servers.tunnel(), first),
            on(site.others.tunnel(), second_one),
        ];
        profile.config()
    };
    site.reload(&with(site.tunnel, second)).await?;
    ensure!(fetched(second).await? == OTHER);
    let download = site.download().await?;
    let before = site.listeners().await?;
    site.reload(&with(second, site.tunnel)).await?;
    ensure!(site.listeners().await? == before);
    ensure!(fetched(second).await? == CONTENT);
    ensure!(fetched(site.tunnel).await? == OTHER);
    download.finishes().await?;
    Ok(())
}

async fn port_moves() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let moved = closed_port()?;
    let mut first = site.profile.clone();
    first.tunnels = vec![on(site.servers.tunnel(), moved)];
    let mut second = site.others.profile()?.called("id2");
    second.tunnels = vec![on(site.others.tunnel(), site.tunnel)];
    let report = site.reload(&config("", [&first, &second])).await?;
    ensure!(report.tunnels.added == [moved.to_string()], "{report:?}");
    ensure!(
        names(&report.tunnels.changed) == [site.tunnel.to_string()],
        "{report:?}"
    );
    ensure!(site.listeners().await?.first() == before.first());
    ensure!(fetched(moved).await? == CONTENT);
    ensure!(fetched(site.tunnel).await? == OTHER);
    download.finishes().await?;
    Ok(())
}

/// Its sessions continue, however long the grace period is.
async fn tunnel_gone() -> anyhow::Result<()> {
    let site = Site::start_with(&["--grace", "0"]).await?;
    let download = site.download().await?;
    let mut profile = site.profile.clone();
    profile.tunnels.clear();
    let report = site.reload(&profile.config()).await?;
    ensure!(
        names(&report.tunnels.removed) == [site.tunnel.to_string()],
        "{report:?}"
    );
    is_closed(&site).await?;
    download.finishes().await?;
    Ok(())
}

/// A person can use what the report says of a new tunnel, and learns of one that never listened that it did not.
async fn free_port() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let at = taken.local_addr()?;
    let first = site.profile.clone();
    let second = first.clone().tunnel(site.others.tunnel());
    write_private(&site.broker.config_file(), &second.config())?;
    let tried = report(&site.broker, &["reload", "--dry-run"]).await?;
    ensure!(
        tried.tunnels.added == ["127.0.0.1 (a free port)"],
        "{tried:?}"
    );
    let added = site.reload(&second.config()).await?.tunnels.added;
    let port = site.listeners().await?[1].port;
    ensure!(added == [format!("127.0.0.1:{port}")], "{added:?}");

    site.reload(&first.config()).await?;
    let third = first.clone().tunnel(on(site.others.tunnel(), at));
    site.reload(&third.config()).await?;
    let removed = site.reload(&first.config()).await?.tunnels.removed;
    ensure!(names(&removed) == [at.to_string()], "{removed:?}");
    ensure!(
        removed[0].effect.starts_with("it did not listen"),
        "{removed:?}"
    );
    Ok(())
}

/// The first profile, with the way in of the others.
fn through_the_others(site: &Site) -> anyhow::Result<Profile> {
    let mut profile = site.others.profile()?;
    profile.tunnels = vec![on(site.others.tunnel(), site.tunnel)];
    Ok(profile)
}

async fn connections_lead_to(site: &Site, servers: &[u16]) -> anyhow::Result<()> {
    let ports = |listed: &serde_json::Value| {
        let all = listed.as_array().cloned().unwrap_or_default();
        let ports = all.iter().filter_map(|it| {
            let (_, port) = it["target"].as_str()?.rsplit_once('#')?;
            port.parse().ok()
        });
        ports.collect::<std::collections::BTreeSet<u16>>()
    };
    let expected = servers.iter().copied().collect();
    let arguments = ["list-connections"];
    let led = site
        .broker
        .wait_json(&arguments, SOON, |it| ports(it) == expected);
    led.await.map(drop)
}

async fn way_in() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let report = site.reload(&through_the_others(&site)?.config()).await?;
    ensure!(names(&report.profiles.changed) == ["id1"], "{report:?}");
    ensure!(site.listeners().await? == before);
    let mut second = FtpClient::login(site.tunnel).await?;
    ensure!(second.fetch("file").await? == OTHER);
    let [old, new] = [&site.servers, &site.others].map(|it| it.ssh.addr().port());
    connections_lead_to(&site, &[old, new]).await?;
    // The session that began on the old connections uses them for its next transfer too.
    let mut first = download.finishes().await?;
    first.ask("QUIT", "221").await?;
    connections_lead_to(&site, &[new]).await
}

/// The session that has lasted meanwhile and the next one share their connections again.
async fn there_and_back() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let control = control_connections(&site).await?;
    site.reload(&through_the_others(&site)?.config()).await?;
    ensure!(fetched(site.tunnel).await? == OTHER);
    site.reload(&site.profile.config()).await?;
    ensure!(fetched(site.tunnel).await? == CONTENT);
    let now = control_connections(&site).await?;
    ensure!(
        control.iter().all(|id| now.contains(id)),
        "{control:?} {now:?}"
    );
    download.finishes().await?;
    Ok(())
}

async fn control_connections(site: &Site) -> anyhow::Result<Vec<u64>> {
    let listed = site.broker.list(&["list-connections"]).await?;
    let control = listed.iter().filter(|it| it["kind"] == "control");
    Ok(control.filter_map(|it| it["id"].as_u64()).collect())
}

/// The first profile is gone, and there is another one.
fn without_the_profile(site: &Site) -> anyhow::Result<String> {
    let mut profile = site.others.profile()?.called("id2");
    profile.tunnels.clear();
    Ok(profile.config())
}

/// A transfer is cut after the grace period, and its client learns why.
async fn profile_gone() -> anyhow::Result<()> {
    let site = Site::start_with(&["--grace", "1"]).await?;
    let (download, mut idle) = (site.download().await?, FtpClient::login(site.tunnel).await?);
    let report = site.reload(&without_the_profile(&site)?).await?;
    ensure!(names(&report.profiles.removed) == ["id1"], "{report:?}");
    is_closed(&site).await?;
    let told = idle.reply("421").await?;
    ensure!(told.contains("no longer has the profile"), "{told}");
    let replies = download.ends_cut().await?;
    ensure!(replies.contains("no longer has the profile"), "{replies}");
    Ok(())
}

async fn profile_back() -> anyhow::Result<()> {
    let site = Site::start_with(&["--grace", "3"]).await?;
    let download = site.download().await?;
    site.reload(&without_the_profile(&site)?).await?;
    is_closed(&site).await?;
    let report = site.reload(&site.profile.config()).await?;
    ensure!(report.profiles.added == ["id1"], "{report:?}");
    // Another profile that goes later, and whose session ends later than the first one's would have.
    let mut more = site.others.profile()?.called("id3");
    let second = closed_port()?;
    more.tunnels = vec![on(site.others.tunnel(), second)];
    site.reload(&config("", [&site.profile, &more])).await?;
    let mut witness = FtpClient::login(second).await?;
    site.reload(&site.profile.config()).await?;
    witness.reply("421").await?;
    download.finishes().await?;
    Ok(())
}

/// Its listener stays, and its sessions continue although there is no grace.
async fn profile_renamed() -> anyhow::Result<()> {
    let site = Site::start_with(&["--grace", "0"]).await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let report = site
        .reload(&site.profile.clone().called("new").config())
        .await?;
    ensure!(report.profiles.added == ["new"], "{report:?}");
    ensure!(names(&report.profiles.removed) == ["id1"], "{report:?}");
    ensure!(site.listeners().await? == before);
    ensure!(fetched(site.tunnel).await? == CONTENT);
    let listed = site.broker.list(&["list-tunnel-listeners"]).await?;
    ensure!(listed.iter().all(|it| it["profile"] == "new"), "{listed:?}");
    download.finishes().await?;
    Ok(())
}

/// It is connected, so the listener stays; on a new way in it waits.
async fn listens_later() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let before = site.listeners().await?;
    let mut profile = site.profile.clone();
    profile.tunnels_attributes = r#" listen="connected""#;
    site.reload(&profile.config()).await?;
    ensure!(site.listeners().await? == before);
    let mut elsewhere = through_the_others(&site)?;
    elsewhere.tunnels_attributes = profile.tunnels_attributes;
    site.reload(&elsewhere.config()).await?;
    let waiting = site.listeners().await?;
    ensure!(
        waiting.iter().all(|it| it.state == "waiting"),
        "{waiting:?}"
    );
    site.reload(&through_the_others(&site)?.config()).await?;
    ensure!(fetched(site.tunnel).await? == OTHER);
    download.finishes().await?;
    Ok(())
}

async fn entity() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let text = site.profile.config();
    let port = format!(r#"dst-port="{}""#, site.servers.ftp.addr().port());
    let with = |port: u16, text: &str| {
        format!("<!DOCTYPE secsh-broker [<!ENTITY port \"{port}\">]>\n{text}")
    };
    let text = text.replace(&port, r#"dst-port="&port;""#);
    let same = site
        .reload(&with(site.servers.ftp.addr().port(), &text))
        .await?;
    ensure!(same.is_unchanged(), "{same:?}");
    let other = site
        .reload(&with(site.others.ftp.addr().port(), &text))
        .await?;
    ensure!(
        names(&other.tunnels.changed) == [site.tunnel.to_string()],
        "{other:?}"
    );
    ensure!(fetched(site.tunnel).await? == OTHER);
    download.finishes().await?;
    Ok(())
}

/// It stays, and uses the new connections of its profile. If the profile is gone, it keeps those that it has.
async fn by_command() -> anyhow::Result<()> {
    let site = Site::start_with(&["--grace", "0"]).await?;
    let own = closed_port()?;
    let to = site.servers.ftp.addr();
    let spec = format!("ftp/{}:{}:{}", own.port(), to.ip(), to.port());
    let ask = ["open-tunnel-listener", "-L", &spec, "work"];
    site.broker.ctl(&ask).await?.success()?;
    let mut client = FtpClient::login(own).await?;
    site.reload(&through_the_others(&site)?.config()).await?;
    let [old, new] = [&site.servers, &site.others].map(|it| it.ssh.addr().port());
    ensure!(fetched(own).await? == CONTENT);
    connections_lead_to(&site, &[old, new]).await?;
    site.reload(&without_the_profile(&site)?).await?;
    ensure!(fetched(own).await? == CONTENT);
    ensure!(client.fetch("file").await? == CONTENT);
    let listed = site.listeners().await?;
    ensure!(
        listed.len() == 1 && listed.iter().all(|it| it.port == own.port()),
        "{listed:?}"
    );
    Ok(())
}

/// The SSH server listens on, and its next client has the new destination.
async fn remote() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let far = closed_port()?;
    let with = |attributes: &str, to| {
        let mut profile = site.profile.clone();
        let tunnel = testkit::profile::Tunnel::ftp(to).remote().with(attributes);
        profile.tunnels.push(on(tunnel, far));
        profile.config()
    };
    let [to, other] = [&site.servers, &site.others].map(|it| it.ftp.addr());
    site.reload(&with("", to)).await?;
    let listens = |it: &serde_json::Value| {
        let all = it.as_array();
        all.is_some_and(|all| all.len() == 2 && all.iter().all(|it| it["state"] == "listening"))
    };
    site.broker
        .wait_json(&["list-tunnel-listeners"], SOON, listens)
        .await?;
    let mut ftp = FtpClient::login(far).await?;
    let before = site.listeners().await?;
    site.reload(&with("", other)).await?;
    ensure!(site.listeners().await? == before);
    ensure!(fetched(far).await? == OTHER);
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn log_files() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let directory = site.broker.directory().to_owned();
    let (log, old) = (directory.join("log"), directory.join("log.1"));
    let logging = format!(
        r#"<logging><log-target file="{}"/></logging></secsh-broker>"#,
        log.display()
    );
    let text = site.profile.config().replace("</secsh-broker>", &logging);
    let report = site.reload(&text).await?;
    ensure!(report.settings == ["the log files"], "{report:?}");
    fetched(site.tunnel).await?;
    let has = |path, what: &str| fs::read_to_string(path).is_ok_and(|it: String| it.contains(what));
    eventually("the file has the session", || has(&log, "session opened")).await?;
    fs::rename(&log, &old)?;
    ensure!(site.reload(&text).await?.is_unchanged());
    fetched(site.tunnel).await?;
    eventually("the new file has the session", || {
        has(&log, "session opened")
    })
    .await?;
    let mode = fs::metadata(&log)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{mode:o}");
    let before = fs::read_to_string(&old)?;
    ensure!(before.matches("session opened").count() == 1, "{before}");
    Ok(())
}

async fn hang_up() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let download = site.download().await?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![on(site.others.tunnel(), site.tunnel)];
    testkit::broker::write_private(&site.broker.config_file(), &profile.config())?;
    site.broker.process().signal(Signal::HUP)?;
    site.broker
        .wait_log("the new configuration holds", SOON)
        .await?;
    ensure!(fetched(site.tunnel).await? == OTHER);
    download.finishes().await?;
    Ok(())
}
