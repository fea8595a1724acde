//! FTP servers that are unpacked below `target` and not installed: Debian installs one FTP server at a time

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::programs::{self, Requirement};

use crate::{apt, cargo};

/// The programs. vsftpd is the server that is installed.
pub(crate) const UNPACKED: &[Requirement] = &[
    programs::PROFTPD,
    programs::PURE_FTPD,
    programs::PURE_PW,
    programs::INETUTILS_FTPD,
];

/// Where programs are in a package.
const PROGRAM_DIRECTORIES: [&str; 2] = ["usr/sbin", "usr/bin"];

/// Whether the program is installed or unpacked.
pub(crate) fn is_there(need: &Requirement) -> bool {
    need.find().is_ok() || programs_directory().join(need.program).exists()
}

/// The search path for the tests: programs that are installed win.
///
/// # Errors
/// If the directory's name cannot be part of a search path.
pub(crate) fn search_path() -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain([programs_directory()]);
    std::env::join_paths(all).context("the workspace's directory cannot be part of PATH")
}

/// Downloads the missing ones and unpacks them, each with the libraries that this host lacks.
///
/// # Errors
/// If a package cannot be had or has not the program that it should have.
pub(crate) async fn unpack() -> Result<()> {
    let missing = UNPACKED.iter().filter(|need| !is_there(need));
    for need in missing {
        let name = need.program;
        unpack_one(need)
            .await
            .with_context(|| format!("cannot unpack {name}"))?;
    }
    Ok(())
}

async fn unpack_one(need: &Requirement) -> Result<()> {
    let (archives, root) = (directory().join("archives"), directory().join("root"));
    fs::create_dir_all(archives.join("partial"))?;
    fs::create_dir_all(&root)?;
    fs::create_dir_all(programs_directory())?;
    let into = format!("Dir::Cache::archives={}", archives.display());
    // Nothing is removed for it, since nothing is installed.
    apt::get(&["-o", &into, "install", "--download-only", need.package]).await?;
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        if archive
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            extract(&archive, &root)?;
        }
    }
    write_starter(need.program, &root)
}

fn extract(archive: &Path, root: &Path) -> Result<()> {
    let mut command = Command::new("dpkg-deb");
    let status = command.arg("--extract").arg(archive).arg(root).status();
    let status = status.context("cannot start dpkg-deb")?;
    ensure!(
        status.success(),
        "dpkg-deb cannot unpack {}",
        archive.display()
    );
    Ok(())
}

/// The program by its name, with the libraries that were unpacked beside it.
fn write_starter(program: &str, root: &Path) -> Result<()> {
    let places = PROGRAM_DIRECTORIES.map(|directory| root.join(directory).join(program));
    let place = places.iter().find(|place| place.exists());
    let place = place.with_context(|| format!("the package has no {program}"))?;
    let starter = programs_directory().join(program);
    fs::write(&starter, starter_script(place, root))?;
    fs::set_permissions(&starter, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn starter_script(program: &Path, root: &Path) -> String {
    let libraries = format!(
        "{}/usr/lib/{}-linux-gnu",
        root.display(),
        std::env::consts::ARCH
    );
    format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec '{}' \"$@\"\n",
        program.display()
    )
}

fn directory() -> PathBuf {
    cargo::root().join("target/servers")
}

fn programs_directory() -> PathBuf {
    directory().join("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starter_runs_the_program_with_its_arguments() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("program");
        fs::write(&program, "#!/bin/sh\necho \"$2\" \"$LD_LIBRARY_PATH\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let starter = starter_script(&program, root.path());
        let mut shell = Command::new("sh");
        let output = shell
            .args(["-c", &starter, "sh", "one", "two words"])
            .output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        let libraries = format!("{}/usr/lib", root.path().display());
        assert!(
            output.starts_with(&format!("two words {libraries}")),
            "{output}"
        );
    }

    #[test]
    fn programs_that_are_installed_win() {
        let path = search_path().unwrap();
        let last = std::env::split_paths(&path).last();
        assert_eq!(last, Some(programs_directory()));
    }
}
