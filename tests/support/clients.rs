//! FTP clients as people run them: one operation an invocation, in a mode of their own data connections.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::client::{self, Output};
use testkit::netns::Netns;
use testkit::programs::{CURL, LFTP, PYTHON, Requirement, TNFTP};

use super::python;

/// curl's options for each mode. It believes the address in a 227 only when told to.
pub(crate) const CURL_MODES: [(&str, &[&str]); 4] = [
    ("PASV", &["--disable-epsv", "--no-ftp-skip-pasv-ip"]),
    ("EPSV", &[]),
    ("PORT", &["--ftp-port", "-", "--disable-eprt"]),
    ("EPRT", &["--ftp-port", "-"]),
];

/// One operation, a file of 256 MiB on a busy machine included.
const LIMIT: Duration = Duration::from_secs(100);

/// Commands that open a data connection; a client that fell back to another mode has sent two of them.
const OPENERS: [&str; 4] = ["PASV", "EPSV", "PORT", "EPRT"];

/// A client program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Curl,
    Lftp,
    Tnftp,
    Ftplib,
}

/// How the two sides agree on a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pasv,
    Epsv,
    Port,
    Eprt,
}

/// What to do. Remote names are bytes, below the directory a login starts in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    List,
    Get(&'a OsStr, &'a Path),
    Put(&'a Path, &'a OsStr),
    /// Completes the local file, which has the first part already.
    Reget(&'a OsStr, &'a Path),
    /// Completes the remote file, which has the first part of so many bytes already.
    Reput(&'a Path, &'a OsStr, u64),
    Rename(&'a OsStr, &'a OsStr),
    Delete(&'a OsStr),
}

impl Client {
    pub(crate) fn requirement(self) -> Requirement {
        match self {
            Self::Curl => CURL,
            Self::Lftp => LFTP,
            Self::Tnftp => TNFTP,
            Self::Ftplib => PYTHON,
        }
    }

    /// Runs the client once. `home` is its home directory and where it keeps its script.
    pub(crate) async fn perform(
        self,
        server: SocketAddr,
        mode: Mode,
        step: Step<'_>,
        home: &Path,
    ) -> anyhow::Result<Output> {
        self.perform_in(None, server, mode, step, home).await
    }

    /// As [`Client::perform`], inside a namespace if there is one.
    pub(crate) async fn perform_in(
        self,
        netns: Option<&Netns>,
        server: SocketAddr,
        mode: Mode,
        step: Step<'_>,
        home: &Path,
    ) -> anyhow::Result<Output> {
        let operation = format!("{self} {mode}: {step:?}");
        let command = self.command(server, mode, step, home)?;
        let output = client::run_in(netns, command, LIMIT).await;
        let output = output.and_then(Output::success);
        let output = output.with_context(|| operation.clone())?;
        if step.has_data() {
            used_only(mode, &transcript(&output)).with_context(|| operation)?;
        }
        Ok(output)
    }

    /// The command that runs the client once.
    pub(crate) fn command(
        self,
        server: SocketAddr,
        mode: Mode,
        step: Step<'_>,
        home: &Path,
    ) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Curl => curl(server, mode, step)?,
            Self::Lftp => lftp(server, mode, step, home)?,
            Self::Tnftp => tnftp(server, mode, step, home)?,
            Self::Ftplib => ftplib(server, mode, step)?,
        };
        // A rc file or a locale of the person who runs the tests must not decide what they prove.
        command
            .env("HOME", home)
            .env("LC_ALL", "C")
            .current_dir(home);
        Ok(command)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Curl => "curl",
            Self::Lftp => "lftp",
            Self::Tnftp => "tnftp",
            Self::Ftplib => "ftplib",
        })
    }
}

impl Mode {
    /// The command that asks for it.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Pasv => "PASV",
            Self::Epsv => "EPSV",
            Self::Port => "PORT",
            Self::Eprt => "EPRT",
        }
    }

    fn is_passive(self) -> bool {
        matches!(self, Self::Pasv | Self::Epsv)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verb().to_lowercase())
    }
}

