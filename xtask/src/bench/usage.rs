//! What a process has used, as the kernel counts it

use std::fs;

use anyhow::{Context, Result};
use testkit::process::Process;

/// The kernel's unit of processor time in `/proc`, the same on every machine that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time that a process has used with all its threads, in user space and in the kernel.
///
/// # Errors
/// When there is no such process.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ticks(&stat)
        .map(|ticks| ticks as f64 / TICKS_PER_SECOND)
        .with_context(|| format!("{path} says {stat:?}"))
}

fn ticks(stat: &str) -> Option<u64> {
    // After the name in parentheses, which may hold anything: the state is field 3, the two times are 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// KiB of memory a process holds now.
///
/// # Errors
/// When there is no such process.
pub(super) fn resident_kib(pid: u32) -> Result<f64> {
    status(pid, "VmRSS:")
}

/// Seconds of processor time that everything below a process has used.
pub(super) fn family_cpu_seconds(process: &Process) -> f64 {
    family(process, cpu_seconds)
}

/// KiB of memory that everything below a process holds now.
pub(super) fn family_resident_kib(process: &Process) -> f64 {
    family(process, resident_kib)
}

/// The sum over everything below a process. What has ended meanwhile does not count.
fn family(process: &Process, of: impl Fn(u32) -> Result<f64>) -> f64 {
    let families = process.families().into_iter().flatten();
    families.filter_map(|pid| of(pid).ok()).sum()
}

/// The most KiB of memory a process has ever held.
///
/// # Errors
/// When there is no such process.
pub(super) fn peak_kib(pid: u32) -> Result<f64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("{path} has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_parentheses_confuses_nobody() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn this_process_has_used_something() {
        let own = std::process::id();
        assert!(cpu_seconds(own).unwrap() >= 0.0);
        // The two are read at different moments, so that either may be the larger.
        assert!(peak_kib(own).unwrap() > 0.0);
        assert!(resident_kib(own).unwrap() > 0.0);
    }
}
