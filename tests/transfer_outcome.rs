//! Success is told only of a transfer that ended in order on both sides: never where the client's side was cut or
//! refused, and never for half a file, whatever the FTP server believes.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::ensure;
use broker_ipc::types::DaemonStatus;
use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::ftp_client::{FtpClient, port_command};
use testkit::peer::FtpFiles;
use testkit::quirky_ftp::{Aborts, Quirks};
use testkit::relay::{Cut, Relay};
use testkit::scripted::{Conversation, End};
use tokio::net::TcpSocket;

use crate::support::failing_line::{ALIVE, Direction, FailingLine};
use crate::support::fixture::{CONTENT, SOON, failure};
use crate::support::quirky::{HALF, Quirky, hear, promptly};
use crate::support::{REAL, trial};

/// More than all buffers on the way to a client that does not read hold.
const LONG: usize = 64 << 20;

/// What the box on the way has passed on when it gives up.
const PASSED: u64 = 1_500_000;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial(
            "transfer outcome: upload reset by a box before the broker",
            REAL,
            reset_by_a_box,
        ),
        trial(
            "transfer outcome: download reset by a box before the broker",
            REAL,
            reset_download_by_a_box,
        ),
        trial(
            "transfer outcome: upload by EPSV to a server that half-closes, cut before its first byte",
            &[],
            half_closed_and_empty,
        ),
    ];
    for mode in ["EPSV", "EPRT"] {
        for direction in [Direction::Download, Direction::Upload] {
            let name = format!("transfer outcome: {direction} by {mode}, reset by the client");
            let test = move || reset_by_the_client(direction, mode);
            trials.push(trial(name, REAL, test));
        }
        let name = format!("transfer outcome: upload by {mode} to a server that half-closes, cut");
        trials.push(trial(name, &[], move || half_closed(mode)));
        for (what, quirks) in dubious_ends() {
            let name = format!("transfer outcome: upload by {mode} to {what}, cut on a dead line");
            trials.push(trial(name, &[], move || cut_on_a_dead_line(mode, quirks)));
        }
        for command in ["STOR half", "RETR file"] {
            let name = format!(
                "transfer outcome: {command} by {mode}, of which the server sees no data connection"
            );
            trials.push(trial(name, &[], move || without_connection(mode, command)));
        }
        for aborts in [Aborts::AtOnce, Aborts::AfterTransfer] {
            let name =
                format!("transfer outcome: upload by {mode}, cut after an ABOR obeyed {aborts:?}");
            trials.push(trial(name, &[], move || cut_after_abort(mode, aborts)));
        }
        for urgency in [Urgency::Plain, Urgency::Urgent, Urgency::Telnet] {
            let name = format!("transfer outcome: download by {mode}, ABOR as {urgency}");
            trials.push(trial(name, &[], move || abort_download(mode, urgency)));
        }
    }
    for command in ["STOR new", "APPE new", "RETR file", "LIST"] {
        for verb in ["PORT", "EPRT"] {
            let name = format!("transfer outcome: {command} by {verb} to a port that refuses");
            trials.push(trial(name, REAL, move || refused(verb, command)));
        }
    }
    trials
}

/// sshd makes an orderly end of the reset, so that vsftpd takes half an upload for the whole.
async fn reset_by_the_client(direction: Direction, mode: &'static str) -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let data = rig.middle(&mut ftp, direction, mode).await?;
    data.reset();
    cut_is_told(&mut ftp).await?;
    drop(ftp);
    rig.recovers().await
}

/// The client has ended its half in order, and hears by the control connection alone what became of it.
async fn reset_by_a_box() -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let way = Relay::start(ftp.announced("EPSV").await?).await?;
    way.cut_after(Some((PASSED, Cut::ResetTarget)));
    let mut data = Conversation::connect(way.addr()).await?;
    ftp.ask("STOR half", "150").await?;
    data.send(vec![7; 2 * usize::try_from(PASSED)?]).await?;
    data.finish().await?;
    cut_is_told(&mut ftp).await?;
    drop((ftp, data, way));
    rig.recovers().await
}

