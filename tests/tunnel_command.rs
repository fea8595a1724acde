//! `broker-ctl tunnel`: a tunnel that lives as long as its command, and shows what goes through it.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;
use testkit::broker::{self, Broker, ctl_command};
use testkit::client::curl;
use testkit::files::pattern;
use testkit::fixture::Fixture;
use testkit::ftp_client::FtpClient;
use testkit::process::Process;
use testkit::scripted::Conversation;

use crate::ctl::fetches;
use crate::support::fixture::{CONTENT, SOON, embedded, real};
use crate::support::{Need, REAL, trial};

const TERMINAL: &[Need] = &[Need::Program("setsid")];

/// More than all buffers on the way hold.
const BIG: usize = 64 << 20;

/// What has certainly moved.
const MOVED: usize = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "tunnel command: curl, a line for each transfer, Ctrl-C",
            &[REAL, &[Need::Program("curl")]].concat(),
            lines,
        ),
        trial("tunnel command: killed", &[], killed),
        trial("tunnel command: waits for what runs", &[], waits),
        trial("tunnel command: a second signal cuts", &[], cuts),
        trial("tunnel command: the terminal closes", &[], hangs_up),
        trial("tunnel command: left open", &[], background),
        trial("tunnel command: nothing is left of a failure", &[], fails),
        trial("tunnel command: events for programs", &[], json),
        trial("tunnel command: reload", &[], reload),
        trial("tunnel command: another daemon takes over", &[], takeover),
        trial("tunnel command: the daemon stops", &[], stopped),
        trial("tunnel command: a line that changes", TERMINAL, live),
    ]
}

/// A running command, and where its tunnel listens.
struct Command {
    process: Process,
    tunnel: SocketAddr,
}

impl Command {
    async fn start(broker: &Broker, ftp: SocketAddr, options: &[&str]) -> anyhow::Result<Self> {
        let spec = format!("ftp/0:localhost:{}", ftp.port());
        let arguments = [&["tunnel", "-L", &spec, "work"], options].concat();
        let process = Process::spawn(ctl_command(&broker.socket(), &arguments)?, None)?;
        process.wait_stdout("tunnel", 1, SOON).await?;
        let tunnel = broker.listener(1).await?;
        Ok(Self { process, tunnel })
    }

    /// Its tunnel in front of a broker's servers.
    async fn on(fixture: &Fixture) -> anyhow::Result<Self> {
        Self::start(&fixture.broker, fixture.servers.ftp.addr(), &[]).await
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)
    }

    async fn ends_with(&mut self, status: i32) -> anyhow::Result<()> {
        let ended = self.process.wait(SOON).await?;
        ensure!(
            ended.code() == Some(status),
            "{ended}\n{}\n{}",
            self.shown(),
            self.process.log()
        );
        Ok(())
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.process.stdout()).into_owned()
    }
}

/// A fixture with a big file.
async fn big() -> anyhow::Result<Fixture> {
    embedded().file("big", pattern(1, BIG)).start().await
}

/// A download that has begun.
async fn download(tunnel: SocketAddr) -> anyhow::Result<(FtpClient, Conversation)> {
    let mut ftp = FtpClient::login(tunnel).await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(MOVED).await?;
    Ok((ftp, data))
}

/// Waits until only the tunnel of the configuration listens.
async fn closes(broker: &Broker) -> anyhow::Result<()> {
    let one = |listed: &Value| listed.as_array().is_some_and(|it| it.len() == 1);
    let listed = broker.wait_json(&["list-tunnel-listeners"], SOON, one);
    listed.await.map(drop)
}

async fn lines() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let ftp = fixture.servers.ftp.addr();
    let mut command = Command::start(&fixture.broker, ftp, &[]).await?;
    let url = format!("ftp://{}/file", command.tunnel);
    let fetched = curl([&url], SOON).await?.success()?;
    ensure!(fetched.stdout == CONTENT, "{fetched:?}");
    command.process.wait_stdout("Complete: ", 1, SOON).await?;
    command.signal(Signal::INT)?;
    command.ends_with(0).await?;
    closes(&fixture.broker).await?;
    let shown = command.shown();
    let lines: Vec<&str> = shown.lines().collect();
    let [opened, started, complete, closed] = lines[..] else {
        anyhow::bail!("{shown}")
    };
    ensure!(opened.starts_with("Opened ftp tunnel "), "{shown}");
    ensure!(
        started.contains("Started: download of ") && started.ends_with("/file, 7 B"),
        "{shown}"
    );
    ensure!(complete.contains("/file, 7 B at "), "{shown}");
    ensure!(closed.ends_with(" is closed"), "{shown}");
    Ok(())
}

async fn killed() -> anyhow::Result<()> {
    let fixture = big().await?;
    let mut command = Command::on(&fixture).await?;
    let (mut ftp, mut data) = download(command.tunnel).await?;
    command.process.kill();
    closes(&fixture.broker).await?;
    // What runs continues.
    data.bytes(BIG - MOVED).await?;
    ftp.reply("226").await.map(drop)
}

async fn waits() -> anyhow::Result<()> {
    let fixture = big().await?;
    let mut command = Command::on(&fixture).await?;
    let (mut ftp, mut data) = download(command.tunnel).await?;
    let mut idle = FtpClient::login(command.tunnel).await?;
    command.signal(Signal::TERM)?;
    let waiting = "Waiting for 1 transfer: RETR big (Ctrl-C again cuts what runs)";
    command.process.wait_log(waiting, SOON).await?;
    closes(&fixture.broker).await?;
    data.bytes(BIG - MOVED).await?;
    ftp.reply("226").await?;
    command.ends_with(0).await?;
    ensure!(
        command.shown().contains("Complete: download of "),
        "{}",
        command.shown()
    );
    idle.reply("421").await.map(drop)
}

