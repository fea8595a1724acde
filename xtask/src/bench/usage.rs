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
    let ticks = ticks(&stat).with_context(|| format!("{path} says {stat:?}"))?;
    Ok(ticks.own as f64 / TICKS_PER_SECOND)
}

/// Units of processor time.
#[derive(Debug, PartialEq, Eq)]
struct Ticks {
    /// Of the process.
    own: u64,
    /// Of the processes below it that have ended.
    ended: u64,
}

fn ticks(stat: &str) -> Option<Ticks> {
    // After the name in parentheses, which may hold anything: the state is field 3, the times are 14 to 17.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Ticks {
        own: next()? + next()?,
        ended: next()? + next()?,
    })
}

/// KiB of memory a process holds now.
///
/// # Errors
/// When there is no such process.
pub(super) fn resident_kib(pid: u32) -> Result<f64> {
    status(pid, "VmRSS:")
}

/// Seconds of processor time that everything below a process has used, including what has ended meanwhile.
pub(super) fn family_cpu_seconds(process: &Process) -> f64 {
    let of = |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        ticks(&stat)
    };
    let families = process.families().into_iter().flatten();
    let below = families
        .filter_map(of)
        .map(|it| it.own + it.ended)
        .sum::<u64>();
    let ended = of(process.pid()).map_or(0, |it| it.ended);
    (below + ended) as f64 / TICKS_PER_SECOND
}

/// KiB of memory that everything below a process holds now for itself: a program's own pages, which its processes share,
/// are not counted.
pub(super) fn family_own_kib(process: &Process) -> f64 {
    family(process, |pid| status(pid, "RssAnon:"))
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
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 40 2 5 6";
        let expected = Ticks { own: 42, ended: 11 };
        assert_eq!(ticks(stat), Some(expected));
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
