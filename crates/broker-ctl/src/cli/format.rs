//! How an answer is printed.

use clap::Args;

/// How to print an answer.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// Print one line of JSON, as docs/ipc-api.md describes it
    #[arg(long, conflicts_with = "short")]
    pub(crate) json: bool,
    /// Print for scripts: no heading, one record per line, fields separated by tabs, plain numbers
    #[arg(short, long)]
    pub(crate) short: bool,
}