async fn cuts() -> anyhow::Result<()> {
    let fixture = big().await?;
    let mut command = Command::on(&fixture).await?;
    let (_ftp, _data) = download(command.tunnel).await?;
    command.signal(Signal::INT)?;
    command
        .process
        .wait_log("Waiting for 1 transfer", SOON)
        .await?;
    command.signal(Signal::INT)?;
    command.ends_with(1).await?;
    ensure!(
        command.shown().contains("Cut: download of "),
        "{}",
        command.shown()
    );
    Ok(())
}

async fn hangs_up() -> anyhow::Result<()> {
    let fixture = big().await?;
    let mut command = Command::on(&fixture).await?;
    let (mut ftp, mut data) = download(command.tunnel).await?;
    command.signal(Signal::HUP)?;
    command.ends_with(0).await?;
    closes(&fixture.broker).await?;
    data.bytes(BIG - MOVED).await?;
    ftp.reply("226").await.map(drop)
}

async fn background() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let spec = format!("ftp/0:localhost:{}", fixture.servers.ftp.addr().port());
    let told = broker.told(&["tunnel", "-f", "-L", &spec, "work"]).await?;
    let (_, close) = told
        .split_once("To close: broker-ctl ")
        .context("no way to close it")?;
    fetches(broker.listener(1).await?).await?;
    let close: Vec<&str> = close.split_whitespace().collect();
    broker.told(&close).await?;
    closes(broker).await
}

async fn fails() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let taken = format!("ftp/{}:localhost:21", fixture.tunnel.port());
    let arguments = ["tunnel", "-L", "ftp/0:localhost:21", "-L", &taken, "work"];
    let failed = broker.ctl(&arguments).await?;
    ensure!(failed.status.code() == Some(4), "{failed:?}");
    ensure!(
        failed.stdout.is_empty() && failed.stderr.contains(" is in use by "),
        "{failed:?}"
    );
    closes(broker).await
}

async fn json() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let ftp = fixture.servers.ftp.addr();
    let mut command = Command::start(&fixture.broker, ftp, &["--json"]).await?;
    // Not of this tunnel.
    fetches(fixture.tunnel).await?;
    fetches(command.tunnel).await?;
    command
        .process
        .wait_stdout("session-closed", 1, SOON)
        .await?;
    command.signal(Signal::INT)?;
    command.ends_with(0).await?;
    let shown = command.shown();
    let events = shown.lines().map(serde_json::from_str);
    let events: Vec<Value> = events.collect::<Result<_, _>>()?;
    let mut kinds: Vec<_> = events.iter().filter_map(|it| it["kind"].as_str()).collect();
    kinds.retain(|kind| *kind != "transfer-progress");
    let expected = [
        "tunnel-changed",
        "session-opened",
        "transfer-started",
        "transfer-ended",
        "session-closed",
        "tunnel-closed",
    ];
    ensure!(kinds == expected, "{shown}");
    Ok(())
}

async fn reload() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut command = Command::on(&fixture).await?;
    fixture.broker.told(&["reload"]).await?;
    fetches(command.tunnel).await?;
    command.signal(Signal::INT)?;
    command.ends_with(0).await
}

async fn takeover() -> anyhow::Result<()> {
    let fixture = big().await?;
    let broker = &fixture.broker;
    let mut command = Command::on(&fixture).await?;
    let (mut ftp, mut data) = download(command.tunnel).await?;
    let config = std::fs::read_to_string(broker.config_file())?;
    let _new = broker::launch(broker.directory(), &config, &["--takeover"])?;
    let again = "the tunnels are open again";
    command.process.wait_log(again, SOON).await?;
    fetches(command.tunnel).await?;
    // The old process finishes what it has begun.
    data.bytes(BIG - MOVED).await?;
    ftp.reply("226").await?;
    command.signal(Signal::INT)?;
    command.ends_with(0).await?;
    closes(broker).await
}

async fn stopped() -> anyhow::Result<()> {
    let mut fixture = embedded().start().await?;
    let mut command = Command::on(&fixture).await?;
    fixture.broker.stop(SOON).await?;
    command.ends_with(3).await?;
    let said = command.process.log();
    ensure!(
        said.contains("the daemon has ended, and the tunnels are closed"),
        "{said}"
    );
    Ok(())
}

async fn live() -> anyhow::Result<()> {
    let fixture = big().await?;
    let broker = &fixture.broker;
    let spec = format!("ftp/0:localhost:{}", fixture.servers.ftp.addr().port());
    let mut terminal = broker.ctl_on_terminal(&["tunnel", "-L", &spec, "work"])?;
    terminal.shows("Opened ftp tunnel", SOON).await?;
    let mut ftp = FtpClient::login(broker.listener(1).await?).await?;
    ftp.ask("SIZE big", "213").await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(BIG / 2).await?;
    terminal.shows("% of 64.0 MiB", SOON).await?;
    let screen = terminal.display()?.contents();
    let line = screen.lines().find(|line| line.starts_with("download"));
    let line = line.with_context(|| format!("no line:\n{screen}"))?;
    ensure!(line.contains(" big ") && line.contains('['), "{line}");
    terminal.interrupt()?;
    terminal
        .shows("Waiting for 1 transfer: RETR big", SOON)
        .await?;
    data.bytes(BIG - BIG / 2).await?;
    ftp.reply("226").await?;
    let status = terminal.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    let screen = terminal.display()?.contents();
    ensure!(screen.contains("Complete: download of "), "{screen}");
    ensure!(!screen.contains('['), "the line is still there:\n{screen}");
    Ok(())
}
