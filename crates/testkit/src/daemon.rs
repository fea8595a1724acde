//! What the launchers of daemons share: a directory, a free port, an account and the start of the process.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::account::Account;
use crate::netns::Netns;
use crate::ports::unused_port;
use crate::process::Process;

/// A daemon that is not ready by then will not be.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(20);

/// A free port may be taken before the daemon binds it, but not so often in a row.
pub(crate) const START_ATTEMPTS: usize = 5;

/// A daemon that does not say when it listens is asked this often.
const READY_POLL: Duration = Duration::from_millis(10);

/// A connection to a port that is open gets its greeting within this time.
const GREETING_LIMIT: Duration = Duration::from_secs(5);

/// Where and as whom a daemon runs.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) bind: IpAddr,
    pub(crate) netns: Option<Netns>,
    pub(crate) account: Account,
}

impl Place {
    /// `account` defaults to the one this process runs as.
    pub(crate) fn new(
        bind: IpAddr,
        netns: Option<Netns>,
        account: Option<Account>,
    ) -> anyhow::Result<Self> {
        let account = match account {
            Some(account) => account,
            None => Account::current()?,
        };
        Ok(Self {
            bind,
            netns,
            account,
        })
    }

    /// An address that nobody listens on.
    pub(crate) fn free_addr(&self) -> anyhow::Result<SocketAddr> {
        let port = match &self.netns {
            Some(netns) => netns.enter(unused_port)??,
            None => unused_port()?,
        };
        Ok(SocketAddr::new(self.bind, port))
    }

    /// A temporary directory that belongs to the account.
    pub(crate) fn directory(&self) -> anyhow::Result<TempDir> {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        self.own(directory.path())?;
        Ok(directory)
    }

    /// Hands a file or directory to the account.
    pub(crate) fn own(&self, path: &Path) -> anyhow::Result<()> {
        if self.is_other() {
            chown(path, Some(self.account.uid), Some(self.account.gid)).with_context(|| {
                format!("cannot give {} to {}", path.display(), self.account.name)
            })?;
        }
        Ok(())
    }

    pub(crate) fn spawn(&self, mut command: Command) -> anyhow::Result<Process> {
        if self.is_other() {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        Process::spawn(command, self.netns.as_ref())
    }

    fn is_other(&self) -> bool {
        self.account.uid != rustix::process::geteuid().as_raw()
    }
}

/// Starts a daemon on a free port and waits until it greets with this text.
pub(crate) async fn start(
    place: &Place,
    name: &str,
    greeting: &str,
    command: impl Fn(SocketAddr) -> anyhow::Result<Command>,
) -> anyhow::Result<(SocketAddr, Process)> {
    let mut attempt = 1;
    loop {
        let addr = place.free_addr()?;
        match start_at(place, addr, name, greeting, command(addr)?).await {
            Ok(process) => return Ok((addr, process)),
            Err(_) if attempt < START_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Starts a daemon for this address and waits until it greets with this text.
pub(crate) async fn start_at(
    place: &Place,
    addr: SocketAddr,
    name: &str,
    greeting: &str,
    command: Command,
) -> anyhow::Result<Process> {
    let mut process = place.spawn(command)?;
    let deadline = Instant::now() + START_LIMIT;
    while process.is_running() && Instant::now() < deadline {
        let read = || read_greeting(addr);
        let read = match &place.netns {
            Some(netns) => netns.enter(read)?,
            None => read(),
        };
        if read.is_ok_and(|read| read.contains(greeting)) {
            return Ok(process);
        }
        sleep(READY_POLL).await;
    }
    let said = process.output();
    anyhow::bail!("{name} does not serve on {addr}: {}", said.trim());
}

fn read_greeting(addr: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(GREETING_LIMIT))?;
    let mut greeting = [0; 512];
    let count = stream.read(&mut greeting)?;
    let greeting = greeting.get(..count).unwrap_or_default();
    Ok(String::from_utf8_lossy(greeting).into_owned())
}
