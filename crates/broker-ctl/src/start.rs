//! Starts a daemon where none runs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use broker_ipc::endpoint::open_log;
use broker_ipc::{Client, ClientError, Patience};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::output::Output;

/// A daemon reads its files and opens its listeners in a fraction of a second. One that has not done so by then hangs.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A longer log is emptied before the next daemon starts: it is in memory on many systems.
const MAX_LOG: u64 = 1 << 20;
/// What is shown of the log of a daemon that has not started.
const SHOWN_LINES: usize = 40;
const SHOWN_BYTES: u64 = 64 * 1024;

/// How a command starts a daemon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starting {
    /// The configuration file; without one, the daemon reads the usual ones.
    pub(crate) config: Option<PathBuf>,
}

/// Connects to a daemon that this starts, or that somebody else starts at the same time. It ends when nothing uses it.
///
/// # Errors
/// Why there is none. What the daemon said before it ended is printed.
pub(crate) async fn connect(
    how: &Starting,
    socket: &Path,
    patience: Patience,
    output: &Output,
) -> Result<Client, ClientError> {
    let not_started = |reason: String| ClientError::NotStarted {
        path: socket.to_owned(),
        reason,
    };
    let (path, mut log) = open_log(socket).map_err(ClientError::Path)?;
    // Whoever else starts one has this lock until it runs.
    log.lock().map_err(|error| not_started(error.to_string()))?;
    match Client::connect(socket, patience).await {
        Err(ClientError::NotRunning { .. }) => {}
        other => return other,
    }
    let began = emptied_if_long(&log).map_err(|error| not_started(error.to_string()))?;
    let mut daemon = run(how, socket).await.map_err(not_started)?;
    match Client::connect(socket, patience).await {
        Err(ClientError::NotRunning { .. }) => {
            let ended = timeout(START_LIMIT, daemon.wait()).await;
            let how = match ended {
                Ok(Ok(status)) => format!("ended with {status}"),
                Ok(Err(_)) | Err(_) => "does not answer".to_owned(),
            };
            output.passage(&start_of(&mut log, began));
            let reason = format!("brokerd {how}; its log is {}", path.display());
            Err(not_started(reason))
        }
        connected => connected,
    }
}

/// Starts a daemon and waits until it is ready, or has ended.
async fn run(how: &Starting, socket: &Path) -> Result<Child, String> {
    let program = program();
    let failed = |error: io::Error| format!("cannot start {}: {error}", program.display());
    // Its own opening of the file: the lock of the other one must not last as long as the daemon.
    let (_, log) = open_log(socket).map_err(|error| error.to_string())?;
    let mut command = command(&program, how, socket).map_err(failed)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let mut daemon = command.spawn().map_err(failed)?;
    match timeout(START_LIMIT, ready(&mut daemon)).await {
        Ok(outcome) => outcome.map_err(failed).map(|()| daemon),
        Err(_) => Err(format!(
            "{} is not ready after {} s",
            program.display(),
            START_LIMIT.as_secs()
        )),
    }
}

/// It runs in the root directory, so that it keeps no other one busy.
fn command(program: &Path, how: &Starting, socket: &Path) -> io::Result<Command> {
    let mut command = Command::new(program);
    command.arg("--on-demand").current_dir("/");
    command.arg("--socket").arg(std::path::absolute(socket)?);
    if let Some(config) = &how.config {
        command.arg("--config").arg(std::path::absolute(config)?);
    }
    Ok(command)
}

/// Waits until the daemon closes its standard output. It writes nothing there.
async fn ready(daemon: &mut Child) -> io::Result<()> {
    if let Some(mut output) = daemon.stdout.take() {
        output.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

/// The daemon of the same installation; without one beside this program, that of the `PATH`.
pub(crate) fn program() -> PathBuf {
    let beside = std::env::current_exe().map(|it| it.with_file_name("brokerd"));
    let installed = beside.ok().filter(|it| it.is_file());
    installed.unwrap_or_else(|| PathBuf::from("brokerd"))
}

/// Where the log of the next daemon begins.
fn emptied_if_long(log: &File) -> io::Result<u64> {
    let length = log.metadata()?.len();
    if length <= MAX_LOG {
        return Ok(length);
    }
    log.set_len(0)?;
    Ok(0)
}

/// The first lines of the log from this place on.
fn start_of(log: &mut File, began: u64) -> String {
    let mut text = Vec::new();
    let read = log
        .seek(SeekFrom::Start(began))
        .and_then(|_| log.take(SHOWN_BYTES).read_to_end(&mut text));
    if let Err(error) = read {
        return format!("cannot read the log: {error}");
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().take(SHOWN_LINES).collect();
    lines.join("\n")
}
