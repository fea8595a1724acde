//! A line that goes silent is noticed, also in the middle of an upload; one that only stands still is not cut.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::fixture::{Fixture, Scripted};
use testkit::ftp_client::FtpClient;
use testkit::netns::Netns;
use testkit::relay::{Cut, Flow};
use testkit::scripted::{Conversation, End, ScriptedListener};
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::VsftpdOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::support::failing_line::{ALIVE, Direction, FailingLine};
use crate::support::fixture::{failure, real_with};
use crate::support::{INSIDE, Need, REAL, trial, trial_within};

/// What a configuration that says nothing means: asked every 15 s, and given up when the fourth question is due.
const USUAL: Duration = Duration::from_secs(60);

/// A question may have been asked just before, and a busy machine be late.
const EARLY: Duration = Duration::from_secs(15);
const LATE: Duration = Duration::from_secs(15);

/// How long a trial takes that waits so long, and then for the FTP server and for the next transfer.
const LONG: Duration = Duration::from_secs(180);

/// A dead line is noticed in 4 s where it is asked each second; a busy machine may be late.
const NOTICED: Duration = Duration::from_secs(25);

/// Longer than that.
const PAUSE: Duration = Duration::from_secs(6);

/// More than all buffers on the way hold.
const PAUSED: usize = 96 << 20;

/// What is written at once of an upload that is to fill all buffers.
static CHUNK: [u8; 65536] = [7; 65536];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_within(
            LONG,
            "dead lines: on the data connection, with the usual keepalive",
            REAL,
            silent_data,
        ),
        trial_within(
            LONG,
            "dead lines: on the control connection, with the usual keepalive",
            REAL,
            silent_control,
        ),
        trial(
            "dead lines: an upload whose packets are lost",
            INSIDE,
            lost_upload,
        ),
        trial(
            "dead lines: an upload that the line no longer takes",
            REAL,
            stuck_upload,
        ),
        trial(
            "dead lines: an upload that its FTP server pauses is not cut",
            &[Need::Program("sshd")],
            || paused(Direction::Upload),
        ),
        trial(
            "dead lines: a download that its client pauses is not cut",
            &[Need::Program("sshd")],
            || paused(Direction::Download),
        ),
    ]
}

async fn silent_data() -> anyhow::Result<()> {
    let rig = FailingLine::start("").await?;
    let mut ftp = rig.login().await?;
    let data = rig.middle(&mut ftp, Direction::Download, "EPSV").await?;
    let number = rig.data_connection()?;
    goes_silent(&rig, ftp, data, number).await
}

async fn silent_control() -> anyhow::Result<()> {
    let rig = FailingLine::start("").await?;
    let mut ftp = rig.login().await?;
    let data = rig.middle(&mut ftp, Direction::Upload, "EPSV").await?;
    // The control connection is dialled before all others.
    goes_silent(&rig, ftp, data, 0).await
}

/// One connection of the line goes silent: the transfer fails when the keepalives have had their time, and the next works.
async fn goes_silent(
    rig: &FailingLine,
    mut ftp: FtpClient,
    mut data: Conversation,
    number: usize,
) -> anyhow::Result<()> {
    let began = Instant::now();
    rig.line().set_flow_of(number, Flow::Swallow);
    ensure!(
        read_to_end(&mut data, USUAL + LATE).await? == End::Reset,
        "the data connection ended in order"
    );
    let noticed = began.elapsed();
    ensure!(
        noticed > USUAL - EARLY,
        "cut after {noticed:?}, before the keepalives had their time"
    );
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with('4'), "{reply}");
    drop((ftp, data));
    // The server's end of what went silent still stands.
    rig.line().cut(number, Cut::Reset);
    rig.recovers().await
}

/// Reads to the end and says how it came.
async fn read_to_end(data: &mut Conversation, limit: Duration) -> anyhow::Result<End> {
    let mut bytes = vec![0; CHUNK.len()];
    let reading = async {
        loop {
            match data.stream().read(&mut bytes).await {
                Ok(0) => return End::Orderly,
                Ok(_) => {}
                Err(_) => return End::Reset,
            }
        }
    };
    let ended = timeout(limit, reading).await;
    ended.with_context(|| format!("the data connection goes on after {limit:?}"))
}

