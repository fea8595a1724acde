//! `import-ssh-config` with an `ssh` that is only a table of answers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use snapbox::cmd::OutputAssert;
use snapbox::str;
use tempfile::TempDir;

use crate::broker_ctl;

/// Answers by the last argument, which is the host.
const SSH: &str = r#"#!/bin/sh
for host; do :; done
echo "user me"; echo "port 22"
case "$host" in
host.invalid) echo "hostname host.invalid" ;;
work) echo "hostname files.internal"; echo "proxyjump a,u@b:2222"; echo "localforward 2121 [localhost]:21" ;;
loop) echo "proxyjump loop" ;;
bad) echo "no such thing" >&2; exit 255 ;;
*) echo "hostname $host.example.com" ;;
esac
"#;

fn import(arguments: &[&str]) -> (OutputAssert, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("ssh");
    fs::write(&program, SSH).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.path().join("config"), "Host work *.x\nHost *\n").unwrap();
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let command = broker_ctl().current_dir(directory.path()).env("PATH", path);
    let ran = command.arg("import-ssh-config").args(arguments).assert();
    (ran, directory)
}

#[test]
fn jumps_become_gateways_and_forwards_become_tunnels() {
    let (ran, _directory) = import(&["-F", "config"]);
    ran.success().stderr_eq("").stdout_eq(str![[r#"
<!-- Made from OpenSSH's configuration by broker-ctl import-ssh-config. -->
<secsh-broker version="1.0">
  <!-- The servers, and the tunnels through each. -->
  <profiles>
    <profile id="a" host="a.example.com"/>
    <profile id="a,u@b:2222" host="b.example.com" gateway-profile="a"/>
    <profile id="work" host="files.internal" gateway-profile="a,u@b:2222">
      <tunnels>
        <local-tunnel type="ftp" listen-port="2121" dst-host="localhost" dst-port="21"/>
      </tunnels>
    </profile>
  </profiles>
</secsh-broker>

"#]]);
}

#[test]
fn what_ssh_refuses_is_told() {
    let (ran, _directory) = import(&["bad"]);
    ran.code(1)
        .stdout_eq("")
        .stderr_eq("broker-ctl: ssh failed: no such thing\n");
}

#[test]
fn a_circle_of_jumps_ends() {
    let (ran, _directory) = import(&["loop"]);
    ran.code(1)
        .stdout_eq("")
        .stderr_eq("broker-ctl: loop is behind too many servers, or there are too many hosts\n");
}

#[test]
fn a_file_without_names_says_what_to_do() {
    let (ran, directory) = import(&["-F", "config", "-o", "new.xml", "work"]);
    ran.success().stdout_eq("");
    assert!(directory.path().join("new.xml").exists());
    let (ran, _directory) = import(&["-F", "/dev/null"]);
    ran.code(1).stderr_eq(
        "broker-ctl: the file names no hosts, only patterns: name the hosts on the command line\n",
    );
}
