//! Bursts of small files between real servers and real clients, with the next data connection prepared and without:
//! each file compared byte by byte, and what both ends saw compared line by line.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::files::write_pattern;
use testkit::ftp_client::FtpClient;
use testkit::ftp_daemon::FtpProgram;
use testkit::process::Process;
use testkit::programs::{CURL, LFTP, NCFTPGET, NCFTPPUT, PYTHON};
use testkit::relay::Relay;
use testkit::scripted::Conversation;

use crate::support::burst::{
    Ahead, Bursts, DIRECTORY, FILES, Seen, content, has_all, make_files, name,
};
use crate::support::fixture::{SOON, nothing_is_dialled};
use crate::support::python::script;
use crate::support::{Need, trial};

const PROGRAMS: [FtpProgram; 5] = [
    FtpProgram::Vsftpd,
    FtpProgram::Proftpd,
    FtpProgram::PureFtpd,
    FtpProgram::Pyftpdlib,
    FtpProgram::Inetutils,
];

/// Servers that answer a command sent right behind ABOR every time. Pure-FTPd drops it, also without a broker, if both come
/// in one piece during a transfer: it reads up to 100 bytes, and looks at the first command alone.
const ABORTABLE: [FtpProgram; 3] = [
    FtpProgram::Vsftpd,
    FtpProgram::Proftpd,
    FtpProgram::Pyftpdlib,
];

const CLIENTS: [Client; 4] = [Client::Curl, Client::Lftp, Client::Ncftp, Client::Ftplib];

const MODES: [Mode; 2] = [Mode::Passive, Mode::Active];

const AHEAD: [Ahead; 2] = [Ahead::No, Ahead::Yes];

/// The directory that a burst makes at the server.
const UP: &str = "up";

/// Larger than all that can be on its way to a client that does not read.
const LONG: u64 = 64 * 1024 * 1024;

/// Slow enough for a client to be killed in the middle of its burst, in bytes a second.
const RATE: &str = "100K";

/// What a client has sent when it is in the middle: a login, and a few commands for each of several files.
const MIDDLE: u64 = 300;

/// A client program, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Curl,
    Lftp,
    LftpParallel,
    Ncftp,
    Ftplib,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Passive,
    Active,
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for program in PROGRAMS {
        for client in clients(program) {
            let needs = [needs_of(program), client.needs()].concat();
            let title = format!("bursts: {} and {program}", client.title());
            trials.push(trial(title, &needs, move || whole(program, client)));
        }
        let ftplib = [needs_of(program), Client::Ftplib.needs()].concat();
        let title = format!("bursts: everything in between, {program}");
        trials.push(trial(title, &ftplib, move || mixed(program)));
    }
    for program in ABORTABLE {
        let ftplib = [needs_of(program), Client::Ftplib.needs()].concat();
        let title = format!("bursts: a download aborted in the middle, {program}");
        trials.push(trial(title, &ftplib, move || aborted(program)));
    }
    for program in [FtpProgram::Vsftpd, FtpProgram::Pyftpdlib] {
        let curl = [needs_of(program), Client::Curl.needs()].concat();
        let title = format!("bursts: a client killed in the middle, {program}");
        trials.push(trial(title, &curl, move || killed(program)));
    }
    for program in [FtpProgram::Vsftpd, FtpProgram::Inetutils] {
        for mode in MODES {
            let title = format!("bursts: a pause, {program}, {mode:?}");
            let needs = needs_of(program);
            trials.push(trial(title, &needs, move || paused(program, mode)));
        }
    }
    trials
}

/// Several sessions at once are for the broker the same with each server. pyftpdlib serves no such client in active mode,
/// also without a broker: some of its connections never come.
fn clients(program: FtpProgram) -> impl Iterator<Item = Client> {
    let at_once = matches!(program, FtpProgram::Vsftpd | FtpProgram::Proftpd);
    let parallel = at_once.then_some(Client::LftpParallel);
    CLIENTS.into_iter().chain(parallel)
}

fn needs_of(program: FtpProgram) -> Vec<Need> {
    let sshd = Need::Program("sshd");
    match program {
        FtpProgram::Vsftpd => vec![sshd, Need::Program("vsftpd")],
        FtpProgram::Proftpd => vec![sshd, Need::Program("proftpd")],
        FtpProgram::PureFtpd => vec![sshd, Need::Program("pure-ftpd"), Need::Root],
        FtpProgram::Pyftpdlib => vec![sshd, Need::Pyftpdlib],
        FtpProgram::Inetutils => vec![
            sshd,
            Need::Program("ftpd"),
            Need::Program("socat"),
            Need::Namespaces,
        ],
    }
}

