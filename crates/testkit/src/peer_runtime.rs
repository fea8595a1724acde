//! A small runtime for each in-process peer, so that dropping the peer ends everything it started.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};

/// Threads of one peer: one that may be busy with ciphers while the other accepts.
const WORKER_THREADS: usize = 2;

/// A runtime of its own. The crates behind some peers start tasks nobody can name; they end with the runtime.
pub(crate) struct PeerRuntime {
    runtime: Option<Runtime>,
}

impl PeerRuntime {
    /// Starts the threads; `name` is what a debugger or `top -H` shows.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Starts a task that lives at most as long as the peer.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    /// Runs `task` on the peer's threads and waits for its result, so that sockets belong to the peer's runtime.
    pub(crate) async fn run<F, T>(&self, task: F) -> io::Result<T>
    where
        F: Future<Output = io::Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task).await.map_err(io::Error::other)?,
            None => Err(io::Error::other("the peer has been stopped")),
        }
    }
}

impl Drop for PeerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
