//! The command line of the daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Makes plain FTP safe over SSH: listens for FTP clients as ssh-broker-config.xml says, and carries
/// their control and data connections through SSH.
///
/// Runs in the foreground; SIGTERM, SIGINT or `broker-ctl stop` end it once running transfers are
/// done, a second signal at once; SIGHUP changes nothing. The exit status is 78 where the configuration cannot be used.
#[derive(Debug, Parser)]
#[command(name = "brokerd", version, max_term_width = 100)]
pub(crate) struct Args {
    /// The one configuration file to read, instead of /etc/ssh2/ssh-broker-config.xml and the user's
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Use a configuration file that other users can change, and warn of it in the log
    #[arg(long)]
    pub(crate) allow_unsafe_config: bool,

    /// The local socket to serve broker-ctl on [default: in the user's runtime directory]
    #[arg(long, short = 'a', value_name = "PATH", env = "SSH_BROKER_SOCKET")]
    pub(crate) socket: Option<PathBuf>,

    /// What to log: error, warn, info, debug, trace, or a filter such as "info,broker=debug"
    #[arg(
        long,
        value_name = "LEVEL",
        env = "SSH_BROKER_LOG",
        default_value = "info"
    )]
    pub(crate) log: String,

    /// How to write the log to standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// Seconds that running transfers may take after the daemon was told to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) grace: u64,
}

impl Args {
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace)
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// To the systemd journal, with fields.
    Journald,
}
