//! The real daemon on a configuration of the caller's, and the real client that steers it.

use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::client::{self, Output};
use crate::process::Process;
use crate::programs::broker_program;
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

impl Broker {
    /// Starts it on the text of a configuration, with more arguments if needed, and waits until it is ready.
    ///
    /// # Errors
    /// When the programs are missing or the daemon does not become ready; the message shows its log.
    pub async fn start(config: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_with_files(config, &[], arguments).await
    }

    /// As [`Broker::start`], with files beside the configuration, which names them by relative paths.
    ///
    /// # Errors
    /// As [`Broker::start`], and when a file cannot be written.
    pub async fn start_with_files(
        config: &str,
        files: &[(&str, &str)],
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for brokerd")?;
        for (name, contents) in files {
            write_private(&directory.path().join(name), contents)?;
        }
        let process = launch(directory.path(), config, arguments)?;
        process.wait_log("broker ready", READY_LIMIT).await?;
        Ok(Self { process, directory })
    }

    /// As [`Broker::start`], with environment variables that name files or directories.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub async fn start_with_env(config: &str, env: &[(&str, &Path)]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for brokerd")?;
        let mut command = brokerd(directory.path(), config, &[])?;
        command.envs(env.iter().copied());
        let process = Process::spawn(command, None)?;
        process.wait_log("broker ready", READY_LIMIT).await?;
        Ok(Self { process, directory })
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

    /// Where the tunnel listens that stands at this place in `list-tunnel-listeners`.
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
        let ip: IpAddr = text(listener, "address").parse()?;
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
        self.process.wait_log("broker ready", READY_LIMIT).await
    }
}

/// Starts a daemon in a directory and does not wait: for those that are expected to fail, or to share a directory.
///
/// # Errors
/// When brokerd is missing or the configuration cannot be written.
pub fn launch(directory: &Path, config: &str, arguments: &[&str]) -> anyhow::Result<Process> {
    Process::spawn(brokerd(directory, config, arguments)?, None)
}

fn brokerd(directory: &Path, config: &str, arguments: &[&str]) -> anyhow::Result<Command> {
    write_private(&directory.join(CONFIG), config)?;
    let mut command = Command::new(broker_program("brokerd")?);
    command.arg("--config").arg(directory.join(CONFIG));
    command.arg("--socket").arg(socket_in(directory));
    command.args(["--log", "debug"]).args(arguments);
    // What the daemon keeps for its user belongs to the test, and what the user has is none of its business.
    command.env("HOME", directory);
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
    command.arg("--socket").arg(socket).args(arguments);
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
    use crate::ftp_server::FtpServer;
    use crate::keys::KeyPair;
    use crate::scripted::Conversation;
    use crate::ssh_server::{SshServer, SshServerOptions};

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_client_is_carried_through_both_peers() {
        let root = tempfile::tempdir().unwrap();
        let ftp = FtpServer::start(root.path()).await.unwrap();
        let key = KeyPair::generate().unwrap();
        let ssh = SshServer::start(SshServerOptions {
            authorized_keys: vec![key.public_openssh().unwrap()],
            ..SshServerOptions::default()
        })
        .await
        .unwrap();
        let config = format!(
            r#"<secsh-broker version="1.0"><profiles>
                 <profile id="id1" host="127.0.0.1" port="{}" user="me">
                   <hostkey file="host.pub"/>
                   <user-identities><identity identity-file="key"/></user-identities>
                   <tunnels><local-tunnel type="FTP" listen-port="0" dst-port="{}"/></tunnels>
                 </profile>
               </profiles></secsh-broker>"#,
            ssh.addr().port(),
            ftp.addr().port()
        );
        let files = [
            ("host.pub", ssh.host_key_openssh().unwrap()),
            ("key", key.private_openssh().unwrap()),
        ];
        let files = [(files[0].0, &*files[0].1), (files[1].0, &*files[1].1)];
        let mut broker = Broker::start_with_files(&config, &files, &[])
            .await
            .unwrap();
        let listener = broker.listener(0).await.unwrap();
        let mut client = Conversation::connect(listener).await.unwrap();
        assert!(client.reply().await.unwrap().starts_with("220"));
        assert_eq!(ssh.counters().direct_opened, 1);
        drop(client);
        assert!(broker.listener(1).await.is_err());
        let no_sessions = |status: &Value| status["sessions"] == 0;
        broker
            .wait_json(&["status"], LIMIT, no_sessions)
            .await
            .unwrap();
        assert!(broker.stop(LIMIT).await.unwrap().success());
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_start_shows_its_log() {
        let started = Broker::start("<not-a-configuration/>", &[]).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("not-a-configuration"), "{error}");
    }
}