/// Down and up again, as fast as the client goes.
async fn whole(program: FtpProgram, client: Client) -> anyhow::Result<()> {
    let rig = Bursts::start(program).await?;
    for mode in MODES {
        let without = one_burst(&rig, client, mode, Ahead::No).await;
        let without = without.with_context(|| format!("{mode:?}, without"))?;
        let with = one_burst(&rig, client, mode, Ahead::Yes).await;
        let with = with.with_context(|| format!("{mode:?}, with"))?;
        ensure!(without.sent_ahead()? == 0, "a command too many");
        ensure!(without.counts.failed == 0, "{:?}", without.counts);
        // Sessions side by side share the files as it happens.
        if client != Client::LftpParallel {
            let alike = with.looks_like(&without);
            alike.with_context(|| format!("{mode:?}"))?;
        }
        prepared(program, mode, &with).with_context(|| format!("{mode:?}"))?;
    }
    Ok(())
}

async fn one_burst(rig: &Bursts, client: Client, mode: Mode, ahead: Ahead) -> anyhow::Result<Seen> {
    let home = tempfile::tempdir()?;
    make_files(&home.path().join(UP))?;
    let login = (rig.server.user(), rig.server.password());
    let commands = |to| client.commands(to, login, mode, home.path());
    let seen = rig.watch(ahead, commands).await?;
    has_all(&home.path().join(DIRECTORY)).context("downloads")?;
    let stored = rig.server.root().join(UP);
    has_all(&stored).context("uploads")?;
    // The next burst makes it again.
    fs::remove_dir_all(stored)?;
    Ok(seen)
}

/// Servers that read no command while a transfer runs. The broker sends nothing ahead to others.
fn reads_in_turn(program: FtpProgram) -> bool {
    matches!(program, FtpProgram::Vsftpd | FtpProgram::Inetutils)
}

/// Each transfer has at most one command behind it, of which the client uses some. In active mode, a forward has to be
/// ready for it, and a burst within one host can be over before.
fn prepared(program: FtpProgram, mode: Mode, seen: &Seen) -> anyhow::Result<()> {
    let ahead = seen.sent_ahead()?;
    // A client that says so tells the server which file it wants before it asks for a data connection.
    let announces = seen.asked.iter().any(|one| one.starts_with("PRET "));
    let expected = match mode {
        _ if !reads_in_turn(program) => 0..=0,
        Mode::Passive if announces => 0..=0,
        Mode::Passive => 1..=seen.opened(),
        Mode::Active => 0..=seen.opened(),
    };
    ensure!(
        expected.contains(&ahead),
        "{ahead} commands ahead, not {expected:?}: {:#?}",
        seen.reached
    );
    Ok(())
}

/// A file that is missing, listings, changes of directory and mode, an upload, and a pause.
async fn mixed(program: FtpProgram) -> anyhow::Result<()> {
    let rig = Bursts::start(program).await?;
    for mode in MODES {
        let without = by_ftplib(&rig, "mixed", mode, Ahead::No).await?;
        let with = by_ftplib(&rig, "mixed", mode, Ahead::Yes).await?;
        let alike = with.looks_like(&without);
        alike.with_context(|| format!("{mode:?}"))?;
        ensure!(without.sent_ahead()? == 0, "a command too many");
        let is_prepared = with.sent_ahead()? > 0;
        ensure!(is_prepared == reads_in_turn(program), "{:?}", with.asked);
    }
    Ok(())
}

async fn aborted(program: FtpProgram) -> anyhow::Result<()> {
    let rig = Bursts::start(program).await?;
    write_pattern(&rig.server.root().join("long"), 1, LONG)?;
    for mode in MODES {
        for ahead in AHEAD {
            by_ftplib(&rig, "aborted", mode, ahead).await?;
        }
    }
    Ok(())
}

async fn by_ftplib(rig: &Bursts, deed: &str, mode: Mode, ahead: Ahead) -> anyhow::Result<Seen> {
    let home = tempfile::tempdir()?;
    let login = (rig.server.user(), rig.server.password());
    let command = |to| Ok(vec![ftplib(to, login, mode, deed, home.path())?]);
    let seen = rig.watch(ahead, command).await;
    let seen = seen.with_context(|| format!("{deed}, {mode:?}, {ahead:?}"))?;
    has_all(home.path()).with_context(|| format!("{deed}, {mode:?}, {ahead:?}"))?;
    if deed == "mixed" {
        fs::remove_dir_all(rig.server.root().join(UP))?;
    }
    Ok(seen)
}

