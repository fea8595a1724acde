//! Python's own tests of ftplib with their server behind the broker, and `ftplib.abort()`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::client;
use testkit::files::write_pattern;
use testkit::programs::{PYTHON, broker_program};

use crate::support::fixture::real;
use crate::support::{Need, python, trial_within};

const LIMIT: Duration = Duration::from_secs(180);

/// Larger than all that can be on its way to a client that does not read.
const LONG: u64 = 64 * 1024 * 1024;

/// Python 3.11's tests make 40 and more; their tunnels are closed when these are counted.
const TRANSFERS_AT_LEAST: u64 = 30;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_within(
            LIMIT,
            "Python ftplib: CPython's own tests",
            &[
                Need::Program("sshd"),
                Need::Program("vsftpd"),
                Need::PythonTests,
            ],
            test_ftplib,
        ),
        trial_within(
            LIMIT,
            "Python ftplib: abort in the middle of a download",
            &[
                Need::Program("sshd"),
                Need::Program("vsftpd"),
                Need::Program("python3"),
            ],
            abort,
        ),
    ]
}

async fn test_ftplib() -> anyhow::Result<()> {
    let (fixture, home) = (real().start().await?, tempfile::tempdir()?);
    let python = python::with_test_suite().context("no Python with its test suite")?;
    let mut command = Command::new(python);
    command
        .arg(python::script("run_test_ftplib.py"))
        .arg(broker_program("broker-ctl")?)
        .arg(fixture.broker.socket())
        .arg("id1")
        .current_dir(home.path());
    client::run(command, LIMIT).await?.success()?;
    let status = fixture.broker.json(&["status"]).await?;
    let transfers = status["transfers"]["ok"].as_u64();
    ensure!(
        transfers >= Some(TRANSFERS_AT_LEAST),
        "the tests went past the broker: {status}"
    );
    Ok(())
}

async fn abort() -> anyhow::Result<()> {
    let (fixture, home) = (real().start().await?, tempfile::tempdir()?);
    write_pattern(&fixture.servers.ftp.root().join("long"), 1, LONG)?;
    let mut command = Command::new(PYTHON.find()?);
    command
        .arg(python::script("ftplib_abort.py"))
        .arg(fixture.tunnel.ip().to_string())
        .arg(fixture.tunnel.port().to_string())
        .arg("long")
        .current_dir(home.path());
    let output = client::run(command, LIMIT).await?.success()?;
    let log = fixture.servers.ftp.log();
    ensure!(log.contains("ABOR"), "the server saw no ABOR:\n{log}");
    ensure!(output.text().contains("abort: 426"), "{}", output.text());
    Ok(())
}
