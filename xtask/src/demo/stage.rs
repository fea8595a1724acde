//! The demo's stage: an FTP server, an SSH server, a relay that records, and the real daemon

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use testkit::files;
use testkit::ftp_server::FtpServer;
use testkit::keys::KeyPair;
use testkit::process::Process;
use testkit::relay::Relay;
use testkit::ssh_server::{SshCounters, SshServer, SshServerOptions};

use super::screen;
use super::wire::{self, Findings};

/// A daemon that is not ready by then will not be.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The daemon has nothing left to do when it is told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);

const CONFIG: &str = "ssh-broker-config.xml";
const SOCKET: &str = "broker.sock";

/// Everything that runs during the demo. Dropping it ends and removes it all.
pub(super) struct Stage {
    ftp: FtpServer,
    ssh: SshServer,
    relay: Relay,
    broker: Mutex<Process>,
    ctl: PathBuf,
    tunnel: SocketAddr,
    password: String,
    config: String,
    /// Configuration, keys and socket of the daemon.
    folder: TempDir,
    /// What the FTP server serves.
    served: TempDir,
}

/// What `broker-ctl list-tunnel-listeners --json` says of a listener, as far as the demo needs it.
#[derive(Deserialize)]
struct Listener {
    address: IpAddr,
    port: u16,
}

impl Stage {
    /// Starts everything. `programs` is the folder that holds `brokerd` and `broker-ctl`.
    pub(super) async fn set(programs: &Path) -> Result<Self> {
        let served = folder("files")?;
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

        let folder = folder("broker")?;
        let config = config(relay.addr().port(), ftp.addr().port());
        key.write(folder.path(), "id_ed25519")?;
        std::fs::write(
            folder.path().join("host.pub"),
            ssh.host_key_openssh()? + "\n",
        )?;
        std::fs::write(folder.path().join(CONFIG), &config)?;

        let broker = start_broker(&programs.join("brokerd"), folder.path()).await?;
        let ctl = programs.join("broker-ctl");
        let tunnel = listening_at(&ctl, folder.path())?;
        let (broker, password) = (Mutex::new(broker), password(&key)?);
        Ok(Self {
            ftp,
            ssh,
            relay,
            broker,
            ctl,
            tunnel,
            password,
            config,
            folder,
            served,
        })
    }

    /// Says who is who.
    pub(super) fn introduce(&self) {
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
        screen::fact("its folder", self.folder.path().display());
        screen::command(&format!("cat {CONFIG}"), &self.config);
        screen::command(
            &format!("brokerd --config {CONFIG} --socket {SOCKET}"),
            &self.log(),
        );
    }

    /// Where the FTP client connects.
    pub(super) fn tunnel(&self) -> SocketAddr {
        self.tunnel
    }

    /// The FTP password. The FTP server takes any; the demo looks for this one on the wire.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// The folder that the FTP server serves.
    pub(super) fn served(&self) -> &Path {
        self.served.path()
    }

    /// Shows what `broker-ctl` says at this moment.
    pub(super) fn look(&self) {
        for request in ["list-tunnel-listeners", "list-channels"] {
            let shown = format!("broker-ctl --socket {SOCKET} {request}");
            match ctl(&self.ctl, self.folder.path(), &[request]) {
                Ok(output) => screen::command(&shown, &output),
                Err(error) => screen::command(&shown, &format!("{error:#}")),
            }
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

    /// Prints commands to try.
    pub(super) fn invite(&self) {
        let (host, port) = (self.tunnel.ip(), self.tunnel.port());
        let socket = self.folder.path().join(SOCKET);
        screen::block(&format!(
            "ftp {host} {port}\n\
             curl ftp://alice:secret@{host}:{port}/\n\
             curl -T README.md ftp://alice:secret@{host}:{port}/\n\
             curl --ftp-port - -o copy.tar ftp://alice:secret@{host}:{port}/{file}\n\
             {ctl} --socket {socket} list-channels\n\
             \n\
             Any name and password will do. The files lie in {served}",
            file = super::FILE_NAME,
            ctl = self.ctl.display(),
            socket = socket.display(),
            served = self.served.path().display(),
        ));
    }

    /// Ends the daemon the way a user does, and everything else with it.
    pub(super) async fn clear(self) -> Result<()> {
        ctl(&self.ctl, self.folder.path(), &["stop"])?;
        let mut broker = self
            .broker
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let status = broker.wait(STOP_LIMIT).await?;
        ensure!(
            status.success(),
            "brokerd ended with {status}:\n{}",
            broker.log()
        );
        Ok(())
    }

    /// Ends the daemon at once, so that nobody waits for it any more.
    pub(super) fn abandon(&self) {
        self.broker().kill();
    }

    /// What the daemon has logged.
    pub(super) fn log(&self) -> String {
        self.broker().log()
    }

    fn broker(&self) -> MutexGuard<'_, Process> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A password that is different each time, so that it stands nowhere by chance.
fn password(key: &KeyPair) -> Result<String> {
    let digest = files::sha256(key.public_openssh()?.as_bytes());
    Ok(digest.chars().take(16).collect())
}

fn folder(what: &str) -> Result<TempDir> {
    let mut named = tempfile::Builder::new();
    let made = named.prefix(&format!("ssh-broker-demo-{what}-")).tempdir();
    made.context("cannot make a temporary folder")
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

async fn start_broker(program: &Path, folder: &Path) -> Result<Process> {
    let mut command = Command::new(program);
    command
        .args(["--config", CONFIG, "--socket", SOCKET])
        .current_dir(folder);
    let broker = Process::spawn(command, None)?;
    broker.wait_log("broker ready", START_LIMIT).await?;
    Ok(broker)
}

fn listening_at(program: &Path, folder: &Path) -> Result<SocketAddr> {
    let listed = ctl(program, folder, &["list-tunnel-listeners", "--json"])?;
    let listeners: Vec<Listener> =
        serde_json::from_str(&listed).context("cannot read what broker-ctl lists")?;
    let first = listeners.first().context("broker-ctl lists no tunnel")?;
    Ok(SocketAddr::new(first.address, first.port))
}

/// What `broker-ctl` prints.
fn ctl(program: &Path, folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command
        .args(["--socket", SOCKET])
        .args(arguments)
        .current_dir(folder);
    let output = command.output().context("cannot start broker-ctl")?;
    if !output.status.success() {
        bail!(
            "broker-ctl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
