//! The client that controls the daemon: one command line, one or a few requests, one answer for people or programs.
//!
//! A library beside its program so that help, manual page and completions can be made from one definition.

mod candidates;
mod check;
mod cli;
mod close;
mod commands;
mod complete;
mod config_value;
mod daemon;
mod debug;
mod doctor;
mod events;
mod failure;
mod health;
mod hostkeys;
mod import;
mod instances;
mod listing;
mod lists;
mod names;
mod new_file;
mod open;
mod output;
mod prompts;
mod ready;
mod reload;
mod ssh_config;
mod start;
mod stop;
mod table;
mod terminal;
mod times;
mod top;
mod tunnel;
mod tunnel_spec;
mod units;
mod users;
mod watch;

use std::process::ExitCode;

pub use cli::Cli;
pub use complete::{answer_shell, completion_script};
use failure::{Reported, USAGE};
use output::Output;

/// Runs the command, and prints the error if it fails.
pub async fn run(cli: Cli) -> ExitCode {
    let output = Output::new(&cli);
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
    if !failure.is::<Reported>() {
        match output.is_json() {
            true => output.json_error(&failure::failed(failure)),
            false => {
                output.error(format_args!("{failure:#}"));
                output.attempts(failure::tried(failure));
            }
        }
    }
    ExitCode::from(failure::exit_status(failure))
}
