//! The Connection Broker daemon: the life of the process, from its arguments to its exit status.

mod args;
mod logging;
mod stopping;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use broker::{Identity, Shutdown, Supervisor};
use broker_config::{Config, Environment, Severity, Sources};
use clap::Parser;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::args::Args;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status for a configuration that can't be used; supervisors of services need not retry it.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let args = Args::parse();
    let environment = Environment::current();
    let Some((config, files)) = load(&args, &environment) else {
        return ExitCode::from(EXIT_CONFIG);
    };
    match run(args, config, files, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("brokerd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration, or `None` after what is wrong with it was printed.
fn load(args: &Args, environment: &Environment) -> Option<(Config, Vec<PathBuf>)> {
    let sources = match &args.config {
        Some(path) => Sources::Only(path.clone()),
        None => Sources::standard(environment),
    };
    let report = broker_config::load(&sources, environment);
    let serious = |d: &broker_config::Diagnostic| d.severity <= Severity::Warning;
    if report.diagnostics.iter().any(serious) {
        anstream::eprint!("{}", report.render(true));
    }
    if report.has_errors() {
        anstream::eprintln!("brokerd: the configuration cannot be used; mend it and start again");
        return None;
    }
    // Whoever asks for the status may stand in another folder.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let read = match &sources {
        Sources::Only(path) => vec![path.clone()],
        Sources::Merged { global, user } => [global].into_iter().chain(user).cloned().collect(),
    };
    let present = read.iter().filter(|path| path.exists());
    let files = present.map(absolute).collect();
    let config = report.config?;
    if config.fips {
        anstream::eprintln!(
            "brokerd: crypto-lib mode=\"fips\" asks for FIPS-validated cryptography, which this build does not have; it will not pretend"
        );
        return None;
    }
    Some((config, files))
}

fn run(
    args: Args,
    config: Config,
    files: Vec<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<()> {
    logging::start(&args, &config)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let identity = Identity {
        home: environment.home.clone(),
        user: environment.user.clone(),
    };
    let served = runtime.block_on(serve(args, config, files, identity));
    // A name that is still being looked up would hold up the end for as long as the resolver likes.
    runtime.shutdown_background();
    served
}

/// As many descriptors as may be had. A session holds up to three, and the usual soft limit is meant for programs that
/// use `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

async fn serve(
    args: Args,
    config: Config,
    files: Vec<PathBuf>,
    identity: Identity,
) -> anyhow::Result<()> {
    let socket = args
        .socket
        .clone()
        .unwrap_or_else(broker_ipc::default_socket_path);
    let endpoint = broker_ipc::bind(&socket)?;
    let signals = stopping::Signals::listen().context("cannot listen for signals")?;
    let tracker = TaskTracker::new();
    let shutdown = Shutdown::default();
    let (stop, stop_asked) = mpsc::channel(1);
    let mut supervisor = Supervisor::new(
        config,
        files,
        identity,
        tracker.clone(),
        shutdown.clone(),
        stop,
    );
    let api = Arc::new(supervisor.api());
    supervisor.open_configured();
    tracker.spawn(supervisor.run());
    // The socket answers until the last transfer is over, so that its status can be asked for.
    let serving = broker_ipc::serve(endpoint, api, tracker.clone(), shutdown.kill.clone());
    tracker.spawn(serving);
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), socket = %socket.display(), "broker ready");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    stopping::until_stopped(signals, stop_asked, shutdown, tracker, args.grace()).await;
    info!("broker ended");
    Ok(())
}
