//! The threads that run data connections, each from its SSH session to the copying of its bytes
//!
//! Between the session's loop, the channel and the copying, every packet changes tasks twice. On one thread that wakes
//! nobody; across threads it costs more than the cipher.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// No network is fast enough to keep more threads busy.
const MAX_WORKERS: usize = 8;

/// Where the tasks of one connection run, and who waits for their end.
#[derive(Debug, Clone)]
pub(crate) struct TaskSpawner {
    runtime: Handle,
    tracker: TaskTracker,
}

impl TaskSpawner {
    pub(crate) fn new(runtime: Handle, tracker: TaskTracker) -> Self {
        Self { runtime, tracker }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tracker.spawn_on(task, &self.runtime)
    }
}

/// The runtime for the next data connection, in turn. If no thread can be started, it is the caller's own.
///
/// The threads start with the first data connection and last as long as the process. Their tasks belong to the tracker on
/// which they were spawned.
pub(crate) fn next() -> Handle {
    static WORKERS: OnceLock<Vec<Handle>> = OnceLock::new();
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let workers = WORKERS.get_or_init(start);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let worker = turn
        .checked_rem(workers.len())
        .and_then(|index| workers.get(index));
    worker.cloned().unwrap_or_else(Handle::current)
}

fn start() -> Vec<Handle> {
    let count = thread::available_parallelism().map_or(1, usize::from);
    let started = (0..count.min(MAX_WORKERS)).map_while(|number| match start_one(number) {
        Ok(handle) => Some(handle),
        Err(error) => {
            tracing::warn!(%error, "cannot start another thread for data connections");
            None
        }
    });
    started.collect()
}

fn start_one(number: usize) -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name(format!("ssh-data-{number}"))
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_run_on_threads_of_their_own() {
        let ran_on = next().spawn(async { thread::current().name().map(str::to_owned) });
        let name = ran_on.await.unwrap().unwrap();
        assert!(name.starts_with("ssh-data-"), "{name}");
    }
}