/// Writes until the connection is reset.
async fn write_to_end(data: &mut Conversation) -> anyhow::Result<()> {
    let writing = async { while data.stream().write_all(&CHUNK).await.is_ok() {} };
    timeout(NOTICED, writing)
        .await
        .with_context(|| format!("the upload is not cut after {NOTICED:?}"))
}

/// Only the connection that carries the upload is dead: no word about it comes from elsewhere.
async fn lost_upload() -> anyhow::Result<()> {
    let netns = Netns::create()?;
    let sshd = SshdOptions {
        bind: netns.inside_addr(),
        netns: Some(netns.clone()),
        ..SshdOptions::default()
    };
    let vsftpd = VsftpdOptions {
        netns: Some(netns.clone()),
        ..VsftpdOptions::default()
    };
    let fixture = real_with(sshd, vsftpd).settings(ALIVE).start().await?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.begin("EPSV", "STOR half").await?;
    data.send(&CHUNK).await?;
    let first = fixture.servers.ssh.process();
    first.wait_log("Connection from", NOTICED).await?;
    netns.answer_only(first_client(&fixture.servers.ssh)?)?;
    write_to_end(&mut data).await?;
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with('4'), "{reply}");
    fixture
        .broker
        .wait_log("the server no longer answers", NOTICED)
        .await
}

/// The port from which the first connection came: the control connection's.
fn first_client(sshd: &Sshd) -> anyhow::Result<u16> {
    let log = sshd.log();
    let mut words = log.split_whitespace();
    words
        .by_ref()
        .find(|word| *word == "Connection")
        .context("no connection is logged")?;
    words
        .by_ref()
        .find(|word| *word == "port")
        .context("no port is logged")?;
    Ok(words.next().context("no number is logged")?.parse()?)
}

async fn stuck_upload() -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let mut data = rig.middle(&mut ftp, Direction::Upload, "EPSV").await?;
    let number = rig.data_connection()?;
    rig.line().set_flow_of(number, Flow::Stall);
    write_to_end(&mut data).await?;
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with('4'), "{reply}");
    drop((ftp, data));
    rig.line().cut(number, Cut::Reset);
    rig.recovers().await
}

/// Neither a server that does not read its socket for a while nor such a client makes a line a dead one.
async fn paused(direction: Direction) -> anyhow::Result<()> {
    let builder = Fixture::builder().ssh(SshdOptions::default()).ftp(Scripted);
    let fixture = builder.settings(ALIVE).start().await?;
    let data = ScriptedListener::bind().await?;
    let server = serve(&fixture.servers.ftp, &data, direction);
    let client = async {
        let mut ftp = FtpClient::connect(fixture.tunnel).await?;
        let mut data = ftp.passive("EPSV").await?;
        match direction {
            Direction::Upload => {
                ftp.ask("STOR file", "150").await?;
                data.send(vec![7; PAUSED]).await?;
                data.finish().await?;
            }
            Direction::Download => {
                ftp.ask("RETR file", "150").await?;
                pause().await;
                let came = data.rest().await?.len();
                ensure!(came == PAUSED, "{came} bytes came");
            }
        }
        ftp.reply("226").await
    };
    tokio::try_join!(server, client).map(drop)
}

/// An FTP server with one file for one client.
async fn serve(
    control: &ScriptedListener,
    data: &ScriptedListener,
    direction: Direction,
) -> anyhow::Result<()> {
    let mut control = control.accept().await?;
    control.send("220 ready\r\n").await?;
    control.expect("EPSV").await?;
    let port = data.addr().port();
    control.send(format!("229 at (|||{port}|)\r\n")).await?;
    let mut data = data.accept().await?;
    match direction {
        Direction::Upload => {
            control.expect("STOR file").await?;
            control.send("150 go on\r\n").await?;
            pause().await;
            let came = data.rest().await?.len();
            ensure!(came == PAUSED, "{came} bytes were stored");
        }
        Direction::Download => {
            control.expect("RETR file").await?;
            control.send("150 here it comes\r\n").await?;
            data.send(vec![7; PAUSED]).await?;
            data.finish().await?;
        }
    }
    drop(data);
    control.send("226 done\r\n").await
}

async fn pause() {
    // tidy: sleeps because nothing is to happen in this time
    sleep(PAUSE).await;
}
