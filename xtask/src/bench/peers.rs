//! The servers, and what forwards to them: brokerd, and OpenSSH's client with `-L` or `-D`

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use testkit::broker::{Broker, BrokerOptions};
use testkit::files::write_pattern;
use testkit::fixture::{Fixture, Servers};
use testkit::line::Line;
use testkit::netns::Netns;
use testkit::peer::SshPeer;
use testkit::ports::unused_port;
use testkit::process::Process;
use testkit::profile::{Profile, Tunnel, config};
use testkit::programs::SSH;
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::hosts;

/// What both SSH clients are made to use.
const CIPHER: &str = "aes128-gcm@openssh.com";
const KEX: &str = "curve25519-sha256";

/// Passive ports: more than transfers at one time, for vsftpd tries them at random and gives up after ten that are in use.
/// They lie below those that the launchers and the kernel give away, and a namespace has no other servers.
const PASSIVE_PORTS: RangeInclusive<u16> = 5000..=5031;

/// `ssh -L` listens on the very ports of the FTP server, whose passive replies name them; so it needs another address.
const FORWARDED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Has sshd before 10.1 send small packets at once, as later ones do.
const LOW_LATENCY: &str = r#"<low-latency enable="yes"/>"#;

/// More than any row opens on one tunnel.
const MAX_SESSIONS: usize = 2000;

/// Starting takes a fraction of a second.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// `ssh` without `-v` does not say when it listens: it is asked this often.
const READY_POLL: Duration = Duration::from_millis(10);

/// The servers, and what they serve.
pub(super) struct BenchPeers {
    pub(super) servers: Servers<Sshd, Vsftpd>,
    programs: PathBuf,
    /// The files: in memory, so that no disk is measured.
    served: TempDir,
    /// The servers' host, if it is another one, and the line that leads to it. They end after the servers.
    far: Option<(Netns, Line)>,
}

/// What an FTP client connects to in the place of the FTP server. Dropping it ends it.
pub(super) struct Forwarder {
    /// Where it listens.
    pub(super) listen: SocketAddr,
    program: Program,
}

enum Program {
    Broker(Broker),
    Ssh(
        Process,
        #[expect(dead_code, reason = "removed when ssh ends")] TempDir,
    ),
}

impl Forwarder {
    /// The process that encrypts.
    pub(super) fn pid(&self) -> u32 {
        match &self.program {
            Program::Broker(broker) => broker.process().pid(),
            Program::Ssh(ssh, _) => ssh.pid(),
        }
    }
}

impl BenchPeers {
    /// Starts the servers on this host. `programs` is the directory of the release build.
    ///
    /// # Errors
    /// When a server is missing or does not start.
    pub(super) async fn start(programs: PathBuf) -> Result<Self> {
        Self::start_at(programs, None).await
    }

    /// Starts the servers on the host at the far end of a line.
    ///
    /// # Errors
    /// As [`BenchPeers::start`].
    pub(super) async fn start_behind(programs: PathBuf, far: Netns, line: Line) -> Result<Self> {
        Self::start_at(programs, Some((far, line))).await
    }