impl Step<'_> {
    fn has_data(self) -> bool {
        !matches!(self, Self::Rename(..) | Self::Delete(..))
    }
}

/// Everything a client wrote.
pub(crate) fn transcript(output: &Output) -> String {
    output.text() + &output.stderr
}

/// How often the client sent a command: every client here is made to print `> COMMAND`.
pub(crate) fn sent(transcript: &str, verb: &str) -> usize {
    let commands = transcript
        .lines()
        .filter_map(|line| line.split_once("> "))
        .filter(|(before, _)| before.chars().all(|c| c == '-'));
    commands
        .filter(|(_, command)| command.split_whitespace().next() == Some(verb))
        .count()
}

fn used_only(mode: Mode, transcript: &str) -> anyhow::Result<()> {
    for verb in OPENERS {
        let expected = verb == mode.verb();
        ensure!(
            (sent(transcript, verb) > 0) == expected,
            "{verb} was {}sent:\n{transcript}",
            if expected { "not " } else { "" }
        );
    }
    Ok(())
}

fn curl(server: SocketAddr, mode: Mode, step: Step<'_>) -> anyhow::Result<Command> {
    let mut command = Command::new(CURL.find()?);
    command.args(["--silent", "--show-error", "--verbose", "--disable"]);
    command.args(["--user", "anonymous:guest"]);
    match mode {
        Mode::Pasv => command.arg("--disable-epsv"),
        Mode::Epsv => &mut command,
        Mode::Port => command.args(["--ftp-port", "-", "--disable-eprt"]),
        Mode::Eprt => command.args(["--ftp-port", "-"]),
    };
    let quote = |verb: &str, name: &OsStr| {
        let mut quoted = OsString::from(verb);
        quoted.push(" ");
        quoted.push(name);
        quoted
    };
    let name = match step {
        Step::List => None,
        Step::Get(remote, local) => {
            command.arg("--output").arg(local);
            Some(remote)
        }
        Step::Put(local, remote) => {
            command.arg("--upload-file").arg(local);
            Some(remote)
        }
        Step::Reget(remote, local) => {
            command.args(["--continue-at", "-", "--output"]).arg(local);
            Some(remote)
        }
        Step::Reput(local, remote, _) => {
            command
                .args(["--continue-at", "-", "--upload-file"])
                .arg(local);
            Some(remote)
        }
        // With --head, nothing but the quoted commands happens.
        Step::Rename(old, new) => {
            command.arg("--head");
            command.arg("--quote").arg(quote("RNFR", old));
            command.arg("--quote").arg(quote("RNTO", new));
            None
        }
        Step::Delete(remote) => {
            command.arg("--head");
            command.arg("--quote").arg(quote("DELE", remote));
            None
        }
    };
    command.arg(url(server, name.unwrap_or_default()));
    Ok(command)
}

/// Every byte that means something else in a URL, or nothing, is written by its number.
fn url(server: SocketAddr, name: &OsStr) -> String {
    let mut url = format!("ftp://{server}/");
    for byte in name.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(byte) {
            url.push(char::from(*byte));
        } else {
            url += &format!("%{byte:02X}");
        }
    }
    url
}

