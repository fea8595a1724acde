//! The commands: which requests each one sends, and how it uses the answers.

use std::path::Path;

use anyhow::ensure;
use broker_ipc::methods::{
    CloseChannel, CloseConnection, DisconnectClient, KeepRunning, Metrics, Reload, SetLogLevel,
    Status,
};
use broker_ipc::printed::Started;
use broker_ipc::{Patience, find_socket};

use crate::cli::{Cli, Command, Watching};
use crate::close::{close_each, close_listeners};
use crate::complete::own_script;
use crate::daemon::Daemon;
use crate::lists::{self, List};
use crate::open::open_tunnels;
use crate::output::Output;
use crate::reload::reload;
use crate::start::Starting;
use crate::stop::stop;
use crate::{
    check, config_value, debug, doctor, events, health, hostkeys, import, instances, prompts,
    ready, ssh_config, top, tunnel, watch,
};

/// Runs one command.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<()> {
    let socket = cli.socket.unwrap_or_else(find_socket);
    let patience = (cli.timeout).map_or_else(Patience::default, Patience::of);
    let starting = starting(&cli.command).filter(|_| !cli.no_start);
    let daemon = &Daemon::new(socket, patience, output, starting);
    match cli.command {
        Command::Status { all: true, .. } => instances::list(patience, output).await,
        Command::Status {
            pid: only_pid,
            wait,
            watching,
            ..
        } => {
            let ready = match wait {
                Some(limit) => Some(ready::wait(daemon, limit).await?),
                None => None,
            };
            let waited = ready.as_ref().filter(|_| watching.watch.is_none());
            let daemon = waited.unwrap_or(daemon);
            match only_pid {
                true => pid(daemon).await,
                false => list(daemon, List::Status, watching).await,
            }
        }
        Command::Health => health::check(daemon).await,
        Command::Metrics => {
            let page = daemon.call(&Metrics {}).await?;
            match output.is_json() {
                true => output.json(&page),
                false => Ok(output.print(page.text.trim_end())?),
            }
        }
        Command::Start { config } => start(daemon, config.as_deref()).await,
        Command::Stop(args) => stop(daemon, args).await,
        Command::Reload { dry_run } => reload(daemon, Reload { dry_run }).await,
        Command::Debug { level } => debug::debug(daemon, SetLogLevel { level }).await,
        Command::ListProfiles { name, watching } => {
            list(daemon, List::Profiles { name }, watching).await
        }
        Command::ListConnections {
            show_channels,
            watching,
        } => list(daemon, List::Connections { show_channels }, watching).await,
        Command::ConnectionStatus { id, show_channels } => {
            lists::show(daemon, List::Connection { id, show_channels }).await
        }
        Command::CloseConnection { id } => {
            close_each(daemon, id, |id| CloseConnection { id }).await
        }
        Command::ListChannels(watching) => list(daemon, List::Channels, watching).await,
        Command::CloseChannel { id } => close_each(daemon, id, |id| CloseChannel { id }).await,
        Command::ListClients(watching) => list(daemon, List::Clients, watching).await,
        Command::DisconnectClient { id } => {
            close_each(daemon, id, |id| DisconnectClient { id }).await
        }
        Command::ConfigValue { path } => config_value::show(daemon, path).await,
        Command::ListSessions(watching) => list(daemon, List::Sessions, watching).await,
        Command::ListTransfers { running, watching } => {
            let watched = watching.watch.is_some() && watch::is_screen();
            list(daemon, List::Transfers { running, watched }, watching).await
        }
        Command::Events(args) => events::follow(daemon, args).await,
        Command::Top(args) => top::top(daemon, args).await,
        Command::ListTunnelListeners(watching) => list(daemon, List::Listeners, watching).await,
        Command::OpenTunnelListener(tunnel) => open_tunnels(daemon, tunnel).await,
        Command::Tunnel(args) => tunnel::tunnel(daemon, args).await,
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
        Command::Completions { shell } => Ok(output.print(own_script(shell)?.trim_end())?),
    }
}

async fn list(daemon: &Daemon<'_>, list: List, watching: Watching) -> anyhow::Result<()> {
    match watching.watch {
        Some(every) => watch::repeat(daemon, list, every).await,
        None => lists::show(daemon, list).await,
    }
}

async fn pid(daemon: &Daemon<'_>) -> anyhow::Result<()> {
    let status = daemon.call(&Status {}).await?;
    Ok(daemon.output().print(status.pid)?)
}

/// How the command starts a daemon where none runs. One that only asks or ends something has nothing to do there.
fn starting(command: &Command) -> Option<Starting> {
    match command {
        Command::Start { config } => Some(Starting {
            config: config.clone(),
        }),
        Command::OpenTunnelListener(_)
        | Command::Tunnel(_)
        | Command::AuthHandler
        | Command::ProbeKey { .. }
        | Command::TrustHost(_) => Some(Starting::default()),
        Command::Status { .. }
        | Command::Health
        | Command::Metrics
        | Command::Stop(_)
        | Command::Reload { .. }
        | Command::Debug { .. }
        | Command::ConfigValue { .. }
        | Command::ListClients(_)
        | Command::DisconnectClient { .. }
        | Command::ListProfiles { .. }
        | Command::ListConnections { .. }
        | Command::ConnectionStatus { .. }
        | Command::CloseConnection { .. }
        | Command::ListChannels(_)
        | Command::CloseChannel { .. }
        | Command::ListSessions(_)
        | Command::ListTransfers { .. }
        | Command::Events(_)
        | Command::Top(_)
        | Command::ListTunnelListeners(_)
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
    daemon.output().done(&Started { pid: status.pid }, running)
}
