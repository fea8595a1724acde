//! How answers are printed, whatever the command.

use clap::{Args, ColorChoice};

use super::GENERAL;
use crate::times::Times;

/// How to print answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct Format {
    /// Print one line of JSON, as docs/ipc-api.md describes it
    #[arg(long, global = true, help_heading = GENERAL, conflicts_with = "short")]
    pub(crate) json: bool,
    /// Print for scripts: no heading, one record per line, fields separated by tabs, plain numbers
    #[arg(short, long, global = true, help_heading = GENERAL)]
    pub(crate) short: bool,
    /// Show every column and all of each text, however long the lines become
    #[arg(short, long, global = true, help_heading = GENERAL)]
    pub(crate) wide: bool,
    /// How people see times: relative, local, utc, iso, unix, or a format of strftime such as %H:%M:%S [default: relative;
    /// events: the time of day in UTC]
    #[arg(long, global = true, help_heading = GENERAL, value_name = "FORMAT", value_parser = Times::parse)]
    pub(crate) time_format: Option<Times>,
    /// Use colours: auto is for a terminal only, unless NO_COLOR is set
    #[arg(long, global = true, help_heading = GENERAL, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}