/// The client sees an orderly end, and hears by the control connection alone that there was more.
async fn reset_download_by_a_box() -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let way = Relay::start(ftp.announced("EPSV").await?).await?;
    way.cut_after(Some((PASSED, Cut::ResetTarget)));
    let mut data = Conversation::connect(way.addr()).await?;
    ftp.ask("RETR big", "150").await?;
    ensure!(data.end().await? == End::Orderly, "the client was reset");
    cut_is_told(&mut ftp).await?;
    drop((ftp, data, way));
    rig.recovers().await
}

async fn cut_is_told(ftp: &mut FtpClient) -> anyhow::Result<()> {
    let reply = failure(ftp).await?;
    ensure!(reply.starts_with("426"), "{reply}");
    ftp.ask("NOOP", "200").await?;
    let next = ftp.fetch("file").await?;
    ensure!(next == CONTENT, "the next transfer of the session");
    Ok(())
}

/// A firewall before the client: the FTP server must not hear of an empty file, nor the client of a success.
async fn refused(verb: &'static str, command: &'static str) -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    // Bound and not listening, so that nobody else gets the port.
    let closed = TcpSocket::new_v4()?;
    closed.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let announced = port_command(verb, closed.local_addr()?);
    ftp.ask(&announced, "200").await?;
    ftp.control().send(format!("{command}\r\n")).await?;
    let reply = final_reply(&mut ftp).await?;
    ensure!(reply.starts_with("425"), "{reply}");
    ftp.ask("NOOP", "200").await?;
    ensure!(
        complete(rig.broker()).await? == 0,
        "it is counted as complete"
    );
    drop(ftp);
    rig.recovers().await
}

async fn final_reply(ftp: &mut FtpClient) -> anyhow::Result<String> {
    loop {
        let reply = ftp.reply("").await?;
        if !reply.starts_with('1') {
            return Ok(reply);
        }
    }
}

/// How many transfers the daemon counts as complete, once all have ended.
async fn complete(broker: &Broker) -> anyhow::Result<u64> {
    let transfers = |status: &Value| DaemonStatus::deserialize(status).map(|s| s.transfers);
    let over = |status: &Value| transfers(status).is_ok_and(|transfers| transfers.active == 0);
    let status = broker.wait_json(&["status"], SOON, over).await?;
    Ok(transfers(&status)?.ok)
}

fn half_closing() -> Quirks {
    Quirks {
        half_closes: true,
        ..Quirks::default()
    }
}

/// The end of the server's own half says nothing of an upload.
async fn half_closed(mode: &'static str) -> anyhow::Result<()> {
    let rig = Quirky::start(half_closing()).await?;
    let mut ftp = rig.login().await?;
    let mut data = rig.half_stored(&mut ftp, mode).await?;
    servers_end(&mut data).await?;
    rig.cut_data();
    rig.ftp().wait_for_line("< 226").await?;
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with("426"), "{reply}");
    Ok(())
}

/// Waits until the end of the server's half has come all the way.
async fn servers_end(data: &mut Conversation) -> anyhow::Result<()> {
    let count = data.stream().peek(&mut [0]).await?;
    ensure!(count == 0, "bytes came");
    Ok(())
}

/// Nothing has moved yet: the upload must not be taken for a download that is over.
async fn half_closed_and_empty() -> anyhow::Result<()> {
    let rig = Quirky::start(half_closing()).await?;
    let mut ftp = rig.login().await?;
    let mut data = rig.begin(&mut ftp, "EPSV", "STOR half").await?;
    servers_end(&mut data).await?;
    rig.cut_data();
    rig.ftp().wait_for_line("< 226").await?;
    // What the client sends now goes nowhere; whether it can is up to the system.
    let _ = data.send(HALF).await;
    let _ = data.finish().await;
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with("426"), "{reply}");
    Ok(())
}

