//! What the shell gets that completes a command line.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::broker_ctl;
use crate::fake::Daemon;

/// The candidates for the last word, as the script for bash asks for them.
fn candidates(socket: &Path, words: &[&str]) -> Vec<String> {
    let output = broker_ctl()
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n")
        .env("SSH_BROKER_SOCKET", socket)
        .args(["--", "broker-ctl"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn asked(words: &[&str]) -> Vec<String> {
    candidates(&Daemon::start().socket(), words)
}

#[test]
fn a_command_and_its_options_are_completed() {
    assert_eq!(asked(&["list-pro"]), ["list-profiles"]);
    assert_eq!(asked(&["stop", "--when"]), ["--when-idle"]);
}

#[test]
fn names_and_ids_come_from_the_daemon() {
    for (words, expected) in [
        (&["probe-key", "w"][..], &["work"][..]),
        (
            &["open-tunnel-listener", "-L", "ftp/0:a:21", "wo"],
            &["work"],
        ),
        (&["doctor", "wo"], &["work"]),
        (&["events", "--profile", "i"], &["id2"]),
        (&["close-connection", "1"], &["1"]),
    ] {
        assert_eq!(asked(words), expected, "{words:?}");
    }
    assert!(asked(&["probe-key", ""]).starts_with(&["work".into(), "id2".into()]));
    assert!(asked(&["close-tunnel-listener", ""]).contains(&"1".to_owned()));
    assert!(!asked(&["close-channel", ""]).is_empty());
}

#[test]
fn the_command_can_be_abbreviated_meanwhile() {
    assert_eq!(asked(&["pk", "w"]), ["work"]);
    assert_eq!(asked(&["ctl", "1"]), ["1"]);
}

#[test]
fn kinds_of_events_are_completed() {
    assert_eq!(
        asked(&["events", "--kind", "transfer-e"]),
        ["transfer-ended"]
    );
}

#[test]
fn the_socket_can_be_on_the_line() {
    let daemon = Daemon::start();
    let (nowhere, socket) = (Path::new("/nonexistent"), daemon.socket());
    let named = ["-a", socket.to_str().unwrap(), "probe-key", "w"];
    assert_eq!(candidates(nowhere, &named), ["work"]);
}

#[test]
fn without_a_daemon_there_are_no_names_and_no_words_about_it() {
    let nowhere = Path::new("/nonexistent/socket");
    assert!(candidates(nowhere, &["probe-key", "w"]).is_empty());
    assert_eq!(candidates(nowhere, &["relo"]), ["reload"]);
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let _silent = UnixListener::bind(&socket).unwrap();
    let began = Instant::now();
    assert!(candidates(&socket, &["probe-key", "w"]).is_empty());
    // Far more than the limit, and less than an ordinary command waits.
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn each_shell_has_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = broker_ctl().args(["completions", shell]).output().unwrap();
        assert!(printed.status.success(), "{printed:?}");
        let script = String::from_utf8(printed.stdout).unwrap();
        assert!(script.contains("COMPLETE"), "{shell}: {script}");
    }
}
