//! Where the workspace is, and how to call cargo on it

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// The directory that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The cargo that runs us, so that one toolchain builds everything.
pub(crate) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A cargo command in the workspace's directory.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(root());
    command
}

/// Builds what `selection` names, and returns the directory that holds the programs.
pub(crate) async fn build(selection: &[&str]) -> Result<PathBuf> {
    let status = command(&["build"]).args(selection).status().await;
    if !status.context("cannot start cargo build")?.success() {
        bail!("the build failed: see the errors above");
    }
    programs_directory()
}

/// The directory of finished programs: the one this program itself was built into.
fn programs_directory() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where xtask itself stands")?;
    let directory = own.parent().context("xtask stands in no directory")?;
    // A test of xtask itself stands one directory deeper.
    let directory = if directory.ends_with("deps") {
        directory.parent()
    } else {
        Some(directory)
    };
    Ok(directory
        .context("xtask stands in no directory")?
        .to_path_buf())
}
