//! The real daemon on a configuration of the caller's, and the real client that steers it.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::client::{self, Output};
use crate::environment::neutral;
use crate::netns::Netns;
use crate::overlay;
use crate::process::Process;
use crate::programs::broker_program;
use crate::server_logs;
use crate::terminal::Terminal;

/// Starting takes a fraction of a second; a busy machine may take its time.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Longer than any command may wait for the daemon.
const CTL_LIMIT: Duration = Duration::from_secs(60);

/// How often the daemon is asked for something that is waited for.
const POLL: Duration = Duration::from_millis(20);

/// The configuration's name in the daemon's directory.
const CONFIG: &str = "ssh-broker-config.xml";

/// A running brokerd; dropping it kills it and removes its directory.
pub struct Broker {
    process: Process,
    directory: TempDir,
}

/// How a daemon is started. [`Default`] is the workspace's own brokerd, which logs everything.
#[derive(Clone, Copy, Default)]
pub struct BrokerOptions<'a> {
    /// More arguments.
    pub arguments: &'a [&'a str],
    /// Environment variables that name files or directories.
    pub env: &'a [(&'a str, &'a Path)],
    /// The namespace to run in.
    pub netns: Option<&'a Netns>,
    /// What it sees as `/etc/hosts`, where that is not the host's own.
    pub hosts: Option<&'a str>,
    /// The directory that holds brokerd, where it is not the workspace's own. It logs as it is shipped.
    pub programs: Option<&'a Path>,
}

impl Broker {
    /// Starts it on the text of a configuration, with more arguments if needed, and waits until it is ready.
    ///
    /// # Errors
    /// When the programs are missing or the daemon does not become ready; the message shows its log.
    pub async fn start(config: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let options = BrokerOptions {
            arguments,
            ..BrokerOptions::default()
        };
        Self::start_with(config, &options).await
    }

    /// As [`Broker::start`], with more to choose.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub async fn start_with(config: &str, options: &BrokerOptions<'_>) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for brokerd")?;
        let process = launch_with(directory.path(), config, options)?;
        let broker = Self { process, directory };
        broker.wait_log("broker ready", READY_LIMIT).await?;
        Ok(broker)
    }

    /// The directory with its configuration and socket.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its configuration file, to be changed before a reload.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory.path().join(CONFIG)
    }

    /// Its local socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    /// The daemon's process, for signals and for waiting on its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until its log contains `text`.
    ///
    /// # Errors
    /// When it ends or `limit` passes before; the message shows the log.
    pub async fn wait_log(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        self.process.wait_log(text, limit).await
    }

    /// Waits until it has logged `text` so many times.
    ///
    /// # Errors
    /// As [`Broker::wait_log`].
    pub async fn wait_log_times(
        &self,
        text: &str,
        times: usize,
        limit: Duration,
    ) -> anyhow::Result<()> {
        self.process.wait_log_times(text, times, limit).await
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Runs broker-ctl on its socket.
    ///
    /// # Errors
    /// When broker-ctl is missing or takes too long; what it says of the daemon is in the output.
    pub async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        ctl(&self.socket(), arguments).await
    }

    /// Runs broker-ctl on its socket with somebody at the keyboard.
    ///
    /// # Errors
    /// When broker-ctl is missing or there is no terminal to be had.
    pub fn ctl_on_terminal(&self, arguments: &[&str]) -> anyhow::Result<Terminal> {
        Terminal::spawn(&ctl_command(&self.socket(), arguments)?)
    }

    /// Runs broker-ctl with `--json`, which must succeed, and returns what it printed.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.told(&[arguments, &["--json"]].concat()).await?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?} printed {text:?}"))
    }

    /// Runs broker-ctl, which must succeed, and returns what it printed.
    ///
    /// # Errors
    /// When it fails; the message shows what it said.
    pub async fn told(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.ctl(arguments).await?.success();
        Ok(output.with_context(|| format!("{arguments:?}"))?.text())
    }

    /// As [`Broker::json`], for a list.
    ///
    /// # Errors
    /// As [`Broker::json`], and when it is no list.
    pub async fn list(&self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let answer = self.json(arguments).await?;
        let list = answer.as_array().cloned();
        list.with_context(|| format!("{arguments:?} is no list: {answer:#}"))
    }

    /// Asks with `--json` until the answer is as `done` wants it, and returns it: the daemon answers questions and does
    /// not announce.
    ///
    /// # Errors
    /// When it fails or has not answered so within `limit`; the message shows the last answer and the log.
    pub async fn wait_json(
        &self,
        arguments: &[&str],
        limit: Duration,
        mut done: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.json(arguments).await?;
            if done(&answer) {
                return Ok(answer);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{arguments:?} still says {answer:#}\n{}",
                self.log()
            );
            sleep(POLL).await;
        }
    }

    /// Where the tunnel listens that stands at this place in `list-tunnel-listeners`. One that listens on all addresses is
    /// reached at 127.0.0.1.
    ///
    /// # Errors
    /// When there is no such tunnel or it does not listen; the message shows what is listed.
    pub async fn listener(&self, index: usize) -> anyhow::Result<SocketAddr> {
        let listed = self.json(&["list-tunnel-listeners"]).await?;
        let listener = listed
            .get(index)
            .filter(|l| text(l, "state") == "listening");
        let listener =
            listener.with_context(|| format!("no tunnel {index} listens: {listed:#}"))?;
        let ip = match text(listener, "address") {
            "*" => Ipv4Addr::LOCALHOST.into(),
            address => address.parse()?,
        };
        let port = listener
            .get("port")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        Ok(SocketAddr::new(ip, u16::try_from(port)?))
    }

    /// Has broker-ctl stop it, and waits for its end.
    ///
    /// # Errors
    /// When it cannot be told, or has not ended within `limit`.
    pub async fn stop(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.ctl(&["stop"]).await?.success()?;
        self.process.wait(limit).await
    }

    /// Waits for its end, however it comes.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.process.wait(limit).await
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the configuration and the socket it had, killing it if it still runs, and waits until it is
    /// ready. Its log begins anew.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub async fn restart(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        self.process.kill();
        let config = fs::read_to_string(self.config_file())?;
        self.process = launch(self.directory.path(), &config, arguments)?;
        self.wait_log("broker ready", READY_LIMIT).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        server_logs::hand_in("brokerd", &self.log());
    }
}

