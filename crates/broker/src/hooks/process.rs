//! One hook that runs: its process, its output, and its end.

use std::io::{self, pipe};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use broker_ssh::{end_group, shell};
use plain_text::printable_start;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::time::timeout;

/// How much output is kept for the log. What comes after it is read and dropped.
const MAX_OUTPUT: usize = 2048;

/// What hooks get of the daemon's own environment: where programs and files are, and which language people read.
const INHERITED: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR",
];

/// How a hook ended.
#[derive(Debug)]
pub(super) enum HookEnd {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed { status: ExitStatus, output: String },
    /// It ran too long, and was ended.
    TooLong { output: String },
    /// It could not be started.
    NotStarted(io::Error),
}

/// A running hook. Its processes end when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        end_group(&self.0);
    }
}

/// Runs a command with these facts in its environment.
pub(super) async fn run(
    command: &str,
    facts: &[(&'static str, String)],
    limit: Duration,
) -> HookEnd {
    let (mut process, mut output) = match start(command, facts) {
        Ok(started) => started,
        Err(error) => return HookEnd::NotStarted(error),
    };
    let mut kept = Vec::new();
    let ended = timeout(limit, async {
        tokio::select! {
            status = process.0.wait() => status,
            never = keep_start(&mut output, &mut kept) => match never {},
        }
    });
    let ended = ended.await;
    take_rest(&mut output, &mut kept);
    let output = printable_start(String::from_utf8_lossy(&kept).trim(), MAX_OUTPUT);
    match ended {
        Ok(Ok(status)) if status.success() => HookEnd::Succeeded,
        Ok(Ok(status)) => HookEnd::Failed { status, output },
        Ok(Err(error)) => HookEnd::NotStarted(error),
        Err(_) => HookEnd::TooLong { output },
    }
}

fn start(command: &str, facts: &[(&'static str, String)]) -> io::Result<(Process, Receiver)> {
    let (output, input) = pipe()?;
    let own = INHERITED
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = shell(command)
        .env_clear()
        .envs(own)
        .envs(facts.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input)
        .spawn()?;
    let process = Process(child);
    Ok((process, Receiver::from_owned_fd(OwnedFd::from(output))?))
}

/// Reads as long as the hook runs, so that it never waits for the broker.
async fn keep_start(output: &mut Receiver, kept: &mut Vec<u8>) -> std::convert::Infallible {
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = output.read(&mut bytes).await {
        keep(kept, bytes.get(..count).unwrap_or_default());
    }
    // It has closed its output, and may still run.
    std::future::pending().await
}

/// Takes what an ended hook has left in the pipe. Processes that it leaves behind may still have the other end.
fn take_rest(output: &mut Receiver, kept: &mut Vec<u8>) {
    let mut bytes = [0; MAX_OUTPUT];
    if let Ok(count) = output.try_read(&mut bytes) {
        keep(kept, bytes.get(..count).unwrap_or_default());
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_OUTPUT - kept.len();
    kept.extend(bytes.iter().take(room));
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn facts_come_in_the_environment_and_nothing_else_does() {
        let facts = [("SSH_BROKER_FILE", "a b'\"$(exit 7)".to_owned())];
        let command = r#"sh -c 'echo "$SSH_BROKER_FILE"; env | grep CARGO; exit 3'"#;
        let HookEnd::Failed { status, output } = run(command, &facts, LONG).await else {
            panic!("it did not fail");
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(output, "a b'\"$(exit 7)");
    }

    #[tokio::test]
    async fn all_commands_of_a_hook_run() {
        let end = run("echo one; echo two && exit 3", &[], LONG).await;
        let HookEnd::Failed { status, output } = end else {
            panic!("the last command did not run");
        };
        assert_eq!((status.code(), &*output), (Some(3), r"one\ntwo"));
    }

    #[tokio::test]
    async fn a_hook_that_runs_too_long_ends_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let command = format!(
            "sh -c 'sleep 1000 & echo $! > {}; echo begun; wait'",
            pid.display()
        );
        let end = run(&command, &[], Duration::from_secs(1)).await;
        assert!(matches!(end, HookEnd::TooLong { output } if output == "begun"));
        let sleeper: i32 = std::fs::read_to_string(&pid)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let sleeper = rustix::process::Pid::from_raw(sleeper).unwrap();
        // Whoever adopts it may not have reaped it yet.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", sleeper.as_raw_nonzero()));
        let is_gone = || state().map_or(true, |stat| stat.contains(") Z "));
        let gone = timeout(LONG, async {
            while !is_gone() {
                tokio::task::yield_now().await;
            }
        });
        gone.await.expect("the sleeper still runs");
    }

    #[tokio::test]
    async fn much_output_holds_up_no_hook() {
        let end = run("sh -c 'yes | head -c 1000000; exit 1'", &[], LONG).await;
        assert!(matches!(end, HookEnd::Failed { output, .. } if output.len() <= MAX_OUTPUT));
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_fails_with_the_shells_words() {
        let HookEnd::Failed { status, output } = run("/nonexistent/x", &[], LONG).await else {
            panic!("it did not fail");
        };
        assert_eq!(status.code(), Some(127));
        assert!(output.contains("/nonexistent/x"), "{output}");
    }
}
