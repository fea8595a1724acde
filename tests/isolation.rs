//! A transfer or a client that stands still harms nobody but itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::files::pattern;
use testkit::fixture::{Fixture, Scripted};
use testkit::ftp_client::FtpClient;
use testkit::profile::Profile;
use testkit::scripted::{Conversation, End};
use testkit::ssh_server::SshCounters;
use testkit::vsftpd::Vsftpd;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::fixture::{
    CONTENT, Real, SOON, embedded, nothing_is_dialled, nothing_is_left, real,
};
use crate::support::sockets::eventually;
use crate::support::{REAL, trial};

/// More than all buffers on the way hold.
const ENDLESS: u64 = 1 << 30;

/// The same, to be fetched to its end all the same.
const PAUSED: usize = 96 << 20;

/// Sessions that work beside those that stand still.
const OTHERS: usize = 10;

/// What each of them does so often.
const ROUNDS: usize = 3;

/// What each of them moves there and back.
const SIZE: usize = 200_000;

/// How soon a control channel usually answers, on a machine that has the time.
const AT_ONCE: Duration = Duration::from_millis(50);

/// On one that is busy with other tests, the usual answer may wait for its turn in so many programs more than one that comes
/// straight from the FTP server: in the broker, sshd and the kernel's work for them, there and back, and behind what others
/// have sent on the same SSH connection. What the slowest of those answers took meanwhile is what a turn may take.
const TURNS: u32 = 10;

/// Some answers wait for more turns, and none as long as this, however busy the machine: less than the least time for which
/// a stall could hold one up.
const HELD_UP: Duration = Duration::from_secs(1);

/// A line of a long reply, and how many it has.
const FILE_IN_REPLY: &str = " -rw-r--r--    1 0        0            1234 Nov 22 17:53 a file\r\n";
const FILES_IN_REPLY: usize = 50_000;

/// Files in a directory that is listed in a reply, again and again.
const FILES_IN_DIRECTORY: usize = 1000;

/// How often to look whether bytes still flow: the daemon is asked and does not announce.
const POLL: Duration = Duration::from_millis(50);

/// Bytes that did not come for so long do not come any more.
const STILL: Duration = Duration::from_secs(1);

/// Few connections for many transfers, and little patience with those that stand still on one.
const ONE_CONNECTION: &str = r#"<connection-pool max-connections="1" stall-timeout="2"/>"#;

/// Longer than that.
const LONGER: Duration = Duration::from_secs(4);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "isolation: downloads that nobody reads",
            REAL,
            unread_downloads,
        ),
        trial(
            "isolation: downloads that nobody reads, on the one data connection",
            REAL,
            unread_downloads_on_one_connection,
        ),
        trial(
            "isolation: a download paused while others work",
            REAL,
            paused_download,
        ),
        trial(
            "isolation: a download paused on the one data connection, which nobody else wants",
            REAL,
            paused_alone,
        ),
        trial(
            "isolation: a client that never reads its replies",
            REAL,
            unread_replies,
        ),
        trial("isolation: a long reply that is read", &[], long_reply),
        trial("isolation: exclusive connections", &[], exclusive),
    ]
}

/// Two tunnels of one profile to vsftpd.
struct TwoTunnels {
    fixture: Real,
    tunnels: [SocketAddr; 2],
}

impl TwoTunnels {
    async fn start(settings: &str) -> anyhow::Result<Self> {
        let twice = |profile: Profile| {
            let second = profile.tunnels[0].clone();
            profile.tunnel(second)
        };
        let fixture = real().settings(settings).profile(twice).start().await?;
        File::create(fixture.servers.ftp.root().join("endless"))?.set_len(ENDLESS)?;
        let tunnels = [fixture.tunnel, fixture.broker.listener(1).await?];
        Ok(Self { fixture, tunnels })
    }

    fn broker(&self) -> &Broker {
        &self.fixture.broker
    }

    fn ftp(&self) -> &Vsftpd {
        &self.fixture.servers.ftp
    }

