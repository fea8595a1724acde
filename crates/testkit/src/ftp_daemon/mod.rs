//! FTP servers that people run, each on a free port of 127.0.0.1, serving its own directory to one user who may do
//! everything.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::account::Account;
use crate::daemon::{self, Place};
use crate::process::Process;
use crate::server_logs;
use crate::vsftpd::{Vsftpd, VsftpdOptions};

mod inetutils;
mod proftpd;
mod pure_ftpd;
mod pyftpdlib;

/// The user of every server but vsftpd, whose launcher knows anonymous users alone.
const USER: &str = "tester";

/// The password of every user here.
const PASSWORD: &str = "guest";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FtpProgram {
    /// vsftpd.
    Vsftpd,
    /// ProFTPD.
    Proftpd,
    /// Pure-FTPd, which takes root.
    PureFtpd,
    /// Python's pyftpdlib.
    Pyftpdlib,
    /// The `ftpd` of GNU inetutils, which takes root.
    Inetutils,
}

impl fmt::Display for FtpProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
            Self::Pyftpdlib => "pyftpdlib",
            Self::Inetutils => "inetutils ftpd",
        })
    }
}

/// A running server; dropping it ends it with all its sessions and removes its directory.
pub struct FtpDaemon {
    addr: SocketAddr,
    user: &'static str,
    root: PathBuf,
    _running: Running,
}

/// What ends with the server.
enum Running {
    Vsftpd { _server: Box<Vsftpd> },
    Other { _server: Served },
}

impl FtpDaemon {
    /// Starts a server and waits until it greets.
    ///
    /// # Errors
    /// When a program is not installed or does not start; the message says why as far as known.
    pub async fn start(program: FtpProgram) -> anyhow::Result<Self> {
        match program {
            FtpProgram::Vsftpd => Self::vsftpd().await,
            FtpProgram::Proftpd => proftpd::start().await.map(Self::other),
            FtpProgram::PureFtpd => pure_ftpd::start().await.map(Self::other),
            FtpProgram::Pyftpdlib => pyftpdlib::start().await.map(Self::other),
            FtpProgram::Inetutils => inetutils::start().await.map(Self::other),
        }
    }

    async fn vsftpd() -> anyhow::Result<Self> {
        let server = Vsftpd::start(VsftpdOptions::default()).await?;
        Ok(Self {
            addr: server.addr(),
            user: "anonymous",
            root: server.root(),
            _running: Running::Vsftpd {
                _server: Box::new(server),
            },
        })
    }

    fn other(server: Served) -> Self {
        Self {
            addr: server.addr,
            user: USER,
            root: server.site.root(),
            _running: Running::Other { _server: server },
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The user to log in as.
    #[must_use]
    pub fn user(&self) -> &'static str {
        self.user
    }

    /// The password to log in with.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The directory in which a login starts.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The directory of a server: its configuration, and the files that it serves.
struct Site {
    directory: TempDir,
    /// Whom the files belong to.
    owner: Account,
}

impl Site {
    /// A directory whose files belong to `owner`.
    fn new(owner: Account) -> anyhow::Result<Self> {
        let place = Place::new(Ipv4Addr::LOCALHOST.into(), None, Some(owner.clone()))?;
        let directory = place.directory()?;
        let site = Self { directory, owner };
        let root = site.root();
        fs::create_dir(&root).with_context(|| format!("cannot make {}", root.display()))?;
        place.own(&root)?;
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// The directory's name is unique, so nobody else's server on the same port is taken for this one.
    fn greeting(&self) -> String {
        format!("Server of {}", self.directory.path().display())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// A server that is neither vsftpd nor ended.
struct Served {
    name: FtpProgram,
    addr: SocketAddr,
    process: Process,
    site: Site,
}

impl Served {
    /// Starts the command for a free port, and waits for the greeting.
    async fn start(
        name: FtpProgram,
        site: Site,
        account: Option<Account>,
        greeting: &str,
        command: impl Fn(&Site, SocketAddr) -> anyhow::Result<std::process::Command>,
    ) -> anyhow::Result<Self> {
        let place = Place::new(Ipv4Addr::LOCALHOST.into(), None, account)?;
        let made = |addr| command(&site, addr);
        let (addr, process) = daemon::start(&place, &name.to_string(), greeting, made).await?;
        Ok(Self {
            name,
            addr,
            process,
            site,
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        server_logs::hand_in(&self.name.to_string(), &self.process.output());
    }
}

/// Whom the files belong to where the server drops root's rights.
fn unprivileged() -> anyhow::Result<Account> {
    let current = Account::current()?;
    if current.is_root() {
        return Account::named("nobody");
    }
    Ok(current)
}

#[cfg(test)]
mod tests;
