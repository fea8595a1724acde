//! Programs that tests need: where they are, how to get them, and the broker's own programs.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context;

/// Directories that hold daemons but are missing from an ordinary user's `PATH`.
const DAEMON_DIRECTORIES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Names the directory with `brokerd` and `broker-ctl`; whoever sets it has built them.
const BIN_DIR: &str = "SSH_BROKER_BIN_DIR";

/// A program somebody else has to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The program's name.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// OpenSSH's daemon.
pub const SSHD: Requirement = requirement("sshd", "openssh-server");
/// OpenSSH's client.
pub const SSH: Requirement = requirement("ssh", "openssh-client");
/// The SSH daemon of routers.
pub const DROPBEAR: Requirement = requirement("dropbear", "dropbear-bin");
/// Writes keys as dropbear reads them.
pub const DROPBEARCONVERT: Requirement = requirement("dropbearconvert", "dropbear-bin");
/// The FTP daemon of the end-to-end tests.
pub const VSFTPD: Requirement = requirement("vsftpd", "vsftpd");
/// An FTP daemon with a configuration like that of a web server.
pub const PROFTPD: Requirement = requirement("proftpd", "proftpd-core");
/// An FTP daemon that is configured by its arguments.
pub const PURE_FTPD: Requirement = requirement("pure-ftpd", "pure-ftpd");
/// Writes the users of pure-ftpd.
pub const PURE_PW: Requirement = requirement("pure-pw", "pure-ftpd-common");
/// The FTP daemon of GNU inetutils, which is started for each connection.
pub const INETUTILS_FTPD: Requirement = requirement("ftpd", "inetutils-ftpd");
/// Accepts connections for a program that serves its standard streams.
pub const SOCAT: Requirement = requirement("socat", "socat");
/// An FTP client that prefers EPSV.
pub const CURL: Requirement = requirement("curl", "curl");
/// An FTP client that prefers PASV and tries TLS first.
pub const LFTP: Requirement = requirement("lftp", "lftp");
/// The BSD FTP client.
pub const TNFTP: Requirement = requirement("tnftp", "tnftp");
/// An FTP client that fetches whole trees.
pub const NCFTPGET: Requirement = requirement("ncftpget", "ncftp");
/// The same for uploads.
pub const NCFTPPUT: Requirement = requirement("ncftpput", "ncftp");
/// Checks metrics and alert rules of Prometheus.
pub const PROMTOOL: Requirement = requirement("promtool", "prometheus");
/// Python, for its `ftplib`.
pub const PYTHON: Requirement = requirement("python3", "python3");
/// Makes certificates for an FTP server with TLS.
pub const OPENSSL: Requirement = requirement("openssl", "openssl");
/// Starts a program as the leader of a session with a terminal.
pub const SETSID: Requirement = requirement("setsid", "util-linux");
/// A SOCKS 5 proxy.
pub const MICROSOCKS: Requirement = requirement("microsocks", "microsocks");
/// An HTTP proxy.
pub const TINYPROXY: Requirement = requirement("tinyproxy", "tinyproxy-bin");
/// Checks systemd's units.
pub const SYSTEMD_ANALYZE: Requirement = requirement("systemd-analyze", "systemd");
/// Makes the users of systemd's units.
pub const SYSTEMD_SYSUSERS: Requirement = requirement("systemd-sysusers", "systemd");
/// Makes a program speak through a SOCKS or HTTP proxy.
pub const PROXYCHAINS4: Requirement = requirement("proxychains4", "proxychains4");
/// Makes a program speak through a SOCKS proxy.
pub const TSOCKS: Requirement = requirement("tsocks", "tsocks");
/// Makes network namespaces.
pub const IP: Requirement = requirement("ip", "iproute2");
/// Translates addresses.
pub const NFT: Requirement = requirement("nft", "nftables");
/// A load balancer.
pub const HAPROXY: Requirement = requirement("haproxy", "haproxy");

/// Runs a program as another user.
pub const SETPRIV: Requirement = requirement("setpriv", "util-linux");
/// Runs a program in namespaces of its own.
pub const UNSHARE: Requirement = requirement("unshare", "util-linux");

/// Runs a program in the namespaces of another one.
pub const NSENTER: Requirement = requirement("nsenter", "util-linux");
/// Checks Debian packages.
pub const LINTIAN: Requirement = requirement("lintian", "lintian");

const fn requirement(program: &'static str, package: &'static str) -> Requirement {
    Requirement { program, package }
}

impl Requirement {
    /// The program's absolute path.
    ///
    /// # Errors
    /// When it is not installed; the message says how to install it.
    pub fn find(&self) -> anyhow::Result<PathBuf> {
        find_program(self.program).with_context(|| self.to_string())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, package } = self;
        write!(f, "{program} is not installed: apt install {package}")
    }
}

/// The absolute path of a program on `PATH` or among the daemons.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(DAEMON_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

/// Debian's own Python; the first one on `PATH` may be another, without the modules that Debian packs.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// The first Python that can import a module.
#[must_use]
pub fn python_with(module: &str) -> Option<PathBuf> {
    let mut candidates = PYTHON.find().into_iter().chain([SYSTEM_PYTHON.into()]);
    candidates.find(|python| imports(python, module))
}

fn imports(python: &Path, module: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", &format!("import {module}")]);
    import.output().is_ok_and(|output| output.status.success())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// One of the programs of this workspace, such as `brokerd` or `broker-ctl`.
///
/// It is looked for in the directory that `SSH_BROKER_BIN_DIR` names; without that variable both are built once and taken
/// from the target directory.
///
/// # Errors
/// When it is not there or cannot be built.
pub fn broker_program(name: &str) -> anyhow::Result<PathBuf> {
    let directory = match env::var_os(BIN_DIR) {
        Some(directory) => PathBuf::from(directory),
        None => built_programs()?,
    };
    let program = directory.join(name);
    anyhow::ensure!(
        is_executable(&program),
        "there is no program {}: build it, or let {BIN_DIR} name its directory",
        program.display()
    );
    Ok(program)
}

/// Builds the programs, once in this process, and returns their directory.
fn built_programs() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build_programs().map_err(|e| format!("{e:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// The whole workspace, since that is what tests are built with: for two packages alone cargo would choose other
/// features, and build every dependency again.
fn build_programs() -> anyhow::Result<PathBuf> {
    let directory = target_directory()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--workspace", "--bins"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if directory.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().context("cannot start cargo")?;
    anyhow::ensure!(
        status.success(),
        "cargo cannot build brokerd and broker-ctl"
    );
    Ok(directory)
}

/// The profile's directory in the target directory: test programs lie in its `deps`, others beside the programs.
fn target_directory() -> anyhow::Result<PathBuf> {
    let this = env::current_exe().context("cannot tell where this program is")?;
    let directory = this.parent().context("this program has no directory")?;
    let directory = if directory.ends_with("deps") || directory.ends_with("examples") {
        directory
            .parent()
            .context("the target directory has no parent")?
    } else {
        directory
    };
    Ok(directory.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(find_program("sh").unwrap().is_absolute());
        assert_eq!(find_program("no-such-program-anywhere"), None);
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let missing = requirement("no-such-program", "some-package");
        let error = missing.find().unwrap_err().to_string();
        assert_eq!(
            error,
            "no-such-program is not installed: apt install some-package"
        );
    }
}
