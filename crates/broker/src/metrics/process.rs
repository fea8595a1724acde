//! The metrics of the process, with the names and meanings that they have everywhere.

use rustix::process::{Resource, getrlimit};

use super::family::Family;
use super::page::Metrics;

/// Adds them.
pub(super) fn add(metrics: &mut Metrics) {
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        metrics.add(Family::ProcessMaxFds, &[], limit);
    }
    #[cfg(target_os = "linux")]
    linux::add(metrics);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use rustix::param::{clock_ticks_per_second, page_size};

    use super::{Family, Metrics};

    /// Where the user time is in `/proc/self/stat`, counted behind the name of the program (proc(5)). The system time
    /// follows it.
    const USER_TIME: usize = 11;
    /// Where the resident pages are in `/proc/self/statm`.
    const RESIDENT: usize = 1;

    pub(super) fn add(metrics: &mut Metrics) {
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // Without the one that reads the directory.
            let open = open.count().saturating_sub(1) as u64;
            metrics.add(Family::ProcessOpenFds, &[], open);
        }
        if let Some(pages) = statm() {
            let bytes = pages * page_size() as u64;
            metrics.add(Family::ProcessResidentBytes, &[], bytes);
        }
        if let Some(ticks) = cpu_ticks() {
            let seconds = ticks as f64 / clock_ticks_per_second() as f64;
            metrics.add(Family::ProcessCpuSeconds, &[], seconds);
        }
    }

    fn statm() -> Option<u64> {
        let text = fs::read_to_string("/proc/self/statm").ok()?;
        text.split(' ').nth(RESIDENT)?.parse().ok()
    }

    fn cpu_ticks() -> Option<u64> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The name may contain spaces and brackets.
        let (_, fields) = text.rsplit_once(") ")?;
        let mut times = fields.split(' ').skip(USER_TIME);
        let user: u64 = times.next()?.parse().ok()?;
        let system: u64 = times.next()?.parse().ok()?;
        Some(user + system)
    }
}
