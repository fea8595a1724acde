//! The demo's peers: an FTP server, an SSH server, a relay that records, and the real daemon

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use testkit::broker::Broker;
use testkit::files;
use testkit::fixture::{Fixture, Relayed, RelayedOptions, Servers};
use testkit::keys::KeyPair;
use testkit::profile::Profile;
use testkit::ssh_server::{SshCounters, SshServer, SshServerOptions};
use tokio::runtime::Handle;

use super::screen;
use super::wire::{self, Findings};

/// The daemon has nothing left to do when it is told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Everything that runs during the demo. Dropping it ends and removes it all.
pub(super) struct DemoPeers {
    fixture: Fixture<Relayed<SshServer>>,
    password: String,
}

impl DemoPeers {
    /// Starts everything.
    pub(super) async fn start() -> Result<Self> {
        let ssh = RelayedOptions {
            server: SshServerOptions::default(),
            record: true,
        };
        let welcome = "Welcome to the demo of ssh-broker\n";
        let named = |mut profile: Profile| {
            profile.name = "demo".into();
            profile
        };
        let builder = Fixture::builder().ssh(ssh).file("readme.txt", welcome);
        Ok(Self {
            fixture: builder.profile(named).start().await?,
            password: password()?,
        })
    }

    /// Says who is who.
    pub(super) fn introduce(&self) -> Result<()> {
        screen::heading("Who takes part");
        screen::say(
            "An FTP client, the broker and two servers, all on this machine. The broker logs in to",
        );
        screen::say("the SSH server with a key, the client to the FTP server with a password.\n");
        let Servers { ssh, ftp } = &self.fixture.servers;
        let served = self.served().display();
        screen::fact("FTP server", format!("{}, serves {served}", ftp.addr()));
        screen::fact("SSH server", ssh.server.addr());
        screen::fact(
            "recording relay",
            format!("{}, leads to the SSH server", ssh.line.addr()),
        );
        screen::fact(
            "brokerd",
            format!("{}, where the FTP client connects", self.tunnel()),
        );
        screen::fact("its directory", self.broker().directory().display());

        let (file, socket) = (self.broker().config_file(), self.broker().socket());
        let (file, socket) = (self.in_directory(&file), self.in_directory(&socket));
        screen::command(
            &format!("cat {file}"),
            &std::fs::read_to_string(self.broker().config_file())?,
        );
        screen::command(
            &format!("brokerd --config {file} --socket {socket}"),
            &self.log(),
        );
        Ok(())
    }

    /// A path as one types it in the daemon's directory.
    fn in_directory(&self, path: &Path) -> String {
        path.strip_prefix(self.broker().directory())
            .unwrap_or(path)
            .display()
            .to_string()
    }

    fn broker(&self) -> &Broker {
        &self.fixture.broker
    }

    /// Where the FTP client connects.
    pub(super) fn tunnel(&self) -> SocketAddr {
        self.fixture.tunnel
    }

    /// The FTP password. The FTP server takes any; the demo looks for this one on the wire.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// The directory that the FTP server serves.
    pub(super) fn served(&self) -> &Path {
        self.fixture.servers.ftp.root()
    }

    /// Shows what `broker-ctl` says at this moment. Not to be called on a thread of the runtime.
    pub(super) fn look(&self) {
        let socket = self.in_directory(&self.broker().socket());
        for request in ["list-tunnel-listeners", "list-channels"] {
            let told = Handle::current().block_on(self.broker().told(&[request]));
            let told = told.unwrap_or_else(|error| format!("{error:#}"));
            screen::command(&format!("broker-ctl --socket {socket} {request}"), &told);
        }
    }

    /// Searches everything that passed between the broker and the SSH server.
    pub(super) fn search_wire(&self) -> Findings {
        // One connection at a time: together they hold everything that was moved.
        let line = &self.fixture.servers.ssh.line;
        let recordings = (0..).map_while(|number| line.recording(number));
        recordings.fold(Findings::default(), |findings, recording| {
            let ways = [recording.to_target.as_slice(), &recording.to_client];
            findings + wire::search(ways, &self.password)
        })
    }

    /// What the SSH server has counted.
    pub(super) fn ssh_counters(&self) -> SshCounters {
        self.fixture.servers.ssh.server.counters()
    }

    /// Prints commands to try. `programs` is the directory that holds `broker-ctl`.
    pub(super) fn invite(&self, programs: &Path) {
        let (host, port) = (self.tunnel().ip(), self.tunnel().port());
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
            self.broker().socket().display(),
        ));
        screen::say("");
        screen::say(&format!(
            "Any name and password will do. The files lie in {}",
            self.served().display()
        ));
    }

    /// Ends the daemon the way a user does, and everything else with it.
    pub(super) async fn stop(mut self) -> Result<()> {
        let status = self.fixture.broker.stop(STOP_LIMIT).await?;
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
        let _ = self.broker().process().signal(Signal::KILL);
    }

    /// What the daemon has logged for its user: the details that it also logs here are for tests.
    pub(super) fn log(&self) -> String {
        let log = self.broker().log();
        let lines = log.lines().filter(|line| !line.contains(" DEBUG "));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A password that is different each time, so that it stands nowhere by chance.
fn password() -> Result<String> {
    let key = KeyPair::generate()?.public_openssh()?;
    let digest = files::sha256(key.as_bytes());
    Ok(digest.chars().take(16).collect())
}
