//! Several daemons on one host: which one broker-ctl talks to.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use libtest_mimic::Trial;
use testkit::broker::write_private;
use testkit::client;
use testkit::programs::broker_program;

use crate::support::fixture::SOON;
use crate::support::{Need, trial};

/// A directory `/run` of its own, so that the usual places are the test's.
const OWN_RUN: &[Need] = &[
    Need::Namespaces,
    Need::Program("unshare"),
    Need::Program("setpriv"),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "instances: without a usual environment, the user's own daemon is found",
            OWN_RUN,
            || in_own_run(OWN),
        ),
        trial(
            "instances: the daemon for the host is used where the user has none",
            OWN_RUN,
            || in_own_run(HOST),
        ),
        trial("instances: root sees all", OWN_RUN, || in_own_run(ALL)),
        trial(
            "instances: another user may not use the daemon for the host",
            OWN_RUN,
            || in_own_run(OTHER),
        ),
    ]
}

/// What each script begins with. The last command says how it went.
const BEGIN: &str = r#"
set -eu
mount -t tmpfs none /run
mkdir -p -m 0700 /run/user/0
unset XDG_RUNTIME_DIR SSH_BROKER_SOCKET
trap 'broker-ctl stop -q || :; broker-ctl stop -q || :' EXIT
host=/run/ssh-broker/broker.sock
fail() { echo "$*" >&2; exit 9; }
own_pid() { broker-ctl start --config "$HOME/config.xml" -q; broker-ctl status --pid; }
host_pid() { broker-ctl --socket $host start --config "$HOME/config.xml" -q; broker-ctl --socket $host status --pid; }
"#;

/// As cron starts a command, and as su does.
const OWN: &str = r#"
pid=$(own_pid)
test -S /run/user/0/ssh-broker/broker.sock || fail "no socket in the runtime directory"
mkdir -m 0700 /run/user/1234; chown 1234 /run/user/1234
for dir in /run/user/1234 /nowhere; do
    found=$(XDG_RUNTIME_DIR=$dir broker-ctl status --pid) || fail "not found with $dir"
    test "$found" = "$pid" || fail "another one found with $dir"
done
"#;

const HOST: &str = r#"
host=$(host_pid)
test "$(broker-ctl status --pid)" = "$host" || fail "the daemon for the host was not found"
own=$(broker-ctl --socket /run/user/0/ssh-broker/broker.sock start -q --config "$HOME/config.xml"; broker-ctl status --pid)
test "$own" != "$host" || fail "the own daemon was not preferred"
"#;

const ALL: &str = r#"
own=$(own_pid) host=$(host_pid)
listed=$(SSH_BROKER_SOCKET=/nowhere broker-ctl status --all --short)
printf '%s\n' "$listed" | grep "^$host	root	/run/ssh-broker/broker.sock	.*	running$" || fail "$listed"
printf '%s\n' "$listed" | grep "^$own	root	/run/user/0/ssh-broker/broker.sock	.*	running$" || fail "$listed"
"#;

const OTHER: &str = r#"
host_pid >/dev/null
chmod 0755 /run/ssh-broker
status=0
setpriv --reuid 65534 --regid 65534 --clear-groups broker-ctl status 2>/run/said || status=$?
test $status = 3 || fail "$status: $(cat /run/said)"
"#;

async fn in_own_run(script: &'static str) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    write_private(&home.path().join("config.xml"), "<secsh-broker/>")?;
    let programs = broker_program("broker-ctl")?;
    let programs = programs.parent().unwrap_or(Path::new("/"));
    let path = std::env::var("PATH")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{BEGIN}{script}")]);
    command.env("PATH", format!("{}:{path}", programs.display()));
    command.env("HOME", home.path());
    let output = client::run(command, SOON).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}
