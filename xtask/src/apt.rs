//! Calls of Debian's package manager

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::process::{self, Ending};

/// Downloading and unpacking some twenty packages takes a minute; a mirror that hangs would take for ever.
const LIMIT: Duration = Duration::from_secs(600);

/// Calls apt-get. Its complaints are the error.
pub(crate) async fn get(arguments: &[&str]) -> Result<()> {
    // Through a shell, so that complaints stand in order with what they complain about.
    let mut command = Command::new("sh");
    command.args(["-c", "exec apt-get \"$@\" 2>&1", "apt-get", "-q", "-y"]);
    command.args([
        "-o",
        "DPkg::Lock::Timeout=120",
        "-o",
        "Dpkg::Use-Pty=0",
        "--no-install-recommends",
    ]);
    command.args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let what = arguments.join(" ");
    let mut complaints = Vec::new();
    let ending = process::run(&mut command, LIMIT, |line| {
        if line.starts_with("E:") {
            complaints.push(line.to_owned());
        }
    });
    match ending.await? {
        Ending::Exited(status) if status.success() => Ok(()),
        Ending::Exited(status) => bail!(
            "apt-get {what} ended with {status}: {}",
            complaints.join("; ")
        ),
        Ending::TimedOut => bail!("apt-get {what} took longer than {} s", LIMIT.as_secs()),
    }
}