/// Starts a daemon in a directory and does not wait: for those that are expected to fail, or to share a directory.
///
/// # Errors
/// When brokerd is missing or the configuration cannot be written.
pub fn launch(directory: &Path, config: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    let options = BrokerOptions {
        arguments,
        ..BrokerOptions::default()
    };
    launch_with(directory, config, &options)
}

fn launch_with(
    directory: &Path,
    config: &str,
    options: &BrokerOptions<'_>,
) -> anyhow::Result<Process> {
    Process::spawn(command(directory, config, options)?, options.netns)
}

/// The command that starts a daemon in a directory, with its configuration written.
///
/// # Errors
/// When brokerd is missing or the configuration cannot be written.
pub fn command(
    directory: &Path,
    config: &str,
    options: &BrokerOptions<'_>,
) -> anyhow::Result<Command> {
    write_private(&directory.join(CONFIG), config)?;
    let mut command = match options.programs {
        Some(programs) => Command::new(programs.join("brokerd")),
        None => {
            let mut command = Command::new(broker_program("brokerd")?);
            command.args(["--log", "debug"]);
            command
        }
    };
    neutral(&mut command);
    command.arg("--config").arg(directory.join(CONFIG));
    command.arg("--socket").arg(socket_in(directory));
    command.args(options.arguments);
    if let Some(hosts) = options.hosts {
        let file = directory.join("hosts");
        fs::write(&file, hosts)?;
        command = overlay::laid_over(&file, "/etc/hosts", &command)?;
    }
    // What the daemon keeps for its user belongs to the test, and what the user has is none of its business.
    command.env("HOME", directory);
    command.envs(options.env.iter().copied());
    Ok(command)
}

/// Runs broker-ctl on a socket.
///
/// # Errors
/// When broker-ctl is missing or takes too long.
pub async fn ctl(socket: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    client::run(ctl_command(socket, arguments)?, CTL_LIMIT).await
}

/// The command that runs broker-ctl on a socket.
///
/// # Errors
/// When broker-ctl is missing.
pub fn ctl_command(socket: &Path, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(broker_program("broker-ctl")?);
    neutral(&mut command).arg("--socket").arg(socket);
    command.args(arguments);
    Ok(command)
}

/// The socket of a daemon that [`launch`] started in `directory`; the daemon makes its private sub-directory.
#[must_use]
pub fn socket_in(directory: &Path) -> PathBuf {
    directory.join("run/broker.sock")
}

/// Writes a file that only this user may read, as the daemon wants files with secrets.
///
/// # Errors
/// When the file cannot be written.
pub fn write_private(path: &Path, contents: &str) -> anyhow::Result<()> {
    fs::write(path, contents)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn text<'a>(listener: &'a Value, field: &str) -> &'a str {
    let value = listener.get(field).and_then(Value::as_str);
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_daemon_that_does_not_start_shows_its_log() {
        let started = Broker::start("<not-a-configuration/>", &[]).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("not-a-configuration"), "{error}");
    }
}
