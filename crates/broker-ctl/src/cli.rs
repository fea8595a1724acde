//! The command line and its help.

use std::path::PathBuf;
use std::time::Duration;

use broker_ipc::checks::FtpServer;
use broker_ipc::types::{EventKind, TunnelKind};
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::tunnel_spec::{self, ListenerName, TunnelSpec};

const EXIT_STATUS: &str = "\
Commands may be abbreviated as long as they are unambiguous.

Exit status: 0 success; 1 the request failed, a step of doctor failed, or the checked file has errors; 2 the command line is \
invalid; 3 no daemon could be reached; 4 the request failed, and trying again later can help; 5 a person must look at a host \
key or a login.";

/// Controls the Connection Broker, the daemon that carries FTP through SSH
#[derive(Debug, Parser)]
#[command(name = "broker-ctl", version, infer_subcommands = true, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    /// The daemon's socket [default: that of your own daemon; without one, that of the daemon for the whole host if you may
    /// use it]
    #[arg(
        short = 'a',
        long,
        visible_alias = "broker-address",
        value_name = "PATH",
        env = "SSH_BROKER_SOCKET"
    )]
    #[arg(global = true, hide_env_values = true)]
    pub(crate) socket: Option<PathBuf>,

    /// Seconds to wait for the daemon's answer [default: 5; 900 if the command needs a server or a person]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Do not start a daemon where none runs. Otherwise open-tunnel-listener, auth-handler, probe-key and trust-host start
    /// one, which ends a few seconds after it was last used
    #[arg(
        long,
        global = true,
        env = "SSH_BROKER_NO_START",
        hide_env_values = true
    )]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) no_start: bool,

    /// Print no answer, only errors; the exit status shows the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Show which daemon answers
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the daemon's version, its current work and its totals
    Status {
        /// Print the daemon's process id only
        #[arg(long, conflicts_with_all = ["json", "short"])]
        pid: bool,
        /// List the daemons of this host that you may control: all for root, otherwise your own. It finds those whose
        /// sockets are in the usual places
        #[arg(long, conflicts_with = "pid")]
        all: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Check the daemon for a monitoring system: print one line, and exit with its state
    ///
    /// The line is that of monitoring plug-ins: OK, WARNING, CRITICAL or UNKNOWN, a text, and numbers behind a bar. The
    /// exit status is 0, 1, 2 or 3. Critical: the daemon does not answer, a tunnel of the configuration does not listen,
    /// or a profile cannot connect. Warning: a tunnel waits, a client was refused or cut in the last 10 minutes and the
    /// tunnel has not worked since, or a prompt waits for an answer.
    Health,
    /// Start a daemon if none runs, and keep it running when nothing uses it
    Start {
        /// The configuration file [default: the usual ones]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Stop the daemon; running transfers may finish within a grace period
    Stop(StopArgs),
    /// Make the daemon read its configuration again, and apply what has changed
    ///
    /// Running sessions continue, and what has not changed is not touched. If the files have faults, or if a tunnel moves
    /// to a port in use, nothing changes. A new tunnel whose port is in use tries again.
    Reload {
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        format: Format,
    },
    /// List the profiles of the configuration
    ListProfiles {
        #[command(flatten)]
        format: Format,
    },
    /// List the SSH connections
    ListConnections {
        /// Also show the channels on each connection
        #[arg(short = 'c', long)]
        show_channels: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show one SSH connection: server, algorithms, traffic
    ConnectionStatus {
        /// The connection's id, as listed by list-connections
        id: u64,
        /// Also show the channels on it
        #[arg(long)]
        show_channels: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Close SSH connections and the channels on them
    CloseConnection {
        /// Ids, as listed by list-connections
        #[arg(required = true)]
        id: Vec<u64>,
    },
    /// List the SSH channels: control connections, and transfers with their files and rates
    ListChannels {
        #[command(flatten)]
        format: Format,
    },
    /// Close SSH channels; transfers on them fail
    CloseChannel {
        /// Ids, as listed by list-channels
        #[arg(required = true)]
        id: Vec<u64>,
    },
    /// List the clients being served, with what each one does
    ListSessions {
        #[command(flatten)]
        format: Format,
    },
    /// List the FTP transfers that run, and the last 1000 that are over, with their results
    ListTransfers {
        /// Only those that run
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show what happens in the daemon, one line for each event, until Ctrl-C
    ///
    /// Shows SSH connections, sessions, transfers and tunnel listeners. A reader that is too slow loses events and is told
    /// how many.
    Events(EventsArgs),
    // Scripts have abbreviated it so since before there was list-transfers.
    /// List the tunnel listeners
    #[command(alias = "list-t")]
    ListTunnelListeners {
        #[command(flatten)]
        format: Format,
    },
    /// Open a tunnel that is not in the configuration
    OpenTunnelListener(OpenTunnelArgs),
    /// Close tunnel listeners; connected clients continue
    CloseTunnelListener {
        /// Ids, as listed by list-tunnel-listeners, or [ADDRESS:]PORT. A number alone means the id if a listener has it,
        /// otherwise the port; :PORT always means a port
        #[arg(required = true, value_name = "ID|[ADDRESS:]PORT")]
        listener: Vec<ListenerName>,
    },
    /// Show the daemon's prompts in this terminal: new host keys, passphrases, passwords
    ///
    /// Runs until Ctrl-C. Run it as the user who runs the daemon. If a broker-ctl command makes the daemon connect, that
    /// command shows the prompts itself; auth-handler shows all others. Without auth-handler, those fail at once.
    AuthHandler,
    /// Show the host keys of an SSH server without logging in, and whether each is known
    ProbeKey {
        /// A profile's name or id, or host[#port]
        target: String,
        #[command(flatten)]
        format: Format,
    },
    /// Show a host key of an SSH server, ask, and store it as known
    TrustHost(TrustHostArgs),
    /// Find out why it does not work: try each step to the FTP servers, and say what to do about one that fails
    Doctor(DoctorArgs),
    /// Check a configuration file without a daemon; show each fault with its place, and what has no effect
    ///
    /// Also looks at what the file names on this host: whether keys, passwords and host keys can be read, who else can read
    /// or change them, whether the log can be written, and whether the ports of tunnels are free and permitted. It looks as
    /// the user who runs it.
    CheckConfig {
        /// The configuration file [default: the files that brokerd reads]
        file: Option<PathBuf>,
        /// Print one line of JSON, as docs/ipc-api.md describes it
        #[arg(long)]
        json: bool,
        /// Warn instead of failing if other users can change the file; brokerd has this option too
        #[arg(long)]
        allow_unsafe_config: bool,
    },
    /// Make a clean configuration file from one of the commercial connection broker
    ///
    /// The new file has only what has an effect here, in today's spelling, and loads without complaints about the rest.
    /// What is left out goes to standard error and into a comment.
    ImportConfig {
        /// The old file
        old: PathBuf,
        #[command(flatten)]
        output: NewFile,
    },
    /// Make profiles from the configuration of OpenSSH's client (~/.ssh/config)
    ///
    /// Needs OpenSSH's ssh, which says what it would do for each host. ProxyJump becomes gateways, and forwards become
    /// tunnels: those to port 21 for FTP. What is left out goes to standard error and into a comment.
    ImportSshConfig(ImportSshConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell to write the script for
        shell: Shell,
    },
}

impl Command {
    /// Whether its answer and its errors are for programs.
    pub(crate) fn prints_json(&self) -> bool {
        match self {
            Self::Status { format, .. }
            | Self::ListProfiles { format }
            | Self::ListConnections { format, .. }
            | Self::ConnectionStatus { format, .. }
            | Self::ListChannels { format }
            | Self::ListSessions { format }
            | Self::ListTransfers { format, .. }
            | Self::ListTunnelListeners { format }
            | Self::ProbeKey { format, .. }
            | Self::Reload { format, .. } => format.json,
            Self::OpenTunnelListener(tunnel) => tunnel.format.json,
            Self::TrustHost(args) => args.format.json,
            Self::Doctor(args) => args.json,
            Self::CheckConfig { json, .. } => *json,
            Self::Events(args) => args.json,
            Self::Health
            | Self::Start { .. }
            | Self::Stop(_)
            | Self::CloseConnection { .. }
            | Self::CloseChannel { .. }
            | Self::CloseTunnelListener { .. }
            | Self::AuthHandler
            | Self::ImportConfig { .. }
            | Self::ImportSshConfig(_)
            | Self::Completions { .. } => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events of this target: a profile's name or id, or [user@]host[#port]
    #[arg(long, value_name = "TARGET")]
    pub(crate) profile: Option<String>,
    /// Only events of this kind, such as transfer-ended. Can be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = event_kind)]
    pub(crate) kinds: Vec<EventKind>,
    /// Also show what has happened since the event with this number, as far as the daemon has kept it; 0 shows all of that
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// End after this number of events
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<usize>,
    /// Print each event as one line of JSON, as docs/ipc-api.md describes it
    #[arg(long)]
    pub(crate) json: bool,
}

const DOCTOR_HELP: &str = "\
TARGET is a profile's name or id, or [user@]host[#port].

The steps: the daemon, the configuration, the server's name, each of its addresses, the SSH greeting, the \
host key, the login, the round trip, a channel to each destination of the tunnels, the FTP greeting, and \
active mode. With --ftp-user also a listing in passive and in active mode.

The doctor connects by itself, as the user who runs it and with that user's keys, whether or not a daemon \
runs. It stores nothing, except a host key if the policy is to accept new ones. It asks nothing except the \
FTP password: a login that needs a person fails, and the doctor says so.

Examples:
  broker-ctl doctor
  broker-ctl doctor work --ftp-user alice --get /pub/big.iso
  broker-ctl doctor user@sshserver#2222 --ftp ftp.example.com:21";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct DoctorArgs {
    /// What to examine [default: every profile]
    pub(crate) target: Option<String>,
    /// The configuration file [default: that of the running daemon; without one, the usual ones]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Accept a configuration file that other users can change
    #[arg(long)]
    pub(crate) allow_unsafe_config: bool,
    /// The FTP server, as the SSH server can reach it [default: those of the profile's tunnels; for another target,
    /// localhost:21]
    #[arg(long, value_name = "HOST:PORT", value_parser = tunnel_spec::ftp_server)]
    pub(crate) ftp: Option<FtpServer>,
    /// Log in to the FTP server as this user, and try a listing in each mode. Asks for the password in a terminal,
    /// otherwise reads it from standard input
    #[arg(long, value_name = "USER", value_parser = one_line)]
    pub(crate) ftp_user: Option<String>,
    /// Fetch this file for at most 15 seconds, to measure the throughput; keeps nothing of it
    #[arg(long, value_name = "FILE", requires = "ftp_user", value_parser = one_line)]
    pub(crate) get: Option<String>,
    /// Mark the steps with words, for a terminal without UTF-8
    #[arg(long)]
    pub(crate) ascii: bool,
    /// Print one line of JSON, as docs/ipc-api.md describes it
    #[arg(long)]
    pub(crate) json: bool,
}

/// A text that is a part of an FTP command.
fn one_line(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("expected a text without control characters".into());
    }
    Ok(text.to_owned())
}

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

const OPEN_USAGE: &str = "\
broker-ctl open-tunnel-listener [OPTIONS] -L <SPEC>... <TARGET>
       broker-ctl open-tunnel-listener [OPTIONS] -R <SPEC>... <TARGET>
       broker-ctl open-tunnel-listener [OPTIONS] [ADDRESS:]<LISTEN-PORT> <TARGET> [DST-HOST] [DST-PORT]";

const OPEN_HELP: &str = "\
TARGET is a profile's name or id, or [user@]host[#port].

In a terminal, this command shows the prompts of the connection: a new host key, a passphrase, a password.

Examples:
  broker-ctl open-tunnel-listener -L ftp/1234:localhost:21 username@sshserver
  broker-ctl open-tunnel-listener -R ftp/2121:localhost:21 username@sshserver
  broker-ctl open-tunnel-listener --type ftp 1234 username@sshserver#2222
  broker-ctl open-tunnel-listener -L ftp/1234:localhost:21 --option tls=pass --option max-sessions=8 work
  broker-ctl open-tunnel-listener -L socks/1080 --option ftp-ports=21,2121 work
  broker-ctl open-tunnel-listener --json -L ftp/[::1]:0:ftp.example.com:21 work";

#[derive(Debug, Args)]
pub(crate) struct ImportSshConfigArgs {
    /// Hosts as on the command line of ssh [default: each host that the file names without a pattern]
    pub(crate) host: Vec<String>,
    /// OpenSSH's configuration file [default: ~/.ssh/config and that of the system]
    #[arg(short = 'F', long = "config", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: NewFile,
}

/// Where a new file goes.
#[derive(Debug, Args)]
pub(crate) struct NewFile {
    /// The new file [default: standard output, unless it contains passwords]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(override_usage = OPEN_USAGE, after_help = OPEN_HELP)]
pub(crate) struct OpenTunnelArgs {
    /// [PROTOCOL/][LISTEN-ADDRESS:]LISTEN-PORT:DST-HOST:DST-PORT. PROTOCOL is tcp (default) or ftp. A SOCKS tunnel has no
    /// destination: socks/[LISTEN-ADDRESS:]LISTEN-PORT. Listen port 0 takes a free port. Put IPv6 addresses in brackets.
    /// Can be repeated
    #[arg(short = 'L', long = "local", value_name = "SPEC")]
    pub(crate) local: Vec<TunnelSpec>,
    /// The same for a remote tunnel: the SSH server listens, and this host connects to the destination. Listen port 0
    /// lets the server choose a port. Can be repeated
    #[arg(short = 'R', long = "remote", value_name = "SPEC", value_parser = TunnelSpec::remote)]
    pub(crate) remote: Vec<TunnelSpec>,
    /// Let other hosts connect to the listeners of this command
    #[arg(short = 'g', long)]
    pub(crate) relay: bool,
    /// What to forward, without -L and -R: tcp, ftp or socks
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "tcp",
        conflicts_with_all = ["local", "remote"]
    )]
    #[arg(value_parser = tunnel_spec::kind)]
    pub(crate) kind: TunnelKind,
    /// A further attribute of a tunnel, as in the configuration file, such as tls=pass, active-ports=40000-40099 or
    /// allow-from=192.0.2.0/24. Can be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = tunnel_spec::option)]
    pub(crate) options: Vec<(String, String)>,
    /// If a listener cannot be opened, close those that this command has opened
    #[arg(long)]
    pub(crate) abort_on_failing_tunnel: bool,
    #[command(flatten)]
    pub(crate) format: Format,
    /// The target; without -L and -R: listen-port, target, dst-host (default localhost), dst-port (default 21 for ftp)
    #[arg(required = true, num_args = 1..=4, value_name = "TARGET")]
    pub(crate) words: Vec<String>,
}

const TRUST_HELP: &str = "\
TARGET is a profile's name or id, or host[#port].

Without --fingerprint, this command shows the key that the server prefers, and stores it if you \
answer yes. Compare the fingerprint with the one that the server's administrator gives you. \
To print it on the server:
  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub

Examples:
  broker-ctl trust-host work
  broker-ctl trust-host sshserver#2222 --fingerprint SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM";

#[derive(Debug, Args)]
#[command(after_help = TRUST_HELP)]
pub(crate) struct TrustHostArgs {
    /// The server
    pub(crate) target: String,
    /// Store the key with this fingerprint without asking; fail if the server has no such key
    #[arg(long, value_name = "SHA256:...", value_parser = sha256)]
    pub(crate) fingerprint: Option<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// A kind of events in its wire form.
fn event_kind(text: &str) -> Result<EventKind, String> {
    let kind = serde_json::from_value(text.into());
    kind.map_err(|_| "docs/ipc-api.md names the kinds, such as transfer-ended".to_owned())
}

/// From one second to one day: a longer time is a mistake.
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
