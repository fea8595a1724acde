//! `cargo xtask fuzz`: every fuzz target for a bounded time, where the machine can build them

use std::path::PathBuf;
use std::process::{ExitCode, Output};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use testkit::programs::find_program;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cargo;

/// The targets, by what they are fed with.
const TARGETS: [&str; 4] = [
    "oracle_passive",
    "oracle_port",
    "session_client",
    "session_server",
];
/// Code without `unsafe` has no use for the sanitizers, and a stable compiler does not offer them.
const NO_SANITIZER: [&str; 2] = ["--sanitizer", "none"];
/// The longest input. What depends on lines of 64 KiB has tests of its own; short inputs are tried more often.
const MAX_INPUT: &str = "-max_len=4096";
/// Beyond its own time, a target may take so long to be linked and to end.
const GRACE: Duration = Duration::from_secs(300);
/// Lines of a failed run that are shown: the finding and the input come last.
const SHOWN_LINES: usize = 40;

#[derive(Args)]
pub(crate) struct Options {
    /// How long each target runs
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    seconds: u64,

    /// The seed of the fuzzer's choices, to try the same inputs again
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u32>,
}

/// Runs every target. Exits with success where the machine cannot run them, and says so.
///
/// # Errors
/// If a program that is there cannot be run.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let tool = match tool() {
        Ok(tool) => tool,
        Err(reason) => {
            println!("fuzz: skipped: {reason}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let build = fuzz(&tool, &["build"], &[]).output().await;
    let build = build.context("cannot run cargo-fuzz")?;
    if !build.status.success() {
        tell_failure("the build failed", &build);
        return Ok(ExitCode::FAILURE);
    }
    let mut ending = ExitCode::SUCCESS;
    for target in TARGETS {
        if !run_target(&tool, target, options).await? {
            ending = ExitCode::FAILURE;
        }
    }
    Ok(ending)
}

/// cargo-fuzz, or what to install for it.
fn tool() -> Result<PathBuf, &'static str> {
    if find_program("c++").is_none() {
        return Err("no C++ compiler (apt-get install g++)");
    }
    find_program("cargo-fuzz")
        .ok_or("cargo-fuzz is not installed (cargo install --locked cargo-fuzz)")
}

/// A cargo-fuzz command in the workspace's directory.
fn fuzz(tool: &PathBuf, words: &[&str], behind: &[&str]) -> Command {
    let mut command = Command::new(tool);
    command
        .arg("fuzz")
        .args(words)
        .args(NO_SANITIZER)
        .args(behind)
        .current_dir(cargo::root())
        .kill_on_drop(true);
    command
}

/// Runs one target; false if it found something.
async fn run_target(tool: &PathBuf, target: &str, options: &Options) -> Result<bool> {
    let seconds = options.seconds;
    let time = format!("-max_total_time={seconds}");
    // The fuzzer takes 0 for a seed of its own choice.
    let seed = format!("-seed={}", options.seed.unwrap_or_default());
    let behind = [
        target,
        "--",
        &time,
        &seed,
        MAX_INPUT,
        "-dict=fuzz/ftp.dict",
        "-print_final_stats=1",
    ];
    let limit = Duration::from_secs(seconds) + GRACE;
    let output = timeout(limit, fuzz(tool, &["run"], &behind).output())
        .await
        .with_context(|| format!("{target} does not end"))?
        .context("cannot run cargo-fuzz")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let executions = executions(&text).unwrap_or_default();
    println!("fuzz: {target:<16} {executions:>9} executions in {seconds} s");
    if !output.status.success() {
        tell_failure(&format!("{target} found something"), &output);
    }
    Ok(output.status.success())
}

/// How many inputs libFuzzer says that it has tried.
fn executions(text: &str) -> Option<u64> {
    let lines = text.lines();
    let mut counts = lines.filter_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    counts.next()?.trim().parse().ok()
}

fn tell_failure(what: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..);
    println!("fuzz: {what}:\n{}", shown.unwrap_or_default().join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_executions_is_read() {
        let text = "Done 12 runs\nstat::number_of_executed_units: 151612\nstat::x: 1\n";
        assert_eq!(executions(text), Some(151_612));
        assert_eq!(executions(""), None);
    }

    #[test]
    fn every_target_is_run() {
        let manifest = std::fs::read_to_string(cargo::root().join("fuzz/Cargo.toml")).unwrap();
        let names = manifest
            .split("[[bin]]")
            .skip(1)
            .filter_map(|part| part.split('"').nth(1));
        assert!(names.eq(TARGETS));
    }
}
