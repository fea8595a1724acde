//! FTP clients as users have them: curl, lftp, tnftp and Python's ftplib, each with a time limit.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;

use crate::process::Process;
use crate::programs::{CURL, LFTP, PYTHON, Requirement, TNFTP};

/// A run that has ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The output of a run that must have succeeded.
    ///
    /// # Errors
    /// When it failed; the message shows all it wrote.
    pub fn success(self) -> anyhow::Result<Self> {
        let Self { status, stderr, .. } = &self;
        anyhow::ensure!(status.success(), "{status}\n{}{stderr}", self.text());
        Ok(self)
    }
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started, or still runs after `limit`: then it is killed with all it started, and the message shows
/// what it wrote.
pub async fn run(command: Command, limit: Duration) -> anyhow::Result<Output> {
    let mut process = Process::spawn(command, None)?;
    let status = process
        .wait(limit)
        .await
        .with_context(|| format!("killed; it wrote:\n{}", process.output()))?;
    Ok(Output {
        status,
        stdout: process.stdout(),
        stderr: process.log(),
    })
}

/// Runs curl: quiet but for errors, without the user's configuration.
///
/// # Errors
/// As [`run`], and when curl is not installed.
pub async fn curl<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
    limit: Duration,
) -> anyhow::Result<Output> {
    let mut command = client(CURL)?;
    command
        .args(["--disable", "--silent", "--show-error"])
        .args(arguments);
    run(command, limit).await
}

/// Runs lftp commands, separated by `;` or lines, in `directory`, without the user's configuration.
///
/// # Errors
/// As [`run`], and when lftp is not installed.
pub async fn lftp(script: &str, directory: &Path, limit: Duration) -> anyhow::Result<Output> {
    let mut command = client(LFTP)?;
    command
        .args(["--norc", "-c", script])
        .env("LFTP_HOME", directory)
        .current_dir(directory);
    run(command, limit).await
}

/// Runs tnftp on a script of its commands, one a line, in `directory`. `options` come before the script, such as `-A` for
/// active mode; log in with `user` in the script. tnftp's status tells little: look at its output and at the files.
///
/// # Errors
/// As [`run`], and when tnftp is not installed or the script cannot be written.
pub async fn tnftp(
    options: &[&str],
    script: &str,
    directory: &Path,
    limit: Duration,
) -> anyhow::Result<Output> {
    let program = TNFTP.find()?;
    let input = tempfile::NamedTempFile::new().context("cannot make a script for tnftp")?;
    std::fs::write(input.path(), format!("{script}\nquit\n"))?;
    // tnftp takes its commands from standard input only; the shell puts the file there.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "script=$1; shift; exec \"$@\" <\"$script\"", "sh"])
        .arg(input.path())
        .arg(program)
        .args(["-n", "-i", "-v"])
        .args(options)
        .env("HOME", directory)
        .current_dir(directory);
    run(command, limit).await
}

/// Runs a Python program in `directory`, with `arguments` in `sys.argv[1:]`.
///
/// # Errors
/// As [`run`], and when Python is not installed.
pub async fn python<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    directory: &Path,
    limit: Duration,
) -> anyhow::Result<Output> {
    let mut command = client(PYTHON)?;
    command
        .args(["-c", program])
        .args(arguments)
        .current_dir(directory);
    run(command, limit).await
}

fn client(requirement: Requirement) -> anyhow::Result<Command> {
    let mut command = Command::new(requirement.find()?);
    // Messages are compared in tests, and a proxy of the user's would answer in the server's place.
    command.env("LC_ALL", "C.UTF-8").env_remove("ftp_proxy");
    Ok(command)
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
