//! What `broker-ctl` prints to a person about a fault, while it lasts and afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::broker::Broker;
use testkit::client::{self, Output};

use super::sockets::eventually;

/// A small transfer on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The commands that show the last failures.
const PLACES: [&str; 2] = ["status", "list-tunnel-listeners"];

/// A fault as a person must find it: whose it is, and texts that say what failed, on what, and what to do.
#[derive(Clone, Copy)]
pub(crate) struct Fault<'a> {
    pub(crate) by: &'a str,
    pub(crate) says: &'a [&'a str],
}

impl Fault<'_> {
    /// Each place shows it, and monitoring is told.
    pub(crate) async fn is_found(self, broker: &Broker) -> anyhow::Result<()> {
        self.is_shown(broker).await?;
        let health = broker.ctl(&["health"]).await?;
        ensure!(!health.status.success(), "health is well: {health:?}");
        contains(&health.text(), self.says).context("health")
    }

    /// It has passed, and each place still shows it.
    pub(crate) async fn is_kept(self, broker: &Broker) -> anyhow::Result<()> {
        self.is_shown(broker).await?;
        let health = broker.ctl(&["health"]).await?;
        ensure!(health.status.success(), "{health:?}");
        Ok(())
    }

    /// Each place shows it.
    pub(crate) async fn is_shown(self, broker: &Broker) -> anyhow::Result<()> {
        for place in PLACES {
            let shown = printed(broker, &[place]).await?;
            contains(&shown, &[&format!("by {}:", self.by)]).context(place)?;
            contains(&shown, self.says).context(place)?;
        }
        Ok(())
    }

    /// The log has one warning, and it says all.
    pub(crate) async fn is_logged_once(self, broker: &Broker) -> anyhow::Result<()> {
        let warned = || !warnings(broker).is_empty();
        eventually("a warning is in the log", warned).await?;
        let warnings = warnings(broker);
        ensure!(warnings.len() == 1, "not one warning: {warnings:#?}");
        contains(&warnings[0], self.says).context("the log")
    }
}

/// The log's lines that a person should look at.
pub(crate) fn warnings(broker: &Broker) -> Vec<String> {
    let log = broker.log();
    let is_warning = |line: &&str| [" WARN ", " ERROR "].iter().any(|it| line.contains(it));
    log.lines().filter(is_warning).map(str::to_owned).collect()
}

/// What a command prints to a person, with each run of spaces and line ends as one space: a table may break its lines.
pub(crate) async fn printed(broker: &Broker, arguments: &[&str]) -> anyhow::Result<String> {
    let text = broker.told(arguments).await?;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The text has all of these parts.
pub(crate) fn contains(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "no {part:?} in: {text}");
    }
    Ok(())
}

/// curl with these arguments before the URL of a file behind the tunnel.
pub(crate) async fn curl(
    tunnel: SocketAddr,
    file: &str,
    arguments: &[&str],
) -> anyhow::Result<Output> {
    let url = format!("ftp://{tunnel}/{file}");
    client::curl([arguments, &[&url]].concat(), LIMIT).await
}

/// curl fails.
pub(crate) async fn fails(
    tunnel: SocketAddr,
    file: &str,
    arguments: &[&str],
) -> anyhow::Result<()> {
    let output = curl(tunnel, file, arguments).await?;
    ensure!(!output.status.success(), "{output:?}");
    Ok(())
}

/// curl fetches the small file.
pub(crate) async fn works(tunnel: SocketAddr) -> anyhow::Result<()> {
    let output = curl(tunnel, "file", &[]).await?.success()?;
    ensure!(output.stdout == super::fixture::CONTENT, "{output:?}");
    Ok(())
}
