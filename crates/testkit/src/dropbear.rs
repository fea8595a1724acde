//! dropbear, the SSH server of routers and small storage devices, on a free port and with a host key of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::daemon::{Place, START_ATTEMPTS, START_LIMIT};
use crate::keys::KeyPair;
use crate::process::Process;
use crate::programs::{DROPBEAR, DROPBEARCONVERT};
use crate::shadow;

/// What a dropbear lets in.
#[derive(Clone, Copy)]
pub struct DropbearOptions {
    /// The present user's password.
    pub password: &'static str,
}

/// A running dropbear, which lets the present user in with a password of its own; dropping it ends it with all its
/// sessions. It reads keys that may log in from the user's own home only.
pub struct Dropbear {
    addr: SocketAddr,
    password: &'static str,
    place: Place,
    host_key: KeyPair,
    _process: Process,
    _directory: TempDir,
}

impl Dropbear {
    /// Starts it on 127.0.0.1 and waits until it listens. Needs root, for the password.
    ///
    /// # Errors
    /// When dropbear is not installed or does not start; the message shows its log.
    pub async fn start(options: DropbearOptions) -> anyhow::Result<Self> {
        let place = Place::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None, None)?;
        let directory = place.directory()?;
        let host_key = KeyPair::generate()?;
        let key = convert(directory.path(), &host_key)?;
        let shadow = shadow::write(directory.path(), &place.account, options.password)?;
        let mut attempt = 1;
        let (addr, process) = loop {
            let addr = place.free_addr()?;
            match launch(&place, addr, &key, &shadow).await {
                Ok(process) => break (addr, process),
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        Ok(Self {
            addr,
            password: options.password,
            place,
            host_key,
            _process: process,
            _directory: directory,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The user to log in as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.place.account.name
    }

    /// The password to log in with.
    #[must_use]
    pub fn password(&self) -> &str {
        self.password
    }

    /// The public host key as one OpenSSH line.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn host_key_openssh(&self) -> anyhow::Result<String> {
        self.host_key.public_openssh()
    }
}

/// Writes the key as dropbear reads it.
fn convert(directory: &Path, key: &KeyPair) -> anyhow::Result<PathBuf> {
    let (openssh, dropbear) = (
        key.write(directory, "host_key")?,
        directory.join("dropbear_key"),
    );
    let mut command = Command::new(DROPBEARCONVERT.find()?);
    command.args(["openssh", "dropbear"]);
    let output = command.arg(openssh).arg(&dropbear).output();
    let output = output.context("cannot start dropbearconvert")?;
    ensure!(output.status.success(), "dropbearconvert: {output:?}");
    Ok(dropbear)
}

async fn launch(
    place: &Place,
    addr: SocketAddr,
    key: &Path,
    shadow: &Path,
) -> anyhow::Result<Process> {
    let mut command = Command::new(DROPBEAR.find()?);
    // Without a file for its number, in the foreground, with its log on standard error.
    command.args(["-F", "-E", "-P", "/dev/null", "-p", &addr.to_string()]);
    // Without this it listens for a forward on a free port of [::1], then on the same port of 127.0.0.1, and calls it a
    // success where that is somebody else's.
    command.arg("-a");
    command.arg("-r").arg(key);
    let process = place.spawn(shadow::laid_over(shadow, &command)?)?;
    process.wait_log("Not backgrounding", START_LIMIT).await?;
    Ok(process)
}
