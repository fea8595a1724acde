//! An FTP server whose every departure from the usual is declared, with its files in memory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::peer::FtpFiles;
use crate::peer_runtime::PeerRuntime;
use crate::server_logs;

mod control;
mod data;
mod quirks;
mod session;

pub use quirks::{Aborts, Noop, Quirks, Success};

/// How long a test waits for something that should have happened at the server.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that all files may hold together: several of the largest that tests move.
const MAX_STORED: usize = 256 * 1024 * 1024;

/// Lines of the transcript that are kept; a test's session has some dozens.
const MAX_TRANSCRIPT: usize = 10_000;

/// A running server; dropping it ends it with all its sessions.
///
/// It takes any user and password, and knows PASV, EPSV, PORT, EPRT, STOR, APPE, RETR and LIST.
pub struct QuirkyFtp {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _runtime: PeerRuntime,
}

impl QuirkyFtp {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(quirks: Quirks) -> anyhow::Result<Self> {
        let runtime = PeerRuntime::new("quirky-ftp")?;
        let listener = runtime
            .run(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .await
            .context("the quirky FTP server cannot listen")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(quirks));
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            addr,
            shared,
            _runtime: runtime,
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Behaves like this from the next command on.
    pub fn set_quirks(&self, quirks: Quirks) {
        *lock(&self.shared.quirks) = quirks;
    }

    /// Waits until the server has this many bytes of a file.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn wait_for_bytes(&self, name: &str, count: usize) -> anyhow::Result<()> {
        let mut files = self.shared.files.subscribe();
        let come = |files: &Files| files.get(name).is_some_and(|file| file.len() >= count);
        let waited = timeout(PATIENCE, files.wait_for(come)).await;
        waited
            .with_context(|| format!("the server never had {count} bytes of {name}"))?
            .context("the server has ended")?;
        Ok(())
    }

    /// Waits until a line of the transcript begins like this.
    ///
    /// # Errors
    /// When none does in time; the message shows the transcript.
    pub async fn wait_for_line(&self, start: &str) -> anyhow::Result<()> {
        self.wait_for_lines(start, 1).await
    }

    /// Waits until so many lines of the transcript begin like this.
    ///
    /// # Errors
    /// When they do not in time; the message shows the transcript.
    pub async fn wait_for_lines(&self, start: &str, count: usize) -> anyhow::Result<()> {
        let mut lines = self.shared.transcript.subscribe();
        let fitting = |lines: &Vec<String>| lines.iter().filter(|l| l.starts_with(start)).count();
        let waited = timeout(PATIENCE, lines.wait_for(|lines| fitting(lines) >= count)).await;
        waited
            .with_context(|| format!("no {count} lines {start:?} in {:#?}", self.transcript()))?
            .context("the server has ended")?;
        Ok(())
    }

    /// Commands behind `> ` and lines of replies behind `< `, of all sessions, in their order.
    #[must_use]
    pub fn transcript(&self) -> Vec<String> {
        self.shared.transcript.borrow().clone()
    }

    /// Sessions that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        *self.shared.sessions.borrow()
    }
}

/// Contents by name.
type Files = BTreeMap<String, Vec<u8>>;

/// What the handle and the sessions both know.
struct Shared {
    quirks: Mutex<Quirks>,
    files: watch::Sender<Files>,
    transcript: watch::Sender<Vec<String>>,
    sessions: watch::Sender<usize>,
}

impl Shared {
    fn new(quirks: Quirks) -> Self {
        Self {
            quirks: Mutex::new(quirks),
            files: watch::Sender::default(),
            transcript: watch::Sender::default(),
            sessions: watch::Sender::default(),
        }
    }

    fn quirks(&self) -> Quirks {
        lock(&self.quirks).clone()
    }

    fn note(&self, line: String) {
        self.transcript.send_modify(|lines| {
            if lines.len() < MAX_TRANSCRIPT {
                lines.push(line);
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FtpFiles for QuirkyFtp {
    fn put(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let put = |files: &mut Files| drop(files.insert(name.to_owned(), content.to_owned()));
        self.shared.files.send_modify(put);
        Ok(())
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.files.borrow().get(name).cloned()
    }

    fn remove(&self, name: &str) {
        let remove = |files: &mut Files| drop(files.remove(name));
        self.shared.files.send_modify(remove);
    }
}

impl Drop for QuirkyFtp {
    fn drop(&mut self) {
        server_logs::hand_in("the quirky FTP server", &self.transcript().join("\n"));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let tasks = TaskTracker::new();
    loop {
        if let Ok((stream, _peer)) = listener.accept().await {
            tasks.spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

async fn serve(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    shared.sessions.send_modify(|count| *count += 1);
    if let Err(error) = session::serve(stream, &shared).await {
        tracing::debug!(%error, "a session of the quirky FTP server ended");
    }
    shared.sessions.send_modify(|count| *count -= 1);
}

#[cfg(test)]
mod tests;
