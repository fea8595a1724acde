//! Programs that run to their end within a time limit, curl and lftp among them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;

use crate::environment::neutral;
use crate::netns::Netns;
use crate::process::Process;
use crate::programs::{CURL, LFTP, Requirement};

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
    run_in(None, command, limit).await
}

/// As [`run`], inside a namespace if there is one.
///
/// # Errors
/// As [`run`].
pub async fn run_in(
    netns: Option<&Netns>,
    command: Command,
    limit: Duration,
) -> anyhow::Result<Output> {
    let mut process = Process::spawn(command, netns)?;
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

fn client(requirement: Requirement) -> anyhow::Result<Command> {
    let mut command = Command::new(requirement.find()?);
    // Messages are compared in tests, and a proxy of the user's would answer in the server's place.
    neutral(&mut command);
    Ok(command)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
