//! `vsftpd` on a free port, serving a directory of its own to anonymous users who may do everything.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::account::Account;
use crate::daemon::{self, Place};
use crate::netns::Netns;
use crate::process::Process;
use crate::programs::{OPENSSL, VSFTPD};
use crate::server_logs;

/// What messages call it.
const NAME: &str = "vsftpd";

/// What a vsftpd is like. [`Default`] is plain FTP on 127.0.0.1, as the user this process runs as.
#[derive(Clone)]
pub struct VsftpdOptions {
    /// The address to listen on, of either family.
    pub bind: IpAddr,
    /// The namespace to run in.
    pub netns: Option<Netns>,
    /// The account to run as, root's to choose; `None` is the present user's.
    pub account: Option<Account>,
    /// Whether it offers TLS, with a certificate made for it; nobody is forced to use it.
    pub tls: bool,
    /// More lines of `vsftpd.conf`, which win over the launcher's own.
    pub extra_config: Vec<String>,
}

impl Default for VsftpdOptions {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::LOCALHOST.into(),
            netns: None,
            account: None,
            tls: false,
            extra_config: Vec::new(),
        }
    }
}

/// A running vsftpd; dropping it ends it with all its sessions and removes its directory.
///
/// The user is `anonymous` (or `ftp`) with any password. A login starts in [`Vsftpd::root`], which is also what PWD
/// shows: without chroot, which takes privileges, paths are those of the host.
pub struct Vsftpd {
    addr: SocketAddr,
    place: Place,
    process: Process,
    directory: TempDir,
}

impl Vsftpd {
    /// Starts it and waits until it greets.
    ///
    /// # Errors
    /// When vsftpd (or, for TLS, openssl) is not installed or it does not start; the message says why as far as known.
    pub async fn start(options: VsftpdOptions) -> anyhow::Result<Self> {
        let place = Place::new(options.bind, options.netns.clone(), options.account.clone())?;
        let directory = place.directory()?;
        make_directories(&place, directory.path())?;
        if options.tls {
            make_certificate(&place, directory.path())?;
        }
        let command = |addr| {
            let config = write_config(directory.path(), addr, &options)?;
            place.own(&config)?;
            command(directory.path())
        };
        let greeting = greeting(directory.path());
        let (addr, process) = daemon::start(&place, NAME, &greeting, command).await?;
        Ok(Self {
            addr,
            place,
            process,
            directory,
        })
    }

    /// Kills it with all its sessions and starts it again on the same port and directory, as after a crash.
    ///
    /// # Errors
    /// When it does not start again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        let directory = self.directory.path();
        let (command, greeting) = (command(directory)?, greeting(directory));
        self.process = daemon::start_at(&self.place, self.addr, NAME, &greeting, command).await?;
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The directory it serves.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        root_of(self.directory.path())
    }

    /// Every command, reply and transfer it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(log_of(self.directory.path())).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Process ids of the sessions open now.
    #[must_use]
    pub fn session_pids(&self) -> Vec<u32> {
        self.process.children()
    }

    /// The running process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it with all its sessions; its port refuses from then on.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Vsftpd {
    fn drop(&mut self) {
        server_logs::hand_in(NAME, &self.log());
    }
}

fn root_of(directory: &Path) -> PathBuf {
    directory.join("root")
}

fn log_of(directory: &Path) -> PathBuf {
    directory.join("log")
}

fn config_of(directory: &Path) -> PathBuf {
    directory.join("vsftpd.conf")
}

fn command(directory: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(VSFTPD.find()?);
    command.arg(config_of(directory));
    Ok(command)
}

fn make_directories(place: &Place, directory: &Path) -> anyhow::Result<()> {
    for path in [root_of(directory), directory.join("empty")] {
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        place.own(&path)?;
    }
    Ok(())
}

/// A self-signed certificate and its key in one file, as vsftpd wants them by default.
fn make_certificate(place: &Place, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("certificate.pem");
    let output = Command::new(OPENSSL.find()?)
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '),
        )
        .args(["-subj", "/CN=localhost"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1",
        ])
        .arg("-keyout")
        .arg(&path)
        .arg("-out")
        .arg(directory.join("certificate.crt"))
        .output()
        .context("cannot start openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "openssl made no certificate: {said}"
    );
    let mut both = fs::read(&path)?;
    both.extend(fs::read(directory.join("certificate.crt"))?);
    fs::write(&path, both).with_context(|| format!("cannot write {}", path.display()))?;
    place.own(&path)
}

fn write_config(
    directory: &Path,
    addr: SocketAddr,
    options: &VsftpdOptions,
) -> anyhow::Result<PathBuf> {
    let listen = match addr {
        SocketAddr::V4(_) => format!("listen=YES\nlisten_address={}", addr.ip()),
        SocketAddr::V6(_) => format!("listen=NO\nlisten_ipv6=YES\nlisten_address6={}", addr.ip()),
    };
    let tls = match options.tls {
        true => format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=NO\nforce_anon_data_ssl=NO\n\
             require_ssl_reuse=NO\nrsa_cert_file={}/certificate.pem",
            directory.display()
        ),
        false => "ssl_enable=NO".to_owned(),
    };
    let config = format!(
        "{listen}
listen_port={port}
background=NO
run_as_launching_user=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
anonymous_enable=YES
anon_root={root}
anon_umask=022
anon_world_readable_only=NO
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
allow_writeable_chroot=YES
connect_from_port_20=NO
pasv_promiscuous=NO
secure_chroot_dir={directory}/empty
ftpd_banner={greeting}
xferlog_enable=YES
vsftpd_log_file={log}
log_ftp_protocol=YES
{tls}
{extra}
",
        port = addr.port(),
        root = root_of(directory).display(),
        directory = directory.display(),
        greeting = greeting(directory),
        log = log_of(directory).display(),
        extra = options.extra_config.join("\n"),
    );
    let path = config_of(directory);
    fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The directory's name is unique, so that nobody else's server on the same port is taken for this one. The program's is
/// that of its usual greeting.
fn greeting(directory: &Path) -> String {
    format!("(vsFTPd) of {}", directory.display())
}

#[cfg(test)]
#[path = "vsftpd_tests.rs"]
mod tests;