/// What is prepared for a client that makes a pause is given up, and the next transfer works.
async fn paused(program: FtpProgram, mode: Mode) -> anyhow::Result<()> {
    let rig = Bursts::start(program).await?;
    let control = Conversation::connect(rig.tunnel(Ahead::Yes)).await?;
    let mut ftp = FtpClient::greeted(control).await?;
    let (user, password) = (rig.server.user(), rig.server.password());
    ftp.ask(&format!("USER {user}"), "331").await?;
    ftp.ask(&format!("PASS {password}"), "230").await?;
    ftp.ask("TYPE I", "200").await?;
    ftp.ask(&format!("CWD {DIRECTORY}"), "250").await?;
    fetch(&mut ftp, mode, 0).await?;
    // A connection that is still being made carries nothing that may not be needed.
    nothing_is_dialled(&rig.broker).await?;
    fetch(&mut ftp, mode, 1).await?;
    rig.prepared(1).await.context("nothing was prepared")?;
    rig.prepared(0).await.context("the pause")?;
    fetch(&mut ftp, mode, 2).await?;
    ftp.ask("QUIT", "221").await?;
    rig.nothing_is_left().await
}

/// One file of the burst. Some servers begin with 125 if the connection is there.
async fn fetch(ftp: &mut FtpClient, mode: Mode, number: usize) -> anyhow::Result<()> {
    let command = format!("RETR {}", name(number));
    let mut data = match mode {
        Mode::Passive => {
            let data = ftp.passive("EPSV").await?;
            ftp.ask(&command, "1").await?;
            data
        }
        Mode::Active => {
            let listener = ftp.active("EPRT").await?;
            ftp.ask(&command, "1").await?;
            listener.accept().await?
        }
    };
    let bytes = data.rest().await?;
    drop(data);
    ftp.reply("226").await?;
    ensure!(bytes == content(number), "{} differs", name(number));
    Ok(())
}

/// Nothing is left of a session whose client is killed, and another one is served as usual.
async fn killed(program: FtpProgram) -> anyhow::Result<()> {
    let rig = Bursts::start(program).await?;
    for mode in MODES {
        for ahead in AHEAD {
            let what = || format!("{mode:?}, {ahead:?}");
            kill_in_the_middle(&rig, mode, ahead)
                .await
                .with_context(what)?;
            let next = one_burst(&rig, Client::Curl, mode, ahead).await;
            ensure!(next.with_context(what)?.counts.failed == 0, "{}", what());
        }
    }
    Ok(())
}

async fn kill_in_the_middle(rig: &Bursts, mode: Mode, ahead: Ahead) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    fs::create_dir(home.path().join(DIRECTORY))?;
    let near = Relay::start(rig.tunnel(ahead)).await?;
    let login = (rig.server.user(), rig.server.password());
    let mut command = curl(login, mode, home.path())?;
    command
        .args(["--limit-rate", RATE])
        .args(down(near.addr(), home.path()));
    let mut process = Process::spawn(command, None)?;
    let middle = |all: &[_]| {
        let first: Option<&testkit::relay::Passed> = all.first();
        first.is_some_and(|first| first.to_target > MIDDLE)
    };
    near.wait_for(SOON, middle).await?;
    ensure!(process.is_running(), "the burst is over: {}", process.log());
    process.kill();
    rig.nothing_is_left().await
}

