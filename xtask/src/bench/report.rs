//! The table and the JSON of a run, and the machine it ran on

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::figure::{Aim, Figure, Summary};
use super::hosts::CONGESTION_CONTROL;

/// What the figures depend on.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    processor: String,
    /// The instructions that ciphers depend on, each with whether the processor has it.
    instructions: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    ssh: String,
    curl: String,
    congestion_control: &'static str,
    commit: String,
    /// Average load when the run began: anything else at work spoils it.
    load: String,
}

impl Machine {
    pub(super) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.split(' ').next().and_then(|n| n.parse::<u64>().ok());
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            instructions: instructions(&field(&read("/proc/cpuinfo"), "flags")),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kib.unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            ssh: first_line("ssh", &["-V"]),
            curl: first_line("curl", &["--version"]),
            congestion_control: CONGESTION_CONTROL,
            commit: first_line("git", &["rev-parse", "--short", "HEAD"]),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// Which of the instructions are among a processor's flags.
fn instructions(flags: &str) -> String {
    let has = |flag| flags.split(' ').any(|it| it == flag);
    let known = [("AES", has("aes")), ("AVX-512", has("avx512f"))];
    let known = known.map(|(name, has)| format!("{} {name}", if has { "with" } else { "without" }));
    known.join(", ")
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat());
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Prints the machine, as lines of Markdown.
pub(super) fn print_machine(machine: &Machine, pairs: usize, size_mib: u64) {
    println!(
        "{} × {} ({}), {} MiB, Linux {}, connections with {}; {}; {}; commit {}; load {} at the beginning; {pairs} pairs, files of {size_mib} MiB\n",
        machine.cores,
        machine.processor,
        machine.instructions,
        machine.memory_mib,
        machine.kernel,
        machine.congestion_control,
        machine.ssh,
        machine.curl,
        machine.commit,
        machine.load,
    );
}

/// Prints the head of the table, which is Markdown.
pub(super) fn print_head() {
    println!("| figure | broker | compared with | ratio | aim | |");
    println!("|---|---|---|---|---|---|");
}

/// Prints one row.
pub(super) fn print_row(figure: &Figure) {
    let unit = figure.unit;
    let comparison = figure.comparison_summary().zip(figure.comparison.as_ref());
    println!(
        "| {} | {} {unit} | {} | {} | {} | {} |",
        figure.what,
        spread(figure.broker_summary()),
        comparison.map_or_else(String::new, |(summary, other)| format!(
            "{}: {} {unit}",
            other.name,
            spread(summary)
        )),
        figure.ratio().map_or_else(String::new, spread),
        figure.aim.map_or_else(String::new, |aim| wanted(aim, unit)),
        match figure.is_reached() {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "",
        },
    );
}

fn spread(summary: Summary) -> String {
    let [median, least, most] = [summary.median, summary.least, summary.most].map(short);
    if least == most {
        median
    } else {
        format!("{median} ({least}–{most})")
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let places = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.places$}")
}

fn wanted(aim: Aim, unit: &str) -> String {
    match aim {
        Aim::RatioAtLeast(least) => format!("≥ {least} ×"),
        Aim::RatioAtMost(most) => format!("≤ {most} ×"),
        Aim::AtMost(most) => format!("≤ {most} {unit}"),
        Aim::AboveAtMost(most) => format!("≤ {most} {unit} more"),
    }
}

/// Writes everything, every sample included.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_json(
    path: &Path,
    machine: &Machine,
    size_mib: u64,
    figures: &[(&'static str, Figure)],
) -> Result<()> {
    let figures: Vec<Value> = figures
        .iter()
        .map(|(row, figure)| entry(row, figure))
        .collect();
    let all = json!({ "machine": machine, "size_mib": size_mib, "figures": figures });
    let text = serde_json::to_string_pretty(&all)?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

fn entry(row: &str, figure: &Figure) -> Value {
    json!({
        "row": row,
        "samples": figure,
        "broker": figure.broker_summary(),
        "comparison": figure.comparison_summary(),
        "ratio": figure.ratio(),
        "reached": figure.is_reached(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [1234.6, 12.34, 1.234, 0.1234].map(short);
        assert_eq!(shown, ["1235", "12.3", "1.23", "0.123"]);
    }

    #[test]
    fn a_part_of_a_flag_is_another_flag() {
        assert_eq!(
            instructions("fpu vaes avx2"),
            "without AES, without AVX-512"
        );
        assert_eq!(instructions("fpu aes avx512f"), "with AES, with AVX-512");
    }
}
