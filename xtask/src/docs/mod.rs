//! `cargo xtask docs`: manual pages and completions, from the definitions of the command lines and of the configuration

mod commands;
mod reference;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo;

#[derive(Args)]
pub(crate) struct Options {
    /// Where to write them [default: target/docs]
    directory: Option<PathBuf>,
}

/// Writes a manual page for each command and for the configuration file, and completions of both programs for each shell.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let usual = || cargo::root().join("target/docs");
    let directory = options.directory.clone().unwrap_or_else(usual);
    write(&directory)?;
    println!(
        "Manual pages and completions are in {}",
        directory.display()
    );
    println!(
        "To read one: man -l {}",
        directory.join("man/broker-ctl.1").display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual pages to `man` and the completions to `completions` in this directory.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(directory: &Path) -> Result<()> {
    let (pages, scripts) = (directory.join("man"), directory.join("completions"));
    for directory in [&pages, &scripts] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    commands::pages(&pages)
        .and_then(|()| reference::page(&pages))
        .with_context(|| format!("cannot write to {}", pages.display()))?;
    commands::completions(&scripts)
        .with_context(|| format!("cannot write to {}", scripts.display()))
}
