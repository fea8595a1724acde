//! Real proxies on free ports of 127.0.0.1: microsocks, tinyproxy, and OpenSSH's client as a SOCKS proxy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::daemon::{Place, START_ATTEMPTS, START_LIMIT};
use crate::process::Process;
use crate::programs::{MICROSOCKS, SSH, TINYPROXY};
use crate::sshd::Sshd;

/// How often a proxy that is starting is tried.
const READY_POLL: Duration = Duration::from_millis(20);

/// A user and a password.
pub type Login<'a> = (&'a str, &'a str);

/// A running proxy; dropping it ends it.
pub struct Proxy {
    addr: SocketAddr,
    process: Process,
    _directory: TempDir,
}

impl Proxy {
    /// microsocks: SOCKS 5. It logs `connected to HOST:PORT` for each server as its client wrote it.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn microsocks(login: Option<Login<'_>>) -> anyhow::Result<Self> {
        let program = MICROSOCKS.find()?;
        Self::start(|addr, _| {
            let mut command = Command::new(&program);
            command.args(["-i", &addr.ip().to_string(), "-p", &addr.port().to_string()]);
            if let Some((user, password)) = login {
                command.args(["-u", user, "-P", password]);
            }
            Ok(command)
        })
        .await
    }

    /// tinyproxy: HTTP. It lets its clients connect to `ports` only; none: to all.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn tinyproxy(login: Option<Login<'_>>, ports: &[u16]) -> anyhow::Result<Self> {
        let program = TINYPROXY.find()?;
        Self::start(|addr, directory| {
            let mut config = format!(
                "Listen {}\nPort {}\nLogLevel Info\n",
                addr.ip(),
                addr.port()
            );
            config.extend(ports.iter().map(|port| format!("ConnectPort {port}\n")));
            config.extend(login.map(|(user, password)| format!("BasicAuth {user} {password}\n")));
            let path = directory.join("tinyproxy.conf");
            fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
            let mut command = Command::new(&program);
            command.arg("-d").arg("-c").arg(path);
            Ok(command)
        })
        .await
    }

    /// `ssh -D`: SOCKS 4, 4a and 5 in one, which connects from where `sshd` is.
    ///
    /// # Errors
    /// When it is not installed, cannot log in or does not start.
    pub async fn openssh(sshd: &Sshd) -> anyhow::Result<Self> {
        let program = SSH.find()?;
        Self::start(|addr, _| {
            let mut command = Command::new(&program);
            command
                .args([
                    "-N",
                    "-F",
                    "none",
                    "-o",
                    "BatchMode=yes",
                    "-o",
                    "IdentitiesOnly=yes",
                ])
                .args([
                    "-o",
                    "ExitOnForwardFailure=yes",
                    "-o",
                    "StrictHostKeyChecking=no",
                ])
                .args(["-o", "UserKnownHostsFile=/dev/null"])
                .args(["-D", &addr.to_string()])
                .arg("-i")
                .arg(sshd.identity_file())
                .args(["-p", &sshd.addr().port().to_string(), "-l", sshd.user()])
                .arg(sshd.addr().ip().to_string());
            Ok(command)
        })
        .await
    }

    async fn start(
        command: impl Fn(SocketAddr, &Path) -> anyhow::Result<Command>,
    ) -> anyhow::Result<Self> {
        let place = Place::new(Ipv4Addr::LOCALHOST.into(), None, None)?;
        let directory = place.directory()?;
        let mut attempt = 1;
        loop {
            let addr = place.free_addr()?;
            let mut process = Process::spawn(command(addr, directory.path())?, None)?;
            match wait_listening(addr, &mut process).await {
                Ok(()) => {
                    return Ok(Self {
                        addr,
                        process,
                        _directory: directory,
                    });
                }
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }
}

/// Not every proxy says when it is ready.
async fn wait_listening(addr: SocketAddr, process: &mut Process) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    while process.is_running() && Instant::now() < deadline {
        if TcpStream::connect(addr).await.is_ok() {
            return Ok(());
        }
        sleep(READY_POLL).await;
    }
    anyhow::bail!("no proxy on {addr}: {}", process.output().trim())
}
