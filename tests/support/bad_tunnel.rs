//! A tunnel that cannot work, and whom it tells why.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use testkit::broker::Broker;
use testkit::fixture::Servers;
use testkit::ftp_client::FtpClient;
use testkit::profile::{Profile, config};
use testkit::scripted::Conversation;

use super::fixture::{CONTENT, embedded};
use super::sockets::eventually;

/// A broker with a tunnel that cannot work beside a good one, whose servers are the testkit's.
pub(crate) struct BadTunnel {
    pub(crate) broker: Broker,
    pub(crate) bad: SocketAddr,
    good: SocketAddr,
    _servers: Servers,
}

impl BadTunnel {
    /// Its profile is the good one's with something changed.
    pub(crate) async fn start(spoil: impl FnOnce(Profile) -> Profile) -> anyhow::Result<Self> {
        let servers = embedded().servers().await?;
        let bad = spoil(servers.profile()?);
        Self::with(servers, vec![bad]).await
    }

    /// Its profile is the first of these.
    pub(crate) async fn with(servers: Servers, mut profiles: Vec<Profile>) -> anyhow::Result<Self> {
        profiles.push(servers.profile()?.called("good"));
        let broker = Broker::start(&config("", profiles), &[]).await?;
        Ok(Self {
            bad: broker.listener(0).await?,
            good: broker.listener(1).await?,
            broker,
            _servers: servers,
        })
    }

    /// Each of these must be in the FTP reply, in what `broker-ctl` prints, and in the log, in one line each time.
    pub(crate) async fn tells(&self, parts: &[&str]) -> anyhow::Result<()> {
        let reply = refusal(self.bad).await?;
        ensure!(reply.starts_with("421 "), "{reply}");
        says(&reply, parts).context("the FTP reply")?;

        let listed = self.broker.json(&["list-profiles"]).await?;
        let listed = listed[0]["last_error"].as_str().unwrap_or_default();
        says(listed, parts).context("list-profiles")?;

        let open = ["open-tunnel-listener", "-L", "ftp/0:localhost:21", "work"];
        let output = self.broker.ctl(&open).await?;
        ensure!(
            matches!(output.status.code(), Some(1 | 4 | 5)),
            "{output:?}"
        );
        // Below it are the attempts of a login.
        let message = output.stderr.lines().next().unwrap_or_default();
        says(message, parts).context("open-tunnel-listener")?;
        let listeners = self.broker.list(&["list-tunnel-listeners"]).await?;
        ensure!(
            listeners.len() == 2,
            "a tunnel that cannot work stays open: {listeners:#?}"
        );

        self.logs(parts).await?;
        self.goes_on().await
    }

    pub(crate) async fn logs(&self, parts: &[&str]) -> anyhow::Result<()> {
        warns(&self.broker, parts).await
    }

    pub(crate) async fn goes_on(&self) -> anyhow::Result<()> {
        let mut ftp = FtpClient::login(self.good).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        Ok(())
    }
}

/// The one reply a client gets that cannot be served, after which its connection ends in order: the last line, which says
/// all of it in short.
pub(crate) async fn refusal(tunnel: SocketAddr) -> anyhow::Result<String> {
    let mut client = Conversation::connect(tunnel).await?;
    let reply = client.reply().await?;
    let rest = client.rest().await?;
    ensure!(
        rest.is_empty(),
        "more than one reply: {:?}",
        String::from_utf8_lossy(&rest)
    );
    Ok(reply)
}

/// Waits for a warning with all the parts in one line of the log, which may come a little after what it is about.
pub(crate) async fn warns(broker: &Broker, parts: &[&str]) -> anyhow::Result<()> {
    let warned = || {
        let log = broker.log();
        let mut warnings = log.lines().filter(|line| line.contains(" WARN "));
        warnings.any(|line| says(line, parts).is_ok())
    };
    let waited = eventually("the warning is in the log", warned).await;
    waited.with_context(|| format!("{parts:?}"))
}

/// The text is one line and has all the parts.
pub(crate) fn says(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{text:?} does not say {part:?}");
    }
    ensure!(
        text.trim_end().lines().count() == 1,
        "more than one line: {text:?}"
    );
    Ok(())
}
