//! The command line: what there is to say, and its help.

use std::path::PathBuf;
use std::time::Duration;

use broker_ipc::types::TunnelKind;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::tunnel_spec::{self, ListenerName, TunnelSpec};

const EXIT_STATUS: &str = "\
Commands may be abbreviated as long as they are unambiguous.

Exit status: 0 success; 1 the request failed, or the file checked has errors; 2 the command line makes no sense; \
3 no daemon could be reached.";

/// Steers the Connection Broker, the daemon that carries FTP through SSH
#[derive(Debug, Parser)]
#[command(name = "broker-ctl", version, infer_subcommands = true, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    /// The daemon's socket [default: broker.sock in the session's runtime directory]
    #[arg(
        short = 'a',
        long,
        visible_alias = "broker-address",
        value_name = "PATH",
        env = "SSH_BROKER_SOCKET"
    )]
    #[arg(global = true, hide_env_values = true)]
    pub(crate) socket: Option<PathBuf>,

    /// How long the daemon may take to answer [default: 10, and 900 where a server or a person has a part]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Print no answer: the exit status tells, and errors go to standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say which daemon answers
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the daemon: its version, what it carries, what it has carried
    Status {
        /// Print the daemon's process id only
        #[arg(long, conflicts_with_all = ["json", "short"])]
        pid: bool,
        #[command(flatten)]
        format: Format,
    },
    /// End the daemon: no new clients, running transfers may finish within a grace period
    Stop {
        /// Seconds that running transfers may still take [default: the daemon's own]
        #[arg(long, value_name = "SECONDS")]
        grace: Option<u64>,
        /// Return at once, not when the daemon has ended
        #[arg(long)]
        no_wait: bool,
    },
    /// Have the daemon read its configuration again
    Reload,
    /// List the profiles of the configuration
    ListProfiles {
        #[command(flatten)]
        format: Format,
    },
    /// List the SSH connections
    ListConnections {
        /// Show the channels on each connection too
        #[arg(short = 'c', long)]
        show_channels: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show one SSH connection: server, algorithms, traffic
    ConnectionStatus {
        /// The connection's id, as listed by list-connections
        id: u64,
        /// Show the channels on it too
        #[arg(long)]
        show_channels: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Close SSH connections, and with each the channels on it
    CloseConnection {
        /// Ids, as listed by list-connections
        #[arg(required = true)]
        id: Vec<u64>,
    },
    /// List the SSH channels: each control connection, and each transfer with its file and rate
    ListChannels {
        #[command(flatten)]
        format: Format,
    },
    /// Cut SSH channels; a transfer on one of them fails
    CloseChannel {
        /// Ids, as listed by list-channels
        #[arg(required = true)]
        id: Vec<u64>,
    },
    /// List the tunnels that listen for local clients
    ListTunnelListeners {
        #[command(flatten)]
        format: Format,
    },
    /// Open a tunnel that the configuration does not have
    OpenTunnelListener(OpenTunnelArgs),
    /// Close tunnel listeners; clients that are connected go on
    CloseTunnelListener {
        /// Each an id, as listed by list-tunnel-listeners, or [ADDRESS:]PORT; a number alone is an id before it is a
        /// port, and :PORT is always a port
        #[arg(required = true, value_name = "ID|[ADDRESS:]PORT")]
        listener: Vec<ListenerName>,
    },
    /// Ask here what the daemon needs a person for: new host keys, passphrases, passwords
    ///
    /// Stays attached until Ctrl-C. Run it as the user who runs the daemon. A command that makes the daemon connect asks
    /// by itself what is asked for its sake; all else is asked here, and where nobody is attached it fails at once.
    AuthHandler,
    /// Show the host keys of an SSH server, without logging in, and how each stands to what is known
    ProbeKey {
        /// A profile's name or id, or host[#port]
        target: String,
        #[command(flatten)]
        format: Format,
    },
    /// Store a host key of an SSH server as known, after showing it and asking
    TrustHost(TrustHostArgs),
    /// Check a configuration file, without a daemon: every fault with its place, and what has no effect
    CheckConfig {
        /// The file
        file: PathBuf,
        /// Only warn where other users can change the file; brokerd has this option too
        #[arg(long)]
        allow_unsafe_config: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell that reads the script
        shell: Shell,
    },
}

/// How to print an answer.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// Print one line of JSON, as described in the interface's documentation
    #[arg(long, conflicts_with = "short")]
    pub(crate) json: bool,
    /// Print for scripts: no heading, one record a line, fields split by tabs, plain numbers
    #[arg(short, long)]
    pub(crate) short: bool,
}

