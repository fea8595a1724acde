//! `cargo xtask docs`: manual pages and completions, from the definitions of the command lines

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::cargo;

/// The file alone: with the crate, xtask would have to be built with the whole daemon.
#[allow(dead_code, reason = "the help texts are all that is used here")]
#[path = "../../crates/brokerd/src/args.rs"]
mod brokerd;

#[derive(Args)]
pub(crate) struct Options {
    /// Where to write them [default: target/docs]
    directory: Option<PathBuf>,
}

/// Writes a manual page for each command, and completions of both programs for each shell.
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

fn write(directory: &Path) -> Result<()> {
    let (pages, scripts) = (directory.join("man"), directory.join("completions"));
    for directory in [&pages, &scripts] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    for program in programs() {
        let name = program.get_name().to_owned();
        for shell in Shell::value_variants() {
            clap_complete::generate_to(*shell, &mut program.clone(), &name, &scripts)
                .with_context(|| format!("cannot write to {}", scripts.display()))?;
        }
        clap_mangen::generate_to(program, &pages)
            .with_context(|| format!("cannot write to {}", pages.display()))?;
    }
    Ok(())
}

fn programs() -> [Command; 2] {
    [brokerd::Args::command(), broker_ctl::Cli::command()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_bash_can_read_the_completions() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        for program in programs() {
            let name = program.get_name();
            let subcommands = program
                .get_subcommands()
                .map(|it| format!("{name}-{}.1", it.get_name()));
            for page in subcommands.chain([format!("{name}.1")]) {
                let text = std::fs::read_to_string(directory.path().join("man").join(&page));
                assert!(text.unwrap().contains(".SH SYNOPSIS"), "{page}");
            }
            let script = directory
                .path()
                .join("completions")
                .join(format!("{name}.bash"));
            let bash = std::process::Command::new("bash")
                .arg("-n")
                .arg(script)
                .output();
            let bash = bash.unwrap();
            assert!(bash.status.success(), "{bash:?}");
        }
    }
}
