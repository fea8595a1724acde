//! The service manager's side of systemd's protocols: a notification socket, and sockets passed to a daemon.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::time::Instant;

use crate::process::Process;

/// The first descriptor that a daemon is passed (`SD_LISTEN_FDS_START`).
const FIRST: usize = 3;

/// What a daemon says at most in one message.
const MAX_MESSAGE: usize = 4096;

/// A notification socket that a test reads.
pub struct ServiceManager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl ServiceManager {
    /// Opens the socket.
    ///
    /// # Errors
    /// When there is no directory or socket to be had.
    pub fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no directory for a notification socket")?;
        let socket = UnixDatagram::bind(path_in(directory.path()));
        Ok(Self {
            socket: socket.context("cannot open a notification socket")?,
            directory,
        })
    }

    /// The path of the socket, for the variable `NOTIFY_SOCKET`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_in(self.directory.path())
    }

    /// The next message, and the descriptor that came with it.
    ///
    /// # Errors
    /// When none comes within `limit`.
    pub async fn next(&self, limit: Duration) -> anyhow::Result<(String, Option<OwnedFd>)> {
        let received = self.socket.async_io(Interest::READABLE, || {
            let mut text = [0; MAX_MESSAGE];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut text)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let length = recvmsg(&self.socket, &mut into, &mut ancillary, flags)?.bytes;
            let descriptor = ancillary.drain().find_map(descriptor_in);
            let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
            Ok((text.into_owned(), descriptor))
        });
        let received = tokio::time::timeout(limit, received).await;
        Ok(received.context("no message from the daemon")??)
    }

    /// The next message.
    ///
    /// # Errors
    /// When none comes within `limit`.
    pub async fn message(&self, limit: Duration) -> anyhow::Result<String> {
        Ok(self.next(limit).await?.0)
    }

    /// Reads until a message has this line, and returns that message.
    ///
    /// # Errors
    /// When none comes within `limit`; the error shows what came instead.
    pub async fn wait(&self, line: &str, limit: Duration) -> anyhow::Result<String> {
        self.wait_for(line, limit, |it| it == line).await
    }

    /// Reads until a message has a line that `fits`, and returns that message.
    ///
    /// # Errors
    /// When none comes within `limit`; the error shows what came instead.
    pub async fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        let mut others = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.message(left).await {
                Ok(message) if message.lines().any(&fits) => return Ok(message),
                Ok(message) => others.push(message),
                Err(error) => return Err(error.context(format!("{what}: only {others:?} came"))),
            }
        }
    }
}

fn descriptor_in(message: RecvAncillaryMessage<'_>) -> Option<OwnedFd> {
    if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
        descriptors.next()
    } else {
        None
    }
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join("notify")
}

/// Starts a daemon with sockets passed as a service manager passes them, each with its name. There can be two: a shell
/// moves them to their places from its standard streams, since a daemon must find its own process id in its environment.
///
/// # Errors
/// When it cannot be started.
pub fn spawn_passing(
    command: &Command,
    sockets: impl IntoIterator<Item = (&'static str, OwnedFd)>,
) -> anyhow::Result<Process> {
    let (names, sockets): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
    let moves = |at| format!("exec {}<&{at}; ", FIRST + at);
    let script = format!(
        "{}exec </dev/null >/dev/null; export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={}; exec \"$@\"",
        (0..names.len()).map(moves).collect::<String>(),
        names.len(),
        names.join(":")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut sockets = sockets.into_iter().map(Stdio::from);
    let mut next = || sockets.next().unwrap_or_else(Stdio::null);
    shell.stdin(next()).stdout(next());
    anyhow::ensure!(sockets.next().is_none(), "too many sockets to pass");
    Process::spawn_on_streams(shell)
}
