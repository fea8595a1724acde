//! Profiles that reach their server in a roundabout way, and what shows that it works.

use std::net::SocketAddr;

use anyhow::ensure;
use testkit::broker::Broker;
use testkit::ftp_client::FtpClient;
use testkit::peer::FtpFiles;
use testkit::profile::{Profile, config};
use testkit::proxy::Login;

use super::fixture::{CONTENT, RealServers};

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

/// The same with the server's name in the place of its address.
pub(crate) fn by_name(mut profile: Profile) -> Profile {
    profile.host = "localhost".into();
    profile
}

/// Fetches and stores in both modes through the last of the profiles, and expects each connection to take this route.
pub(crate) async fn works(
    servers: &RealServers,
    profiles: &[Profile],
    route: &str,
) -> anyhow::Result<()> {
    let broker = Broker::start(&config("", profiles), &[]).await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT, "passive download");
    ftp.store("stored", CONTENT).await?;
    let stored = servers.ftp.file("stored");
    ensure!(stored.as_deref() == Some(CONTENT), "passive upload");
    let fetched = ftp.fetch_by("EPRT", "file").await?;
    ensure!(fetched == CONTENT, "active download");
    let connections = broker.list(&["list-connections"]).await?;
    ensure!(connections.len() > 1, "only {connections:#?}");
    for connection in connections
        .iter()
        .filter(|one| one["state"] != "connecting")
    {
        ensure!(
            connection["route"] == route,
            "{connection:#} instead of {route}"
        );
        ensure!(connection["peer"].is_null(), "{connection:#}");
    }
    let id = connections[0]["id"].to_string();
    let shown = broker.told(&["connection-status", &id]).await?;
    ensure!(shown.contains(route), "{shown}");
    ensure!(!broker.log().contains(SECRET), "the password is in the log");
    Ok(())
}
