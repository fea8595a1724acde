//! The window of data connections on real lines: it follows what the line carries.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::broker::{Broker, BrokerOptions};
use testkit::client;
use testkit::line::{Line, LineOptions};
use testkit::netns::Netns;
use testkit::peer::SshPeer;
use testkit::profile::Tunnel;
use testkit::programs::CURL;
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use crate::support::fixture::{RealServers, SOON, real_with};
use crate::support::{INSIDE_AND_CURL, trial_within};

const LIMIT: Duration = Duration::from_secs(120);

/// What the broker logs when it has found a window that suits the line better.
const BETTER: &str = "another window suits the line";
/// What it logs about a connection that has a window found before.
const SEEN: &str = "seen=true";

/// As much as ten windows on a line of which nothing is known.
const SIZE: u64 = 130_000_000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_within(
            LIMIT,
            "window: it grows where the server waits for it",
            INSIDE_AND_CURL,
            grows,
        ),
        trial_within(
            LIMIT,
            "window: it shrinks where the line is slow",
            INSIDE_AND_CURL,
            shrinks,
        ),
        trial_within(
            LIMIT,
            "window: a slow client does not shrink it for others",
            INSIDE_AND_CURL,
            slow_client,
        ),
    ]
}

/// The broker at one end of a line, and the servers at the other. They end before the line.
struct Ends {
    broker: Broker,
    tunnel: SocketAddr,
    servers: RealServers,
    near: Netns,
    _line: Line,
}

impl Ends {
    async fn joined(options: LineOptions) -> anyhow::Result<Self> {
        let (near, far) = (Netns::create()?, Netns::create()?);
        let line = Line::between(&near, &far, options)?;
        near.set("ipv4/tcp_rmem", "4096 131072 67108864")?;
        far.set("ipv4/tcp_wmem", "4096 131072 67108864")?;
        let sshd = SshdOptions {
            bind: line.far(),
            netns: Some(far.clone()),
            ..SshdOptions::default()
        };
        let vsftpd = VsftpdOptions {
            netns: Some(far),
            ..VsftpdOptions::default()
        };
        let servers = real_with(sshd, vsftpd).servers().await?;
        let file = File::create(servers.ftp.root().join("large"))?;
        file.set_len(SIZE)?;
        let tunnel = Tunnel::ftp(servers.ftp.addr());
        let config = servers.ssh.profile()?.tunnel(tunnel).config();
        let options = BrokerOptions {
            netns: Some(&near),
            ..BrokerOptions::default()
        };
        let broker = Broker::start_with(&config, &options).await?;
        Ok(Self {
            tunnel: broker.listener(0).await?,
            broker,
            servers,
            near,
            _line: line,
        })
    }

    /// Fetches a file, which must come whole.
    async fn fetch(&self, name: &str) -> anyhow::Result<()> {
        self.fetch_with(name, &[]).await
    }

    /// The same with more arguments of curl.
    async fn fetch_with(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut curl = Command::new(CURL.find()?);
        let url = format!("ftp://{}/{name}", self.tunnel);
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{size_download}", &url]);
        curl.args(arguments);
        let fetched = client::run_in(Some(&self.near), curl, LIMIT)
            .await?
            .success()?;
        let size = fs::metadata(self.servers.ftp.root().join(name))?.len();
        ensure!(fetched.text() == size.to_string(), "{}", fetched.text());
        Ok(())
    }

    /// The window that the broker found, after the next transfers have used it.
    async fn found(&self) -> anyhow::Result<u64> {
        self.fetch("large").await?;
        self.broker.wait_log(BETTER, SOON).await?;
        self.broker.wait_log(SEEN, SOON).await?;
        self.fetch("file").await?;
        self.broker.wait_log("no longer used", SOON).await?;
        let log = self.broker.log();
        let line = log.lines().find(|line| line.contains(BETTER));
        let (_, better) = line
            .and_then(|line| line.split_once("better="))
            .context("the line names no window")?;
        let digits: String = better.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    }
}

/// The round trip is long, so that a busy machine adds little to it.
async fn grows() -> anyhow::Result<()> {
    let delay = Duration::from_millis(200);
    let line = LineOptions {
        delay,
        ..LineOptions::default()
    };
    let window = Ends::joined(line).await?.found().await?;
    ensure!(window > 26_000_000, "{window}");
    Ok(())
}

/// 10 MB/s over 100 ms: 1 MB is under way.
async fn shrinks() -> anyhow::Result<()> {
    let line = LineOptions {
        delay: Duration::from_millis(50),
        rate: Some(80_000_000),
        ..LineOptions::default()
    };
    let window = Ends::joined(line).await?.found().await?;
    ensure!((2_000_000..6_500_000).contains(&window), "{window}");
    Ok(())
}

/// The window already fills the line, so it cannot grow. The client takes a fraction of what the line carries.
async fn slow_client() -> anyhow::Result<()> {
    let line = LineOptions {
        delay: Duration::from_millis(20),
        ..LineOptions::default()
    };
    let ends = Ends::joined(line).await?;
    ends.fetch_with("large", &["--limit-rate", "20M"]).await?;
    let log = ends.broker.log();
    ensure!(!log.contains(BETTER), "{log}");
    Ok(())
}
