//! The command line of the daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::UnknownArgumentValueParser;
use clap::{Arg, ArgAction, Parser, ValueEnum};

const EXIT_STATUS: &str = "\
Exit status: 0 it was stopped, or nothing used a daemon that was started on demand; 1 it could not start, for example \
because another daemon serves the socket, or could not continue; 2 the command line is invalid; 78 it could not use the \
configuration at the start.";

/// Options of the commercial broker: the name, the short name, the value, and the sentence that says what to use instead.
const INSTEAD: [(&str, Option<char>, Option<&str>, &str); 5] = [
    ("exit", None, None, "run: broker-ctl stop"),
    ("reconfig", None, None, "run: broker-ctl reload"),
    (
        "pid-file",
        None,
        Some("FILE"),
        "brokerd stays in the foreground, so that a service manager knows its process; broker-ctl status --pid prints the id",
    ),
    ("debug", Some('D'), Some("LEVEL"), "use --log debug"),
    (
        "debug-log-file",
        Some('l'),
        Some("FILE"),
        "the log goes to standard error: redirect it, or name the file with <log-target type=\"file\"> in the configuration",
    ),
];

/// They are errors with these sentences.
fn instead() -> impl Iterator<Item = Arg> {
    INSTEAD.iter().map(|(long, short, value, sentence)| {
        let tip = UnknownArgumentValueParser::suggest(*sentence);
        let option = Arg::new(*long).long(*long).short(*short).hide(true);
        let option = match value {
            Some(value) => option.value_name(*value),
            None => option.action(ArgAction::SetTrue),
        };
        option.value_parser(tip)
    })
}

/// Makes plain FTP safe over SSH: listens for FTP clients as ssh-broker-config.xml configures it, and carries their
/// control and data connections through SSH.
///
/// Runs in the foreground. SIGTERM, SIGINT and `broker-ctl stop` end it after the running transfers; a second signal
/// ends it at once, a second `broker-ctl stop` does not. SIGHUP and `broker-ctl reload` make it read its configuration again.
#[derive(Debug, Parser)]
#[command(name = "brokerd", version, max_term_width = 100, after_help = EXIT_STATUS, args = instead())]
pub(crate) struct Args {
    /// Read only this configuration file, instead of /etc/ssh2/ssh-broker-config.xml and the user's
    #[arg(long, short = 'f', visible_alias = "config-file", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Accept a configuration file that other users can change, and log a warning
    #[arg(long)]
    pub(crate) allow_unsafe_config: bool,

    /// The local socket to serve broker-ctl on [default: the socket that the service manager passes; otherwise the one
    /// that SSH_SECSH_BROKER names; otherwise one in the user's runtime directory]
    #[arg(
        long,
        short = 'a',
        visible_alias = "broker-address",
        value_name = "PATH",
        env = "SSH_BROKER_SOCKET"
    )]
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
    #[arg(long, alias = "run-on-demand")]
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
