//! The Connection Broker daemon: the life of the process, from its arguments to its exit status.

mod args;
mod handover;
mod heartbeat;
mod logging;
mod notify;
mod passed;
mod process;
mod stopping;
mod throttle;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use broker::{Api, Identity, Shutdown, Supervisor};
use broker_config::{Concern, Config, Environment, Exposed, Report, Severity, Sources};
use broker_ipc::methods::OpenTunnelListener;
use broker_ipc::{BindError, Endpoint};
use clap::Parser;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::args::Args;
use crate::handover::{Estate, Heritage, Predecessor};
use crate::passed::Passed;
use crate::stopping::Orders;
use crate::throttle::Reporter;

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
    let args = Args::parse();
    let passed = match passed::take() {
        Ok(passed) => passed,
        Err(error) => return failed(&error),
    };
    if args.on_demand {
        process::leave_terminal();
    }
    let environment = Environment::current();
    let Some(loaded) = load(&args, &environment) else {
        return ExitCode::from(EXIT_CONFIG);
    };
    let reporter = match logging::start(&args, &loaded.config) {
        Ok(reporter) => reporter,
        Err(error) => return failed(&error),
    };
    for (what, outcome) in limited {
        if let Err(error) = outcome {
            warn!(%error, "the kernel does not let the daemon change {what}");
        }
    }
    for name in &passed.unused {
        warn!(%name, "the service manager passed a socket that the daemon has no use for");
    }
    match run(args, loaded, passed, &environment, reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("brokerd: {error:#}");
    ExitCode::FAILURE
}

/// The configuration, and the files that it comes from.
struct Loaded {
    config: Config,
    files: Vec<PathBuf>,
    /// Why other users can change the files.
    exposed: Vec<String>,
}

/// The configuration, or `None` after printing its faults.
fn load(args: &Args, environment: &Environment) -> Option<Loaded> {
    let sources = match &args.config {
        Some(path) => Sources::Only(path.clone()),
        None => Sources::standard(environment),
    };
    let exposed = if args.allow_unsafe_config {
        Exposed::Accepted
    } else {
        Exposed::Refused
    };
    let report = broker_config::load(&sources, environment, exposed);
    let serious = |d: &broker_config::Diagnostic| d.severity <= Severity::Warning;
    if report.diagnostics.iter().any(serious) {
        anstream::eprint!("{}", report.render(true));
    }
    if report.has_errors() {
        anstream::eprintln!("brokerd: {}", what_to_do(&report));
        return None;
    }
    let exposed = about_access(&report).map(|it| it.message.clone()).collect();
    let config = report.config?;
    if config.fips {
        anstream::eprintln!(
            "brokerd: cannot use the configuration: crypto-lib mode=\"fips\" requires FIPS-validated cryptography, which \
             this build does not have; remove the mode if you can do without it, and start brokerd again"
        );
        return None;
    }
    let files = present(&sources);
    Some(Loaded {
        config,
        files,
        exposed,
    })
}

fn about_access(report: &Report) -> impl Iterator<Item = &broker_config::Diagnostic> {
    let all = report.diagnostics.iter();
    all.filter(|it| it.concern == Concern::Access)
}

fn what_to_do(report: &Report) -> &'static str {
    if about_access(report).any(|it| it.severity == Severity::Error) {
        "cannot use the configuration, since other users can change it: correct the faults above and start brokerd \
         again, or start it with --allow-unsafe-config if you trust those users"
    } else {
        "cannot use the configuration: correct the faults above and start brokerd again"
    }
}

/// The existing files, with absolute paths, since a client that asks for the status can be in another directory.
fn present(sources: &Sources) -> Vec<PathBuf> {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let read = match sources {
        Sources::Only(path) => vec![path.clone()],
        Sources::Merged { global, user } => [global].into_iter().chain(user).cloned().collect(),
    };
    let present = read.iter().filter(|path| path.exists());
    present.map(absolute).collect()
}

fn run(
    args: Args,
    loaded: Loaded,
    passed: Passed,
    environment: &Environment,
    reporter: Reporter,
) -> anyhow::Result<()> {
    for exposure in &loaded.exposed {
        warn!("{exposure}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let identity = Identity {
        home: environment.home.clone(),
        user: environment.user.clone(),
    };
    let served = runtime.block_on(async {
        tokio::select! {
            served = serve(args, loaded, passed, identity) => served,
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
    loaded: Loaded,
    passed: Passed,
    identity: Identity,
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
        identity,
        shutdown.clone(),
        process,
    );
    let api = Api::of(&supervisor);
    if !args.on_demand {
        supervisor.keep_running();
    }
    let tunnels = supervisor.tunnel_sockets();
    open_tunnels(&mut supervisor, before.tunnels, before.requested);
    let overview = supervisor.overview();
    shutdown.tasks.spawn(supervisor.run());
    // The socket answers until the last transfer is over, so that a client can ask for the status.
    let orders = Orders {
        signals,
        requests,
        estate: Estate {
            endpoint: endpoint.copy().map(Arc::new),
            tunnels,
        },
    };
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
    if args.on_demand
        && let Err(error) = process::leave_output()
    {
        warn!(%error, "cannot close standard output: the program that started the daemon may wait");
    }
    shutdown.spawn_until_killed(heartbeat::report(api));
    stopping::until_stopped(orders, shutdown, local, args.grace()).await;
    info!("broker ended");
    Ok(())
}

/// What this daemon has from the one before it.
#[derive(Default)]
struct Before {
    /// The listeners of its tunnels.
    tunnels: Vec<TcpListener>,
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
