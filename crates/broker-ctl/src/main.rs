//! The program: reads the command line, runs one command, and exits with its status.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match broker_ctl::Cli::read(std::env::args_os()) {
        Ok(cli) => broker_ctl::run(cli).await,
        Err(error) => error.exit(),
    }
}
