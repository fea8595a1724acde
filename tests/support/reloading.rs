//! A daemon whose configuration changes while a download runs through it.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use broker_ipc::types::ReloadReport;
use serde::Deserialize;
use serde_json::Value;
use testkit::broker::{Broker, write_private};
use testkit::files::pattern;
use testkit::fixture::Servers;
use testkit::ftp_client::FtpClient;
use testkit::profile::{Profile, Tunnel};
use testkit::scripted::Conversation;

use super::fixture::{CONTENT, embedded};
use super::sockets::closed_port;

/// More than the buffers on the way hold.
const BIG: usize = 24 << 20;

/// What the other server has in its small file.
pub(crate) const OTHER: &[u8] = b"other content";

/// Two pairs of servers. The daemon has a profile for the first one.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) servers: Servers,
    pub(crate) others: Servers,
    /// The profile of the first pair, as at the start.
    pub(crate) profile: Profile,
    /// Where its tunnel listens.
    pub(crate) tunnel: SocketAddr,
}

/// A download that waits for its client to read.
pub(crate) struct Download {
    ftp: FtpClient,
    data: Conversation,
}

impl Site {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// With these arguments of the daemon.
    pub(crate) async fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let servers = embedded().file("big", pattern(1, BIG)).servers().await?;
        let others = embedded().file("file", OTHER).servers().await?;
        let tunnel = closed_port()?;
        let mut profile = servers.profile()?;
        profile.tunnels = vec![on(servers.tunnel(), tunnel)];
        let broker = Broker::start(&profile.config(), arguments).await?;
        Ok(Self {
            broker,
            servers,
            others,
            profile,
            tunnel,
        })
    }

    /// A client that logs in, with a download under way.
    pub(crate) async fn download(&self) -> anyhow::Result<Download> {
        let mut ftp = FtpClient::login(self.tunnel).await?;
        let data = ftp.begin("EPSV", "RETR big").await?;
        Ok(Download { ftp, data })
    }

    /// Has the daemon use this configuration.
    pub(crate) async fn reload(&self, config: &str) -> anyhow::Result<ReloadReport> {
        write_private(&self.broker.config_file(), config)?;
        report(&self.broker, &["reload"]).await
    }

    /// The same for a configuration that the daemon must refuse. Returns what broker-ctl says.
    pub(crate) async fn refused(&self, config: &str) -> anyhow::Result<String> {
        write_private(&self.broker.config_file(), config)?;
        self.reload_fails().await
    }

    /// A reload that must fail and change nothing. Returns what broker-ctl says.
    pub(crate) async fn reload_fails(&self) -> anyhow::Result<String> {
        let before = self.state().await?;
        let told = self.broker.ctl(&["reload"]).await?;
        ensure!(told.status.code() == Some(1), "{told:?}");
        let after = self.state().await?;
        ensure!(before == after, "{before:?} has become {after:?}");
        Ok(told.stderr)
    }

    /// What must stay the same if nothing changes.
    async fn state(&self) -> anyhow::Result<(Vec<Listener>, Value)> {
        let profiles = self.broker.json(&["list-profiles"]).await?;
        Ok((self.listeners().await?, profiles))
    }

    /// The listeners, each with its number, its port and the socket behind it.
    pub(crate) async fn listeners(&self) -> anyhow::Result<Vec<Listener>> {
        let listed = self.broker.list(&["list-tunnel-listeners"]).await?;
        listed.iter().map(Listener::of).collect()
    }
}

/// A tunnel listener, and the kernel's number of its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) id: u64,
    pub(crate) port: u16,
    pub(crate) state: String,
    pub(crate) socket: Option<u64>,
}

impl Listener {
    fn of(listed: &Value) -> anyhow::Result<Self> {
        let port = u16::try_from(listed["port"].as_u64().context("no port")?)?;
        Ok(Self {
            id: listed["id"].as_u64().context("no id")?,
            port,
            state: listed["state"].as_str().unwrap_or_default().to_owned(),
            socket: socket_at(port)?,
        })
    }
}

/// The number of the socket that listens on a port of 127.0.0.1.
fn socket_at(port: u16) -> anyhow::Result<Option<u64>> {
    let wanted = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp")?;
    let listening = table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(1) == Some(&&*wanted) && fields.get(3) == Some(&"0A");
        is_it.then(|| fields.get(9)?.parse().ok()).flatten()
    });
    Ok(listening)
}

/// The answer to a reload.
pub(crate) async fn report(broker: &Broker, arguments: &[&str]) -> anyhow::Result<ReloadReport> {
    Ok(ReloadReport::deserialize(broker.json(arguments).await?)?)
}

/// A tunnel on this port.
pub(crate) fn on(mut tunnel: Tunnel, at: SocketAddr) -> Tunnel {
    tunnel.port = at.port();
    tunnel
}

/// The names of what has changed.
pub(crate) fn names(changes: &[broker_ipc::types::Change]) -> Vec<&str> {
    changes.iter().map(|it| it.name.as_str()).collect()
}

impl Download {
    /// Reads to the end. Every byte and the reply must be right, and the session serves further transfers.
    pub(crate) async fn finishes(self) -> anyhow::Result<FtpClient> {
        let mut ftp = self.ends_whole().await?;
        ensure!(ftp.fetch("file").await? == CONTENT, "the next file");
        Ok(ftp)
    }

    /// Reads to the end. Every byte and the reply must be right.
    pub(crate) async fn ends_whole(mut self) -> anyhow::Result<FtpClient> {
        let bytes = self.data.rest().await?;
        ensure!(bytes == pattern(1, BIG), "{} bytes came", bytes.len());
        self.data.finish().await?;
        self.ftp.reply("226").await?;
        Ok(self.ftp)
    }

    /// The session ends before the download does. Returns the last replies.
    pub(crate) async fn ends_cut(mut self) -> anyhow::Result<String> {
        let read = self.data.rest().await;
        let short = read.map_or(true, |bytes| bytes.len() < BIG);
        ensure!(short, "the download was not cut");
        let mut replies = String::new();
        while let Ok(reply) = self.ftp.reply("").await {
            ensure!(!reply.starts_with("226"), "{reply}");
            replies += &reply;
        }
        Ok(replies)
    }
}

/// What a new client of a tunnel gets.
pub(crate) async fn fetched(tunnel: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let mut ftp = FtpClient::login(tunnel).await?;
    let bytes = ftp.fetch("file").await?;
    ftp.ask("QUIT", "221").await?;
    Ok(bytes)
}
