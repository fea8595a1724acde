//! The programs that the tests need: which are missing, and getting them where we may

use std::path::Path;

use anyhow::{Context, Result};
use testkit::programs::{self, Requirement, find_program, python_with};

use crate::apt;
use crate::unpacked::{self, UNPACKED};

/// Where services are kept from being started on installation.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// What Debian packs apart from Python itself: the tests of its FTP client among them.
const PYTHON_TESTS: &str = "Python's own test suite";

/// An FTP server written in Python.
const PYFTPDLIB: &str = "pyftpdlib";
const PYFTPDLIB_PACKAGE: &str = "python3-pyftpdlib";

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
    programs::NCFTPGET,
    programs::NCFTPPUT,
    programs::SOCAT,
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
    if need == PYFTPDLIB {
        return format!("apt-get install {PYFTPDLIB_PACKAGE}");
    }
    let known = NEEDS
        .iter()
        .chain(UNPACKED)
        .find(|known| known.program == need);
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
            // Afterwards, since that may have fetched the lists of packages.
            if let Err(error) = unpacked::unpack().await {
                println!("{error:#}");
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
    let installed = NEEDS.iter().filter(|need| need.find().is_err());
    let unpacked = UNPACKED.iter().filter(|need| !unpacked::is_there(need));
    let mut missing: Vec<Missing> = installed
        .chain(unpacked)
        .map(|need| Missing {
            what: need.program.to_owned(),
            package: need.package.to_owned(),
        })
        .collect();
    let modules = [
        (PYFTPDLIB, PYFTPDLIB, PYFTPDLIB_PACKAGE.to_owned()),
        (PYTHON_TESTS, "test.test_ftplib", testsuite_package()),
    ];
    for (what, module, package) in modules {
        if python_with(module).is_none() {
            missing.push(Missing {
                what: what.to_owned(),
                package,
            });
        }
    }
    missing
}

/// The packages to install. The servers that are unpacked are none of them: each would push out vsftpd.
fn packages(missing: &[Missing]) -> Vec<String> {
    let unpacked = |package: &str| UNPACKED.iter().any(|need| need.package == package);
    let packages = missing.iter().map(|need| need.package.clone());
    let mut packages: Vec<String> = packages.filter(|package| !unpacked(package)).collect();
    packages.sort();
    packages.dedup();
    packages
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
    let mut install = vec!["install"];
    install.extend(packages.iter().map(String::as_str));
    if apt::get(&install).await.is_ok() {
        return Ok(());
    }
    // The lists of packages may be missing or out of date.
    apt::get(&["update"]).await?;
    // One by one: a package that this release does not have must not keep the others out.
    for package in packages {
        if let Err(error) = apt::get(&["install", package]).await {
            println!("{package} cannot be installed: {error:#}");
        }
    }
    Ok(())
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

    #[test]
    fn no_server_is_installed_that_would_push_out_another() {
        let missing = UNPACKED.iter().map(|need| Missing {
            what: need.program.to_owned(),
            package: need.package.to_owned(),
        });
        assert!(packages(&missing.collect::<Vec<_>>()).is_empty());
    }
}
