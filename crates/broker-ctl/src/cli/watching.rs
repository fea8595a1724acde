//! How often an answer is shown.

use std::time::Duration;

use clap::Args;

/// Whether to show the answer again and again.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Watching {
    /// Show it again every so many seconds, until Ctrl-C [default: 2]. A terminal is drawn again in place; otherwise one
    /// answer follows another
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = interval)]
    pub(crate) watch: Option<Duration>,
}

/// From a tenth of a second, which nobody can read, to one day.
fn interval(text: &str) -> Result<Duration, String> {
    const LIMITS: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;
    match text.parse() {
        Ok(seconds) if LIMITS.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) | Err(_) => Err("expected a number of seconds from 0.1 to 86400".into()),
    }
}
