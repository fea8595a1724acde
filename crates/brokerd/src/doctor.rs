//! `--doctor`: the daemon's own way to the FTP servers, examined for `broker-ctl doctor` without serving anybody.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use broker_config::Environment;
use broker_ipc::checks::{Check, Outcome, Question, Step};

use crate::args::Args;
use crate::loading::{Loader, Reading};

/// Answers the question on standard input with a line for each step.
pub(crate) fn run(args: &Args) -> ExitCode {
    match examine(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::failed(&error),
    }
}

fn examine(args: &Args) -> anyhow::Result<()> {
    let question: Question = serde_json::from_reader(io::stdin()).context(
        "--doctor needs a question on standard input; use broker-ctl doctor, which asks it",
    )?;
    let loader = Loader::new(args, Environment::current());
    let reading = loader.read(false);
    print(&about(&reading, &loader, args));
    let Ok(loaded) = reading.outcome else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(broker::examine(
        loaded.config,
        loader.identity(),
        question,
        Arc::new(|check| print(&check)),
    ));
    runtime.shutdown_background();
    Ok(())
}

/// Writes a line. If nobody reads it any more, nobody needs the others.
fn print(check: &Check) {
    let mut output = io::stdout().lock();
    let written = serde_json::to_writer(&mut output, check)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(output))
        .and_then(|()| output.flush());
    if written.is_err() {
        std::process::exit(1);
    }
}

/// What the configuration is, and whether it can be used.
fn about(reading: &Reading, loader: &Loader, args: &Args) -> Check {
    let files = loader.present();
    let files: Vec<_> = files.iter().map(|it| it.display().to_string()).collect();
    let files = if files.is_empty() {
        "no file, so the defaults".to_owned()
    } else {
        files.join(", ")
    };
    let user = loader.identity().user;
    let (outcome, found) = match (&reading.outcome, reading.complaints.as_slice()) {
        (Ok(_), []) => (Outcome::Ok, String::new()),
        (Ok(_), [only]) => (Outcome::Warning, format!("; {only}")),
        (Ok(_), all) => (Outcome::Warning, format!("; {} warnings", all.len())),
        (Err(_), [first, ..]) => (Outcome::Failed, format!("; {first}")),
        (Err(unusable), []) => (Outcome::Failed, format!("; {}", unusable.at_start())),
    };
    let named = args.config.as_ref();
    let named = named.map_or(String::new(), |it| format!(" {}", it.display()));
    Check {
        target: None,
        step: Step::Configuration,
        outcome,
        text: format!("{files}, as user {user}{found}"),
        tried: Vec::new(),
        remedy: (outcome != Outcome::Ok).then(|| {
            format!("to see each fault with its line, run: broker-ctl check-config{named}")
        }),
        microseconds: None,
    }
}
