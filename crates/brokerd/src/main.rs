//! The Connection Broker daemon: the life of the process, from its arguments to its exit status.

mod args;
mod doctor;
mod format;
mod handover;
mod heartbeat;
mod journal;
mod level;
mod line;
mod loading;
mod log_lines;
mod logging;
mod monitoring;
mod notify;
mod passed;
mod process;
mod reload;
mod stopping;
mod throttle;
mod xferlog;

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use broker::{Api, LogLines, Shutdown, Supervisor};
use broker_config::Environment;
use broker_ipc::methods::OpenTunnelListener;
use broker_ipc::{BindError, Endpoint};
use clap::CommandFactory;
use clap::error::ErrorKind;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::args::Args;
use crate::handover::{Estate, Heritage, Predecessor};
use crate::level::{Level, LogFilter};
use crate::loading::{Loaded, Loader};
use crate::logging::{Log, LogFiles};
use crate::monitoring::MonitoringSocket;
use crate::passed::Passed;
use crate::reload::Reloader;
use crate::stopping::Orders;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status for an invalid configuration. Service managers need not restart the daemon after it.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    // First of all, since the configuration can contain passwords.
    let limited = [
        ("core files", process::forbid_core_files()),
        ("the limit of descriptors", process::allow_all_descriptors()),
    ];
    let args = Args::of_process();
    let filter = log_filter(&args);
    if args.doctor {
        return doctor::run(&args);
    }
    let passed = match passed::take() {
        Ok(passed) => passed,
        Err(error) => return failed(&error),
    };
    if args.on_demand {
        process::leave_terminal();
    }
    let loader = Loader::new(&args, Environment::current());
    let Some(loaded) = load(&loader) else {
        return ExitCode::from(EXIT_CONFIG);
    };
    let log = match logging::start(&args, filter, &loaded.config) {
        Ok(started) => started,
        // The configuration names the file. Starting again would not help.
        Err(error) => {
            failed(&error);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    for (what, outcome) in limited {
        if let Err(error) = outcome {
            warn!(%error, "the kernel does not let the daemon change {what}");
        }
    }
    for name in &passed.unused {
        warn!(%name, "the service manager passed a socket that the daemon has no use for");
    }
    match run(args, loader, loaded, passed, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("brokerd: {error:#}");
    ExitCode::FAILURE
}

/// The configuration, or `None` after printing its faults.
fn load(loader: &Loader) -> Option<Loaded> {
    let reading = loader.read(true);
    anstream::eprint!("{}", reading.shown);
    match reading.outcome {
        Ok(loaded) => Some(loaded),
        Err(unusable) => {
            anstream::eprintln!("brokerd: {}", unusable.at_start());
            None
        }
    }
}

/// What the command line says of the log. A misspelt level ends the program like any other fault of the command line.
fn log_filter(args: &Args) -> LogFilter {
    args.log.parse().unwrap_or_else(|message: String| {
        let fault = format!("invalid value for '--log <LEVEL>': {message}");
        Args::command()
            .error(ErrorKind::ValueValidation, fault)
            .exit()
    })
}

fn run(args: Args, loader: Loader, loaded: Loaded, passed: Passed, log: Log) -> anyhow::Result<()> {
    if let Some(places) = loader.missing() {
        warn!(
            "there is no configuration, so there are no profiles and no tunnels: none of these files exists: {places}"
        );
    }
    for exposure in &loaded.exposed {
        warn!("{exposure}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let Log {
        files,
        lines,
        level,
        reporter,
    } = log;
    let served = runtime.block_on(async {
        tokio::select! {
            served = serve(args, loader, loaded, passed, files, lines, level) => served,
            never = reporter.run() => never,
        }
    });
    reporter.tell();
    // A name lookup in progress must not delay the end until the resolver gives up.
    runtime.shutdown_background();
    served
}

async fn serve(
    args: Args,
    loader: Loader,
    loaded: Loaded,
    passed: Passed,
    log: LogFiles,
    lines: LogLines,
    level: Level,
) -> anyhow::Result<()> {
    let path = args.socket.clone();
    let path = path.unwrap_or_else(broker_ipc::default_socket_path);
    let heritage = if args.takeover {
        Heritage::take(&path).await?
    } else {
        None
    };
    let (endpoint, before) = open(&path, passed, heritage)?;
    let socket = endpoint.path().to_owned();
    let signals = stopping::Signals::listen().context("cannot listen for signals")?;
    let shutdown = Shutdown::default();
    let (process, requests) = mpsc::channel(1);
    let mut supervisor = Supervisor::new(
        loaded.config,
        loaded.files,
        loader.identity(),
        shutdown.clone(),
        process,
    );
    let api = Api::of(&supervisor, lines);
    if !args.on_demand {
        supervisor.keep_running();
    }
    let tunnels = supervisor.tunnel_sockets();
    let xferlog = log.xferlogs().start(&supervisor.events());
    let monitoring = MonitoringSocket::default();
    open_tunnels(&mut supervisor, before.tunnels, before.requested);
    let overview = supervisor.overview();
    shutdown.tasks.spawn(supervisor.run());
    let reloader = Reloader {
        loader: Arc::new(loader),
        log,
        api: api.clone(),
        shutdown: shutdown.clone(),
        grace: args.grace(),
    };
    // The socket answers until the last transfer is over, so that a client can ask for the status.
    let orders = Orders {
        signals,
        requests,
        reloads: reloader.start(),
        level,
        estate: Estate {
            endpoint: endpoint.copy().map(Arc::new),
            tunnels,
            monitoring: monitoring.clone(),
        },
    };
    monitor(&args, before.monitoring, monitoring, &api, &shutdown);
    let local = shutdown.kill.child_token();
    let serving = broker_ipc::serve(
        endpoint,
        Arc::new(api.clone()),
        shutdown.tasks.clone(),
        local.clone(),
    );
    shutdown.tasks.spawn(serving);
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), socket = %socket.display(), "broker ready");
    notify::ready(&overview);
    if let Some(predecessor) = before.predecessor {
        retire(&predecessor).await;
    }
    if args.on_demand {
        leave_output();
    }
    shutdown.spawn_until_killed(heartbeat::report(api));
    stopping::until_stopped(orders, shutdown, local, args.grace()).await;
    xferlog.finish().await;
    info!("broker ended");
    Ok(())
}

/// The program that has started the daemon learns that it is ready.
fn leave_output() {
    if let Err(error) = process::leave_output() {
        warn!(%error, "cannot close standard output: the program that started the daemon may wait");
    }
}

/// Serves monitoring systems, if the command line asks for that.
fn monitor(
    args: &Args,
    inherited: Option<TcpListener>,
    socket: MonitoringSocket,
    api: &Api,
    shutdown: &Shutdown,
) {
    if let Some(address) = args.metrics_listen {
        let serving = monitoring::serve(address, inherited, socket, api.clone(), shutdown.clone());
        shutdown.spawn_until_killed(serving);
    }
}

/// What this daemon has from the one before it.
#[derive(Default)]
struct Before {
    /// The listeners of its tunnels.
    tunnels: Vec<TcpListener>,
    /// The socket for monitoring systems.
    monitoring: Option<TcpListener>,
    /// The tunnels that clients had opened.
    requested: Vec<OpenTunnelListener>,
    /// The daemon itself, if it still runs.
    predecessor: Option<Predecessor>,
}

/// The local socket: that of the daemon before this one, that of the service manager, or a new one.
fn open(
    path: &Path,
    passed: Passed,
    heritage: Option<Heritage>,
) -> Result<(Endpoint, Before), BindError> {
    if let Some(heritage) = heritage {
        let endpoint = broker_ipc::inherit(heritage.local_socket, heritage.lock, path)?;
        let before = Before {
            tunnels: heritage.tunnels,
            monitoring: heritage.monitoring,
            requested: heritage.requested,
            predecessor: Some(heritage.predecessor),
        };
        return Ok((endpoint, before));
    }
    let endpoint = match passed.local_socket {
        Some(socket) => broker_ipc::adopt(socket)?,
        None => broker_ipc::bind(path)?,
    };
    let before = Before {
        tunnels: passed.tunnels,
        ..Before::default()
    };
    Ok((endpoint, before))
}

/// Opens the tunnels, on the sockets of the daemon before this one where it had the same.
fn open_tunnels(
    supervisor: &mut Supervisor,
    inherited: Vec<TcpListener>,
    requested: Vec<OpenTunnelListener>,
) {
    let sockets = supervisor.tunnel_sockets();
    sockets.inherit(inherited);
    if notify::is_wanted() {
        sockets.watch(notify::keep);
    }
    supervisor.open_configured();
    supervisor.reopen(requested);
    for address in sockets.close_inherited() {
        info!(%address, "closed a listener of the daemon before this one: no tunnel has it any more");
        notify::keep(address, None);
    }
}

async fn retire(predecessor: &Predecessor) {
    let pid = predecessor.pid();
    match predecessor.retire().await {
        Ok(()) => info!(
            pid,
            "the daemon before this one ends when its sessions have ended"
        ),
        Err(error) => warn!(pid, "cannot end the daemon before this one: {error}"),
    }
}
