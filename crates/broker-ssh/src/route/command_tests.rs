//! Commands as routes: what they are given, what they say, and how they end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// Enough on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

fn spec(host: &str) -> ConnectSpec {
    ConnectSpec::new(host, 2222, "anna")
}

fn soon() -> TimeLimit {
    TimeLimit::starts_now(Some(LIMIT))
}

async fn refused(command: &str, host: &str) -> String {
    let Err(error) = connect(command, &spec(host), soon()).await else {
        return "connected".into();
    };
    error.to_string()
}

#[test]
fn expansions_are_replaced_once() {
    let expanded = expand("nc %h %p -u %r '%%h' %n", &spec("h.example.com")).unwrap();
    assert_eq!(expanded, "nc h.example.com 2222 -u anna '%h' h.example.com");
    let expanded = expand("nc %h", &spec("2001:db8::1")).unwrap();
    assert_eq!(expanded, "nc 2001:db8::1");
}

#[test]
fn a_name_that_means_something_to_a_shell_is_refused() {
    for host in [
        "h;id",
        "$(id)",
        "`id`",
        "-oProxyCommand=x",
        "a b",
        "a\nb",
        "h'",
        "h\"",
        "~",
        "*",
    ] {
        let refused = expand("nc %h", &spec(host)).unwrap_err();
        assert_eq!(
            refused,
            ProxyFault::NotForShell("the name of the server"),
            "{host}"
        );
        assert!(refused.lasts());
        assert_eq!(expand("nc fixed", &spec(host)).as_deref(), Ok("nc fixed"));
    }
}

#[tokio::test]
async fn its_input_and_output_are_the_stream() {
    let command = "echo SSH-2.0-test; while read line; do echo \"got $line\"; done";
    let mut stream = connect(&format!("sh -c '{command}'"), &spec("h"), soon())
        .await
        .unwrap();
    stream.write_all(b"one\ntwo\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    // The shutdown does not close a pipe, so the end comes from dropping it.
    assert!(
        text.starts_with("SSH-2.0-test\ngot one\ngot two\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_command_that_ends_says_with_what_status_and_words() {
    let refused = refused(
        "sh -c 'echo first >&2; printf \"\\033[31mno way\" >&2; exit 3'",
        "h",
    )
    .await;
    let expected = "cannot reach SSH server h:2222 through command sh: it ended (exit status: 3) before the server \
                    answered; it wrote “\\u{1b}[31mno way”";
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_program_that_is_missing_is_told_by_the_shell() {
    let refused = refused("no-such-program-here %h", "h").await;
    assert!(
        refused.contains("(exit status: 127)") && refused.contains("not found"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_command_is_given_up_after_the_connect_timeout() {
    let limit = TimeLimit::starts_now(Some(Duration::from_secs(5)));
    let error = connect("sleep 1000", &spec("h"), limit)
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("did not answer within 5 s"),
        "{error}"
    );
    assert!(error.may_pass());
}

#[cfg(unix)]
#[tokio::test]
async fn everything_that_the_command_started_ends_with_the_stream() {
    let command = "sh -c 'sleep 1000 & echo $!; wait'";
    let mut stream = connect(command, &spec("h"), soon()).await.unwrap();
    let mut pid = [0; 16];
    let count = stream.read(&mut pid).await.unwrap();
    let pid = String::from_utf8_lossy(&pid[..count]).trim().to_owned();
    let process = std::path::PathBuf::from(format!("/proc/{pid}/cmdline"));
    // A process that has ended has no arguments, and neither has the child at the moment in which it becomes `sleep`.
    let is_running = || std::fs::read(&process).is_ok_and(|arguments| !arguments.is_empty());
    let becomes = async |running| {
        while is_running() != running {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, becomes(true)).await.unwrap();
    drop(stream);
    timeout(LIMIT, becomes(false)).await.unwrap();
}

#[tokio::test]
async fn endless_errors_do_not_hold_up_the_stream() {
    let command = "sh -c 'yes >&2 & echo SSH-2.0-test; sleep 1000'";
    let mut stream = connect(command, &spec("h"), soon()).await.unwrap();
    let mut text = [0; 12];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"SSH-2.0-test");
}
