//! A daemon that broker-ctl starts, and that ends when nothing uses it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use testkit::broker::{ctl_command, socket_in, write_private};
use testkit::client::{self, Output};
use testkit::ftp_client::FtpClient;

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::sockets::eventually;
use crate::support::trial;

const UNREACHABLE: i32 = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "on demand: a daemon lasts as long as the tunnel that a command opened",
            &[],
            lasts,
        ),
        trial(
            "on demand: started many times at once, there is one",
            &[],
            at_once,
        ),
        trial(
            "on demand: who only asks starts none, nor who may not",
            &[],
            starts_none,
        ),
        trial("on demand: start keeps it", &[], kept),
        trial(
            "on demand: a faulty configuration is shown in the terminal",
            &[],
            faulty,
        ),
        trial(
            "on demand: the daemon leaves the session of its terminal",
            &[],
            leaves,
        ),
    ]
}

/// A user without a daemon.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new(config: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::create_dir(directory.path().join(".ssh2"))?;
        let home = Self { directory };
        write_private(&home.config(), config)?;
        Ok(home)
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join(".ssh2/ssh-broker-config.xml")
    }

    fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = ctl_command(&self.socket(), arguments)?;
        command.env("HOME", self.directory.path());
        command
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_CONFIG_HOME");
        client::run(command, SOON).await
    }

    async fn status(&self) -> anyhow::Result<Value> {
        let status = self.ctl(&["status", "--json"]).await?.success()?;
        Ok(serde_json::from_str(&status.text())?)
    }

    /// The process id of its daemon.
    fn pid(&self) -> Option<Pid> {
        let lock = self.socket().with_extension("sock.lock");
        let pid = fs::read_to_string(lock).ok()?.trim().parse().ok()?;
        Pid::from_raw(pid)
    }

    async fn no_daemon(&self) -> anyhow::Result<()> {
        eventually("the daemon has ended", || !self.socket().exists()).await
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // No child of the test: broker-ctl has started it.
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

async fn lasts() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    // The profile has a tunnel, which alone keeps no daemon.
    let home = Home::new(&servers.profile()?.config())?;
    let ftp = servers.ftp.addr();
    let spec = format!("ftp/0:{}:{}", ftp.ip(), ftp.port());
    let opened = home
        .ctl(&["open-tunnel-listener", "--json", "-L", &spec, "work"])
        .await?;
    let opened: Value = serde_json::from_str(&opened.success()?.text())?;
    let port = opened["port"].as_u64().context("no port")?;
    let status = home.status().await?;
    ensure!(
        status["on_demand"] == true && status["tunnels"] == 2,
        "{status:#}"
    );
    let mut client = FtpClient::login(format!("127.0.0.1:{port}").parse()?).await?;
    ensure!(client.fetch("file").await? == CONTENT);
    drop(client);
    let id = opened["id"].to_string();
    home.ctl(&["close-tunnel-listener", &id]).await?.success()?;
    home.no_daemon().await
}

async fn at_once() -> anyhow::Result<()> {
    let home = Home::new("<secsh-broker/>")?;
    let start = || home.ctl(&["start"]);
    let (a, b, c, d) = tokio::join!(start(), start(), start(), start());
    let mut told = Vec::new();
    for output in [a, b, c, d] {
        told.push(output?.success()?.text());
    }
    told.dedup();
    ensure!(told.len() == 1, "{told:?}");
    home.ctl(&["stop"]).await?.success()?;
    home.no_daemon().await
}

async fn starts_none() -> anyhow::Result<()> {
    let home = Home::new("<secsh-broker/>")?;
    for arguments in [
        &["status"][..],
        &["list-tunnel-listeners"],
        &["stop"],
        &["close-tunnel-listener", "1"],
        &["probe-key", "--no-start", "127.0.0.1#1"],
    ] {
        let output = home.ctl(arguments).await?;
        ensure!(output.status.code() == Some(UNREACHABLE), "{output:?}");
    }
    let mut command = ctl_command(&home.socket(), &["probe-key", "127.0.0.1#1"])?;
    command.env("SSH_BROKER_NO_START", "1");
    let output = client::run(command, SOON).await?;
    ensure!(output.status.code() == Some(UNREACHABLE), "{output:?}");
    ensure!(!home.socket().exists(), "a daemon was started");
    Ok(())
}

async fn kept() -> anyhow::Result<()> {
    let home = Home::new("<secsh-broker/>")?;
    let config = home.config();
    let config = config.to_string_lossy();
    home.ctl(&["start", "--config", &config]).await?.success()?;
    let status = home.status().await?;
    ensure!(status["on_demand"] == false, "{status:#}");
    ensure!(
        status["config"] == serde_json::json!([config]),
        "{status:#}"
    );
    let again = home.ctl(&["start", "--config", &config]).await?.success()?;
    ensure!(
        again.text().contains(&status["pid"].to_string()),
        "{again:?}"
    );
    let other = home.ctl(&["start", "--config", "/no/such.xml"]).await?;
    ensure!(other.stderr.contains("another configuration"), "{other:?}");
    home.ctl(&["stop"]).await?.success()?;
    home.no_daemon().await
}

async fn faulty() -> anyhow::Result<()> {
    let home = Home::new("<secsh-broker>\n  <profiles hots=\"h\"/>\n</secsh-broker>")?;
    // What an earlier daemon has logged is not shown.
    for _ in 0..2 {
        let output = home.ctl(&["start"]).await?;
        ensure!(output.status.code() == Some(UNREACHABLE), "{output:?}");
        let log = home.socket().with_extension("sock.log");
        let log = log.to_string_lossy();
        for part in ["hots", "correct the faults", "exit status: 78", &log] {
            ensure!(output.stderr.contains(part), "{part}: {output:?}");
        }
        let shown = output.stderr.matches("correct the faults").count();
        ensure!(shown == 1, "{output:?}");
    }
    Ok(())
}

async fn leaves() -> anyhow::Result<()> {
    let home = Home::new("<secsh-broker/>")?;
    home.ctl(&["start"]).await?.success()?;
    let pid = home.pid().context("no daemon")?;
    let own = rustix::process::getsid(Some(pid))?;
    ensure!(own == pid, "it is in the session of {own:?}");
    let directory = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
    // Root alone may see it, since the daemon protects its memory.
    ensure!(directory.is_err() || directory.is_ok_and(|it| it == Path::new("/")));
    home.ctl(&["stop"]).await?.success()?;
    home.no_daemon().await
}
