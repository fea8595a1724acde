//! The programs that the tests need: which are missing, and getting them where we may

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use testkit::programs::{self, Requirement, find_program};
use tokio::process::Command;

use crate::process::{self, Ending};

/// Downloading and unpacking some twenty packages takes a minute; a mirror that hangs would take for ever.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
/// Where services are kept from being started on installation.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// What Debian packs apart from Python itself: the tests of its FTP client among them.
const PYTHON_TESTS: &str = "Python's own test suite";

/// Makes Debian packages. Cargo installs it, and Debian 12 does not have it.
const CARGO_DEB: &str = "cargo-deb";

const NEEDS: &[Requirement] = &[
    programs::SSHD,
    programs::SSH,
    programs::DROPBEAR,
    programs::DROPBEARCONVERT,
    programs::VSFTPD,
    programs::CURL,
    programs::LFTP,
    programs::TNFTP,
    programs::PYTHON,
    programs::MICROSOCKS,
    programs::TINYPROXY,
    programs::PROXYCHAINS4,
    programs::TSOCKS,
    programs::IP,
    programs::SETSID,
    programs::OPENSSL,
    programs::UNSHARE,
    programs::NSENTER,
    programs::LINTIAN,
    programs::SETPRIV,
    programs::SYSTEMD_ANALYZE,
    programs::SYSTEMD_SYSUSERS,
    programs::NFT,
    programs::HAPROXY,
    programs::PROMTOOL,
];

/// A need that is not met: what is missing, and the Debian package that brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    what: String,
    package: String,
}

/// What to do about a need that a skipped test names, such as `vsftpd` or `root`.
pub(crate) fn advice(need: &str) -> String {
    if need.contains("root") {
        return "run as root".to_owned();
    }
    if need == CARGO_DEB {
        return format!("cargo install --locked {CARGO_DEB}");
    }
    if need == PYTHON_TESTS {
        return format!("apt-get install {}", testsuite_package());
    }
    let known = NEEDS.iter().find(|known| known.program == need);
    match known {
        Some(known) => format!("apt-get install {}", known.package),
        None => format!("install {need}"),
    }
}

/// Installs what is missing where that is possible; says by name what stays missing.
pub(crate) async fn meet() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("Every program that the tests need is there");
        return Ok(());
    }
    match may_install() {
        Ok(()) => {
            let packages = packages(&missing);
            println!(
                "Installing with apt-get, starting no service: {}",
                packages.join(" ")
            );
            if let Err(error) = install(&packages).await {
                println!("apt-get did not succeed: {error:#}");
            }
        }
        Err(reason) => println!("Nothing can be installed here: {reason}"),
    }
    tell(&self::missing());
    Ok(())
}

fn tell(missing: &[Missing]) {
    if missing.is_empty() {
        return;
    }
    println!("Missing, so that the tests that need it are skipped:");
    for need in missing {
        println!("  {:<24} apt-get install {}", need.what, need.package);
    }
}

fn missing() -> Vec<Missing> {
    let programs = NEEDS.iter().filter(|need| need.find().is_err());
    let mut missing: Vec<Missing> = programs
        .map(|need| Missing {
            what: need.program.to_owned(),
            package: need.package.to_owned(),
        })
        .collect();
    if !has_ftplib_tests() {
        missing.push(Missing {
            what: PYTHON_TESTS.to_owned(),
            package: testsuite_package(),
        });
    }
    missing
}

fn packages(missing: &[Missing]) -> Vec<String> {
    let mut packages: Vec<String> = missing.iter().map(|need| need.package.clone()).collect();
    packages.sort();
    packages.dedup();
    packages
}

