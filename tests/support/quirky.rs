//! An FTP server with declared oddities behind the testkit's SSH server, and a broker before them.

use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::broker::Broker;
use testkit::fixture::{Fixture, Relayed, RelayedOptions};
use testkit::ftp_client::FtpClient;
use testkit::quirky_ftp::{Quirks, QuirkyFtp};
use testkit::relay::Flow;
use testkit::scripted::{Conversation, ScriptedListener};
use testkit::ssh_server::{SshServer, SshServerOptions};
use tokio::time::timeout;

use super::failing_line::ALIVE;

/// What takes no more than a round trip is through by then, on a machine that is busy with other tests too.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);

/// What an upload has given when it is in its middle.
pub(crate) const HALF: &[u8] = &[7; 300_000];

/// Everything from the client's tunnel to the FTP server.
pub(crate) struct Quirky {
    fixture: Fixture<Relayed<SshServer>, QuirkyFtp>,
    quirks: Quirks,
}

/// The client's part of a data connection.
pub(crate) enum Offer {
    /// It has connected.
    Passive(Conversation),
    /// It waits to be connected to.
    Active(ScriptedListener),
}

impl Quirky {
    pub(crate) async fn start(quirks: Quirks) -> anyhow::Result<Self> {
        let ssh = RelayedOptions {
            server: SshServerOptions::default(),
            record: false,
        };
        let builder = Fixture::builder().ssh(ssh).ftp(quirks.clone());
        let fixture = builder.settings(ALIVE).start().await?;
        Ok(Self { fixture, quirks })
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.fixture.broker
    }

    pub(crate) fn ftp(&self) -> &QuirkyFtp {
        &self.fixture.servers.ftp
    }

    pub(crate) async fn login(&self) -> anyhow::Result<FtpClient> {
        let mut ftp = FtpClient::connect(self.fixture.tunnel).await?;
        ftp.ask("USER anonymous", "331").await?;
        ftp.ask("PASS guest", self.quirks.login).await?;
        Ok(ftp)
    }

    /// Asks for a transfer and hears it announced as the server announces it.
    pub(crate) async fn offer(
        &self,
        ftp: &mut FtpClient,
        mode: &str,
        command: &str,
    ) -> anyhow::Result<Offer> {
        let offer = if mode == "EPRT" || mode == "PORT" {
            Offer::Active(ftp.active(mode).await?)
        } else {
            Offer::Passive(ftp.passive(mode).await?)
        };
        ftp.control().send(format!("{command}\r\n")).await?;
        hear(ftp, self.quirks.start).await?;
        Ok(offer)
    }

    /// The data connection of a transfer that has been asked for and announced.
    pub(crate) async fn begin(
        &self,
        ftp: &mut FtpClient,
        mode: &str,
        command: &str,
    ) -> anyhow::Result<Conversation> {
        match self.offer(ftp, mode, command).await? {
            Offer::Passive(data) => Ok(data),
            Offer::Active(listener) => listener.accept().await,
        }
    }

    /// An upload of the file `half`, whose first half the server has.
    pub(crate) async fn half_stored(
        &self,
        ftp: &mut FtpClient,
        mode: &str,
    ) -> anyhow::Result<Conversation> {
        let mut data = self.begin(ftp, mode, "STOR half").await?;
        data.send(HALF).await?;
        self.ftp().wait_for_bytes("half", HALF.len()).await?;
        Ok(data)
    }

    /// Cuts every SSH connection but the first, which carries the control channel.
    pub(crate) fn cut_data(&self) {
        let ssh = &self.fixture.servers.ssh.server;
        for number in ssh.connections().into_iter().filter(|number| *number != 0) {
            ssh.kill_connection(number);
        }
    }

    /// Swallows from now on what is on the way of every SSH connection but the first.
    pub(crate) fn silence_data(&self) {
        let line = &self.fixture.servers.ssh.line;
        for number in 1..line.passed().len() {
            line.set_flow_of(number, Flow::Swallow);
        }
    }
}

/// Takes these lines, as they came from the server and at once.
pub(crate) async fn hear(ftp: &mut FtpClient, lines: &[&str]) -> anyhow::Result<()> {
    for expected in lines {
        let line = promptly(ftp).await?;
        ensure!(line == *expected, "{line:?} came instead of {expected:?}");
    }
    Ok(())
}

/// The next line, which must come at once.
pub(crate) async fn promptly(ftp: &mut FtpClient) -> anyhow::Result<String> {
    let line = timeout(PROMPT, ftp.control().text()).await;
    line.with_context(|| format!("no reply within {PROMPT:?}"))?
}
