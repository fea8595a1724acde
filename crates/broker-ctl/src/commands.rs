//! The commands: which requests each one sends, and how it uses the answers.

use std::path::Path;

use anyhow::ensure;
use broker_ipc::methods::{
    CloseChannel, CloseConnection, CloseTunnelListener, ConnectionStatus, KeepRunning,
    ListChannels, ListConnections, ListProfiles, ListSessions, ListTransfers, ListTunnelListeners,
    Reload, Status,
};
use broker_ipc::types::{ChannelInfo, Connection, ConnectionDetail, TransferState};
use broker_ipc::{Patience, Reason, find_socket};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Command};
use crate::daemon::Daemon;
use crate::failure::Reported;
use crate::open::open_tunnels;
use crate::output::Output;
use crate::reload::reload;
use crate::start::Starting;
use crate::stop::stop;
use crate::table::Table;
use crate::tunnel_spec::ListenerName;
use crate::{
    check, doctor, events, health, hostkeys, import, instances, listing, prompts, ssh_config,
};

/// Runs one command.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<()> {
    let socket = cli.socket.unwrap_or_else(find_socket);
    let patience = (cli.timeout).map_or_else(Patience::default, Patience::of);
    let starting = starting(&cli.command).filter(|_| !cli.no_start);
    let daemon = &Daemon::new(socket, patience, output, starting);
    match cli.command {
        Command::Status { all: true, .. } => instances::list(patience, output).await,
        Command::Status { pid, .. } => status(daemon, pid).await,
        Command::Health => health::check(daemon).await,
        Command::Start { config } => start(daemon, config.as_deref()).await,
        Command::Stop(args) => stop(daemon, args).await,
        Command::Reload { dry_run } => reload(daemon, Reload { dry_run }).await,
        Command::ListProfiles => {
            let profiles = daemon.call(&ListProfiles {}).await?;
            output.answer(&profiles, &listing::profiles(&profiles))
        }
        Command::ListConnections { show_channels } => list_connections(daemon, show_channels).await,
        Command::ConnectionStatus { id, show_channels } => {
            let detail = daemon.call(&ConnectionStatus { id }).await?;
            output.answer(&detail, &listing::connection(&detail, show_channels))
        }
        Command::CloseConnection { id } => {
            daemon
                .call_each(id.into_iter().map(|id| CloseConnection { id }))
                .await
        }
        Command::ListChannels => {
            let channels = daemon.call(&ListChannels {}).await?;
            output.answer(&channels, &listing::channels(&channels))
        }
        Command::CloseChannel { id } => {
            daemon
                .call_each(id.into_iter().map(|id| CloseChannel { id }))
                .await
        }
        Command::ListSessions => {
            let sessions = daemon.call(&ListSessions {}).await?;
            output.answer(&sessions, &listing::sessions(&sessions))
        }
        Command::ListTransfers { running } => list_transfers(daemon, running).await,
        Command::Events(args) => events::follow(daemon, args).await,
        Command::ListTunnelListeners => {
            let listeners = daemon.call(&ListTunnelListeners {}).await?;
            output.answer(&listeners, &listing::listeners(&listeners))
        }
        Command::OpenTunnelListener(tunnel) => open_tunnels(daemon, tunnel).await,
        Command::CloseTunnelListener { listener } => close_listeners(daemon, &listener).await,
        Command::AuthHandler => prompts::auth_handler(daemon).await,
        Command::ProbeKey { target } => hostkeys::probe(daemon, target).await,
        Command::TrustHost(args) => hostkeys::trust(daemon, args).await,
        Command::Doctor(args) => doctor::doctor(daemon, args).await,
        Command::CheckConfig {
            file,
            allow_unsafe_config,
        } => check::check_config(file, allow_unsafe_config, output),
        Command::ImportConfig { old, output: new } => import::import_config(&old, &new, output),
        Command::ImportSshConfig(args) => ssh_config::import_ssh_config(&args, output),
        Command::Completions { shell } => Ok(output.print(completions(shell))?),
    }
}

fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "broker-ctl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

async fn status(daemon: &Daemon<'_>, pid: bool) -> anyhow::Result<()> {
    let status = daemon.call(&Status {}).await?;
    if pid {
        return Ok(daemon.output().print(status.pid)?);
    }
    daemon.output().answer(&status, &listing::status(&status))
}

/// How the command starts a daemon where none runs. One that only asks or ends something has nothing to do there.
fn starting(command: &Command) -> Option<Starting> {
    match command {
        Command::Start { config } => Some(Starting {
            config: config.clone(),
        }),
        Command::OpenTunnelListener(_)
        | Command::AuthHandler
        | Command::ProbeKey { .. }
        | Command::TrustHost(_) => Some(Starting::default()),
        Command::Status { .. }
        | Command::Health
        | Command::Stop(_)
        | Command::Reload { .. }
        | Command::ListProfiles
        | Command::ListConnections { .. }
        | Command::ConnectionStatus { .. }
        | Command::CloseConnection { .. }
        | Command::ListChannels
        | Command::CloseChannel { .. }
        | Command::ListSessions
        | Command::ListTransfers { .. }
        | Command::Events(_)
        | Command::ListTunnelListeners
        | Command::CloseTunnelListener { .. }
        | Command::Doctor(_)
        | Command::CheckConfig { .. }
        | Command::ImportConfig { .. }
        | Command::ImportSshConfig(_)
        | Command::Completions { .. } => None,
    }
}

/// Makes sure that a daemon runs, and stays.
async fn start(daemon: &Daemon<'_>, config: Option<&Path>) -> anyhow::Result<()> {
    daemon.call(&KeepRunning {}).await?;
    let status = daemon.call(&Status {}).await?;
    if let Some(config) = config {
        let wanted = std::path::absolute(config)?.display().to_string();
        ensure!(
            status.config == [wanted],
            "a daemon with another configuration runs already, as process {}: stop it first",
            status.pid
        );
    }
    let running = format!("The daemon runs as process {}", status.pid);
    Ok(daemon.output().print(running)?)
}

async fn list_connections(daemon: &Daemon<'_>, show_channels: bool) -> anyhow::Result<()> {
    let connections = daemon.call(&ListConnections {}).await?;
    let table = listing::connections(&connections);
    if !show_channels {
        return daemon.output().answer(&connections, &table);
    }
    let channels = daemon.call(&ListChannels {}).await?;
    let table = Table::Both(table.into(), listing::channels(&channels).into());
    daemon
        .output()
        .answer(&with_channels(connections, &channels), &table)
}

async fn list_transfers(daemon: &Daemon<'_>, running: bool) -> anyhow::Result<()> {
    let mut transfers = daemon.call(&ListTransfers {}).await?;
    if running {
        transfers.retain(|transfer| transfer.state == TransferState::Running);
    }
    daemon
        .output()
        .answer(&transfers, &listing::transfers(&transfers))
}

fn with_channels(connections: Vec<Connection>, channels: &[ChannelInfo]) -> Vec<ConnectionDetail> {
    let detail = |connection: Connection| {
        let on_it = channels
            .iter()
            .filter(|channel| channel.connection == Some(connection.id));
        ConnectionDetail {
            channels: on_it.cloned().collect(),
            connection,
        }
    };
    connections.into_iter().map(detail).collect()
}

async fn close_listeners(daemon: &Daemon<'_>, names: &[ListenerName]) -> anyhow::Result<()> {
    let listeners = daemon.call(&ListTunnelListeners {}).await?;
    let mut ids = Vec::new();
    let mut unknown = false;
    for name in names {
        match name.find(&listeners) {
            Ok(id) => ids.push(id),
            Err(message) => {
                daemon.output().error(message);
                unknown = true;
            }
        }
    }
    daemon
        .call_each(ids.into_iter().map(|id| CloseTunnelListener { id }))
        .await?;
    if unknown {
        Err(Reported::because(Reason::NotFound).into())
    } else {
        Ok(())
    }
}
