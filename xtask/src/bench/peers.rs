//! The servers, and what forwards to them: brokerd, and OpenSSH's client with `-L` or `-D`

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use testkit::broker::{Broker, BrokerOptions};
use testkit::files::write_pattern;
use testkit::fixture::{Fixture, Servers};
use testkit::peer::SshPeer;
use testkit::ports::unused_port;
use testkit::process::Process;
use testkit::profile::Tunnel;
use testkit::programs::SSH;
use testkit::relay::{Relay, RelayOptions};
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// What both SSH clients are made to use.
const CIPHER: &str = "aes128-gcm@openssh.com";
const KEX: &str = "curve25519-sha256";

/// Passive ports: as many as transfers at one time, and some for vsftpd to find a free one by chance.
const PASSIVE_PORTS: u16 = 8;
/// Below the ports that the kernel gives to outgoing connections.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 32_000;

/// `ssh -L` listens on the very ports of the FTP server, whose passive replies name them; so it needs another address.
const FORWARDED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// The same for the far end of a line that plain FTP takes.
const FAR_AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Starting takes a fraction of a second.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// `ssh` without `-v` does not say when it listens: it is asked this often.
const READY_POLL: Duration = Duration::from_millis(10);

/// The servers, and what they serve.
pub(super) struct BenchPeers {
    pub(super) servers: Servers<Sshd, Vsftpd>,
    passive_ports: Vec<u16>,
    programs: PathBuf,
    /// The files: in memory, so that no disk is measured.
    served: TempDir,
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
    /// Starts the servers. `programs` is the directory of the release build.
    pub(super) async fn start(programs: PathBuf) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let served = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let served = served.context("cannot make a directory for the files")?;
        let passive_ports = free_ports()?;
        let sshd = SshdOptions {
            extra_config: vec![
                format!("Ciphers {CIPHER}"),
                format!("KexAlgorithms {KEX}"),
                "LogLevel VERBOSE".to_owned(),
            ],
            ..SshdOptions::default()
        };
        let [lowest, .., highest] = passive_ports.as_slice() else {
            anyhow::bail!("no passive ports");
        };
        let ftp = VsftpdOptions {
            extra_config: vec![
                format!("anon_root={}", served.path().display()),
                format!("pasv_min_port={lowest}"),
                format!("pasv_max_port={highest}"),
                "log_ftp_protocol=NO".to_owned(),
            ],
            ..VsftpdOptions::default()
        };
        Ok(Self {
            servers: Fixture::builder().ssh(sshd).ftp(ftp).servers().await?,
            passive_ports,
            programs,
            served,
        })
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

    /// The daemon and `ssh -L`, both straight to sshd.
    ///
    /// # Errors
    /// When one does not start.
    pub(super) async fn both(&self) -> Result<(Forwarder, Forwarder)> {
        let ssh = self.servers.ssh.addr();
        Ok((self.broker(ssh).await?, self.forwarding(ssh).await?))
    }

    /// A daemon of the release build with one FTP tunnel, which has no SSH connection yet.
    ///
    /// # Errors
    /// When it does not become ready; the message shows its log.
    pub(super) async fn broker(&self, ssh: SocketAddr) -> Result<Forwarder> {
        self.broker_to(ssh, self.servers.ftp.addr(), 1).await
    }

