//! The command line of the daemon.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::UnknownArgumentValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, CommandFactory, Parser, ValueEnum};

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
    (
        "debug",
        Some('D'),
        Some("LEVEL"),
        "use --log debug, or broker-ctl debug while the daemon runs",
    ),
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

    /// Serve metrics over HTTP at this address, such as 127.0.0.1:9721, with /healthz and /readyz. Port 0 takes a free one;
    /// the log says which. If the port is in use, the tunnels work without it, and the daemon tries again
    #[arg(long, value_name = "ADDRESS:PORT", env = "SSH_BROKER_METRICS_LISTEN")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Let other hosts read the metrics: --metrics-listen may name an address that they reach. Anybody who reaches it reads
    /// the names of profiles and what they carry, without a password and unencrypted
    #[arg(long)]
    pub(crate) metrics_allow_remote: bool,

    /// Serve nobody: examine the way to the FTP servers step by step, for broker-ctl doctor. Reads the question from
    /// standard input
    #[arg(long, hide = true)]
    pub(crate) doctor: bool,

    /// Seconds that running transfers may still take after a request to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) grace: u64,
}

impl Args {
    /// What this process was started with. Ends it if that is not valid.
    pub(crate) fn of_process() -> Self {
        let args = Self::parse();
        if let Some(exposed) = args.exposed() {
            let message = format!(
                "other hosts could read the metrics at {exposed}: choose a loopback address such as 127.0.0.1, or add --metrics-allow-remote"
            );
            let mut command = Self::command();
            command.error(ErrorKind::ArgumentConflict, message).exit();
        }
        args
    }

    /// The address at which other hosts could read the metrics although nobody has permitted that.
    fn exposed(&self) -> Option<SocketAddr> {
        let address = self.metrics_listen?;
        let is_permitted = self.metrics_allow_remote || address.ip().is_loopback();
        (!is_permitted).then_some(address)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], is_exposed: bool) {
        let arguments = ["brokerd"].iter().chain(arguments);
        let args = Args::try_parse_from(arguments).unwrap();
        assert_eq!(args.exposed().is_some(), is_exposed, "{args:?}");
    }

    #[test]
    fn other_hosts_read_the_metrics_only_if_that_is_said_twice() {
        check(&[], false);
        check(&["--metrics-listen=127.0.0.1:0"], false);
        check(&["--metrics-listen=[::1]:9721"], false);
        for address in ["0.0.0.0:9721", "[::]:9721", "192.0.2.1:9721"] {
            let listen = format!("--metrics-listen={address}");
            check(&[&listen], true);
            check(&[&listen, "--metrics-allow-remote"], false);
        }
    }

    #[test]
    fn names_of_the_commercial_broker_are_read() {
        let line = "brokerd --config-file /c --broker-address /s --run-on-demand";
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(args.config, Some("/c".into()));
        assert_eq!(args.socket, Some("/s".into()));
        assert!(args.on_demand);
    }

    #[test]
    fn what_is_not_offered_is_answered_with_what_to_use() {
        for (option, instead) in [
            ("--exit", "broker-ctl stop"),
            ("--reconfig", "broker-ctl reload"),
            ("--pid-file=/run/x", "status --pid"),
            ("-D3", "--log debug"),
            ("-l/tmp/log", "log-target"),
        ] {
            let said = Args::try_parse_from(["brokerd", option])
                .unwrap_err()
                .to_string();
            assert!(said.contains(instead), "{option}: {said}");
        }
    }
}
