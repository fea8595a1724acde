//! Words that people bring from other programs: abbreviations, other orders, and what is not offered.

use broker_ipc::methods::CloseTunnelListener;
use snapbox::str;

use crate::broker_ctl;
use crate::fake::{Daemon, request};

/// What the program prints to standard error about this command line, which is wrong.
#[track_caller]
fn complaint(words: &[&str]) -> String {
    let output = broker_ctl().args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn initials_are_the_command() {
    let daemon = Daemon::start();
    daemon.ctl(&["ctl", ":1234"]).assert().success();
    assert_eq!(daemon.requests(), [request(&CloseTunnelListener { id: 1 })]);
}

#[test]
fn what_is_not_offered_is_answered_with_what_to_use() {
    broker_ctl()
        .args(["view-key", "/home/me/key"])
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: there is no command `view-key`: use ssh-keygen -lf FILE; for the host keys of a server use probe-key

Usage: broker-ctl [OPTIONS] <COMMAND>

For more information, try '--help'.

"#]]);
    for (words, instead) in [
        (&["-D", "3", "status"][..], "brokerd with --log debug"),
        (&["-L", "ftp/1:a:21", "work"], "open-tunnel-listener -L"),
        (&["list-connections", "--disconnected"], "events --after 0"),
        (&["list-connections", "--client-pid", "7"], "list-sessions"),
        (&["ls"], "list-profiles, "),
        (&["version"], "broker-ctl --version"),
    ] {
        let said = complaint(words);
        assert!(said.contains(instead), "{words:?}: {said}");
        assert!(!said.contains("similar"), "{words:?}: {said}");
    }
}

#[test]
fn an_id_that_is_none_is_answered_with_the_list() {
    for (words, list) in [
        (["connection-status", "work"], "list-connections shows"),
        (["close-channel", "x7"], "list-channels shows"),
    ] {
        let said = complaint(&words);
        assert!(said.contains(list), "{words:?}: {said}");
    }
}
