//! Running a command within a time limit, line by line, so that a hang is reported and nothing stays behind

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It ended by itself.
    Exited(ExitStatus),
    /// It was stopped because its time was over.
    TimedOut,
}

/// Runs `command` for at most `limit` and hands each line of its standard output to `on_line`.
///
/// The command gets a process group of its own. When its time is over, or on Ctrl-C, the whole
/// group is ended.
///
/// # Errors
/// If the command cannot be started, or on Ctrl-C.
pub(crate) async fn run(
    command: &mut Command,
    limit: Duration,
    on_line: impl FnMut(&str),
) -> Result<Ending> {
    let deadline = Instant::now() + limit;
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let output = child
        .stdout
        .take()
        .context("the command has no standard output")?;

    tokio::select! {
        ending = timeout_at(deadline, finish(&mut child, output, on_line)) => match ending {
            Ok(status) => Ok(Ending::Exited(status.with_context(|| format!("cannot wait for {name}"))?)),
            Err(_) => {
                end_group(&mut child).await;
                Ok(Ending::TimedOut)
            }
        },
        _ = tokio::signal::ctrl_c() => {
            end_group(&mut child).await;
            bail!("interrupted");
        }
    }
}

async fn finish(
    child: &mut Child,
    output: impl AsyncRead + Unpin,
    mut on_line: impl FnMut(&str),
) -> std::io::Result<ExitStatus> {
    let mut lines = BufReader::new(output).split(b'\n');
    while let Some(line) = lines.next_segment().await? {
        on_line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
    }
    child.wait().await
}

async fn end_group(child: &mut Child) {
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    if let Some(group) = group {
        // It may have ended by itself in this very moment: then there is nothing to end.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait().await;
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn lines_arrive_and_the_status_is_told() {
        let mut lines = Vec::new();
        let ending = run(
            &mut shell("printf 'one\\ntwo'; exit 3"),
            Duration::from_secs(60),
            |line| {
                lines.push(line.to_owned());
            },
        )
        .await
        .unwrap();
        assert_eq!(lines, ["one", "two"]);
        assert!(matches!(ending, Ending::Exited(status) if status.code() == Some(3)));
    }

    #[tokio::test]
    async fn a_hang_ends_with_its_whole_group() {
        let (mut held_open, held) = std::io::pipe().unwrap();
        let mut hang = shell("cat /dev/zero >/dev/null & wait");
        hang.stderr(held);
        let ending = run(&mut hang, Duration::from_millis(300), |_| ()).await;
        assert_eq!(ending.unwrap(), Ending::TimedOut);
        drop(hang);
        // The end of file comes when no process of the group is left to hold the other end.
        let all_gone = tokio::task::spawn_blocking(move || held_open.read(&mut [0]));
        let read = tokio::time::timeout(Duration::from_secs(10), all_gone).await;
        assert_eq!(read.unwrap().unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = run(
            &mut Command::new("no-such-program"),
            Duration::from_secs(1),
            |_| (),
        )
        .await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot start no-such-program"
        );
    }
}