    /// A download on each tunnel that is begun and not read.
    async fn stand_still(&self) -> anyhow::Result<[(FtpClient, Conversation); 2]> {
        let [first, second] = self.tunnels;
        Ok([
            begin(first, "endless").await?,
            begin(second, "endless").await?,
        ])
    }

    /// Waits until nothing has arrived for so long.
    async fn buffers_are_full(&self, still: Duration) -> anyhow::Result<()> {
        let (mut arrived, mut since) = (0, Instant::now());
        let deadline = since + SOON;
        while since.elapsed() < still {
            ensure!(
                Instant::now() < deadline,
                "the transfers do not come to a stop"
            );
            let connections = self.broker().json(&["list-connections"]).await?;
            let now = each(&connections, "bytes_in")
                .filter_map(Value::as_u64)
                .sum();
            if now != arrived {
                (arrived, since) = (now, Instant::now());
            }
            // tidy: sleeps because the daemon's counters are asked for, and tell of no change
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Ten sessions list, upload and download; all of it works, and their control channels usually answer at once. A channel
    /// that stands still holds up all answers on its connection, or one of them for longer than any busy machine.
    async fn others_work(&self) -> anyhow::Result<()> {
        let answers = self.answers_at_work().await?;
        let mut through: Vec<_> = answers.iter().map(|answer| answer.through).collect();
        through.sort();
        let straight = answers.iter().map(|answer| answer.straight).max();
        let straight = straight.context("nobody was asked")?;
        let (usual, slowest) = (through[through.len() / 2], through[through.len() - 1]);
        ensure!(
            usual <= AT_ONCE + straight * TURNS && slowest <= HELD_UP,
            "an answer usually took {usual:?}, and one {slowest:?}, and none straight from the server more than {straight:?}: {answers:?}"
        );
        Ok(())
    }

    /// How long each answer took that a control channel gave in the middle of the ten sessions' work.
    async fn answers_at_work(&self) -> anyhow::Result<Vec<Noop>> {
        let content = Arc::new(pattern(7, SIZE));
        let mut sessions = JoinSet::new();
        for number in 0..OTHERS {
            let tunnel = self.tunnels[number % 2];
            let straight = FtpClient::login(self.ftp().addr()).await?;
            sessions.spawn(work(tunnel, straight, number, Arc::clone(&content)));
        }
        let mut answers = Vec::new();
        while let Some(done) = sessions.join_next().await {
            answers.extend(done??);
        }
        for number in 0..OTHERS {
            let stored = fs::read(self.ftp().root().join(format!("up{number}")))?;
            ensure!(
                stored == *content,
                "other bytes were stored by session {number}"
            );
        }
        Ok(answers)
    }
}

/// Begins a download and reads nothing of it.
async fn begin(tunnel: SocketAddr, name: &str) -> anyhow::Result<(FtpClient, Conversation)> {
    let mut ftp = FtpClient::login(tunnel).await?;
    let data = ftp.begin("EPSV", &format!("RETR {name}")).await?;
    Ok((ftp, data))
}

/// What one session does, and how long its control channel took to answer each time.
async fn work(
    tunnel: SocketAddr,
    mut straight: FtpClient,
    number: usize,
    content: Arc<Vec<u8>>,
) -> anyhow::Result<Vec<Noop>> {
    let mut ftp = FtpClient::login(tunnel).await?;
    let mut answers = Vec::new();
    let name = format!("up{number}");
    for _ in 0..ROUNDS {
        let mut listing = ftp.begin("EPSV", "LIST").await?;
        let listing = String::from_utf8(listing.rest().await?)?;
        ensure!(listing.contains("endless"), "the listing is {listing:?}");
        ftp.reply("226").await?;
        answers.push(Noop::of(&mut ftp, &mut straight).await?);
        ftp.store(&name, &content).await?;
        answers.push(Noop::of(&mut ftp, &mut straight).await?);
        ensure!(ftp.fetch(&name).await? == *content, "other bytes came back");
        answers.push(Noop::of(&mut ftp, &mut straight).await?);
    }
    ftp.ask("QUIT", "221").await?;
    Ok(answers)
}

/// How long NOOP took at one moment.
#[derive(Debug)]
struct Noop {
    /// Through the broker.
    through: Duration,
    /// From the FTP server itself.
    straight: Duration,
}

impl Noop {
    async fn of(ftp: &mut FtpClient, straight: &mut FtpClient) -> anyhow::Result<Self> {
        let (through, straight) = tokio::try_join!(noop(ftp), noop(straight))?;
        Ok(Self { through, straight })
    }
}

async fn noop(ftp: &mut FtpClient) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    ftp.ask("NOOP", "200").await?;
    Ok(asked.elapsed())
}

/// A field of every row of an answer.
fn each<'a>(rows: &'a Value, field: &'a str) -> impl Iterator<Item = &'a Value> {
    let rows = rows.as_array().into_iter().flatten();
    rows.map(move |row| &row[field])
}

async fn unread_downloads() -> anyhow::Result<()> {
    let rig = TwoTunnels::start("").await?;
    let unread = rig.stand_still().await?;
    rig.buffers_are_full(STILL).await?;
    rig.others_work().await?;
    // Those that stand still have not been touched either. A channel of the others may end after its session has.
    let untouched = |channels: &Value| {
        let data = each(channels, "kind").filter(|kind| *kind == "data");
        data.count() == unread.len()
    };
    let listed = rig.broker().wait_json(&["list-channels"], SOON, untouched);
    listed.await.map(drop)
}

async fn unread_downloads_on_one_connection() -> anyhow::Result<()> {
    let rig = TwoTunnels::start(ONE_CONNECTION).await?;
    // More than there are connections, with those that are kept for newcomers.
    let (first, second) = (rig.stand_still().await?, rig.stand_still().await?);
    rig.others_work().await?;
    let mut cut = 0;
    for (mut ftp, mut data) in first.into_iter().chain(second) {
        match data.end().await? {
            End::Reset => {
                ftp.reply("426").await?;
                cut += 1;
            }
            // Once the other one is cut, nobody may be left to wait for this one: read again, it comes whole.
            End::Orderly => {
                ftp.reply("226").await?;
                let whole = format!("direction=down bytes={ENDLESS}");
                rig.broker().wait_log(&whole, SOON).await?;
            }
        }
        ftp.ask("NOOP", "200").await?;
    }
    ensure!(cut > 0, "nothing was cut");
    let told = |line: &&str| line.contains(" WARN ") && line.contains("stalled for 2 s");
    let each_told = || rig.broker().log().lines().filter(told).count() >= cut;
    eventually("the reasons are in the log", each_told).await?;
    rig.others_work().await
}

async fn paused_download() -> anyhow::Result<()> {
    let rig = TwoTunnels::start("").await?;
    let paused = pause(&rig, STILL).await?;
    rig.others_work().await?;
    resume(paused).await
}

async fn paused_alone() -> anyhow::Result<()> {
    let rig = TwoTunnels::start(ONE_CONNECTION).await?;
    resume(pause(&rig, LONGER).await?).await
}

/// Begins a download, reads a little, and lets it stand still for so long.
async fn pause(rig: &TwoTunnels, still: Duration) -> anyhow::Result<(FtpClient, Conversation)> {
    fs::write(rig.ftp().root().join("paused"), pattern(1, PAUSED))?;
    let (ftp, data) = begin(rig.tunnels[0], "paused").await?;
    rig.buffers_are_full(still).await?;
    let channels = rig.broker().json(&["list-channels"]).await?;
    let most = each(&channels, "bytes_down")
        .filter_map(Value::as_u64)
        .max();
    ensure!(
        most < Some(PAUSED as u64 / 2),
        "it is not paused: {channels:#}"
    );
    Ok((ftp, data))
}

async fn resume((mut ftp, mut data): (FtpClient, Conversation)) -> anyhow::Result<()> {
    ensure!(data.rest().await? == pattern(1, PAUSED), "other bytes came");
    ftp.reply("226").await?;
    Ok(())
}

async fn unread_replies() -> anyhow::Result<()> {
    let rig = TwoTunnels::start("").await?;
    let many = rig.ftp().root().join("many");
    fs::create_dir(&many)?;
    for number in 0..FILES_IN_DIRECTORY {
        File::create(many.join(number.to_string()))?;
    }
    let rude = FtpClient::login(rig.tunnels[0]).await?;
    let (dropped, worked) = tokio::join!(never_read(rude), rig.others_work());
    dropped?;
    worked?;
    nothing_is_left(rig.broker(), "list-channels").await?;
    // Its replies pile up here or there, as fast as they come.
    let told = |line: &str| line.contains("not read its replies") || line.contains("nobody read");
    let warned = |line: &str| line.contains(" WARN ") && told(line);
    let reason_told = || rig.broker().log().lines().any(warned);
    eventually("the reason is in the log", reason_told).await?;
    rig.others_work().await
}

/// Sends commands with long replies and reads none, until it is thrown out.
async fn never_read(mut ftp: FtpClient) -> anyhow::Result<()> {
    let stream = ftp.control().stream();
    let sending = async {
        loop {
            if let Err(error) = stream.write_all(b"STAT many\r\n").await {
                return error;
            }
        }
    };
    let sent = tokio::time::timeout(SOON, sending).await;
    let error = sent.context("the client was neither served nor dropped")?;
    let kind = error.kind();
    ensure!(
        matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
    Ok(())
}

/// What is read as it comes is not taken for unread, however much it is: a server may list a large directory in a reply.
async fn long_reply() -> anyhow::Result<()> {
    let fixture = Fixture::builder().ftp(Scripted).start().await?;
    let listing = format!(
        "213-Status\r\n{}213 End\r\n",
        FILE_IN_REPLY.repeat(FILES_IN_REPLY)
    );
    let serve = async {
        let mut server = fixture.servers.ftp.accept().await?;
        server.send("220 ready\r\n").await?;
        server.expect("STAT big").await?;
        server.send(&listing).await?;
        anyhow::Ok(server)
    };
    let read = async {
        let mut client = FtpClient::connect(fixture.tunnel).await?;
        client.control().send("STAT big\r\n").await?;
        let read = client.control().bytes(listing.len()).await?;
        ensure!(read == listing.as_bytes(), "another reply came");
        anyhow::Ok(client)
    };
    tokio::try_join!(serve, read).map(drop)
}

/// Each session's control channel and transfers have connections that no other session uses, and that end with it.
async fn exclusive() -> anyhow::Result<()> {
    let settings = r#"<exclusive-connection enable="yes"/>"#;
    let fixture = embedded().settings(settings).start().await?;
    let broker = &fixture.broker;
    let mut first = fixture.login().await?;
    ensure!(first.fetch("file").await? == CONTENT);
    let own = connections(broker).await?;
    let mut second = fixture.login().await?;
    ensure!(second.fetch("file").await? == CONTENT);
    let all = connections(broker).await?;
    ensure!(own.len() >= 2, "a session has only {own:?}");
    ensure!(
        all.is_superset(&own) && all.len() >= own.len() + 2,
        "{own:?}, {all:?}"
    );

    // The data channel of a transfer may end after the reply, which comes on another connection.
    let two_carriers = |channels: &Value| {
        let carriers: BTreeSet<_> = each(channels, "connection").map(Value::as_u64).collect();
        carriers.len() == 2
    };
    broker
        .wait_json(&["list-channels"], SOON, two_carriers)
        .await?;

    second.ask("QUIT", "221").await?;
    drop(second);
    let left = |listed: &Value| ids(listed).is_subset(&own);
    broker.wait_json(&["list-connections"], SOON, left).await?;
    ensure!(first.fetch("file").await? == CONTENT);
    first.ask("QUIT", "221").await?;
    drop(first);
    let none_left = |seen: &SshCounters| seen.connections_open == 0;
    fixture.servers.ssh.wait_for(SOON, none_left).await?;
    Ok(())
}

/// The connections that are up, once none is being made.
async fn connections(broker: &Broker) -> anyhow::Result<BTreeSet<u64>> {
    Ok(ids(&nothing_is_dialled(broker).await?))
}

fn ids(listed: &Value) -> BTreeSet<u64> {
    each(listed, "id").filter_map(Value::as_u64).collect()
}
