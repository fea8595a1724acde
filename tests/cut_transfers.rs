//! A transfer that was cut is never reported complete, and leaves nothing behind.

use std::fmt;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::relay::{Cut, Flow};
use testkit::scripted::End;

use crate::support::failing_line::{ALIVE, Direction, FailingLine};
use crate::support::fixture::{CONTENT, SOON, failure};
use crate::support::played::PlayedDownload;
use crate::support::sockets::started;
use crate::support::{REAL, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for how in How::ALL {
        for direction in [Direction::Download, Direction::Upload] {
            for mode in ["EPSV", "EPRT"] {
                let name = format!("cut transfers: {direction} by {mode}, {how}");
                trials.push(trial(name, REAL, move || cut_once(how, direction, mode)));
            }
        }
    }
    trials.push(trial(
        "cut transfers: an upload cut while vsftpd says 226",
        REAL,
        half_an_upload,
    ));
    trials.push(trial(
        "cut transfers: a cut that the FTP server never answers is told all the same",
        &[],
        a_server_that_keeps_silent,
    ));
    trials.push(trial(
        "cut transfers: one cut is one failure, at the port of its tunnel",
        REAL,
        one_failure,
    ));
    trials.push(trial(
        "cut transfers: the failure says that an administrator cut the transfer",
        REAL,
        by_an_administrator,
    ));
    trials
}

/// The FTP server also reports a failure, but it does not know why.
async fn by_an_administrator() -> anyhow::Result<()> {
    let rig = FailingLine::start("").await?;
    let mut ftp = rig.login().await?;
    let data = rig.middle(&mut ftp, Direction::Download, "EPSV").await?;
    rig.cut(How::CloseChannel).await?;
    failure(&mut ftp).await?;
    drop((ftp, data));
    let one = |status: &Value| {
        status["failures"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    };
    let status = rig.broker().wait_json(&["status"], SOON, one).await?;
    let cut = &status["failures"][0];
    ensure!(cut["by"] == "broker", "{cut:#}");
    let message = "RETR big: an administrator cut the transfer";
    ensure!(cut["message"] == message, "{cut:#}");
    Ok(())
}

/// The FTP server's side of a cut can be silent: sshd then keeps its data connection open, and nothing ends the transfer.
async fn a_server_that_keeps_silent() -> anyhow::Result<()> {
    let mut download = PlayedDownload::begin().await?;
    let (session, receiver) = (&mut download.session, &mut download.receiver);
    download.sender.send("half of it").await?;
    receiver.bytes(10).await?;
    let ssh = &session.fixture.servers.ssh;
    for number in ssh.connections().into_iter().filter(|n| *n != 0) {
        ssh.kill_connection(number);
    }
    ensure!(
        receiver.end().await? == End::Reset,
        "the data connection was not reset"
    );
    let told = session.client.reply().await?;
    ensure!(told.starts_with("421 the transfer was cut"), "{told}");
    Ok(())
}

/// How a transfer is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// sshd's session process of the data connection is killed.
    KillData,
    /// That of the control connection.
    KillControl,
    /// Both, and whatever else the broker is connected with.
    KillBoth,
    /// The line resets the data connection.
    Reset,
    /// The line ends the data connection in order, as a proxy that goes down does.
    Close,
    /// The line swallows everything.
    Silence,
    /// The FTP server's process is killed.
    KillFtp,
    /// The broker is told to.
    CloseChannel,
    /// The client is killed: the system closes its connections.
    KillClient,
}

impl How {
    const ALL: [Self; 9] = [
        Self::KillData,
        Self::KillControl,
        Self::KillBoth,
        Self::Reset,
        Self::Close,
        Self::Silence,
        Self::KillFtp,
        Self::CloseChannel,
        Self::KillClient,
    ];

    /// Whether the control connection goes on.
    fn spares_control(self) -> bool {
        matches!(
            self,
            Self::KillData | Self::Reset | Self::Close | Self::CloseChannel
        )
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillData => "sshd's data session killed",
            Self::KillControl => "sshd's control session killed",
            Self::KillBoth => "all of sshd's sessions killed",
            Self::Reset => "data connection reset",
            Self::Close => "data connection closed",
            Self::Silence => "line gone dead",
            Self::KillFtp => "FTP server killed",
            Self::CloseChannel => "channel closed by request",
            Self::KillClient => "client killed",
        })
    }
}

