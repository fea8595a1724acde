//! The commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use clap_complete::Shell;

use super::ids::id;
use super::instead;
use super::seconds;
use super::{
    DoctorArgs, EventsArgs, ImportSshConfigArgs, NewFile, OpenTunnelArgs, StopArgs, TopArgs,
    TrustHostArgs, TunnelArgs, Watching,
};
use crate::candidates::{channels, clients, connections, listeners, profiles};
use crate::tunnel_spec::ListenerName;

const CONFIG_VALUE_HELP: &str = "\
Examples:
  broker-ctl config-value \"profiles/profile[@name='work']/@port\"
  broker-ctl config-value profiles/profile[1]
  broker-ctl --json config-value general";

const COMPLETIONS_HELP: &str = "\
Examples:
  source <(broker-ctl completions bash)
  broker-ctl completions fish > ~/.config/fish/completions/broker-ctl.fish

The package has installed them for bash, zsh and fish.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the daemon's version, its current work and its totals
    Status {
        /// Print the daemon's process id only
        #[arg(long, conflicts_with_all = ["json", "short", "watch"])]
        pid: bool,
        /// List the daemons of this host that you may control: all for root, otherwise your own. It finds those whose
        /// sockets are in the usual places
        #[arg(long, conflicts_with_all = ["pid", "watch"])]
        all: bool,
        /// Wait until the daemon answers and every tunnel of the configuration listens, for at most this many seconds.
        /// The exit status is 3 if no daemon came, 4 if a tunnel does not listen yet, and 1 as soon as one has failed and
        /// the daemon does not try it again
        #[arg(long, value_name = "SECONDS", conflicts_with = "all", value_parser = seconds)]
        wait: Option<Duration>,
        #[command(flatten)]
        watching: Watching,
    },
    /// Check the daemon for a monitoring system: print one line, and exit with its state
    ///
    /// The line is that of monitoring plug-ins: OK, WARNING, CRITICAL or UNKNOWN, a text, and numbers behind a bar. The
    /// exit status is 0, 1, 2 or 3. Critical: the daemon does not answer, a tunnel of the configuration does not listen,
    /// or a profile cannot connect. Warning: a tunnel waits, a client was refused or cut in the last 10 minutes and the
    /// tunnel has not worked since, or a prompt waits for an answer.
    Health,
    /// Print the daemon's metrics in the Prometheus text format
    ///
    /// This is what the daemon shows at its --metrics-listen address too. The guide describes each metric.
    Metrics,
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
    },
    /// Show or set how much the running daemon logs
    ///
    /// The level holds until the daemon ends; a reload does not change it. To change it for good, start brokerd with --log.
    /// The log never contains passwords, at any level.
    Debug {
        /// error, warn, info, debug, trace or off, or a filter such as "info,broker=debug"; default: that of the daemon's
        /// command line. Without it, nothing changes
        level: Option<String>,
    },
    /// List the profiles of the configuration
    ListProfiles {
        /// Only the profile with this name or id
        #[arg(add = profiles())]
        name: Option<String>,
        #[command(flatten)]
        watching: Watching,
    },
    /// Show values of the configuration that the daemon uses
    ///
    /// PATH leads from outer to inner elements, separated by slashes, and can end with @ and an attribute. A condition in
    /// brackets chooses among elements with one name. Without @, it shows all values in the element. What the files do not
    /// say has its default. Variables are as written, and asterisks replace passwords.
    #[command(after_help = CONFIG_VALUE_HELP)]
    ConfigValue {
        /// The place in the configuration
        path: String,
    },
    /// List the SSH connections
    #[command(args = instead::of_list_connections())]
    ListConnections {
        /// Also show the channels on each connection
        #[arg(short = 'c', long)]
        show_channels: bool,
        #[command(flatten)]
        watching: Watching,
    },
    /// Show one SSH connection: server, algorithms, traffic
    #[command(args = instead::of_connection_status())]
    ConnectionStatus {
        /// The connection's id, as listed by list-connections
        #[arg(value_parser = id("list-connections"), add = connections())]
        id: u64,
        /// Also show the channels on it
        #[arg(long)]
        show_channels: bool,
    },
    /// Close SSH connections and the channels on them
    CloseConnection {
        /// Ids, as listed by list-connections
        #[arg(required = true, value_parser = id("list-connections"), add = connections())]
        id: Vec<u64>,
    },
    /// List the SSH channels: control connections, and transfers with their files and rates
    ListChannels(Watching),
    /// Close SSH channels; transfers on them fail
    CloseChannel {
        /// Ids, as listed by list-channels
        #[arg(required = true, value_parser = id("list-channels"), add = channels())]
        id: Vec<u64>,
    },
    /// List the clients being served, with what each one does
    ListSessions(Watching),
    /// List the clients of the daemon's local socket, with what each one waits for
    ListClients(Watching),
    /// Disconnect clients of the daemon's local socket
    DisconnectClient {
        /// Ids, as listed by list-clients
        #[arg(required = true, value_parser = id("list-clients"), add = clients())]
        id: Vec<u64>,
    },
    /// List the FTP transfers that run, and the last 1000 that are over, with their results
    ListTransfers {
        /// Only those that run
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        watching: Watching,
    },
    /// Show what happens in the daemon, one line for each event, until Ctrl-C
    ///
    /// Shows SSH connections, sessions, transfers and tunnel listeners. A reader that is too slow loses events and is told
    /// how many.
    Events(EventsArgs),
    /// Show the daemon on the whole screen as it works: profiles, tunnels, transfers, failures, log
    ///
    /// The keys filter, sort, and show details. They also close tunnels and connections, cut transfers, and connect profiles;
    /// ? lists them. Needs a terminal; broker-ctl events prints the same as lines. NO_COLOR turns colours off.
    Top(TopArgs),
    // Scripts have abbreviated it so since before there was list-transfers.
    /// List the tunnel listeners
    #[command(alias = "list-t")]
    ListTunnelListeners(Watching),
    /// Open a tunnel that is not in the configuration
    OpenTunnelListener(OpenTunnelArgs),
    /// Open a tunnel that is not in the configuration, and show its transfers until Ctrl-C, which closes it
    Tunnel(TunnelArgs),
    /// Close tunnel listeners; connected clients continue
    CloseTunnelListener {
        /// Ids, as listed by list-tunnel-listeners, or [ADDRESS:]PORT. A number alone means the id if a listener has it,
        /// otherwise the port; :PORT always means a port
        #[arg(required = true, value_name = "ID|[ADDRESS:]PORT", add = listeners())]
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
        #[arg(add = profiles())]
        target: String,
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
    /// Print a script that completes commands, options, and the daemon's names and ids in a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell to write the script for
        shell: Shell,
    },
}