    /// Lets the servers' host have so much under way as one that is set up for long lines.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(super) fn prepare_for_long_lines(&self) -> Result<()> {
        let (far, _) = self.far.as_ref().context("the servers are on this host")?;
        hosts::prepare_for_long_lines(far)
    }

    async fn start_at(programs: PathBuf, far: Option<(Netns, Line)>) -> Result<Self> {
        let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
        // Far away, sshd reaches the FTP server at its own loopback address, and plain FTP at the end of the line.
        let (netns, ssh_addr, ftp_addr) = match &far {
            Some((netns, line)) => (Some(netns), line.far(), Ipv4Addr::UNSPECIFIED.into()),
            None => (None, own, own),
        };
        let served = memory_directory()?;
        let sshd = SshdOptions {
            bind: ssh_addr,
            netns: netns.cloned(),
            extra_config: vec![
                format!("Ciphers {CIPHER}"),
                format!("KexAlgorithms {KEX}"),
                "LogLevel VERBOSE".to_owned(),
                // What `low-latency` asks for.
                "Subsystem sftp internal-sftp".to_owned(),
            ],
            ..SshdOptions::default()
        };
        let ftp = VsftpdOptions {
            bind: ftp_addr,
            netns: netns.cloned(),
            extra_config: vec![
                format!("anon_root={}", served.path().display()),
                format!("pasv_min_port={}", PASSIVE_PORTS.start()),
                format!("pasv_max_port={}", PASSIVE_PORTS.end()),
                "log_ftp_protocol=NO".to_owned(),
            ],
            ..VsftpdOptions::default()
        };
        Ok(Self {
            servers: Fixture::builder().ssh(sshd).ftp(ftp).servers().await?,
            programs,
            served,
            far,
        })
    }

    /// Where sshd reaches the FTP server.
    pub(super) fn ftp(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.servers.ftp.addr().port()).into()
    }

    /// Where clients reach the FTP server without SSH.
    pub(super) fn plain_ftp(&self) -> SocketAddr {
        match &self.far {
            Some((_, line)) => (line.far(), self.ftp().port()).into(),
            None => self.ftp(),
        }
    }

    /// A file on the FTP server's side.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.served.path().join(name)
    }

    /// Makes a file of so many bytes to be fetched, if it is not there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn make_file(&self, name: &str, size: u64) -> Result<PathBuf> {
        let path = self.file(name);
        if !path.exists() {
            write_pattern(&path, size, size)?;
        }
        Ok(path)
    }

    /// Makes a file to be fetched that has so many zeros and takes no memory, if it is not there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn make_sparse_file(&self, name: &str, size: u64) -> Result<()> {
        let path = self.file(name);
        let made = File::create(&path).and_then(|file| file.set_len(size));
        made.with_context(|| format!("cannot make {}", path.display()))
    }

    /// The daemon and `ssh -L`.
    ///
    /// # Errors
    /// When one does not start.
    pub(super) async fn both(&self) -> Result<(Forwarder, Forwarder)> {
        Ok((self.broker().await?, self.forwarding().await?))
    }

    /// A daemon of the release build with one FTP tunnel, which has no SSH connection yet.
    ///
    /// # Errors
    /// When it does not become ready; the message shows its log.
    pub(super) async fn broker(&self) -> Result<Forwarder> {
        self.broker_to(self.ftp(), 1).await
    }

    /// The same with `low-latency`.
    ///
    /// # Errors
    /// As [`BenchPeers::broker`].
    pub(super) async fn low_latency_broker(&self) -> Result<Forwarder> {
        let listen = free_addr()?;
        let mut tunnel = many_sessions(self.ftp());
        tunnel.port = listen.port();
        let profile = self.profile()?.with(LOW_LATENCY).tunnel(tunnel);
        self.start_broker(listen, &[profile]).await
    }

    /// The same to an FTP server of the caller's choice, with so many tunnels, the first of which is given back.
    ///
    /// # Errors
    /// As [`BenchPeers::broker`].
    pub(super) async fn broker_to(&self, ftp: SocketAddr, tunnels: usize) -> Result<Forwarder> {
        self.broker_with(many_sessions(ftp), tunnels).await
    }

    /// The same with a tunnel of the caller's choice.
    ///
    /// # Errors
    /// As [`BenchPeers::broker`].
    pub(super) async fn broker_with(&self, mut first: Tunnel, tunnels: usize) -> Result<Forwarder> {
        let listen = free_addr()?;
        let further = Tunnel::ftp(first.to);
        first.port = listen.port();
        let mut profile = self.profile()?;
        profile.tunnels = vec![first];
        profile.tunnels.resize(tunnels, further);
        self.start_broker(listen, &[profile]).await
    }

    /// The same with so many profiles of one FTP tunnel each, and where each of them listens.
    ///
    /// # Errors
    /// As [`BenchPeers::broker`].
    pub(super) async fn broker_of_profiles(
        &self,
        ftp: SocketAddr,
        count: usize,
    ) -> Result<(Forwarder, Vec<SocketAddr>)> {
        let listens: Vec<_> = (0..count).map(|_| free_addr()).collect::<Result<_>>()?;
        let first = *listens.first().context("no profiles")?;
        let profiles = listens.iter().enumerate().map(|(number, listen)| {
            let mut tunnel = many_sessions(ftp);
            tunnel.port = listen.port();
            Ok(self
                .profile()?
                .called(&format!("id{number}"))
                .tunnel(tunnel))
        });
        let profiles: Vec<_> = profiles.collect::<Result<_>>()?;
        Ok((self.start_broker(first, &profiles).await?, listens))
    }

    fn profile(&self) -> Result<Profile> {
        let cipher = format!(r#"<ciphers><cipher name="{CIPHER}"/></ciphers>"#);
        Ok(self.servers.ssh.profile()?.with(&cipher))
    }

    async fn start_broker(&self, listen: SocketAddr, profiles: &[Profile]) -> Result<Forwarder> {
        let options = BrokerOptions {
            programs: Some(&self.programs),
            ..BrokerOptions::default()
        };
        let broker = Broker::start_with(&config("", profiles), &options).await?;
        Ok(Forwarder {
            listen,
            program: Program::Broker(broker),
        })
    }

    /// OpenSSH's client on one connection, with the control port and every passive port forwarded.
    ///
    /// # Errors
    /// When it does not forward in time; the message shows what it said.
    pub(super) async fn forwarding(&self) -> Result<Forwarder> {
        self.forwarding_to(self.ftp(), PASSIVE_PORTS).await
    }

    /// The same to an FTP server of the caller's choice.
    ///
    /// # Errors
    /// As [`BenchPeers::forwarding`].
    pub(super) async fn forwarding_to(
        &self,
        target: SocketAddr,
        passive_ports: impl IntoIterator<Item = u16>,
    ) -> Result<Forwarder> {
        let ports = [target.port()].into_iter().chain(passive_ports);
        let forwards = ports.flat_map(|port| {
            let forward = format!("{FORWARDED}:{port}:{}:{port}", target.ip());
            ["-L".to_owned(), forward]
        });
        let forwards: Vec<_> = forwards.collect();
        let listen = SocketAddr::new(FORWARDED, target.port());
        self.ssh_with(&forwards, listen).await
    }

    /// OpenSSH's client on one connection with these arguments, which make it listen at `listen`.
    ///
    /// # Errors
    /// When it does not listen in time; the message shows what it said.
    pub(super) async fn ssh_with(
        &self,
        arguments: &[String],
        listen: SocketAddr,
    ) -> Result<Forwarder> {
        let directory = tempfile::tempdir()?;
        let mut command = self.ssh(directory.path())?;
        command.args(["-N", "-o", "ExitOnForwardFailure=yes"]);
        command.args(arguments).arg(self.ssh_host());
        let mut process = Process::spawn(command, None)?;
        let deadline = Instant::now() + READY_LIMIT;
        while TcpStream::connect(listen).await.is_err() {
            let hopeful = process.is_running() && Instant::now() < deadline;
            ensure!(hopeful, "ssh does not forward:\n{}", process.log());
            sleep(READY_POLL).await;
        }
        Ok(Forwarder {
            listen,
            program: Program::Ssh(process, directory),
        })
    }

    /// The `ssh` command with everything but what it is to do and the host; `directory` takes its known hosts.
    ///
    /// # Errors
    /// When it is not installed or the known hosts cannot be written.
    pub(super) fn ssh(&self, directory: &Path) -> Result<Command> {
        let ssh = self.servers.ssh.addr();
        let known_hosts = directory.join("known_hosts");
        let host_key = self.servers.ssh.host_key_openssh()?;
        std::fs::write(
            &known_hosts,
            format!("[{}]:{} {host_key}\n", ssh.ip(), ssh.port()),
        )?;
        let mut command = Command::new(SSH.find()?);
        command
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args(["-c", CIPHER, "-o", &format!("KexAlgorithms={KEX}")])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .arg("-i")
            .arg(self.servers.ssh.identity_file())
            .args(["-p", &ssh.port().to_string(), "-l", self.servers.ssh.user()]);
        Ok(command)
    }

    /// Waits until sshd has no connection: what it holds for those that are over must not count for the next.
    ///
    /// # Errors
    /// When a connection does not end in time.
    pub(super) async fn connections_ended(&self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while !self.servers.ssh.session_pids().is_empty() {
            ensure!(
                Instant::now() < deadline,
                "a connection at sshd does not end"
            );
            sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// The host of sshd, as `ssh` is told it.
    pub(super) fn ssh_host(&self) -> String {
        self.servers.ssh.addr().ip().to_string()
    }
}

/// A tunnel that serves as many clients as any row has.
fn many_sessions(ftp: SocketAddr) -> Tunnel {
    Tunnel::ftp(ftp).with(&format!(r#"max-sessions="{MAX_SESSIONS}""#))
}

/// A directory in memory, if this system has such.
pub(super) fn memory_directory() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let directory = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    directory.context("cannot make a directory for the files")
}

/// A free port for a listener that has to be named before it is there.
pub(super) fn free_addr() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, unused_port()?).into())
}
