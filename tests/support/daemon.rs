//! The real daemon on a configuration of the test's, and the real client that steers it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;
use testkit::client::{self, Output};
use testkit::process::Process;
use testkit::programs::broker_program;

/// Starting takes a fraction of a second; a busy machine may take its time.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Longer than any command may wait for the daemon.
const CTL_LIMIT: Duration = Duration::from_secs(60);

/// A running brokerd; dropping it ends it and removes its folder.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    folder: TempDir,
}

impl Daemon {
    /// Starts it on this configuration and waits until it is ready.
    pub(crate) async fn start(config: &str, args: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        write_private(&folder.path().join("config.xml"), config)?;
        let process = Self::spawn(folder.path(), args)?;
        process.wait_log("broker ready", READY_LIMIT).await?;
        Ok(Self { process, folder })
    }

    /// Starts a daemon on the configuration and the socket in `folder`.
    pub(crate) fn spawn(folder: &Path, args: &[&str]) -> anyhow::Result<Process> {
        let mut command = Command::new(broker_program("brokerd")?);
        command.arg("--config").arg(folder.join("config.xml"));
        command.arg("--socket").arg(socket_in(folder));
        command.args(["--log", "debug"]).args(args);
        Process::spawn(command, None)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(self.folder.path())
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Runs broker-ctl.
    pub(crate) async fn ctl(&self, args: &[&str]) -> anyhow::Result<Output> {
        ctl(&self.socket(), args).await
    }

    /// Runs broker-ctl, which must succeed, and returns what it printed.
    pub(crate) async fn told(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.ctl(args).await?.success();
        Ok(output.with_context(|| format!("{args:?}"))?.text())
    }

    /// Runs broker-ctl with `--json`, which must succeed, and returns what it printed.
    pub(crate) async fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let text = self.told(&[args, &["--json"]].concat()).await?;
        serde_json::from_str(&text).with_context(|| format!("{args:?} printed {text:?}"))
    }

    /// Where the tunnel listens that stands at this place in the list.
    pub(crate) async fn listener(&self, index: usize) -> anyhow::Result<SocketAddr> {
        let listeners = self.json(&["list-tunnel-listeners"]).await?;
        listens_at(&listeners[index])
    }

    /// Asks broker-ctl until its answer is as `done` wants it: it has no way to wait for a change.
    pub(crate) async fn wait_json(
        &self,
        args: &[&str],
        mut done: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let asked = async {
            loop {
                let answer = self.json(args).await?;
                if done(&answer) {
                    return anyhow::Ok(answer);
                }
            }
        };
        match tokio::time::timeout(READY_LIMIT, asked).await {
            Ok(answer) => answer,
            Err(_) => {
                let last = self.json(args).await?;
                anyhow::bail!("{args:?} still says {last:#}\n{}", self.log())
            }
        }
    }
}

/// Runs broker-ctl on a socket.
pub(crate) async fn ctl(socket: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(broker_program("broker-ctl")?);
    command.arg("--socket").arg(socket).args(args);
    client::run(command, CTL_LIMIT).await
}

/// Where the tunnel listens that this answer describes.
pub(crate) fn listens_at(listener: &Value) -> anyhow::Result<SocketAddr> {
    ensure!(
        listener["state"] == "listening",
        "it does not listen: {listener:#}"
    );
    let ip: IpAddr = listener["address"].as_str().unwrap_or_default().parse()?;
    let port = listener["port"].as_u64().unwrap_or_default();
    Ok(SocketAddr::new(ip, u16::try_from(port)?))
}

/// Writes a file that only this user may read.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o600),
    )?)
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("run/broker.sock")
}