const OPEN_USAGE: &str = "\
broker-ctl open-tunnel-listener [OPTIONS] -L <SPEC>... <TARGET>
       broker-ctl open-tunnel-listener [OPTIONS] [ADDRESS:]<LISTEN-PORT> <TARGET> [DST-HOST] [DST-PORT]";

const OPEN_HELP: &str = "\
TARGET is a profile's name or id, or [user@]host[#port].

In a terminal, it asks what only a person can answer: a new host key, a passphrase, a password.

Examples:
  broker-ctl open-tunnel-listener -L ftp/1234:localhost:21 username@sshserver
  broker-ctl open-tunnel-listener --type ftp 1234 username@sshserver#2222
  broker-ctl open-tunnel-listener -L ftp/1234:localhost:21 --option tls=pass --option max-sessions=8 work
  broker-ctl open-tunnel-listener --json -L ftp/[::1]:0:ftp.example.com:21 work";

#[derive(Debug, Args)]
#[command(override_usage = OPEN_USAGE, after_help = OPEN_HELP)]
pub(crate) struct OpenTunnelArgs {
    /// [PROTOCOL/][LISTEN-ADDRESS:]LISTEN-PORT:DST-HOST:DST-PORT, where PROTOCOL is tcp (default) or ftp, port 0
    /// listens on a free one, and IPv6 addresses stand in brackets; may be given several times
    #[arg(short = 'L', long = "local", value_name = "SPEC")]
    pub(crate) local: Vec<TunnelSpec>,
    /// Let other hosts connect to the listeners of this command
    #[arg(short = 'g', long)]
    pub(crate) relay: bool,
    /// What to forward, without -L: tcp or ftp
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "tcp",
        conflicts_with = "local"
    )]
    #[arg(value_parser = tunnel_spec::kind)]
    pub(crate) kind: TunnelKind,
    /// Another attribute of a tunnel in the configuration file, such as tls=pass, active-ports=40000-40099 or
    /// allow-from=192.0.2.0/24; may be given several times
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = tunnel_spec::option)]
    pub(crate) options: Vec<(String, String)>,
    /// If one of several listeners cannot be opened, close those already opened by this command
    #[arg(long)]
    pub(crate) abort_on_failing_tunnel: bool,
    #[command(flatten)]
    pub(crate) format: Format,
    /// The target; without -L: listen-port, target, dst-host (default localhost), dst-port (default 21 for ftp)
    #[arg(required = true, num_args = 1..=4, value_name = "TARGET")]
    pub(crate) words: Vec<String>,
}

const TRUST_HELP: &str = "\
TARGET is a profile's name or id, or host[#port].

Without --fingerprint, the key that the server prefers is shown, and stored after a yes on the terminal. Compare the
fingerprint with what the server's administrator tells you: on the server, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub

Examples:
  broker-ctl trust-host work
  broker-ctl trust-host sshserver#2222 --fingerprint SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM";

#[derive(Debug, Args)]
#[command(after_help = TRUST_HELP)]
pub(crate) struct TrustHostArgs {
    /// The server
    pub(crate) target: String,
    /// Ask nobody, and store the key with this fingerprint; fail if the server has no such key
    #[arg(long, value_name = "SHA256:...", value_parser = sha256)]
    pub(crate) fingerprint: Option<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// A time of a second or more, and at most a day: longer ones are mistakes.
fn seconds(text: &str) -> Result<Duration, String> {
    const A_DAY: u64 = 24 * 60 * 60;
    match text.parse() {
        Ok(seconds @ 1..=A_DAY) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(format!("expected a number of seconds from 1 to {A_DAY}")),
    }
}

/// A fingerprint as OpenSSH prints it: 32 bytes in base64 without padding.
fn sha256(text: &str) -> Result<String, String> {
    let base64 = text
        .strip_prefix("SHA256:")
        .map(|it| it.trim_end_matches('='));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    match base64 {
        Some(base64) if base64.len() == 43 && base64.chars().all(fits) => {
            Ok(format!("SHA256:{base64}"))
        }
        Some(_) | None => {
            Err("expected SHA256: and 43 characters, as ssh-keygen -l prints it".into())
        }
    }
}
