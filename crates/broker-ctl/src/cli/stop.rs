//! What `stop` takes.

use clap::Args;

const STOP_HELP: &str = "\
A second stop cuts nothing that the first one lets finish, unless it has --now or --grace. After \
stop --when-idle, SIGTERM sets the daemon's usual limit. A second signal ends the daemon at once.";

#[derive(Debug, Args)]
#[command(after_help = STOP_HELP)]
pub(crate) struct StopArgs {
    /// Seconds that running transfers may still take [default: the daemon's setting]
    #[arg(long, value_name = "SECONDS", group = "limit")]
    pub(crate) grace: Option<u64>,
    /// Let running transfers take any time
    #[arg(long, group = "limit")]
    pub(crate) when_idle: bool,
    /// Cut running transfers
    #[arg(long, group = "limit")]
    pub(crate) now: bool,
    /// Return at once, without waiting for the daemon to end
    #[arg(long)]
    pub(crate) no_wait: bool,
}
