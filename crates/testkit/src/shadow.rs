//! A password for an account of this host that one daemon alone knows of.
//!
//! The daemon runs in a mount namespace in which another file lies over `/etc/shadow`: nothing is left when it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::account::Account;
use crate::overlay;
use crate::programs::OPENSSL;

const SHADOW: &str = "/etc/shadow";

/// Writes the host's shadow file with this password for the account.
///
/// # Errors
/// When openssl is missing or a file cannot be read or written; only root can read the shadow file.
pub(crate) fn write(
    directory: &Path,
    account: &Account,
    password: &str,
) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(SHADOW).with_context(|| format!("cannot read {SHADOW}"))?;
    let own = format!("{}:", account.name);
    let others = text.lines().filter(|line| !line.starts_with(&own));
    let line = format!("{own}{}:19000:0:99999:7:::", hash(password)?);
    let lines: Vec<&str> = others.chain([line.as_str()]).collect();
    let file = directory.join("shadow");
    fs::write(&file, lines.join("\n") + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The command, to be run where `file` lies over the shadow file.
///
/// # Errors
/// When unshare is missing.
pub(crate) fn laid_over(file: &Path, command: &Command) -> anyhow::Result<Command> {
    overlay::laid_over(file, SHADOW, command)
}

/// The password as files of users have it.
///
/// # Errors
/// When openssl is missing.
pub(crate) fn hash(password: &str) -> anyhow::Result<String> {
    let mut openssl = Command::new(OPENSSL.find()?);
    let output = openssl.args(["passwd", "-6", password]).output()?;
    ensure!(output.status.success(), "openssl passwd: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
