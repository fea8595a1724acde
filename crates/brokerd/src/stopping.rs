//! Stopping: running transfers may finish, the daemon closes what still runs after that, and the process ends.

use std::io;
use std::time::Duration;

use broker::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::notify;

/// How long tasks may take to reset their connections when the daemon ends.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

/// SIGTERM and SIGINT end the daemon. SIGHUP does not: service managers and administrators send it to make a daemon
/// read its configuration again, and a daemon started with nohup outlives its terminal.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that ends the daemon.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => hung_up(),
            }
        }
    }
}

fn hung_up() {
    let _reloading = notify::reloading();
    warn!(
        "ignored SIGHUP: the daemon reads its configuration only at the start; use broker-ctl stop to end it"
    );
}

/// Returns when all tasks have ended, or when the time to wait for them is over.
pub(crate) async fn until_stopped(
    mut signals: Signals,
    mut asked: mpsc::Receiver<Option<Duration>>,
    shutdown: Shutdown,
    grace: Duration,
) {
    let (by, grace) = tokio::select! {
        name = signals.next() => (name, grace),
        Some(asked) = asked.recv() => ("request", asked.unwrap_or(grace)),
    };
    info!(%by, grace = grace.as_secs(), "stopping: no new clients; running transfers may finish");
    notify::stopping();
    shutdown.drain.cancel();
    tokio::select! {
        () = shutdown.idle() => info!("all transfers have ended"),
        () = tokio::time::sleep(grace) => warn!("the grace period is over: closing what still runs"),
        name = signals.next() => warn!(by = %name, "second request to stop: closing what still runs"),
        Some(_) = asked.recv() => warn!("second request to stop: closing what still runs"),
        never = notify::keep_extending_timeout() => match never {},
    }
    shutdown.kill.cancel();
    shutdown.tasks.close();
    if timeout(KILL_TIMEOUT, shutdown.tasks.wait()).await.is_err() {
        warn!(
            tasks = shutdown.tasks.len(),
            "tasks did not end in time: ending without them"
        );
    }
}
