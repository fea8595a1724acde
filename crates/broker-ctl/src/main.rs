//! The program: reads the command line, runs one command, and exits with its status.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    broker_ctl::run(broker_ctl::Cli::parse()).await
}
