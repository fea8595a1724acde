//! The files for service managers, checked with the service manager's own tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::process::Process;
use testkit::programs::broker_program;

use crate::support::fixture::SOON;
use crate::support::{Need, trial};

const SYSTEMD: &[Need] = &[Need::Program("systemd-analyze")];

/// The highest exposure that systemd-analyze may find in the unit for the whole host, times ten.
const THRESHOLD: u32 = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "units: systemd finds no fault in the units for the host",
            SYSTEMD,
            || verify("system"),
        ),
        trial(
            "units: systemd finds no fault in the units for a user",
            SYSTEMD,
            || verify("user"),
        ),
        trial(
            "units: the unit for the host is exposed to little",
            SYSTEMD,
            exposure,
        ),
        trial(
            "units: the unit for the host names a user that sysusers makes",
            &[Need::Program("systemd-sysusers")],
            sysusers,
        ),
        trial(
            "units: the unit for the host does not pass over a file with errors",
            &[],
            faulty_file,
        ),
    ]
}

fn systemd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/systemd")
}

fn run(command: &mut Command) -> anyhow::Result<(Output, String)> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Ok((output, String::from_utf8_lossy(&text).into_owned()))
}

/// Copies a unit with the programs' places on this machine.
fn installed(unit: &Path, into: &Path) -> anyhow::Result<PathBuf> {
    let mut text = fs::read_to_string(unit)?;
    for name in ["brokerd", "broker-ctl"] {
        let program = broker_program(name)?;
        let program = program.to_str().context("no UTF-8")?;
        text = text.replace(&format!("/usr/bin/{name}"), program);
    }
    let copy = into.join(unit.file_name().context("no name")?);
    fs::write(&copy, text)?;
    Ok(copy)
}

async fn verify(of: &str) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = Command::new("systemd-analyze");
    command.args([&format!("--{of}"), "verify", "--man=no"]);
    command.env("XDG_RUNTIME_DIR", directory.path());
    for unit in ["brokerd.service", "brokerd.socket"] {
        command.arg(installed(&systemd().join(of).join(unit), directory.path())?);
    }
    let (output, text) = run(&mut command)?;
    // It also speaks of units of this machine.
    let ours: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("brokerd"))
        .collect();
    ensure!(output.status.success() && ours.is_empty(), "{text}");
    Ok(())
}

async fn exposure() -> anyhow::Result<()> {
    let unit = systemd().join("system/brokerd.service");
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true"]);
    let (output, text) = run(command.arg(format!("--threshold={THRESHOLD}")).arg(unit))?;
    ensure!(output.status.success(), "{text}");
    Ok(())
}

async fn sysusers() -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let files = root.path().join("usr/lib/sysusers.d");
    fs::create_dir_all(&files)?;
    fs::create_dir(root.path().join("etc"))?;
    fs::copy(
        systemd().join("sysusers.conf"),
        files.join("ssh-broker.conf"),
    )?;
    let mut command = Command::new("systemd-sysusers");
    command.arg(format!("--root={}", root.path().display()));
    let (output, text) = run(command.arg("ssh-broker.conf"))?;
    ensure!(output.status.success(), "{text}");
    let users = fs::read_to_string(root.path().join("etc/passwd")).context(text)?;
    let unit = fs::read_to_string(systemd().join("system/brokerd.service"))?;
    let name = unit.lines().find_map(|line| line.strip_prefix("User="));
    let name = name.context("the unit names no user")?;
    let made = format!("{name}:x:");
    ensure!(users.lines().any(|line| line.starts_with(&made)), "{users}");
    Ok(())
}

/// Runs what the unit runs, with another directory in the place of its own.
async fn faulty_file() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let place = directory.path().to_str().context("no UTF-8")?;
    let file = directory.path().join("ssh-broker-config.xml");
    fs::write(file, "<secsh-broker><misspelt/></secsh-broker>")?;
    let unit = fs::read_to_string(systemd().join("system/brokerd.service"))?;
    let start = "ExecStart=/usr/bin/brokerd ";
    let arguments = unit.lines().find_map(|line| line.strip_prefix(start));
    let arguments = arguments.context("the unit starts no daemon")?;
    let arguments = arguments.replace("/etc/ssh2", place);
    let arguments = arguments.replace("/run/ssh-broker", place);
    let mut command = Command::new(broker_program("brokerd")?);
    command.args(arguments.split_whitespace());
    let mut daemon = Process::spawn(command, None)?;
    let status = daemon.wait(SOON).await?;
    let prevents = "RestartPreventExitStatus=";
    let last = unit.lines().find_map(|line| line.strip_prefix(prevents));
    let code = status.code().map(|code| code.to_string());
    ensure!(code.as_deref() == last, "{status}: {}", daemon.log());
    Ok(())
}
