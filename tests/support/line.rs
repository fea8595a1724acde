//! A transfer over a line that can fail: real servers, a relay before sshd, and a broker.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};

use anyhow::{Context, ensure};
use testkit::broker::Broker;
use testkit::relay::{Relay, RelayOptions};
use testkit::scripted::Conversation;

use super::ftp::Ftp;
use super::rig::{CONTENT, SOON, Servers, ftp_tunnel};
use super::sockets::{eventually, listening};

/// More than all buffers on the way hold, so that it cannot be over before it is cut.
const BIG: u64 = 1 << 30;

/// What has been moved when the cut comes.
const MOVED: usize = 1 << 20;

/// Keepalives that notice a dead line in seconds.
pub(crate) const ALIVE: &str = r#"<keepalive-interval time="1"/>"#;

/// Which way the file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Download,
    Upload,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Download => "download",
            Self::Upload => "upload",
        })
    }
}

/// sshd and vsftpd, a line to sshd that can fail, and a broker.
pub(crate) struct Rig {
    pub(crate) servers: Servers,
    pub(crate) line: Relay,
    pub(crate) broker: Broker,
    listeners: BTreeSet<u16>,
}

impl Rig {
    /// With these elements in the profile.
    pub(crate) async fn start(settings: &str) -> anyhow::Result<Self> {
        let servers = Servers::start_default().await?;
        fs::write(servers.ftp.root().join("file"), CONTENT)?;
        File::create(servers.ftp.root().join("big"))?.set_len(BIG)?;
        let mut line = RelayOptions::to(servers.sshd.addr());
        line.record = false;
        let line = Relay::start_with(line).await?;
        let mut login = servers.login.clone();
        login.server = line.addr();
        let tunnel = ftp_tunnel(servers.ftp.addr().ip(), servers.ftp.addr(), "");
        let broker = Broker::start(&login.config(settings, &tunnel), &[]).await?;
        let listeners = listening(broker.process().pid());
        Ok(Self {
            servers,
            line,
            broker,
            listeners,
        })
    }

    pub(crate) async fn login(&self) -> anyhow::Result<Ftp> {
        Ftp::login(self.broker.listener(0).await?).await
    }

    /// A transfer in its middle: so much has arrived, and more is to come.
    pub(crate) async fn middle(
        &self,
        ftp: &mut Ftp,
        direction: Direction,
        mode: &str,
    ) -> anyhow::Result<Conversation> {
        let command = match direction {
            Direction::Download => "RETR big",
            Direction::Upload => "STOR half",
        };
        let mut data = if mode == "EPSV" {
            let data = ftp.passive(mode).await?;
            ftp.ask(command, "150").await?;
            data
        } else {
            let listener = ftp.active(mode).await?;
            ftp.ask(command, "150").await?;
            listener.accept().await?
        };
        // A spare connection that dies while it is dialled is another matter.
        let dialled = |connections: &serde_json::Value| {
            let all = connections.as_array();
            all.is_some_and(|all| all.iter().all(|one| one["state"] != "connecting"))
        };
        self.broker
            .wait_json(&["list-connections"], SOON, dialled)
            .await?;
        if direction == Direction::Download {
            data.bytes(MOVED).await?;
            return Ok(data);
        }
        data.send(vec![7; MOVED]).await?;
        let stored = self.servers.ftp.root().join("half");
        let arrived = || fs::metadata(&stored).is_ok_and(|file| file.len() == MOVED as u64);
        eventually("the first half is stored", arrived).await?;
        Ok(data)
    }

    /// The connection that carried most.
    pub(crate) fn data_connection(&self) -> anyhow::Result<usize> {
        let passed = self.line.passed();
        let most = passed
            .iter()
            .enumerate()
            .max_by_key(|(_, c)| c.to_target + c.to_client);
        Ok(most.context("nothing passed the line")?.0)
    }

    /// No channel, listener or forward is left, and the next transfer works.
    pub(crate) async fn recovers(&self) -> anyhow::Result<()> {
        let mut ftp = self.login().await?;
        ensure!(ftp.fetch("file").await? == CONTENT, "the next transfer");
        ftp.ask("QUIT", "221").await?;
        drop(ftp);
        let none = |channels: &serde_json::Value| channels.as_array().is_some_and(Vec::is_empty);
        self.broker
            .wait_json(&["list-channels"], SOON, none)
            .await?;
        let pid = self.broker.process().pid();
        eventually("the broker's extra listeners are closed", || {
            listening(pid) == self.listeners
        })
        .await?;
        let sshd = &self.servers.sshd;
        let quiet = || {
            sshd.session_pids()
                .iter()
                .all(|pid| listening(*pid).is_empty())
        };
        eventually("sshd's forwards are cancelled", quiet).await?;
        let log = self.broker.log();
        ensure!(!log.contains("panic"), "{log}");
        Ok(())
    }
}

/// The reply that ends the transfer, which must be no success.
pub(crate) async fn last_words(ftp: &mut Ftp) -> anyhow::Result<String> {
    let reply = ftp.control().reply().await?;
    ensure!(
        !reply.starts_with('2'),
        "a transfer that was cut was reported complete: {reply}"
    );
    Ok(reply)
}
