//! A child process with its output captured, ended with all its descendants when dropped.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::watch;

use crate::netns::Netns;

/// Output kept of each stream; past it the oldest goes, so that a chatty daemon cannot fill the memory.
const MAX_CAPTURE: usize = 16 * 1024 * 1024;

/// Bytes read from a pipe at once.
const PIPE_CHUNK: usize = 16 * 1024;

/// A running or ended child. Dropping it kills it and everything it started.
pub struct Process {
    name: String,
    child: Child,
    stdout: watch::Receiver<Captured>,
    stderr: watch::Receiver<Captured>,
    /// The namespace must not go before the processes in it.
    _netns: Option<Netns>,
}

#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    closed: bool,
}

impl Process {
    /// Starts `command` in a process group of its own, without input; inside `netns` if there is one.
    ///
    /// # Errors
    /// When it cannot be started; the message names the program.
    pub fn spawn(mut command: Command, netns: Option<&Netns>) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        match netns {
            Some(inside) => inside.enter(|| Self::spawn_in(command, netns))?,
            None => Self::spawn_in(command, netns),
        }
    }

    /// As [`Process::spawn`], with the standard input and output that the command already has.
    pub(crate) fn spawn_on_streams(command: Command) -> anyhow::Result<Self> {
        Self::spawn_in(command, None)
    }

    fn spawn_in(mut command: Command, netns: Option<&Netns>) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stderr(Stdio::piped()).process_group(0);
        let spawned = command.spawn();
        let mut child = spawned.with_context(|| format!("cannot start {name}"))?;
        let stdout = capture(child.stdout.take());
        let stderr = capture(child.stderr.take());
        Ok(Self {
            name,
            child,
            stdout,
            stderr,
            _netns: netns.cloned(),
        })
    }

    /// Starts `command`, which makes itself the leader of a session, with all its streams on a terminal, of which `screen`
    /// is the other end.
    pub(crate) fn spawn_on_terminal(
        mut command: Command,
        terminal: &File,
        screen: File,
    ) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let stream = || terminal.try_clone();
        command.stdin(stream()?).stdout(stream()?).stderr(stream()?);
        let child = command.spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {name}"))?,
            name,
            stdout: capture(Some(screen)),
            stderr: capture(None::<File>),
            _netns: None,
        })
    }

    /// The process id, also its process group's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.borrow().bytes.clone()
    }

    /// What it has written to standard error so far, where daemons log.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.stderr.borrow().bytes).into_owned()
    }

    /// Waits until standard error contains `text`.
    ///
    /// # Errors
    /// When the process ends or `limit` passes before; the message shows the log.
    pub async fn wait_log(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        self.wait_log_times(text, 1, limit).await
    }

    /// Waits until it has logged `text` so many times.
    ///
    /// # Errors
    /// When the process ends or `limit` passes before; the message shows what it logged.
    pub async fn wait_log_times(
        &self,
        text: &str,
        times: usize,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let seen = wait_for(&self.stderr, text, times, limit).await;
        anyhow::ensure!(seen, "{} did not say “{text}”:\n{}", self.name, self.log());
        Ok(())
    }

    /// Waits until standard output contains `text` so many times.
    ///
    /// # Errors
    /// When the process ends or `limit` passes before; the message shows what it wrote.
    pub async fn wait_stdout(
        &self,
        text: &str,
        times: usize,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let seen = wait_for(&self.stdout, text, times, limit).await;
        anyhow::ensure!(
            seen,
            "{} did not say “{text}”:\n{}",
            self.name,
            self.output()
        );
        Ok(())
    }

    /// Waits until standard output is as `expected`. Returns false if the process ends or `limit` passes before.
    pub(crate) async fn stdout_becomes(
        &self,
        expected: impl Fn(&[u8]) -> bool,
        limit: Duration,
    ) -> bool {
        becomes(&self.stdout, expected, limit).await
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the process has ended and nobody holds its output any more.
    ///
    /// # Errors
    /// When it still runs after `limit`; it goes on then.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let closed = async {
            for stream in [&mut self.stdout, &mut self.stderr] {
                // The error means that the reading thread has ended, so that the pipe is closed too.
                let _ = stream.wait_for(|captured| captured.closed).await;
            }
        };
        let ended = tokio::time::timeout(limit, closed).await;
        ended.map_err(|_| anyhow::anyhow!("{} still runs after {limit:?}", self.name))?;
        // Its pipes are closed: this wait lasts no longer than the end of the process itself.
        self.child
            .wait()
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.raw_pid(), signal)
            .with_context(|| format!("cannot send a signal to {}", self.name))
    }

    /// Ids of the children it has now.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        children_of(&process_table(), self.pid())
    }

    /// Each of its children now, followed by everything below that child.
    #[must_use]
    pub fn families(&self) -> Vec<Vec<u32>> {
        let table = process_table();
        let children = children_of(&table, self.pid()).into_iter();
        children.map(|child| family(&table, child)).collect()
    }

    /// Kills one of its children with everything below that; false when it is none of its children.
    pub fn kill_child(&self, pid: u32) -> bool {
        let table = process_table();
        let is_child = children_of(&table, self.pid()).contains(&pid);
        if is_child {
            kill_all(&family(&table, pid));
        }
        is_child
    }

    /// Kills the process with everything below it, and waits for its end.
    pub fn kill(&mut self) {
        // Taken before, since orphans no longer name their parent.
        let below = descendants(&process_table(), self.pid());
        if self.is_running() {
            // It may end just now, which is what is wanted.
            let _ = kill_process_group(self.raw_pid(), Signal::KILL);
        }
        kill_all(&below);
        let _ = self.child.wait();
    }

    /// Everything it wrote, for messages.
    pub(crate) fn output(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.stdout()).into_owned();
        let _ = write!(text, "{}", self.log());
        text
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads a pipe on a thread of its own until it is closed, whatever happens to the caller's runtime.
fn capture(pipe: Option<impl Read + Send + 'static>) -> watch::Receiver<Captured> {
    let (sender, receiver) = watch::channel(Captured::default());
    thread::spawn(move || {
        if let Some(pipe) = pipe {
            // A broken pipe is the end of the output.
            let _ = read_into(pipe, &sender);
        }
        sender.send_modify(|captured| captured.closed = true);
    });
    receiver
}

