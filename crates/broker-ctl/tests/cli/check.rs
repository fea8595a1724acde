//! `check-config`, from a file to an exit status. What each complaint looks like is the configuration's own concern.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use snapbox::cmd::OutputAssert;
use snapbox::str;

use crate::broker_ctl;

fn check(text: &str) -> OutputAssert {
    check_with(text, 0o600, &[])
}

fn check_with(text: &str, mode: u32, options: &[&str]) -> OutputAssert {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.xml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
    let command = broker_ctl().current_dir(directory.path());
    command
        .args(["check-config", "broker.xml"])
        .args(options)
        .assert()
        .stderr_eq("")
}

#[test]
fn a_file_that_others_can_write_is_a_fault_of_its_own_kind() {
    let text = "<secsh-broker/>";
    check_with(text, 0o666, &[]).code(1).stdout_eq(str![[r#"
error: other users can write to broker.xml, and the configuration names commands that the broker runs
--> broker.xml
 = help: run: chmod go-w broker.xml

broker.xml: not valid: 1 unsafe permission

"#]]);
    check_with(text, 0o666, &["--allow-unsafe-config"])
        .success()
        .stdout_eq(str![[r#"
warning: other users can write to broker.xml, [..]
...
broker.xml: valid: 0 profiles, 1 unsafe permission

"#]]);
}

#[test]
fn a_good_file_is_summed_up() {
    let report =
        check(r#"<secsh-broker><profiles><profile id="id1" host="h"/></profiles></secsh-broker>"#);
    report.success().stdout_eq("broker.xml: valid: 1 profile\n");
}

#[test]
fn what_has_no_effect_is_listed_and_is_no_fault() {
    check("<secsh-broker>\n  <gui/>\n</secsh-broker>")
        .success()
        .stdout_eq(str![[r#"
note: `<gui>` [..]
 --> broker.xml:2:[..]
...
broker.xml: valid: 0 profiles, 1 without effect

"#]]);
}

#[test]
fn every_fault_is_shown_with_its_place() {
    let file = "<secsh-broker><profiles>\n<profile id=\"a\" host=\"a b\"/>\n<profil/>\n</profiles></secsh-broker>";
    check(file).code(1).stdout_eq(str![[r#"
error: [..]
 --> broker.xml:2:[..]
...
error: [..]
 --> broker.xml:3:[..]
...
broker.xml: not valid: 2 errors

"#]]);
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let absent = broker_ctl()
        .args(["check-config", "/nonexistent/broker.xml"])
        .assert()
        .code(1);
    absent.stdout_eq(str![[r#"
error: cannot read /nonexistent/broker.xml: [..]
...
/nonexistent/broker.xml: not valid: 1 error

"#]]);
}

/// What the configuration of a user says about itself, whose home directory this is.
fn check_home(home: &Path, options: &[&str]) -> Value {
    let command = broker_ctl().current_dir(home).env("HOME", home);
    let command = command.env_remove("XDG_CONFIG_HOME");
    let output = command.args(["check-config", "--json"]).args(options);
    let output = output.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn private(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_the_file_names_is_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!(
        r#"<secsh-broker>
  <logging><log-target file="absent/log"/></logging>
  <profiles><profile id="id1" host="h">
    <hostkey file="host.pub"/>
    <user-identities><identity identity-file="missing"/><identity identity-file="open"/></user-identities>
    <tunnels><local-tunnel type="ftp" listen-port="{port}" dst-host="localhost"/></tunnels>
  </profile></profiles>
</secsh-broker>"#
    );
    private(&home.path().join("broker.xml"), &text, 0o600);
    private(&home.path().join("open"), "", 0o640);
    private(&home.path().join("host.pub"), "", 0o646);
    let checked = check_home(home.path(), &["broker.xml"]);
    assert_eq!(checked["valid"], true);
    let diagnostics = checked["diagnostics"].as_array().unwrap();
    let warnings = diagnostics.iter().filter(|it| it["severity"] == "warning");
    let told: Vec<(String, String)> = warnings
        .map(|it| [&it["message"], &it["help"]].map(|text| text.as_str().unwrap().to_owned()))
        .map(|[message, help]| (message, help))
        .collect();
    for (message, help) in [
        ("cannot read the private key ", "correct the path"),
        ("other users can read the private key ", "run: chmod 600 "),
        ("other users can change the host key ", "chmod go-w "),
        ("cannot write the log file ", "make the directory"),
        ("is in use by ", "choose another listen-port"),
    ] {
        let found = told
            .iter()
            .any(|it| it.0.contains(message) && it.1.contains(help));
        assert!(found, "no {message:?}, {help:?}: {checked:#}");
    }
    assert_eq!(told.len(), 5, "{checked:#}");
    let of_port = diagnostics.iter().find(|it| {
        let message = it["message"].as_str().unwrap();
        message.contains("in use")
    });
    assert_eq!(of_port.unwrap()["line"], 6, "{checked:#}");
}

#[test]
fn nothing_is_said_of_what_can_be_used() {
    let home = tempfile::tempdir().unwrap();
    let text = r#"<secsh-broker>
  <logging><log-target file="log"/></logging>
  <profiles><profile id="id1" host="h">
    <hostkey file="host.pub"/>
    <user-identities><identity identity-file="key"/></user-identities>
    <tunnels><local-tunnel type="ftp" listen-port="0" dst-host="localhost"/></tunnels>
  </profile></profiles>
</secsh-broker>"#;
    private(&home.path().join("broker.xml"), text, 0o600);
    private(&home.path().join("key"), "", 0o600);
    private(&home.path().join("host.pub"), "", 0o644);
    let checked = check_home(home.path(), &["broker.xml"]);
    let diagnostics = checked["diagnostics"].as_array().unwrap();
    let warned = diagnostics.iter().any(|it| it["severity"] == "warning");
    assert!(!warned, "{checked:#}");
    assert!(
        !home.path().join("log").exists(),
        "a check must change nothing"
    );
}

#[test]
fn without_a_file_the_usual_ones_are_read_and_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".ssh2/ssh-broker-config.xml");
    std::fs::create_dir(home.path().join(".ssh2")).unwrap();
    let text = r#"<secsh-broker><profiles><profile id="id1" host="h"/></profiles></secsh-broker>"#;
    private(&file, text, 0o600);
    let checked = check_home(home.path(), &[]);
    let files = checked["files"].as_array().unwrap();
    assert!(
        files.contains(&file.to_str().unwrap().into()),
        "{checked:#}"
    );
    assert_eq!(checked["profiles"], 1, "{checked:#}");
}