impl FailingLine {
    async fn cut(&self, how: How) -> anyhow::Result<()> {
        match how {
            How::KillData => self.kill_sessions(|sessions| &sessions[1..]),
            How::KillControl => self.kill_sessions(|sessions| &sessions[..1]),
            How::KillBoth => self.kill_sessions(|sessions| sessions),
            How::Reset => self.line().cut(self.data_connection()?, Cut::Reset),
            How::Close => self.line().cut(self.data_connection()?, Cut::Close),
            How::Silence => self.line().set_flow(Flow::Swallow),
            How::KillFtp => {
                for pid in self.ftp().session_pids() {
                    self.ftp().process().kill_child(pid);
                }
            }
            How::CloseChannel => {
                let channels = self.broker().list(&["list-channels"]).await?;
                let data = channels.iter().find(|c| c["kind"] == "data");
                let id = data.context("no data channel is listed")?["id"].to_string();
                self.broker().told(&["close-channel", &id]).await?;
            }
            How::KillClient => {}
        }
        Ok(())
    }

    /// Kills some of sshd's sessions. The control connection is dialled before all others.
    fn kill_sessions(&self, choose: impl Fn(&[u32]) -> &[u32]) {
        let mut sessions = self.sshd().session_pids();
        // Not by their ids, which begin anew some time.
        sessions.sort_by_key(|pid| started(*pid));
        for pid in choose(&sessions) {
            self.sshd().kill_session(*pid);
        }
    }
}

async fn cut_once(how: How, direction: Direction, mode: &str) -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let mut data = rig.middle(&mut ftp, direction, mode).await?;
    if how == How::KillClient {
        // Nobody is left who could be told anything.
        drop((ftp, data));
        return rig.recovers().await;
    }
    rig.cut(how).await?;

    // The FTP server's own end is an orderly one to everybody behind it: there the reply tells.
    if how != How::KillFtp {
        let ended = data.end().await?;
        ensure!(ended == End::Reset, "the data connection ended in order");
    }
    drop(data);
    let reply = failure(&mut ftp).await?;
    if how.spares_control() {
        ensure!(reply.starts_with("426"), "{reply}");
        ftp.ask("NOOP", "200").await?;
        ensure!(
            ftp.fetch("file").await? == CONTENT,
            "the next transfer of the session"
        );
    } else {
        ensure!(reply.starts_with('4'), "{reply}");
    }
    drop(ftp);
    if how == How::Silence {
        // Nothing that was on a dead line comes back to life with it.
        rig.line().cut_all(Cut::Reset);
        rig.line().set_flow(Flow::Pass);
    }
    rig.recovers().await
}

/// The server believes the half it has to be the whole, and says so: the client must not hear it.
async fn half_an_upload() -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let data = rig.middle(&mut ftp, Direction::Upload, "EPSV").await?;
    rig.cut(How::KillData).await?;
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with("426 "), "{reply}");
    let log = rig.ftp().log();
    ensure!(
        log.contains("226 Transfer complete"),
        "vsftpd did not say 226:\n{log}"
    );
    drop((ftp, data));
    rig.recovers().await
}

/// The transfer and its session end together, which is one failure for whoever looks.
async fn one_failure() -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let data = rig.middle(&mut ftp, Direction::Download, "EPSV").await?;
    rig.cut(How::KillBoth).await?;
    failure(&mut ftp).await?;
    drop((ftp, data));
    let status = rig.broker().json(&["status"]).await?;
    let [cut] = status["failures"].as_array().context("no list")?.as_slice() else {
        anyhow::bail!("not one failure: {status:#}");
    };
    ensure!(cut["count"] == 1 && cut["reason"] == "lost", "{cut:#}");
    let message = cut["message"].as_str().unwrap_or_default();
    ensure!(message.starts_with("RETR "), "{cut:#}");
    let listener = rig.broker().listener(0).await?.to_string();
    ensure!(cut["listener"] == *listener, "{cut:#} {listener}");
    rig.recovers().await
}
