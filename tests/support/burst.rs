//! A burst of small files: an FTP server, two tunnels to it, and recordings of what both ends see of each session.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use broker_ipc::types::{DaemonStatus, TransferCounts};
use serde::Deserialize;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::client;
use testkit::files::pattern;
use testkit::ftp_daemon::{FtpDaemon, FtpProgram};
use testkit::peer::SshPeer;
use testkit::profile::Tunnel;
use testkit::relay::{Recording, Relay};
use testkit::sockets::listening;
use testkit::sshd::{Sshd, SshdOptions};

use super::fixture::{SOON, nothing_is_dialled, nothing_is_left};
use super::sockets::eventually;

/// The directory with the files, at the server.
pub(crate) const DIRECTORY: &str = "burst";

/// Files of a burst.
pub(crate) const FILES: usize = 18;

/// Their sizes, again and again: nothing, less than a segment, what is usual, and more than a first window.
const SIZES: [usize; 6] = [10 * 1024, 0, 1, 100 * 1024, 1459, 10 * 1024 + 1];

/// When the files were written, in seconds since 1970. ncftp takes the first of them for no time.
const MODIFIED: Duration = Duration::from_secs(1_000_000_000);

/// One run of a client.
const LIMIT: Duration = Duration::from_secs(60);

/// Commands that begin with a data connection.
const OPENERS: [&str; 4] = ["PASV", "EPSV", "PORT", "EPRT"];

/// Whether the broker prepares the next data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    No,
    Yes,
}

/// sshd, an FTP server behind a relay, and a broker with a tunnel of either kind.
pub(crate) struct Bursts {
    pub(crate) broker: Broker,
    pub(crate) server: FtpDaemon,
    line: Relay,
    tunnels: [SocketAddr; 2],
    ports: BTreeSet<u16>,
    _ssh: Sshd,
}

/// What both ends saw of the sessions of one run.
pub(crate) struct Seen {
    /// What the client sent.
    pub(crate) asked: Vec<String>,
    /// What the client read.
    pub(crate) told: Vec<String>,
    /// What the server read.
    pub(crate) reached: Vec<String>,
    /// Transfers that the broker counted.
    pub(crate) counts: TransferCounts,
}

