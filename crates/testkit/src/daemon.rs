//! What the launchers of daemons share: a directory, a free port, an account and the start of the process.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::account::Account;
use crate::netns::Netns;
use crate::ports::unused_port;
use crate::process::Process;

/// A daemon that is not ready by then will not be.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(20);

/// A free port may be taken before the daemon binds it, but not so often in a row.
pub(crate) const START_ATTEMPTS: usize = 5;

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
