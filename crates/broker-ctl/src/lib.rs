//! The client that controls the daemon: one command line, one or a few requests, one answer for people or programs.
//!
//! A library beside its program so that help, manual page and completions can be made from one definition.

mod check;
mod cli;
mod commands;
mod daemon;
mod hostkeys;
mod import;
mod instances;
mod listing;
mod new_file;
mod open;
mod output;
mod prompts;
mod reload;
mod ssh_config;
mod start;
mod stop;
mod table;
mod terminal;
mod tunnel_spec;
mod units;

use std::process::ExitCode;

use broker_ipc::ClientError;

pub use cli::Cli;
use output::Output;

/// Exit status if the request failed.
const FAILED: u8 = 1;
/// Exit status if the command line is invalid; clap uses it too.
const USAGE: u8 = 2;
/// Exit status if no daemon could be reached.
const UNREACHABLE: u8 = 3;

/// Runs the command, and prints the error if it fails.
pub async fn run(cli: Cli) -> ExitCode {
    let output = Output::new(cli.quiet, cli.verbose);
    match commands::run(cli, &output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, &output),
    }
}

fn report(failure: &anyhow::Error, output: &Output) -> ExitCode {
    if let Some(usage) = failure.downcast_ref::<clap::Error>() {
        // If standard error is closed as well, only the exit status remains.
        let _ = usage.print();
        return ExitCode::from(USAGE);
    }
    if output::is_broken_pipe(failure) {
        // The reader, such as head, has seen enough.
        return ExitCode::SUCCESS;
    }
    if !failure.is::<daemon::Reported>() {
        output.error(format_args!("{failure:#}"));
    }
    let unreachable = failure
        .downcast_ref()
        .is_some_and(ClientError::is_unreachable);
    ExitCode::from(if unreachable { UNREACHABLE } else { FAILED })
}
