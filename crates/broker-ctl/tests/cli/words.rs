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
        (&["-L", "ftp/1:a:21", "work"], "broker-ctl tunnel -L"),
        (&["list-connections", "--disconnected"], "events --after 0"),
        (&["list-connections", "--client-pid", "7"], "list-sessions"),
        (
            &["connection-status", "1", "--write-hostkey=f"],
            "ssh-keyscan",
        ),
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
        (["disconnect-client", "me"], "list-clients shows"),
        (["close-channel", "x7"], "list-channels shows"),
    ] {
        let said = complaint(&words);
        assert!(said.contains(list), "{words:?}: {said}");
    }
}

#[test]
fn a_single_value_of_the_configuration_is_printed_alone() {
    let daemon = Daemon::start();
    let value = daemon.ctl(&["config-value", "profiles/profile/@port"]);
    value.assert().success().stdout_eq("22\n");
    let values = daemon.ctl(&["config-value", "profiles", "--short"]);
    values.assert().success().stdout_eq(str![[r#"
profiles/profile/@port	22
profiles/profile/password/@string	*******

"#]]);
}

#[test]
fn one_profile_is_listed_by_its_name_or_id() {
    let daemon = Daemon::start();
    for name in ["work", "id1"] {
        let listed = daemon
            .ctl(&["list-profiles", name, "--json"])
            .output()
            .unwrap();
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(listed.as_array().map(Vec::len), Some(1));
        assert_eq!(listed[0]["id"], "id1");
    }
    let unknown = daemon.ctl(&["list-profiles", "wrok"]);
    unknown.assert().code(1).stderr_eq(str![[r#"
broker-ctl: there is no profile wrok: did you mean work?

"#]]);
}

/// Two clients: one waits, and is disconnected by the other.
#[test]
fn a_client_is_listed_and_disconnected() {
    let daemon = Daemon::start();
    let mut waiting = daemon.spawn(&["events"]);
    let waits = loop {
        let listed = daemon.ctl(&["list-clients", "--json"]).output().unwrap();
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
        let found = listed
            .into_iter()
            .find(|it| it["pid"] == waiting.id() && it["waits_for"][0] == "subscribe");
        if let Some(found) = found {
            break found;
        }
    };
    assert_eq!(waits["program"], "broker-ctl");
    daemon
        .ctl(&["disconnect-client", &waits["id"].to_string()])
        .assert()
        .success();
    waiting.wait().unwrap();
    let gone = daemon.ctl(&["disconnect-client", &waits["id"].to_string()]);
    gone.assert()
        .code(1)
        .stderr_eq(format!("broker-ctl: there is no client {}\n", waits["id"]));
}
