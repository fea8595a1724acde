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

/// The threads. They start with the first data connection and last as long as the process.
static WORKERS: OnceLock<Vec<Handle>> = OnceLock::new();

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
/// The tasks on a thread belong to the tracker on which they were spawned.
pub(crate) fn next() -> Handle {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let workers = WORKERS.get_or_init(start);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let worker = turn
        .checked_rem(workers.len())
        .and_then(|index| workers.get(index));
    worker.cloned().unwrap_or_else(Handle::current)
}

/// The name of each running thread, and a future that ends once the thread has run a task after this call.
pub fn data_thread_heartbeats() -> Vec<(String, impl Future<Output = ()> + Send + use<>)> {
    let running = WORKERS.get().into_iter().flatten().enumerate();
    let heartbeats = running.map(|(number, runtime)| {
        let beat = TaskTracker::new().spawn_on(async {}, runtime);
        (name(number), async { drop(beat.await) })
    });
    heartbeats.collect()
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
        .name(name(number))
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

fn name(number: usize) -> String {
    format!("ssh-data-{number}")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn tasks_run_on_threads_of_their_own() {
        let ran_on = next().spawn(async { thread::current().name().map(str::to_owned) });
        let name = ran_on.await.unwrap().unwrap();
        assert!(name.starts_with("ssh-data-"), "{name}");
    }

    #[tokio::test]
    async fn a_blocked_thread_has_no_heartbeat() {
        let (unblock, blocked) = mpsc::channel::<()>();
        let (blocks, blocking) = tokio::sync::oneshot::channel();
        let task = next().spawn(async move {
            let _ = blocks.send(thread::current().name().map(str::to_owned));
            let _ = blocked.recv();
        });
        let name = blocking.await.unwrap().unwrap();
        let mut heartbeats = data_thread_heartbeats();
        let at = heartbeats.iter().position(|(of, _)| *of == name).unwrap();
        let (_, missing) = heartbeats.remove(at);
        let mut missing = std::pin::pin!(missing);
        // The others answer. By then this one would have done so too.
        for (_, heartbeat) in heartbeats {
            heartbeat.await;
        }
        assert_eq!(missing.as_mut().now_or_never(), None);
        drop(unblock);
        missing.await;
        task.await.unwrap();
    }
}
