//! What the commands take that open tunnels: `open-tunnel-listener` and `tunnel`.

use broker_ipc::types::TunnelKind;
use clap::Args;

use crate::candidates::profiles;
use crate::tunnel_spec::{self, TunnelSpec};

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

const TUNNEL_USAGE: &str = "\
broker-ctl tunnel [OPTIONS] -L <SPEC>... <TARGET>
       broker-ctl tunnel [OPTIONS] -R <SPEC>... <TARGET>
       broker-ctl tunnel [OPTIONS] [ADDRESS:]<LISTEN-PORT> <TARGET> [DST-HOST] [DST-PORT]";

const TUNNEL_HELP: &str = "\
TARGET is a profile's name or id, or [user@]host[#port].

Ctrl-C closes the tunnels: no more clients can connect, and the command waits for the transfers that run. A second Ctrl-C \
cuts them. SIGTERM does the same as Ctrl-C. If the terminal closes, the command ends at once, and the daemon finishes the \
transfers. However the command ends, the tunnels close with it, unless -f was given.

With --json, each event of the tunnels is one line, as docs/ipc-api.md describes it; with -f, each listener.

In a terminal, this command shows the prompts of the target's connections for as long as it runs. It shows a line for each \
transfer that runs, if standard error is a terminal that can move its cursor.

Examples:
  broker-ctl tunnel -L ftp/1234:localhost:21 username@sshserver
  broker-ctl tunnel -L ftp/1234:localhost:21 -L 5432:db:5432 work
  broker-ctl tunnel -f -L socks/1080 work";

/// Tunnels that are not in the configuration, and their target.
#[derive(Debug, Args)]
pub(crate) struct TunnelChoice {
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
    /// The target; without -L and -R: listen-port, target, dst-host (default localhost), dst-port (default 21 for ftp)
    #[arg(required = true, num_args = 1..=4, value_name = "TARGET", add = profiles())]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(override_usage = OPEN_USAGE, after_help = OPEN_HELP)]
pub(crate) struct OpenTunnelArgs {
    #[command(flatten)]
    pub(crate) tunnels: TunnelChoice,
    /// If a listener cannot be opened, close those that this command has opened
    #[arg(long)]
    pub(crate) abort_on_failing_tunnel: bool,
}

#[derive(Debug, Args)]
#[command(override_usage = TUNNEL_USAGE, after_help = TUNNEL_HELP)]
pub(crate) struct TunnelArgs {
    #[command(flatten)]
    pub(crate) tunnels: TunnelChoice,
    /// Return when the tunnels are open, and leave them open
    #[arg(short = 'f', long)]
    pub(crate) background: bool,
}