/// Servers whose end of a data connection, or the want of it, proves less than it seems to.
fn dubious_ends() -> [(&'static str, Quirks); 3] {
    let keeping = Quirks {
        keeps_data_socket: true,
        ..Quirks::default()
    };
    [
        ("a usual server", Quirks::default()),
        ("a server that half-closes", half_closing()),
        ("a server that keeps its data socket", keeping),
    ]
}

/// The client has given all, and nothing has come back: neither that the SSH server has it, nor that it has ended.
async fn cut_on_a_dead_line(mode: &'static str, quirks: Quirks) -> anyhow::Result<()> {
    let rig = Quirky::start(quirks).await?;
    let mut ftp = rig.login().await?;
    let mut data = rig.half_stored(&mut ftp, mode).await?;
    rig.silence_data();
    data.send(HALF).await?;
    data.finish().await?;
    rig.cut_data();
    rig.ftp().wait_for_line("< 226").await?;
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with('4'), "{reply}");
    Ok(())
}

/// The server's success is about a data connection that it never had.
async fn without_connection(mode: &'static str, command: &'static str) -> anyhow::Result<()> {
    let rig = Quirky::start(Quirks {
        skips_data: true,
        ..Quirks::default()
    })
    .await?;
    rig.ftp().put("file", CONTENT)?;
    let mut ftp = rig.login().await?;
    let _offer = rig.offer(&mut ftp, mode, command).await?;
    rig.ftp().wait_for_line("< 226").await?;
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with("42"), "{reply}");
    ftp.ask("NOOP", "200").await?;
    Ok(())
}

/// A client that takes back its ABOR, or whose server has not looked at it, is told the truth too.
async fn cut_after_abort(mode: &'static str, aborts: Aborts) -> anyhow::Result<()> {
    let rig = Quirky::start(Quirks {
        aborts,
        ..Quirks::default()
    })
    .await?;
    let mut ftp = rig.login().await?;
    let _data = rig.half_stored(&mut ftp, mode).await?;
    ftp.control().send("ABOR\r\n").await?;
    rig.ftp().wait_for_line("> ABOR").await?;
    rig.cut_data();
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with("426"), "{reply}");
    // The server's word on the ABOR itself.
    ftp.reply("22").await?;
    ftp.ask("NOOP", "200").await?;
    Ok(())
}

/// How an ABOR is sent.
#[derive(Clone, Copy, Debug)]
enum Urgency {
    Plain,
    /// The whole line as urgent data.
    Urgent,
    /// Behind Telnet's own interruption, of which one byte is urgent.
    Telnet,
}

impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain data",
            Self::Urgent => "urgent data",
            Self::Telnet => "urgent data behind Telnet's",
        })
    }
}

impl Urgency {
    async fn send_abort(self, ftp: &mut FtpClient) -> anyhow::Result<()> {
        let line = "ABOR\r\n";
        let control = ftp.control();
        match self {
            Self::Plain => control.send(line).await?,
            Self::Urgent => control.send_urgently(line.as_bytes())?,
            Self::Telnet => {
                control.send_urgently(b"\xff\xf4\xff")?;
                control.send(b"\xf2ABOR\r\n").await?;
            }
        }
        Ok(())
    }
}

/// The server looks up from its writing only when that fails, and the client reads nothing more: only the broker can end
/// it, as the urgent signal would on a line without SSH.
async fn abort_download(mode: &'static str, urgency: Urgency) -> anyhow::Result<()> {
    let rig = Quirky::start(Quirks {
        aborts: Aborts::AfterTransfer,
        ..Quirks::default()
    })
    .await?;
    rig.ftp().put("long", &vec![7; LONG])?;
    rig.ftp().put("file", CONTENT)?;
    let mut ftp = rig.login().await?;
    let mut data = rig.begin(&mut ftp, mode, "RETR long").await?;
    data.bytes(1000).await?;
    urgency.send_abort(&mut ftp).await?;
    let reply = promptly(&mut ftp).await?;
    ensure!(reply.starts_with("426"), "{reply}");
    let reply = promptly(&mut ftp).await?;
    ensure!(reply.starts_with("22"), "{reply}");
    hear_nothing_more(&mut ftp).await?;
    let next = ftp.fetch("file").await?;
    ensure!(next == CONTENT, "the next transfer of the session");
    Ok(())
}

/// The session is in step: the next reply is the one asked for.
async fn hear_nothing_more(ftp: &mut FtpClient) -> anyhow::Result<()> {
    ftp.control().send("PWD\r\n").await?;
    hear(ftp, &[r#"257 "/" is the directory"#]).await
}