/// Whether Python's own tests of its FTP client are there: Debian packs them apart from Python.
fn has_ftplib_tests() -> bool {
    let imports = |python: &str| {
        let mut command = std::process::Command::new(python);
        command.args(["-c", "import test.test_ftplib"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    imports("python3") || imports("/usr/bin/python3")
}

/// The test suite is a package of its own for each version of Python.
fn testsuite_package() -> String {
    let version = std::process::Command::new("/usr/bin/python3")
        .arg("--version")
        .output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let minor = version.ok().and_then(|text| minor_version(&text));
    // Debian 12's, which is what gets installed where there is no Python yet.
    format!(
        "libpython{}-testsuite",
        minor.unwrap_or_else(|| "3.11".to_owned())
    )
}

/// `3.11` from `Python 3.11.2`.
fn minor_version(text: &str) -> Option<String> {
    let mut parts = text.trim().strip_prefix("Python ")?.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

fn may_install() -> Result<(), String> {
    if find_program("apt-get").is_none() {
        return Err("there is no apt-get".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("that takes root".to_owned());
    }
    Ok(())
}

async fn install(packages: &[String]) -> Result<()> {
    let _quiet = NoServices::begin()?;
    if apt_get("install", packages).await.is_ok() {
        return Ok(());
    }
    // The lists of packages may be missing or out of date.
    apt_get("update", &[]).await?;
    // One by one: a package that this release does not have must not keep the others out.
    for package in packages {
        if let Err(error) = apt_get("install", std::slice::from_ref(package)).await {
            println!("{package} cannot be installed: {error:#}");
        }
    }
    Ok(())
}

async fn apt_get(verb: &str, packages: &[String]) -> Result<()> {
    // Through a shell, so that complaints stand in order with what they complain about.
    let mut command = Command::new("sh");
    command.args(["-c", "exec apt-get \"$@\" 2>&1", "apt-get", "-q", "-y"]);
    command.args([
        "-o",
        "DPkg::Lock::Timeout=120",
        "-o",
        "Dpkg::Use-Pty=0",
        verb,
    ]);
    if verb == "install" {
        command.arg("--no-install-recommends").args(packages);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let mut complaints = Vec::new();
    let ending = process::run(&mut command, INSTALL_LIMIT, |line| {
        if line.starts_with("E:") {
            complaints.push(line.to_owned());
        }
    });
    match ending.await? {
        Ending::Exited(status) if status.success() => Ok(()),
        Ending::Exited(status) => bail!(
            "apt-get {verb} ended with {status}: {}",
            complaints.join("; ")
        ),
        Ending::TimedOut => bail!(
            "apt-get {verb} took longer than {} s",
            INSTALL_LIMIT.as_secs()
        ),
    }
}

/// While it lives, installing a package starts no service. A policy that is already there stays as it is.
struct NoServices {
    own: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { own: false });
        }
        let script = "#!/bin/sh\n# Written by cargo xtask test for the time of an installation: start no service.\nexit 101\n";
        std::fs::write(POLICY, script).with_context(|| format!("cannot write {POLICY}"))?;
        let quiet = Self { own: true };
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(POLICY, executable)
            .with_context(|| format!("cannot make {POLICY} executable"))?;
        Ok(quiet)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.own
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            eprintln!("Remove {POLICY} yourself, or no service starts on installation: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_tells_its_version() {
        assert_eq!(minor_version("Python 3.11.2\n").as_deref(), Some("3.11"));
        assert_eq!(minor_version("what?"), None);
    }

    #[test]
    fn a_need_is_followed_by_what_to_do() {
        assert_eq!(advice("sshd"), "apt-get install openssh-server");
        assert_eq!(advice("root"), "run as root");
        assert_eq!(advice("cargo-deb"), "cargo install --locked cargo-deb");
        assert!(advice(PYTHON_TESTS).starts_with("apt-get install libpython3"));
        assert_eq!(advice("unheard-of"), "install unheard-of");
    }

    #[test]
    fn a_package_is_installed_once() {
        let need = |what: &str| Missing {
            what: what.to_owned(),
            package: "iproute2".to_owned(),
        };
        assert_eq!(packages(&[need("ip"), need("tc")]), ["iproute2"]);
    }
}