impl Client {
    fn title(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Lftp => "lftp mirror",
            Self::LftpParallel => "lftp mirror --parallel",
            Self::Ncftp => "ncftp",
            Self::Ftplib => "ftplib",
        }
    }

    fn needs(self) -> Vec<Need> {
        let programs: &[&'static str] = match self {
            Self::Curl => &["curl"],
            Self::Lftp | Self::LftpParallel => &["lftp"],
            Self::Ncftp => &["ncftpget", "ncftpput"],
            Self::Ftplib => &["python3"],
        };
        programs.iter().map(|name| Need::Program(name)).collect()
    }

    /// The programs that fetch the burst into `home`, and store the directory [`UP`] of `home` at the server.
    fn commands(
        self,
        to: SocketAddr,
        login: Login,
        mode: Mode,
        home: &Path,
    ) -> anyhow::Result<Vec<Command>> {
        fs::create_dir_all(home.join(DIRECTORY))?;
        match self {
            Self::Curl => {
                let (mut get, mut put) = (curl(login, mode, home)?, curl(login, mode, home)?);
                get.args(down(to, home));
                let files: Vec<String> = (0..FILES).map(name).collect();
                put.current_dir(home.join(UP)).arg("--ftp-create-dirs");
                put.arg("--upload-file")
                    .arg(format!("{{{}}}", files.join(",")));
                put.arg(format!("ftp://{to}/{UP}/"));
                Ok(vec![get, put])
            }
            Self::Lftp => Ok(vec![lftp(to, login, mode, home, 1)?]),
            Self::LftpParallel => Ok(vec![lftp(to, login, mode, home, 4)?]),
            Self::Ncftp => ncftp(to, login, mode, home),
            Self::Ftplib => {
                let local = home.join(DIRECTORY);
                Ok(vec![ftplib(to, login, mode, "whole", &local)?])
            }
        }
    }
}

/// A user and a password.
type Login<'a> = (&'a str, &'a str);

/// What the surroundings of the person who runs the tests must not change.
fn client(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", home)
        .env("LC_ALL", "C")
        .current_dir(home);
    command
}

fn curl((user, password): Login, mode: Mode, home: &Path) -> anyhow::Result<Command> {
    let mut command = client(&CURL.find()?, home);
    command.args(["--silent", "--show-error", "--disable", "--fail-early"]);
    command.arg("--user").arg(format!("{user}:{password}"));
    if mode == Mode::Active {
        command.args(["--ftp-port", "-"]);
    }
    Ok(command)
}

/// The arguments that make curl fetch the burst in one call.
fn down(from: SocketAddr, home: &Path) -> [String; 3] {
    let files: Vec<String> = (0..FILES).map(name).collect();
    let (local, files) = (home.join(DIRECTORY), files.join(","));
    [
        "--output".to_owned(),
        format!("{}/#1", local.display()),
        format!("ftp://{from}/{DIRECTORY}/{{{files}}}"),
    ]
}

fn lftp(
    to: SocketAddr,
    (user, password): Login,
    mode: Mode,
    home: &Path,
    parallel: usize,
) -> anyhow::Result<Command> {
    let passive = mode == Mode::Passive;
    let script = format!(
        "set cmd:fail-exit yes; set net:max-retries 1; set ftp:passive-mode {passive}; \
         open -u {user},{password} ftp://{to}/; mirror --parallel={parallel} {DIRECTORY} {DIRECTORY}; \
         mirror --reverse --parallel={parallel} {UP} {UP}"
    );
    let mut command = client(&LFTP.find()?, home);
    command
        .args(["--norc", "-c", &script])
        .env("LFTP_HOME", home);
    Ok(command)
}

fn ncftp(
    to: SocketAddr,
    (user, password): Login,
    mode: Mode,
    home: &Path,
) -> anyhow::Result<Vec<Command>> {
    let mode = match mode {
        Mode::Passive => "-F",
        Mode::Active => "-E",
    };
    let port = to.port().to_string();
    let host = to.ip().to_string();
    // Whole trees without the program tar, once, without a progress meter.
    let common = [
        "-R", "-V", "-r", "1", "-t", "30", mode, "-u", user, "-p", password, "-P", &port,
    ];
    let mut get = client(&NCFTPGET.find()?, home);
    get.arg("-T")
        .args(common)
        .arg(&host)
        .arg(home)
        .arg(DIRECTORY);
    let mut put = client(&NCFTPPUT.find()?, home);
    put.args(common).args([&host, "."]).arg(home.join(UP));
    Ok(vec![get, put])
}

fn ftplib(
    to: SocketAddr,
    (user, password): Login,
    mode: Mode,
    deed: &str,
    local: &Path,
) -> anyhow::Result<Command> {
    let mode = match mode {
        Mode::Passive => "passive",
        Mode::Active => "active",
    };
    let mut command = client(&PYTHON.find()?, local);
    command.arg(script("ftplib_burst.py"));
    command.arg(to.ip().to_string()).arg(to.port().to_string());
    command.args([user, password, mode, deed]).arg(local);
    command.args([DIRECTORY, UP]);
    Ok(command)
}
