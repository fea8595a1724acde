//! A transfer over a line that can fail: real servers, a relay before sshd, and a broker.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};

use anyhow::{Context, ensure};
use testkit::broker::Broker;
use testkit::fixture::{Fixture, Relayed, RelayedOptions};
use testkit::ftp_client::FtpClient;
use testkit::relay::Relay;
use testkit::scripted::Conversation;
use testkit::sockets::listening;
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::Vsftpd;

use super::fixture::{CONTENT, nothing_is_dialled, nothing_is_left, real};
use super::sockets::eventually;

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
pub(crate) struct FailingLine {
    pub(crate) fixture: Fixture<Relayed<Sshd>, Vsftpd>,
    listeners: BTreeSet<u16>,
}

impl FailingLine {
    /// With these elements in the profile.
    pub(crate) async fn start(settings: &str) -> anyhow::Result<Self> {
        let relayed = RelayedOptions {
            server: SshdOptions::default(),
            record: false,
        };
        let fixture = real().ssh(relayed).settings(settings).start().await?;
        File::create(fixture.servers.ftp.root().join("big"))?.set_len(BIG)?;
        let listeners = listening(fixture.broker.process().pid());
        Ok(Self { fixture, listeners })
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.fixture.broker
    }

    pub(crate) fn line(&self) -> &Relay {
        &self.fixture.servers.ssh.line
    }

    pub(crate) fn sshd(&self) -> &Sshd {
        &self.fixture.servers.ssh.server
    }

    pub(crate) fn ftp(&self) -> &Vsftpd {
        &self.fixture.servers.ftp
    }

    pub(crate) async fn login(&self) -> anyhow::Result<FtpClient> {
        self.fixture.login().await
    }

    /// A transfer in its middle: so much has arrived, and more is to come.
    pub(crate) async fn middle(
        &self,
        ftp: &mut FtpClient,
        direction: Direction,
        mode: &str,
    ) -> anyhow::Result<Conversation> {
        let command = match direction {
            Direction::Download => "RETR big",
            Direction::Upload => "STOR half",
        };
        let mut data = ftp.begin(mode, command).await?;
        nothing_is_dialled(self.broker()).await?;
        if direction == Direction::Download {
            data.bytes(MOVED).await?;
            return Ok(data);
        }
        data.send(vec![7; MOVED]).await?;
        let stored = self.ftp().root().join("half");
        let arrived = || fs::metadata(&stored).is_ok_and(|file| file.len() == MOVED as u64);
        eventually("the first half is stored", arrived).await?;
        Ok(data)
    }

    /// The connection that carried most.
    pub(crate) fn data_connection(&self) -> anyhow::Result<usize> {
        let passed = self.line().passed();
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
        nothing_is_left(self.broker(), "list-channels").await?;
        let pid = self.broker().process().pid();
        eventually("the broker's extra listeners are closed", || {
            listening(pid) == self.listeners
        })
        .await?;
        let quiet = || {
            let sessions = self.sshd().session_pids();
            sessions.iter().all(|pid| listening(*pid).is_empty())
        };
        eventually("sshd's forwards are cancelled", quiet).await?;
        Ok(())
    }
}
