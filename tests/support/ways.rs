//! Profiles that reach their server in a roundabout way, and what shows that it works.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, ensure};
use testkit::broker::Broker;
use testkit::proxy::Login;

use super::ftp::Ftp;
use super::rig::{CONTENT, Servers, ftp_tunnel};

/// The login that the proxies want which want one.
pub(crate) const LOGIN: Login<'static> = ("me", "open-sesame");

/// The same as it stands in a rule.
pub(crate) const IN_RULE: &str = "me:open%2Dsesame@";

/// What must never be shown.
pub(crate) const SECRET: &str = "sesame";

/// The element that names a proxy.
pub(crate) fn proxy(scheme: &str, login: &str, addr: SocketAddr) -> String {
    format!(r#"<proxy ruleset="{scheme}://{login}{addr}/"/>"#)
}

/// A profile with a tunnel to the FTP server.
pub(crate) fn profile(servers: &Servers, settings: &str) -> String {
    let tunnel = ftp_tunnel(Ipv4Addr::LOCALHOST.into(), servers.ftp.addr(), "");
    servers.login.profile(settings, &tunnel)
}

/// The same with the server's name in the place of its address.
pub(crate) fn by_name(profile: &str) -> String {
    profile.replacen(r#"host="127.0.0.1""#, r#"host="localhost""#, 1)
}

/// A profile with this id and no name.
pub(crate) fn renamed(profile: &str, id: &str) -> String {
    profile.replacen(r#"id="id1" name="work""#, &format!(r#"id="{id}""#), 1)
}

/// Fetches and stores in both modes, and expects each connection to go this way.
pub(crate) async fn works(servers: &Servers, config: &str, way: &str) -> anyhow::Result<()> {
    let broker = Broker::start(config, &[]).await?;
    fs::write(servers.ftp.root().join("file"), CONTENT)?;
    let mut ftp = Ftp::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT, "passive download");
    ftp.store("stored", CONTENT).await?;
    ensure!(
        fs::read(servers.ftp.root().join("stored"))? == CONTENT,
        "passive upload"
    );
    let data = ftp.active("EPRT").await?;
    ftp.ask("RETR file", "150").await?;
    ensure!(
        data.accept().await?.rest().await? == CONTENT,
        "active download"
    );
    ftp.reply("226").await?;
    let connections = broker.json(&["list-connections"]).await?;
    let connections = connections.as_array().context("no list")?;
    ensure!(connections.len() > 1, "only {connections:#?}");
    for connection in connections
        .iter()
        .filter(|one| one["state"] != "connecting")
    {
        ensure!(
            connection["route"] == way,
            "{connection:#} instead of {way}"
        );
        ensure!(connection["peer"].is_null(), "{connection:#}");
    }
    let id = connections[0]["id"].to_string();
    let shown = broker.told(&["connection-status", &id]).await?;
    ensure!(shown.contains(way), "{shown}");
    ensure!(!broker.log().contains(SECRET), "the password is in the log");
    Ok(())
}