fn lftp(server: SocketAddr, mode: Mode, step: Step<'_>, home: &Path) -> anyhow::Result<Command> {
    let settings = format!(
        "set ftp:passive-mode {}; set ftp:prefer-epsv {}; set cmd:fail-exit yes; set net:max-retries 1; \
         set xfer:clobber yes; debug 5; open ftp://anonymous:guest@{}/\n",
        mode.is_passive(),
        mode == Mode::Epsv,
        server
    );
    let local = |path: &Path| quoted(path.as_os_str());
    let command = match step {
        Step::List => b"ls".to_vec(),
        Step::Get(from, to) => [b"get ", &*quoted(from), b" -o ", &local(to)].concat(),
        Step::Put(from, to) => [b"put ", &*local(from), b" -o ", &quoted(to)].concat(),
        Step::Reget(from, to) => [b"get -c ", &*quoted(from), b" -o ", &local(to)].concat(),
        Step::Reput(from, to, _) => [b"put -c ", &*local(from), b" -o ", &quoted(to)].concat(),
        Step::Rename(old, new) => [b"mv ", &*quoted(old), b" ", &quoted(new)].concat(),
        Step::Delete(name) => [b"rm ", quoted(name).as_slice()].concat(),
    };
    let script = script(home, &[settings.as_bytes(), &command, b"\n"])?;
    let mut lftp = Command::new(LFTP.find()?);
    lftp.arg("--norc").arg("-f").arg(script);
    Ok(lftp)
}

fn tnftp(server: SocketAddr, mode: Mode, step: Step<'_>, home: &Path) -> anyhow::Result<Command> {
    let (ip, port) = (server.ip(), server.port());
    let mut settings = format!("open {ip} {port}\nuser anonymous guest\nbinary\n");
    if matches!(mode, Mode::Pasv | Mode::Port) {
        // Both are on until switched off.
        settings += "epsv4\n";
    }
    let local = |path: &Path| quoted(path.as_os_str());
    let command = match step {
        Step::List => b"ls".to_vec(),
        Step::Get(from, to) => [b"get ", &*quoted(from), b" ", &local(to)].concat(),
        Step::Put(from, to) => [b"put ", &*local(from), b" ", &quoted(to)].concat(),
        Step::Reget(from, to) => [b"reget ", &*quoted(from), b" ", &local(to)].concat(),
        Step::Reput(from, to, at) => {
            let restart = format!("restart {at}\nput ");
            [restart.as_bytes(), &local(from), b" ", &quoted(to)].concat()
        }
        Step::Rename(old, new) => [b"rename ", &*quoted(old), b" ", &quoted(new)].concat(),
        Step::Delete(name) => [b"delete ", quoted(name).as_slice()].concat(),
    };
    let script = script(home, &[settings.as_bytes(), &command, b"\nquit\n"])?;
    let mut tnftp = Command::new("sh");
    // It takes its commands from standard input alone.
    tnftp.args(["-c", "script=$1; shift; exec \"$@\" < \"$script\"", "sh"]);
    tnftp.arg(script).arg(TNFTP.find()?);
    tnftp.arg(if mode.is_passive() { "-p" } else { "-A" });
    tnftp.args(["-n", "-i", "-v", "-d"]);
    Ok(tnftp)
}

fn ftplib(server: SocketAddr, mode: Mode, step: Step<'_>) -> anyhow::Result<Command> {
    let mut python = Command::new(PYTHON.find()?);
    python.arg(python::script("ftplib_client.py"));
    python.arg(server.ip().to_string());
    python.arg(server.port().to_string());
    python.arg(if mode.is_passive() {
        "passive"
    } else {
        "active"
    });
    match step {
        Step::List => python.arg("list"),
        Step::Get(from, to) => python.arg("get").arg(from).arg(to),
        Step::Put(from, to) => python.arg("put").arg(from).arg(to),
        Step::Reget(from, to) => python.arg("reget").arg(from).arg(to),
        Step::Reput(from, to, _) => python.arg("reput").arg(from).arg(to),
        Step::Rename(old, new) => python.arg("rename").arg(old).arg(new),
        Step::Delete(name) => python.arg("delete").arg(name),
    };
    Ok(python)
}

/// A name as lftp and tnftp take it in their scripts.
fn quoted(name: &OsStr) -> Vec<u8> {
    [b"\"", name.as_bytes(), b"\""].concat()
}

fn script(home: &Path, parts: &[&[u8]]) -> anyhow::Result<PathBuf> {
    let path = home.join("script");
    fs::write(&path, parts.concat()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
