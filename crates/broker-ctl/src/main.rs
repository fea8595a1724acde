//! The program: reads the command line, runs one command, and exits with its status.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything is printed, and before there are threads: the shell reads the answer.
    if broker_ctl::answer_shell() {
        return ExitCode::SUCCESS;
    }
    match broker_ctl::Cli::read(std::env::args_os()) {
        Ok(cli) => run(cli),
        Err(error) => error.exit(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(cli: broker_ctl::Cli) -> ExitCode {
    broker_ctl::run(cli).await
}