impl Bursts {
    pub(crate) async fn start(program: FtpProgram) -> anyhow::Result<Self> {
        let ssh = Sshd::start(SshdOptions::default()).await?;
        let server = FtpDaemon::start(program).await?;
        make_files(&server.root().join(DIRECTORY))?;
        let line = Relay::start(server.addr()).await?;
        let tunnel = |ahead| Tunnel::ftp(line.addr()).with(&format!(r#"data-ahead="{ahead}""#));
        let profile = ssh.profile()?.tunnel(tunnel("no")).tunnel(tunnel("yes"));
        let broker = Broker::start(&profile.config(), &[]).await?;
        let tunnels = [broker.listener(0).await?, broker.listener(1).await?];
        let ports = listening(broker.process().pid());
        Ok(Self {
            broker,
            server,
            line,
            tunnels,
            ports,
            _ssh: ssh,
        })
    }

    /// Where the tunnel listens.
    pub(crate) fn tunnel(&self, ahead: Ahead) -> SocketAddr {
        let [no, yes] = self.tunnels;
        match ahead {
            Ahead::No => no,
            Ahead::Yes => yes,
        }
    }

    /// Runs clients to their end, and waits until nothing is left of their sessions.
    pub(crate) async fn watch(
        &self,
        ahead: Ahead,
        commands: impl FnOnce(SocketAddr) -> anyhow::Result<Vec<Command>>,
    ) -> anyhow::Result<Seen> {
        // What is still being made carries nothing that may not be needed.
        nothing_is_dialled(&self.broker).await?;
        let before = self.counts().await?;
        let first = self.line.passed().len();
        let near = Relay::start(self.tunnel(ahead)).await?;
        for command in commands(near.addr())? {
            let name = format!("{command:?}");
            let output = client::run(command, LIMIT).await?;
            output.success().with_context(|| name)?;
        }
        self.nothing_is_left().await?;
        let over = |all: &[_]| {
            all.iter()
                .skip(first)
                .all(|one: &testkit::relay::Passed| !one.open)
        };
        self.line.wait_for(SOON, over).await?;
        let near = sorted(near.recordings());
        let far = sorted(self.line.recordings().split_off(first));
        let counts = self.counts().await?;
        Ok(Seen {
            asked: lines(&near, |one| &one.to_target),
            told: lines(&near, |one| &one.to_client),
            reached: lines(&far, |one| &one.to_target),
            counts: TransferCounts {
                active: counts.active,
                ok: counts.ok - before.ok,
                failed: counts.failed - before.failed,
            },
        })
    }

    /// No session, no channel of one, and no port but those of the tunnels.
    pub(crate) async fn nothing_is_left(&self) -> anyhow::Result<()> {
        nothing_is_left(&self.broker, "list-sessions").await?;
        nothing_is_left(&self.broker, "list-channels").await?;
        let pid = self.broker.process().pid();
        let closed = || listening(pid) == self.ports;
        let closed = eventually("only the tunnels listen", closed).await;
        closed.with_context(|| format!("{:?} instead of {:?}", listening(pid), self.ports))
    }

    /// Waits until the broker has this many channels for data connections that no transfer uses.
    pub(crate) async fn prepared(&self, expected: usize) -> anyhow::Result<()> {
        let unused = |one: &&Value| one["kind"] == "data" && one["command"].is_null();
        let listed = |channels: &Value| {
            let all = channels.as_array().into_iter().flatten();
            all.filter(unused).count() == expected
        };
        let listed = self.broker.wait_json(&["list-channels"], SOON, listed);
        listed.await.map(drop)
    }

    pub(crate) async fn counts(&self) -> anyhow::Result<TransferCounts> {
        let status = self.broker.json(&["status"]).await?;
        Ok(DaemonStatus::deserialize(&status)?.transfers)
    }
}

impl Seen {
    /// The client cannot tell whether its data connections were prepared.
    pub(crate) fn looks_like(&self, other: &Self) -> anyhow::Result<()> {
        same(&self.asked, &other.asked).context("what the client asked")?;
        same(&self.told, &other.told).context("what the client was told")?;
        let (counts, others) = (&self.counts, &other.counts);
        ensure!(counts == others, "{counts:?} instead of {others:?}");
        Ok(())
    }

    /// Commands of the client for data connections.
    pub(crate) fn opened(&self) -> usize {
        without_openers(&self.asked).1
    }

    /// The server saw what the client sent, and commands for data connections ahead: how many more than the client sent.
    pub(crate) fn sent_ahead(&self) -> anyhow::Result<usize> {
        let passed = passed(&self.asked);
        let (asked, openers) = without_openers(&passed);
        let (reached, prepared) = without_openers(&self.reached);
        same(&reached, &asked).context("what the server was asked")?;
        let ahead = prepared.checked_sub(openers);
        ahead.with_context(|| format!("{openers} openers became {prepared}"))
    }
}

/// Pure-FTPd says this now and then, at random.
const PURE_FTPD_JOKE: &str = "The computer is your friend. Trust the computer";

/// The name of a file of the burst.
pub(crate) fn name(number: usize) -> String {
    format!("f{number:02}")
}

/// Its content, different for each.
pub(crate) fn content(number: usize) -> Vec<u8> {
    pattern(number as u64, SIZES[number % SIZES.len()])
}

/// Writes the files of a burst into a new directory.
pub(crate) fn make_files(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for number in 0..FILES {
        let path = directory.join(name(number));
        fs::write(&path, content(number))?;
        // Clients tell the server the time of a file, which must be the same in each run.
        File::options()
            .write(true)
            .open(&path)?
            .set_modified(SystemTime::UNIX_EPOCH + MODIFIED)?;
    }
    Ok(())
}

/// The directory has the files of a burst, whole, and nothing else.
pub(crate) fn has_all(directory: &Path) -> anyhow::Result<()> {
    for number in 0..FILES {
        super::compare::same_bytes(&directory.join(name(number)), &content(number))?;
    }
    let found: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    ensure!(found.len() == FILES, "more than the burst: {found:?}");
    Ok(())
}

/// Sessions side by side reach the server in any order, so their own commands tell which is which.
fn sorted(mut sessions: Vec<Recording>) -> Vec<Recording> {
    sessions.sort_by_cached_key(|one| without_openers(&passed(&commands(one))).0);
    sessions
}

fn commands(session: &Recording) -> Vec<String> {
    lines(std::slice::from_ref(session), |one| &one.to_target)
}

/// What reaches the server: the broker itself refuses TLS.
fn passed(commands: &[String]) -> Vec<String> {
    let passed = commands.iter().filter(|one| !one.starts_with("AUTH "));
    passed.cloned().collect()
}

fn lines(recordings: &[Recording], direction: impl Fn(&Recording) -> &Vec<u8>) -> Vec<String> {
    let texts = recordings
        .iter()
        .map(|one| String::from_utf8_lossy(direction(one)).into_owned());
    texts
        .flat_map(|text| {
            without_jokes(&text)
                .iter()
                .map(|it| comparable(it))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The lines without those that only one of two runs may have. Where such a line ends a reply, the one before does.
fn without_jokes(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match line.strip_suffix(PURE_FTPD_JOKE) {
            None => lines.push(line.to_owned()),
            Some(code) if code.ends_with(' ') => {
                if let Some(last) = lines.last_mut()
                    && let Some(code) = last.get(..3)
                {
                    *last = format!("{code} {}", last.get(4..).unwrap_or_default());
                }
            }
            Some(_) => {}
        }
    }
    lines
}

/// A line without what differs between two runs: addresses, times and speeds.
fn comparable(line: &str) -> String {
    let verb = line.split(' ').next().unwrap_or_default();
    // MFF tells when a file was made, which nobody can set.
    if OPENERS.contains(&verb) || verb == "MFF" {
        return verb.to_owned();
    }
    // Which of the two pyftpdlib sends depends on who connects first.
    if line.starts_with("125 Data connection already open")
        || line.starts_with("150 File status okay")
    {
        return "150 or 125".to_owned();
    }
    // pure-ftpd tells how fast it was, with units that depend on it.
    if line.contains("(measured here)") {
        return "measured".to_owned();
    }
    let is_reply = line
        .get(..3)
        .is_some_and(|code| code.chars().all(|c| c.is_ascii_digit()));
    if !is_reply {
        return line.to_owned();
    }
    let (code, text) = line.split_at(3);
    let mut shown = code.to_owned();
    for c in text.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if c != '#' || !shown.ends_with('#') {
            shown.push(c);
        }
    }
    shown
}

/// All but the commands for data connections, and the number of those.
fn without_openers(commands: &[String]) -> (Vec<String>, usize) {
    let opens = |command: &&String| OPENERS.contains(&command.as_str());
    let (openers, others): (Vec<_>, Vec<_>) = commands.iter().partition(opens);
    (others.into_iter().cloned().collect(), openers.len())
}

fn same(found: &[String], expected: &[String]) -> anyhow::Result<()> {
    let pairs = found.iter().zip(expected);
    let at = pairs
        .take_while(|(found, expected)| found == expected)
        .count();
    let around = |lines: &[String]| {
        let from = at.saturating_sub(8);
        lines
            .iter()
            .skip(from)
            .take(12)
            .cloned()
            .collect::<Vec<_>>()
    };
    ensure!(
        found == expected,
        "line {at} differs: {:#?}\ninstead of {:#?}",
        around(found),
        around(expected)
    );
    Ok(())
}