fn read_into(mut pipe: impl Read, captured: &watch::Sender<Captured>) -> io::Result<()> {
    let mut chunk = [0; PIPE_CHUNK];
    loop {
        let count = match pipe.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else {
            return Ok(());
        };
        captured.send_modify(|captured| {
            captured.bytes.extend_from_slice(read);
            let excess = captured.bytes.len().saturating_sub(MAX_CAPTURE);
            captured.bytes.drain(..excess);
        });
    }
}

/// Whether a stream comes to contain a text so many times within the limit.
async fn wait_for(
    stream: &watch::Receiver<Captured>,
    text: &str,
    times: usize,
    limit: Duration,
) -> bool {
    let found = |bytes: &[u8]| count(bytes, text.as_bytes()) >= times;
    becomes(stream, found, limit).await
}

/// Whether a stream becomes as `expected` within the limit.
async fn becomes(
    stream: &watch::Receiver<Captured>,
    expected: impl Fn(&[u8]) -> bool,
    limit: Duration,
) -> bool {
    let found = |captured: &Captured| expected(&captured.bytes);
    let mut stream = stream.clone();
    let seen = stream.wait_for(|captured| captured.closed || found(captured));
    let seen = tokio::time::timeout(limit, seen).await;
    seen.is_ok_and(|captured| captured.is_ok_and(|captured| found(&captured)))
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    let windows = haystack.windows(needle.len());
    windows.filter(|window| *window == needle).count()
}

/// Every process with its parent. Empty where there is no `/proc`.
fn process_table() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name in parentheses, which may hold anything: the state, then the parent.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((pid, parent.parse().ok()?))
        })
        .collect()
}

fn children_of(table: &[(u32, u32)], parent: u32) -> Vec<u32> {
    let children = table.iter().filter(|(_, of)| *of == parent);
    children.map(|(pid, _)| *pid).collect()
}

fn descendants(table: &[(u32, u32)], root: u32) -> Vec<u32> {
    let mut found = children_of(table, root);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children_of(table, *pid));
        next += 1;
    }
    found
}

fn family(table: &[(u32, u32)], root: u32) -> Vec<u32> {
    let mut family = vec![root];
    family.extend(descendants(table, root));
    family
}

fn kill_all(pids: &[u32]) {
    for pid in pids {
        if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(command, None).unwrap()
    }

    #[tokio::test]
    async fn output_and_status_are_kept() {
        let mut process = shell("echo out; echo err >&2; exit 3");
        let status = process.wait(LIMIT).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.stdout(), b"out\n");
        assert_eq!(process.log(), "err\n");
    }

    #[tokio::test]
    async fn a_line_that_never_comes_is_an_error_with_the_log() {
        let process = shell("echo something else >&2");
        let error = process.wait_log("ready", LIMIT).await.unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
    }

    #[tokio::test]
    async fn a_limit_that_passes_leaves_it_running() {
        let mut process = shell("exec sleep 1000");
        assert!(process.wait(Duration::from_millis(1)).await.is_err());
        assert!(process.is_running());
    }

    #[tokio::test]
    async fn descendants_in_other_sessions_end_too() {
        let mut process = shell("setsid sleep 1000 & echo started >&2; wait");
        process.wait_log("started", LIMIT).await.unwrap();
        process.kill();
        // The sleeper held the pipes: that they are closed means it has ended.
        process.wait(LIMIT).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let spawned = Process::spawn(Command::new("/no/such/program"), None);
        let error = format!("{:#}", spawned.err().unwrap());
        assert!(error.contains("/no/such/program"), "{error}");
    }
}
