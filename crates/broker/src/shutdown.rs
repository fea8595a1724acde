//! The tasks of the daemon, and the two steps of stopping them: first let them finish, then end them.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Signals for everything that runs.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take no new work; finish what runs.
    pub drain: CancellationToken,
    /// End now; whatever is cut must look cut.
    pub kill: CancellationToken,
    /// Where every task is spawned.
    pub tasks: TaskTracker,
    /// Counts the sessions and transfers that a stop waits for.
    work: TaskTracker,
}

impl Shutdown {
    /// Held by a session or transfer while it runs.
    pub fn working(&self) -> TaskTrackerToken {
        self.work.token()
    }

    /// Returns when no session and no transfer runs. For use after the drain began.
    pub async fn idle(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// Spawns a task that is dropped when the daemon ends.
    pub fn spawn_until_killed(&self, task: impl Future<Output: Send> + Send + 'static) {
        let kill = self.kill.clone();
        self.tasks
            .spawn(async move { kill.run_until_cancelled(task).await.map(drop) });
    }
}
