//! `cargo xtask dist`: an archive and a Debian package with all that an installation needs
//!
//! Both come from one directory tree. The same programs and the same commit give the same bytes.

mod archive;
mod changelog;
mod debian;
mod licences;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use testkit::programs::find_program;
use tokio::process::Command;

use crate::cargo;

/// Sets the time of all files, for whoever wants the same bytes from another commit.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

#[derive(Args)]
pub(crate) struct Options {
    /// Package the programs in this directory, instead of building them
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "target_dir")]
    binaries: Option<PathBuf>,

    /// Where cargo builds the programs [default: as for every build]
    #[arg(long, value_name = "DIRECTORY")]
    target_dir: Option<PathBuf>,

    /// Where to put the archive and the package
    #[arg(long, value_name = "DIRECTORY", default_value = "target/dist")]
    to: PathBuf,

    /// The version of the Debian package
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    deb_version: String,

    /// Compress little, for packages that are only tried
    #[arg(long)]
    fast: bool,
}

/// Builds both programs and packages them.
///
/// # Errors
/// If the build or a tool fails, or a file cannot be read or written.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let programs = match &options.binaries {
        Some(directory) => directory.clone(),
        None => build(options.target_dir.as_deref()).await?,
    };
    let moment = moment().await?;
    let host = host().await?;
    let to = cargo::root().join(&options.to);
    std::fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    let work = tempfile::tempdir_in(&to).context("cannot make a directory to work in")?;
    let tree = work.path().join("tree");
    tree::make(&tree, &programs, &licences::text(&host).await?)?;
    let archive = archive::write(&tree, &to, &host, moment, options.fast)?;
    println!("{}", archive.display());
    // Without dpkg, a system has no use for the package, and cannot say on which others it depends.
    if host.contains("linux") && find_program("dpkg").is_some() {
        let package = debian::write(work.path(), &to, options, moment).await?;
        println!("{}", package.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the programs as they are given out, and returns their directory.
async fn build(target: Option<&Path>) -> Result<PathBuf> {
    let selection = [
        "build",
        "--release",
        "--locked",
        "-p",
        "brokerd",
        "-p",
        "broker-ctl",
    ];
    let mut command = cargo::command(&selection);
    let target = target.map_or_else(target_directory, |it| cargo::root().join(it));
    let status = command.arg("--target-dir").arg(&target).status().await;
    if !status.context("cannot start cargo build")?.success() {
        bail!("the build failed: see the errors above");
    }
    Ok(target.join("release"))
}

fn target_directory() -> PathBuf {
    let usual = || cargo::root().join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(usual, PathBuf::from)
}

/// The time that all files get: that of the last commit.
async fn moment() -> Result<u64> {
    let text = match std::env::var(EPOCH) {
        Ok(text) => text,
        Err(_) => said(Command::new("git").args(["log", "-1", "--format=%ct"]))
            .await
            .with_context(|| format!("without git, set {EPOCH}"))?,
    };
    let text = text.trim();
    text.parse()
        .with_context(|| format!("{text} is no time in seconds"))
}

/// The platform that the programs are for, such as `x86_64-unknown-linux-gnu`.
async fn host() -> Result<String> {
    let text = said(&mut cargo::command(&["-vV"])).await?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("cargo does not tell its platform")?.to_owned())
}

/// What a command prints.
async fn said(command: &mut Command) -> Result<String> {
    let name = command.as_std().get_program().to_owned();
    let name = name.to_string_lossy();
    let output = command.current_dir(cargo::root()).output().await;
    let output = output.with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
