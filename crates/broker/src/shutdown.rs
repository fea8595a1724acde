//! The tasks of the daemon, and the two steps of stopping them: first let them finish, then end them.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Signals for everything that runs.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Accept no more clients: another process does, or the daemon drains.
    pub leave: CancellationToken,
    /// Take no new work; finish what runs.
    pub drain: CancellationToken,
    /// End now; whatever is cut must look cut.
    pub kill: CancellationToken,
    /// Where every task is spawned.
    pub tasks: TaskTracker,
    /// Counts the sessions and transfers that a stop waits for.
    work: TaskTracker,
    /// Counts what else keeps a daemon running that was started on demand: clients of the local socket, and tunnels that
    /// they opened.
    uses: TaskTracker,
}

/// How long running transfers may take after a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// As long as the daemon's command line says, or an earlier request.
    Usual,
    /// So long from now.
    Limited(Duration),
    /// As long as they like.
    Unlimited,
}

impl Default for Shutdown {
    fn default() -> Self {
        let drain = CancellationToken::new();
        Self {
            leave: drain.child_token(),
            drain,
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
            work: TaskTracker::new(),
            uses: TaskTracker::new(),
        }
    }
}

impl Shutdown {
    /// Held by a session or transfer while it runs.
    pub fn working(&self) -> TaskTrackerToken {
        self.work.token()
    }

    /// Held by whatever keeps a daemon running that was started on demand, other than sessions and transfers.
    pub fn using(&self) -> TaskTrackerToken {
        self.uses.token()
    }

    /// Returns when no session and no transfer runs. For use after the drain began.
    pub async fn idle(&self) {
        // A closed tracker still counts what begins later.
        self.work.close();
        self.work.wait().await;
    }

    /// Returns when nothing has used the daemon for about this time.
    pub async fn unused(&self, linger: Duration) {
        self.uses.close();
        loop {
            self.uses.wait().await;
            self.idle().await;
            sleep(linger).await;
            if self.uses.is_empty() && self.work.is_empty() {
                return;
            }
        }
    }

    /// Spawns a task that is dropped when the daemon ends.
    pub fn spawn_until_killed(&self, task: impl Future<Output: Send> + Send + 'static) {
        let kill = self.kill.clone();
        self.tasks
            .spawn(async move { kill.run_until_cancelled(task).await.map(drop) });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LINGER: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn the_daemon_is_unused_some_time_after_its_last_use() {
        let shutdown = Shutdown::default();
        let (client, session) = (shutdown.using(), shutdown.working());
        let mut unused = Box::pin(shutdown.unused(LINGER));
        for held in [client, session] {
            assert_eq!(unused.as_mut().now_or_never(), None);
            drop(held);
        }
        let began = tokio::time::Instant::now();
        unused.await;
        assert_eq!(began.elapsed(), LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_meanwhile_keeps_it() {
        let shutdown = Shutdown::default();
        let mut unused = Box::pin(shutdown.unused(LINGER));
        assert_eq!(unused.as_mut().now_or_never(), None);
        let client = shutdown.using();
        assert!(tokio::time::timeout(3 * LINGER, &mut unused).await.is_err());
        drop(client);
        unused.await;
    }
}
