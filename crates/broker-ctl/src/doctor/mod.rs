//! `doctor`: what the daemon does, then each step to the FTP servers, tried by a `brokerd` of its own.

mod daemon;
mod shown;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use broker_ipc::checks::{Check, FtpLogin, Outcome, Question};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::cli::DoctorArgs;
use crate::daemon::Daemon;
use crate::start;
use crate::terminal::Terminal;
use shown::Shown;

/// FTP users whose password is a matter of form (RFC 1635).
const ANONYMOUS: [&str; 2] = ["anonymous", "ftp"];

/// Examines, and shows each step. Fails if one has failed.
pub(crate) async fn doctor(daemon: &Daemon<'_>, args: DoctorArgs) -> anyhow::Result<()> {
    let question = question(&args).await?;
    let mut shown = Shown::new(daemon.output(), args.ascii);
    let found = daemon::examine(daemon, args.target.as_deref()).await;
    for check in found.checks {
        shown.add(check)?;
    }
    let config = args.config.or(found.config);
    let mut examiner = run(config.as_deref(), args.allow_unsafe_config, &question).await?;
    let read = show_all(&mut examiner, &mut shown).await;
    let status = examiner.wait().await?;
    read?;
    anyhow::ensure!(status.success(), "brokerd --doctor ended with {status}");
    shown.finish()
}

async fn question(args: &DoctorArgs) -> anyhow::Result<Question> {
    let login = match &args.ftp_user {
        Some(user) => Some(FtpLogin {
            user: user.clone(),
            password: password(user).await?.into(),
        }),
        None => None,
    };
    Ok(Question {
        target: args.target.clone(),
        ftp: args.ftp.clone(),
        login,
        get: args.get.clone(),
    })
}

/// From the terminal, or from the first line of standard input.
async fn password(user: &str) -> anyhow::Result<Zeroizing<String>> {
    if ANONYMOUS.contains(&user) {
        return Ok(Zeroizing::new("doctor@".to_owned()));
    }
    if io::stdin().is_terminal() {
        let mut terminal = Terminal::open().context("cannot ask for the FTP password")?;
        let label = format!("FTP password of {user}: ");
        let typed = terminal.ask(&label, false).await?;
        return typed.context("no FTP password was typed");
    }
    let mut line = Zeroizing::new(String::new());
    io::stdin().read_line(&mut line)?;
    let typed = line.trim_end_matches(['\r', '\n']).to_owned();
    anyhow::ensure!(
        !typed.is_empty(),
        "--ftp-user needs a password: run this in a terminal, or write the password to standard input"
    );
    Ok(Zeroizing::new(typed))
}

/// Starts a `brokerd` that answers the question and serves nobody.
async fn run(
    config: Option<&Path>,
    unsafe_config: bool,
    question: &Question,
) -> anyhow::Result<Child> {
    let program = start::program();
    let mut command = Command::new(&program);
    command.arg("--doctor").kill_on_drop(true);
    if let Some(config) = config {
        command.arg("--config").arg(std::path::absolute(config)?);
    }
    if unsafe_config {
        command.arg("--allow-unsafe-config");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let asked = Zeroizing::new(serde_json::to_string(question)?);
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(asked.as_bytes()).await?;
    drop(input);
    Ok(child)
}

async fn show_all(examiner: &mut Child, shown: &mut Shown<'_>) -> anyhow::Result<()> {
    let output = examiner.stdout.take().context("no standard output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        let check: Check = serde_json::from_str(&line)
            .context("brokerd is of another version than broker-ctl: install both together")?;
        shown.add(check)?;
    }
    Ok(())
}

/// What is known about the daemon.
struct AboutDaemon {
    checks: Vec<Check>,
    /// Its only configuration file, which is then the one to examine.
    config: Option<PathBuf>,
}

/// Whether any of these has failed.
fn any_failed(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.outcome == Outcome::Failed)
}
