//! Stopping: running transfers may finish, what still runs after that is cut, and the process ends.

use std::io;
use std::time::Duration;

use broker::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

/// How long tasks may take to reset their connections once they are told to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

/// SIGTERM and SIGINT end the daemon. SIGHUP does not: service managers and administrators send it for "read the
/// configuration again", and a daemon that nohup started outlives its terminal.
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

    /// The next one that ends the daemon.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => warn!(
                    "SIGHUP changes nothing: the configuration is read at the start only; broker-ctl stop ends the daemon"
                ),
            }
        }
    }
}

/// Returns when everything that ran has ended, or was given up.
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
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    shutdown.drain.cancel();
    tokio::select! {
        () = shutdown.idle() => info!("nothing was left running"),
        () = tokio::time::sleep(grace) => warn!("the grace period is over; what still runs is cut"),
        name = signals.next() => warn!(by = %name, "told twice; what still runs is cut"),
        Some(_) = asked.recv() => warn!("told twice; what still runs is cut"),
    }
    shutdown.kill.cancel();
    shutdown.tasks.close();
    if timeout(KILL_TIMEOUT, shutdown.tasks.wait()).await.is_err() {
        warn!(tasks = shutdown.tasks.len(), "tasks were given up");
    }
}