    /// The same to an FTP server of the caller's choice, with so many tunnels, the first of which is given back.
    ///
    /// # Errors
    /// As [`BenchPeers::broker`].
    pub(super) async fn broker_to(
        &self,
        ssh: SocketAddr,
        ftp: SocketAddr,
        tunnels: usize,
    ) -> Result<Forwarder> {
        let first = Tunnel::ftp(ftp).with(r#"max-sessions="2000""#);
        self.broker_with(ssh, first, tunnels).await
    }

    /// The same with a tunnel of the caller's choice.
    ///
    /// # Errors
    /// As [`BenchPeers::broker`].
    pub(super) async fn broker_with(
        &self,
        ssh: SocketAddr,
        mut first: Tunnel,
        tunnels: usize,
    ) -> Result<Forwarder> {
        let listen = free_addr()?;
        let further = Tunnel::ftp(first.to);
        first.port = listen.port();
        let mut profile = self.servers.ssh.profile()?.at(ssh);
        profile.tunnels = vec![first];
        profile.tunnels.resize(tunnels, further);
        let cipher = format!(r#"<ciphers><cipher name="{CIPHER}"/></ciphers>"#);
        let options = BrokerOptions {
            programs: Some(&self.programs),
            ..BrokerOptions::default()
        };
        let broker = Broker::start_with(&profile.with(&cipher).config(), &options).await?;
        Ok(Forwarder {
            listen,
            program: Program::Broker(broker),
        })
    }

    /// OpenSSH's client on one connection, with the control port and every passive port forwarded.
    ///
    /// # Errors
    /// When it does not forward in time; the message shows what it said.
    pub(super) async fn forwarding(&self, ssh: SocketAddr) -> Result<Forwarder> {
        self.forwarding_to(ssh, self.servers.ftp.addr(), &self.passive_ports)
            .await
    }

    /// The same to an FTP server of the caller's choice.
    ///
    /// # Errors
    /// As [`BenchPeers::forwarding`].
    pub(super) async fn forwarding_to(
        &self,
        ssh: SocketAddr,
        target: SocketAddr,
        passive_ports: &[u16],
    ) -> Result<Forwarder> {
        let ports = [&[target.port()], passive_ports].concat();
        let forwards = ports.iter().flat_map(|port| {
            let forward = format!("{FORWARDED}:{port}:{}:{port}", target.ip());
            ["-L".to_owned(), forward]
        });
        let forwards: Vec<_> = forwards.collect();
        let listen = SocketAddr::new(FORWARDED, target.port());
        self.ssh_with(ssh, &forwards, listen).await
    }

    /// OpenSSH's client on one connection with these arguments, which make it listen at `listen`.
    ///
    /// # Errors
    /// When it does not listen in time; the message shows what it said.
    pub(super) async fn ssh_with(
        &self,
        ssh: SocketAddr,
        arguments: &[String],
        listen: SocketAddr,
    ) -> Result<Forwarder> {
        let directory = tempfile::tempdir()?;
        let mut command = self.ssh(directory.path(), ssh)?;
        command.args(["-N", "-o", "ExitOnForwardFailure=yes"]);
        command.args(arguments).arg(ssh.ip().to_string());
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
    pub(super) fn ssh(&self, directory: &Path, ssh: SocketAddr) -> Result<Command> {
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

    /// A line to sshd with this round trip and, if given, so many bytes a second.
    ///
    /// # Errors
    /// When no port can be bound.
    pub(super) async fn line_to_ssh(
        &self,
        round_trip: Duration,
        bandwidth: Option<u64>,
    ) -> Result<Relay> {
        Relay::start_with(RelayOptions {
            record: false,
            delay: round_trip / 2,
            bandwidth,
            ..RelayOptions::to(self.servers.ssh.addr())
        })
        .await
    }

    /// A line straight to the FTP server, for its control port and every passive port, on which a connection takes a
    /// round trip to be made. The first relay is the control port's.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub(super) async fn line_to_ftp(&self, round_trip: Duration) -> Result<Vec<Relay>> {
        let target = self.servers.ftp.addr();
        let control = Relay::start_with(RelayOptions {
            bind: SocketAddr::new(FAR_AWAY, target.port()),
            record: false,
            delay: round_trip / 2,
            handshakes: true,
            ..RelayOptions::to(target)
        })
        .await?;
        let mut relays = vec![control];
        for port in &self.passive_ports {
            let [bind, target] = [FAR_AWAY, target.ip()].map(|ip| SocketAddr::new(ip, *port));
            let beside = match relays.first() {
                Some(control) => control.start_beside(bind, target).await?,
                None => break,
            };
            relays.push(beside);
        }
        Ok(relays)
    }
}

/// A free port for a listener that has to be named before it is there.
pub(super) fn free_addr() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, unused_port()?).into())
}

/// The first ports in a row that nobody uses on any of the addresses.
fn free_ports() -> Result<Vec<u16>> {
    let hosts = [IpAddr::V4(Ipv4Addr::LOCALHOST), FORWARDED, FAR_AWAY];
    let is_free = |port: &u16| {
        hosts
            .iter()
            .all(|ip| TcpListener::bind((*ip, *port)).is_ok())
    };
    (FIRST_PORT..LAST_PORT)
        .step_by(usize::from(PASSIVE_PORTS))
        .map(|first| (first..first + PASSIVE_PORTS).collect::<Vec<_>>())
        .find(|ports| ports.iter().all(is_free))
        .context("no ports in a row are free")
}
