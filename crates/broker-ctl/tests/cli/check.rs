//! `check-config`, from a file to an exit status. What each complaint looks like is the configuration's own concern.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

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
