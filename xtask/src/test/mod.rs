//! `cargo xtask test`: what the tests need, then every test, then one line of counts

mod tally;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use testkit::environment::neutral;

use crate::process::{self, Ending};
use crate::{cargo, needs, unpacked};
use tally::Tally;

/// Programs and tests in one go: built apart, their common dependencies would get different features
/// and would be built twice.
const EVERYTHING: [&str; 3] = ["--workspace", "--bins", "--tests"];

/// Lines about failed tests that are repeated at the end of a run.
const MOST_FAILURE_LINES: usize = 300;

#[derive(Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Stop, and report a hang, after so many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    time_limit: u64,

    /// Neither look for the programs that the tests need, nor install any
    #[arg(long)]
    as_is: bool,
}

/// Runs the tests and prints the counts.
///
/// # Errors
/// If cargo cannot be run at all. Tests that fail are no error here but tell in the exit code.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    if !options.as_is {
        needs::meet().await?;
    }
    let programs = cargo::build(&EVERYTHING).await?;

    let mut command = cargo::command(&["test", "--workspace", "--no-fail-fast"]);
    neutral(command.as_std_mut());
    command.env("SSH_BROKER_BIN_DIR", programs);
    command.env("PATH", unpacked::search_path()?);
    command.args(options.filter.as_slice());

    let started = Instant::now();
    let mut tally = Tally::default();
    let limit = Duration::from_secs(options.time_limit * 60);
    let ending = process::run(&mut command, limit, |line| {
        println!("{line}");
        tally.read(line);
    })
    .await?;

    println!("\nThe tests took {} s", started.elapsed().as_secs());
    conclude(&mut tally, ending, options.time_limit);
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says what was skipped, what went wrong beside the tests themselves, and the counts.
fn conclude(tally: &mut Tally, ending: Ending, minutes: u64) {
    print_skipped(tally);
    print_failures(tally);
    match ending {
        Ending::Exited(status) if !status.success() && tally.failed == 0 => {
            println!(
                "cargo test ended with {status}, though no test says that it failed: something did not build, or crashed"
            );
            tally.failed += 1;
        }
        Ending::Exited(_) if tally.is_empty() => {
            println!("No test ran: no name contains the filter");
            tally.failed += 1;
        }
        Ending::Exited(_) => {}
        Ending::TimedOut => {
            println!(
                "Stopped after {minutes} minutes: something hangs. The last line was: {}",
                tally.last_line
            );
            for name in &tally.slow {
                println!("  it may be {name}");
            }
            tally.failed += 1;
        }
    }
    println!("{tally}");
}

/// Repeats what the failed tests said, since a log of a run is often kept by its end only.
fn print_failures(tally: &Tally) {
    let left_out = tally.failures.len().saturating_sub(MOST_FAILURE_LINES);
    for line in tally.failures.iter().take(MOST_FAILURE_LINES) {
        println!("{line}");
    }
    if left_out > 0 {
        println!("({left_out} more lines are further up)");
    }
}

fn print_skipped(tally: &Tally) {
    for (need, names) in &tally.skipped {
        match need.strip_prefix("needs ") {
            Some(program) => println!(
                "Skipped, since it needs {program} ({}):",
                needs::advice(program)
            ),
            None => println!("Skipped ({need}):"),
        }
        for name in names {
            println!("  {name}");
        }
    }
}
