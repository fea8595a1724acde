//! The command line of the daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Makes plain FTP safe over SSH: listens for FTP clients as ssh-broker-config.xml configures it, and carries their
/// control and data connections through SSH.
///
/// Runs in the foreground. SIGTERM, SIGINT and `broker-ctl stop` end it after the running transfers; a second signal
/// ends it at once, a second `broker-ctl stop` does not. SIGHUP and `broker-ctl reload` make it read its configuration again.
/// The exit status is 78 if it cannot use the configuration at the start.
#[derive(Debug, Parser)]
#[command(name = "brokerd", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Read only this configuration file, instead of /etc/ssh2/ssh-broker-config.xml and the user's
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Accept a configuration file that other users can change, and log a warning
    #[arg(long)]
    pub(crate) allow_unsafe_config: bool,

    /// The local socket to serve broker-ctl on [default: the socket that the service manager passes; otherwise one in the
    /// user's runtime directory]
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

    /// End a few seconds after the last client of the local socket, its last tunnel and the last session are gone. Tunnels
    /// of the configuration do not keep such a daemon running. broker-ctl starts a daemon like this
    #[arg(long)]
    pub(crate) on_demand: bool,

    /// Take over the sockets of the daemon that runs on the local socket, for an upgrade: no client is refused, and running
    /// transfers finish in the old process. Without such a daemon, start as usual
    #[arg(long)]
    pub(crate) takeover: bool,

    /// Serve nobody: examine the way to the FTP servers step by step, for broker-ctl doctor. Reads the question from
    /// standard input
    #[arg(long, hide = true)]
    pub(crate) doctor: bool,

    /// Seconds that running transfers may still take after a request to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) grace: u64,
}

impl Args {
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace)
    }
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
    /// To the systemd journal, with fields.
    Journald,
}
