//! OpenSSH's `sshd` on a free port, with a configuration, host key and login key of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::account::Account;
use crate::daemon::{Place, START_ATTEMPTS, START_LIMIT};
use crate::keys::KeyPair;
use crate::netns::Netns;
use crate::process::Process;
use crate::programs::SSHD;
use crate::shadow;

/// Where root's sshd separates its privileges; the system makes it at boot, a container does not boot.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// What an sshd is like. [`Default`] forwards everything on 127.0.0.1, as the user this process runs as.
#[derive(Clone)]
pub struct SshdOptions {
    /// The address to listen on; in a namespace usually its [`Netns::inside_addr`].
    pub bind: IpAddr,
    /// The namespace to run in.
    pub netns: Option<Netns>,
    /// The account to run as and to log in as, root's to choose; `None` is the present user's.
    pub account: Option<Account>,
    /// `AllowTcpForwarding`: `yes`, `no`, `local` or `remote`.
    pub allow_tcp_forwarding: &'static str,
    /// A password that logs in too, by the methods `password` and, with PAM, `keyboard-interactive`. Root's to choose.
    pub password: Option<String>,
    /// More lines of `sshd_config`, which win over the launcher's own.
    pub extra_config: Vec<String>,
}

impl Default for SshdOptions {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::LOCALHOST.into(),
            netns: None,
            account: None,
            allow_tcp_forwarding: "yes",
            password: None,
            extra_config: Vec::new(),
        }
    }
}

/// A running sshd; dropping it ends it with all its sessions.
pub struct Sshd {
    addr: SocketAddr,
    place: Place,
    host_key: KeyPair,
    client_key: KeyPair,
    process: Process,
    /// What lies over the host's shadow file.
    shadow: Option<PathBuf>,
    directory: TempDir,
}

impl Sshd {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When sshd is not installed or does not start; the message shows its log.
    pub async fn start(options: SshdOptions) -> anyhow::Result<Self> {
        let program = SSHD.find()?;
        let place = Place::new(options.bind, options.netns.clone(), options.account.clone())?;
        if place.account.is_root() {
            make_privilege_separation_directory()?;
        }
        let directory = place.directory()?;
        let (host_key, client_key) = (KeyPair::generate()?, KeyPair::generate()?);
        write_keys(&place, directory.path(), &host_key, &client_key)?;
        let shadow = match &options.password {
            Some(password) => Some(shadow::write(directory.path(), &place.account, password)?),
            None => None,
        };

        let mut attempt = 1;
        let (addr, process) = loop {
            let addr = place.free_addr()?;
            let config = write_config(&program, directory.path(), addr, &place, &options)?;
            match launch(&program, &config, &place, shadow.as_deref()).await {
                Ok(process) => break (addr, process),
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        Ok(Self {
            addr,
            place,
            host_key,
            client_key,
            process,
            shadow,
            directory,
        })
    }

    /// Kills it with all its sessions and starts it again on the same port and with the same keys, as after a crash.
    ///
    /// # Errors
    /// When it does not start again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        let config = config_of(self.directory.path());
        let shadow = self.shadow.as_deref();
        self.process = launch(&SSHD.find()?, &config, &self.place, shadow).await?;
        Ok(())
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

    /// The public host key as one OpenSSH line.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn host_key_openssh(&self) -> anyhow::Result<String> {
        self.host_key.public_openssh()
    }

    /// The file with the private key that may log in; its public half lies beside it.
    #[must_use]
    pub fn identity_file(&self) -> PathBuf {
        self.directory.path().join("client_key")
    }

    /// The file that says which keys may log in, to be changed at any time.
    #[must_use]
    pub fn authorized_keys(&self) -> PathBuf {
        self.directory.path().join("authorized_keys")
    }

    /// The key that may log in.
    #[must_use]
    pub fn client_key(&self) -> &KeyPair {
        &self.client_key
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Process ids of the sessions open now, one a connection.
    #[must_use]
    pub fn session_pids(&self) -> Vec<u32> {
        self.process.children()
    }

    /// Kills one session, as a crash would; false when there is no such session.
    pub fn kill_session(&self, pid: u32) -> bool {
        self.process.kill_child(pid)
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The running process, for signals and for waiting on its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it with all its sessions; its port refuses from then on.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// The version of the `sshd` that [`Sshd`] starts, such as `(9, 2)`; `None` if it is not installed.
#[must_use]
pub fn version() -> Option<(u32, u32)> {
    let said = Command::new(SSHD.find().ok()?).arg("-V").output().ok()?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let (_, version) = said.split_once("OpenSSH_")?;
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

fn config_of(directory: &Path) -> PathBuf {
    directory.join("sshd_config")
}

async fn launch(
    program: &Path,
    config: &Path,
    place: &Place,
    shadow: Option<&Path>,
) -> anyhow::Result<Process> {
    let mut command = Command::new(program);
    command.args(["-D", "-e", "-f"]).arg(config);
    if let Some(shadow) = shadow {
        command = shadow::laid_over(shadow, &command)?;
    }
    let process = place.spawn(command)?;
    process.wait_log("Server listening on", START_LIMIT).await?;
    Ok(process)
}

fn make_privilege_separation_directory() -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(PRIVILEGE_SEPARATION)
        .with_context(|| format!("cannot make {PRIVILEGE_SEPARATION}, which sshd needs"))
}

fn write_keys(
    place: &Place,
    directory: &Path,
    host_key: &KeyPair,
    client_key: &KeyPair,
) -> anyhow::Result<()> {
    let host_file = host_key.write(directory, "host_key")?;
    place.own(&host_file)?;
    client_key.write(directory, "client_key")?;
    let authorized = directory.join("authorized_keys");
    fs::write(&authorized, client_key.public_openssh()?)
        .with_context(|| format!("cannot write {}", authorized.display()))
}

fn write_config(
    program: &Path,
    directory: &Path,
    addr: SocketAddr,
    place: &Place,
    options: &SshdOptions,
) -> anyhow::Result<PathBuf> {
    // For most settings sshd takes the first line it meets, so that the caller's come first. An ordinary user's sshd
    // cannot read the shadow file, and without PAM takes that for a locked account. Without GatewayPorts a remote forward
    // on a port of the server's choice takes a port of ::1, and goes on without 127.0.0.1 where another program has it
    // there.
    let mut config = options.extra_config.join("\n");
    if options.password.is_some() {
        config += "\nPasswordAuthentication yes\nPermitRootLogin yes";
    }
    config += &format!(
        "
Port {port}
ListenAddress {address}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
UsePAM {pam}
UseDNS no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding {forwarding}
GatewayPorts clientspecified
MaxStartups 1000
LogLevel DEBUG1
",
        port = addr.port(),
        address = addr.ip(),
        directory = directory.display(),
        forwarding = options.allow_tcp_forwarding,
        pam = if place.account.is_root() { "no" } else { "yes" },
    );
    let path = config_of(directory);
    let write = |config: &str| {
        fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))
    };
    // Newer servers punish an address for failed logins, and here all clients share one. Older ones reject the option.
    write(&format!("{config}PerSourcePenalties no\n"))?;
    let mut check = Command::new(program);
    check.args(["-t", "-f"]).arg(&path);
    if !check
        .output()
        .context("cannot start sshd")?
        .status
        .success()
    {
        write(&config)?;
    }
    Ok(path)
}

#[cfg(test)]
#[path = "sshd_tests.rs"]
mod tests;
