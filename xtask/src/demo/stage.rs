//! The demo's stage: an FTP server, an SSH server, a relay that records, and the real daemon

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use testkit::broker::Broker;
use testkit::files;
use testkit::ftp_server::FtpServer;
use testkit::keys::KeyPair;
use testkit::relay::Relay;
use testkit::ssh_server::{SshCounters, SshServer, SshServerOptions};
use tokio::runtime::Handle;

use super::screen;
use super::wire::{self, Findings};

/// The daemon has nothing left to do when it is told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Everything that runs during the demo. Dropping it ends and removes it all.
pub(super) struct Stage {
    ftp: FtpServer,
    ssh: SshServer,
    relay: Relay,
    broker: Broker,
    tunnel: SocketAddr,
    password: String,
    /// What the FTP server serves.
    served: TempDir,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn set() -> Result<Self> {
        let mut directory = tempfile::Builder::new();
        let served = directory.prefix("ssh-broker-demo-").tempdir();
        let served = served.context("cannot make a directory for the FTP server")?;
        let welcome = "Welcome to the demo of ssh-broker\n";
        std::fs::write(served.path().join("readme.txt"), welcome)?;
        let ftp = FtpServer::start(served.path()).await?;

        let key = KeyPair::generate()?;
        let authorized_keys = vec![key.public_openssh()?];
        let options = SshServerOptions {
            authorized_keys,
            ..SshServerOptions::default()
        };
        let ssh = SshServer::start(options).await?;
        let relay = Relay::start(ssh.addr()).await?;

        let config = config(relay.addr().port(), ftp.addr().port());
        let (private, host) = (key.private_openssh()?, ssh.host_key_openssh()?);
        let files = [
            ("id_ed25519", private.as_str()),
            ("host.pub", host.as_str()),
        ];
        let broker = Broker::start_with_files(&config, &files, &[]).await?;
        let tunnel = broker.listener(0).await?;
        Ok(Self {
            ftp,
            ssh,
            relay,
            broker,
            tunnel,
            password: password(&key)?,
            served,
        })
    }

    /// Says who is who.
    pub(super) fn introduce(&self) -> Result<()> {
        screen::heading("Who takes part");
        screen::say(
            "An FTP client, the broker and two servers, all on this machine. The broker logs in to",
        );
        screen::say("the SSH server with a key, the client to the FTP server with a password.\n");
        let served = self.served.path().display();
        screen::fact(
            "FTP server",
            format!("{}, serves {served}", self.ftp.addr()),
        );
        screen::fact("SSH server", self.ssh.addr());
        screen::fact(
            "recording relay",
            format!("{}, leads to the SSH server", self.relay.addr()),
        );
        screen::fact(
            "brokerd",
            format!("{}, where the FTP client connects", self.tunnel),
        );
        screen::fact("its directory", self.broker.directory().display());

        let (file, socket) = (self.broker.config_file(), self.broker.socket());
        let (file, socket) = (self.in_directory(&file), self.in_directory(&socket));
        screen::command(
            &format!("cat {file}"),
            &std::fs::read_to_string(self.broker.config_file())?,
        );
        screen::command(
            &format!("brokerd --config {file} --socket {socket}"),
            &self.log(),
        );
        Ok(())
    }

    /// A path as one types it in the daemon's directory.
    fn in_directory(&self, path: &Path) -> String {
        path.strip_prefix(self.broker.directory())
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// Where the FTP client connects.
    pub(super) fn tunnel(&self) -> SocketAddr {
        self.tunnel
    }

    /// The FTP password. The FTP server takes any; the demo looks for this one on the wire.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// The directory that the FTP server serves.
    pub(super) fn served(&self) -> &Path {
        self.served.path()
    }

    /// Shows what `broker-ctl` says at this moment. Not to be called on a thread of the runtime.
    pub(super) fn look(&self) {
        let socket = self.in_directory(&self.broker.socket());
        for request in ["list-tunnel-listeners", "list-channels"] {
            let told = Handle::current().block_on(self.broker.told(&[request]));
            let told = told.unwrap_or_else(|error| format!("{error:#}"));
            screen::command(&format!("broker-ctl --socket {socket} {request}"), &told);
        }
    }

    /// Searches everything that passed between the broker and the SSH server.
    pub(super) fn search_wire(&self) -> Findings {
        // One connection at a time: together they hold everything that was moved.
        let recordings = (0..).map_while(|number| self.relay.recording(number));
        recordings.fold(Findings::default(), |findings, recording| {
            let ways = [recording.to_target.as_slice(), &recording.to_client];
            findings + wire::search(ways, &self.password)
        })
    }

    /// What the SSH server has counted.
    pub(super) fn ssh_counters(&self) -> SshCounters {
        self.ssh.counters()
    }

    /// Prints commands to try. `programs` is the directory that holds `broker-ctl`.
    pub(super) fn invite(&self, programs: &Path) {
        let (host, port) = (self.tunnel.ip(), self.tunnel.port());
        let url = format!("ftp://alice:secret@{host}:{port}/");
        let ctl: PathBuf = programs.join("broker-ctl");
        screen::block(&format!(
            "ftp {host} {port}\n\
             curl {url}\n\
             curl -T README.md {url}\n\
             curl --ftp-port - -o copy.tar {url}{}\n\
             {} --socket {} list-channels\n",
            super::FILE_NAME,
            ctl.display(),
            self.broker.socket().display(),
        ));
        screen::say("");
        screen::say(&format!(
            "Any name and password will do. The files lie in {}",
            self.served.path().display()
        ));
    }

    /// Ends the daemon the way a user does, and everything else with it.
    pub(super) async fn clear(mut self) -> Result<()> {
        let status = self.broker.stop(STOP_LIMIT).await?;
        ensure!(
            status.success(),
            "brokerd ended with {status}:\n{}",
            self.log()
        );
        Ok(())
    }

    /// Ends the daemon at once, so that nobody waits for it any more.
    pub(super) fn abandon(&self) {
        // It may have ended by itself, which may be what went wrong.
        let _ = self.broker.process().signal(Signal::KILL);
    }

    /// What the daemon has logged for its user: the details that it also logs here are for tests.
    pub(super) fn log(&self) -> String {
        let log = self.broker.log();
        let lines = log.lines().filter(|line| !line.contains(" DEBUG "));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A password that is different each time, so that it stands nowhere by chance.
fn password(key: &KeyPair) -> Result<String> {
    let digest = files::sha256(key.public_openssh()?.as_bytes());
    Ok(digest.chars().take(16).collect())
}

/// The file that the user would write.
fn config(ssh_port: u16, ftp_port: u16) -> String {
    format!(
        r#"<secsh-broker version="1.0">
  <profiles>
    <profile id="id1" name="demo" host="127.0.0.1" port="{ssh_port}" user="demo">
      <hostkey file="host.pub"/>
      <user-identities>
        <identity identity-file="id_ed25519"/>
      </user-identities>
      <tunnels>
        <local-tunnel type="FTP" listen-port="0" dst-host="localhost" dst-port="{ftp_port}"/>
      </tunnels>
    </profile>
  </profiles>
</secsh-broker>
"#
    )
}
