//! Active mode with real servers: the forward of the next transfer stands ready, and helps nobody else.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::dropbear::DropbearOptions;
use testkit::ftp_client::{FtpClient, port_command};
use testkit::netns::Netns;
use testkit::ports::unused_ports;
use testkit::scripted::{Conversation, ScriptedListener};
use testkit::sockets::listening;
use tokio::task::JoinSet;

use crate::support::fixture::{
    CONTENT, Channels, Real, RealServers, SOON, expect_data_channels, real,
};
use crate::support::played::PlayedSession;
use crate::support::sockets::{closed_port, eventually, logged};
use crate::support::{Need, REAL, trial};

const WITH_DROPBEAR: &[Need] = &[
    Need::Program("dropbear"),
    Need::Program("dropbearconvert"),
    Need::Program("vsftpd"),
    Need::Namespaces,
    Need::Program("unshare"),
    Need::Program("openssl"),
];

/// The password that dropbear lets in.
const PASSWORD: &str = "correct-horse";

/// More than the listeners that dropbear has room for on one connection, which are 20.
const MANY: usize = 60;

/// Transfers of a session, more than any number of things that are kept.
const TRANSFERS: usize = 8;

/// Ports beyond the first that a configuration leaves to choose from; some may be in use.
const CHOICE: u16 = 20;

/// Sessions that take turns.
const SESSIONS: usize = 3;

/// Far more than a client can use.
const PORTS: usize = 40;

/// What a session may have of them at once.
const KEPT: usize = 4;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("active: every transfer has a port of its own", REAL, ports),
        trial(
            "active: ports of the configuration's choice",
            REAL,
            chosen_ports,
        ),
        trial(
            "active: a server that begins a transfer although its connection has failed",
            &[],
            begun_without_a_connection,
        ),
        trial(
            "active: a server that begins a transfer before its connection fails",
            &[],
            begun_before_a_refusal,
        ),
        trial(
            "active: a stranger at the port kept ready gets nothing",
            REAL,
            stranger,
        ),
        trial(
            "active: nothing is kept ready for a session that has ended",
            REAL,
            end_of_session,
        ),
        trial(
            "active: what was kept ready is lost with its connection",
            REAL,
            lost_connection,
        ),
        trial(
            "active: sessions that share the one data connection",
            REAL,
            one_connection,
        ),
        trial(
            "active: many transfers where the SSH server ends no listener",
            WITH_DROPBEAR,
            dropbear,
        ),
        trial(
            "active: a port on another address of the client's host",
            &[
                Need::Program("ip"),
                Need::Namespaces,
                Need::Program("sshd"),
                Need::Program("vsftpd"),
            ],
            other_address,
        ),
        trial(
            "active: a client that asks for ports and uses none",
            REAL,
            hoarder,
        ),
        trial("active: a port that is not used is given up", REAL, unused),
        trial(
            "active: a client that changes between the modes",
            REAL,
            both_modes,
        ),
    ]
}

/// The ports on which sshd listens for forwards.
fn forwards(servers: &RealServers) -> BTreeSet<u16> {
    let families = servers.ssh.process().families().concat();
    families.into_iter().flat_map(listening).collect()
}

/// Waits until one forward is kept ready after so many transfers, and returns its port. The reply to a transfer comes on
/// another connection, perhaps while sshd still listens for the transfer's own forward and for no other.
async fn kept_ready(fixture: &Real, transfers: usize) -> anyhow::Result<u16> {
    let ready = "the spare forward is ready";
    logged(|| fixture.broker.log(), ready, transfers).await?;
    let mut only = None;
    eventually("one forward is kept ready", || {
        let forwards = forwards(&fixture.servers);
        only = forwards.first().copied().filter(|_| forwards.len() == 1);
        only.is_some()
    })
    .await?;
    only.context("no forward")
}

async fn no_forward_left(servers: &RealServers) -> anyhow::Result<()> {
    let none = || forwards(servers).is_empty();
    eventually("sshd listens for no forward", none).await
}

async fn expect_active(servers: &RealServers, transfers: usize) -> anyhow::Result<()> {
    expect_data_channels(servers, Channels::default(), 0, transfers).await
}

/// Fetches the file in active mode.
async fn fetch(ftp: &mut FtpClient) -> anyhow::Result<()> {
    let content = ftp.fetch_by("EPRT", "file").await?;
    ensure!(content == CONTENT, "other bytes came");
    Ok(())
}

/// For keys that may listen on some ports only: one in use, and the next one kept ready.
async fn chosen_ports() -> anyhow::Result<()> {
    let chosen = unused_ports(CHOICE)?;
    let attributes = format!(r#"active-ports="{}-{}""#, chosen.start(), chosen.end());
    let fixture = real().tunnel(attributes).start().await?;
    let mut ftp = fixture.login().await?;
    for transfer in 1..=TRANSFERS {
        fetch(&mut ftp).await?;
        let port = kept_ready(&fixture, transfer).await?;
        ensure!(chosen.contains(&port), "{port} is none of {chosen:?}");
    }
    expect_active(&fixture.servers, TRANSFERS).await
}

async fn ports() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let mut ftp = fixture.login().await?;
    let mut kept = Vec::new();
    for transfer in 1..=TRANSFERS {
        fetch(&mut ftp).await?;
        kept.push(kept_ready(&fixture, transfer).await?);
    }
    ensure!(kept.windows(2).all(|pair| pair[0] != pair[1]), "{kept:?}");
    // Each that was kept ready was the next one's: sshd was not asked for more.
    eventually("one forward a transfer, and one more", || {
        let log = fixture.servers.ssh.log();
        let asked = log
            .lines()
            .filter(|line| line.contains("tcpip-forward listen"));
        asked.count() == TRANSFERS + 1
    })
    .await?;
    expect_active(&fixture.servers, TRANSFERS).await
}

async fn stranger() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let mut ftp = fixture.login().await?;
    fetch(&mut ftp).await?;
    let kept = kept_ready(&fixture, 1).await?;
    let mut stranger = Conversation::connect((Ipv4Addr::LOCALHOST, kept).into()).await?;
    // Its bytes must not become the next file. It may have been refused already.
    let _ = stranger.send("lies").await;
    // Either end is one without a byte.
    let got = stranger.rest().await.unwrap_or_default();
    ensure!(got.is_empty(), "the stranger got {got:?}");
    fixture
        .broker
        .wait_log("its port was not announced to anybody", SOON)
        .await?;
    no_forward_left(&fixture.servers).await?;

    fetch(&mut ftp).await?;
    ensure!(
        kept_ready(&fixture, 2).await? != kept,
        "the same port again"
    );
    ftp.ask("QUIT", "221").await?;
    no_forward_left(&fixture.servers).await
}

async fn end_of_session() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let mut stays = fixture.login().await?;
    let mut quits = fixture.login().await?;
    fetch(&mut quits).await?;
    kept_ready(&fixture, 1).await?;
    quits.ask("QUIT", "221").await?;
    drop(quits);
    no_forward_left(&fixture.servers).await?;

    let mut leaves = fixture.login().await?;
    fetch(&mut leaves).await?;
    kept_ready(&fixture, 2).await?;
    drop(leaves);
    no_forward_left(&fixture.servers).await?;
    // Not because the connections were closed.
    stays.ask("NOOP", "200").await?;
    fetch(&mut stays).await
}

async fn lost_connection() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let mut ftp = fixture.login().await?;
    fetch(&mut ftp).await?;
    let kept = kept_ready(&fixture, 1).await?;
    let families = fixture.servers.ssh.process().families();
    let mut carriers = families
        .iter()
        .filter(|family| family.iter().any(|pid| listening(*pid).contains(&kept)));
    let carrier = carriers.next().and_then(|family| family.first());
    let carrier = carrier.context("no session of sshd listens")?;
    ensure!(fixture.servers.ssh.kill_session(*carrier), "it has ended");
    let noticed = "the spare forward was lost";
    fixture.broker.wait_log(noticed, SOON).await?;
    for _ in 0..2 {
        fetch(&mut ftp).await?;
    }
    expect_active(&fixture.servers, 3).await
}

async fn one_connection() -> anyhow::Result<()> {
    let fixture = real()
        .settings(r#"<connection-pool max-connections="1"/>"#)
        .start()
        .await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(fixture.login().await?);
    }
    for _ in 0..TRANSFERS {
        for ftp in &mut sessions {
            fetch(ftp).await?;
        }
    }
    // All at once: what one keeps ready must not be another's way.
    let mut at_once = JoinSet::new();
    sessions.into_iter().for_each(|ftp| {
        at_once.spawn(fetch_and_leave(ftp));
    });
    while let Some(done) = at_once.join_next().await {
        done??;
    }
    no_forward_left(&fixture.servers).await?;
    expect_active(&fixture.servers, 2 * TRANSFERS * SESSIONS).await
}

async fn fetch_and_leave(mut ftp: FtpClient) -> anyhow::Result<()> {
    for _ in 0..TRANSFERS {
        fetch(&mut ftp).await?;
    }
    ftp.ask("QUIT", "221").await?;
    Ok(())
}

/// Some clients name the address of the first interface, whichever way they came.
async fn other_address() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let netns = Netns::create()?;
    let mut ftp = fixture.login().await?;
    let listener = ScriptedListener::bind_on((netns.host_addr(), 0).into()).await?;
    let own = port_command("PORT", listener.addr());
    ftp.ask(&own, "200").await?;
    ftp.ask("RETR file", "150").await?;
    let content = listener.accept().await?.rest().await?;
    ensure!(content == CONTENT, "other bytes came");
    ftp.reply("226").await?;
    // The other end of that line is another host.
    let foreign = SocketAddr::new(netns.inside_addr(), listener.addr().port());
    ftp.ask(&port_command("PORT", foreign), "504").await?;
    Ok(())
}

/// While its upload stands still vsftpd answers nothing, so that each PORT needs a port of its own.
async fn hoarder() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let mut ftp = fixture.login().await?;
    let data = ftp.passive("EPSV").await?;
    ftp.ask("STOR stored", "150").await?;
    let listener = ScriptedListener::bind().await?;
    let port = format!("{}\r\n", port_command("PORT", listener.addr()));
    ftp.control().send(port.repeat(PORTS)).await?;
    // The broker refuses the one after those, and says so once it is its turn to be answered.
    fixture
        .broker
        .wait_log_times("command verb=PORT", KEPT + 1, SOON)
        .await?;
    let forwards = forwards(&fixture.servers).len();
    ensure!(forwards <= KEPT, "sshd listens on {forwards} ports");
    fetch(&mut fixture.login().await?).await?;
    drop(data);
    let mut replies = Vec::new();
    for _ in 0..=PORTS {
        replies.push(ftp.control().reply().await?);
    }
    let count = |code| replies.iter().filter(|r| r.starts_with(code)).count();
    // Those that came in time for an answer of vsftpd's are as good as any.
    let (taken, refused) = (count("200"), count("425"));
    ensure!(taken >= KEPT && refused > 0, "{replies:?}");
    ensure!(taken + refused == PORTS, "{replies:?}");
    // The last one that was accepted is good for a transfer.
    ftp.ask("RETR file", "150").await?;
    let content = listener.accept().await?.rest().await?;
    ensure!(content == CONTENT, "other bytes came");
    ftp.reply("226").await?;
    Ok(())
}

async fn unused() -> anyhow::Result<()> {
    let fixture = real().tunnel(r#"data-timeout="1""#).start().await?;
    let mut ftp = fixture.login().await?;
    let _listener = ftp.active("PORT").await?;
    no_forward_left(&fixture.servers).await?;
    // sshd has ended the forward before the broker reads its answer.
    let no_data = |channels: &Value| {
        let channels = channels.as_array();
        channels.is_some_and(|all| all.iter().all(|channel| channel["kind"] != "data"))
    };
    fixture
        .broker
        .wait_json(&["list-channels"], SOON, no_data)
        .await?;
    fetch(&mut ftp).await
}

async fn both_modes() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let mut ftp = fixture.login().await?;
    for _ in 0..TRANSFERS {
        fetch(&mut ftp).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        // Told twice, and not used in between.
        ftp.active("PORT").await?;
        fetch(&mut ftp).await?;
        ftp.ask("RETR missing", "425").await?;
    }
    ftp.ask("QUIT", "221").await?;
    no_forward_left(&fixture.servers).await?;
    let (passive, active) = (TRANSFERS, 2 * TRANSFERS);
    expect_data_channels(&fixture.servers, Channels::default(), passive, active).await
}

async fn dropbear() -> anyhow::Result<()> {
    let password = DropbearOptions { password: PASSWORD };
    let fixture = real().ssh(password).start().await?;
    let mut client = fixture.login().await?;
    for _ in 0..MANY {
        fetch(&mut client).await?;
    }
    ensure!(client.fetch("file").await? == CONTENT);
    client.ask("QUIT", "221").await?;
    Ok(())
}

/// Some servers connect at `PORT`. If the client's port refuses then, they begin the transfer all the same, and wait.
async fn begun_without_a_connection() -> anyhow::Result<()> {
    begun_around_a_refusal(false).await
}

/// The client's port refuses while the reply about the start waits for the client's connection.
async fn begun_before_a_refusal() -> anyhow::Result<()> {
    begun_around_a_refusal(true).await
}

async fn begun_around_a_refusal(begun_first: bool) -> anyhow::Result<()> {
    let PlayedSession {
        mut client,
        mut server,
        fixture: _fixture,
    } = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    let closed = closed_port()?;
    client
        .send(format!("{}\r\n", port_command("PORT", closed)))
        .await?;
    let port = told_by(&server.text().await?)?;
    if !begun_first {
        refused(port).await?;
    }
    server.send("200 connected\r\n").await?;
    client.expect("200 connected").await?;
    client.send("STOR file\r\n").await?;
    server.expect("STOR file").await?;
    server.send("150 send it\r\n").await?;
    if begun_first {
        refused(port).await?;
    }
    // The broker may learn of the refusal before or after the 150. In the second case the client learns only how the
    // transfer ended.
    let mut reply = client.reply().await?;
    if reply.starts_with("150") {
        reply = client.reply().await?;
    }
    ensure!(
        reply.starts_with("421") && reply.contains("refused"),
        "{reply}"
    );
    Ok(())
}

/// The server's data connection to this address ends at once.
async fn refused(port: SocketAddr) -> anyhow::Result<()> {
    let mut data = Conversation::connect(port).await?;
    ensure!(data.rest().await.is_ok_and(|rest| rest.is_empty()));
    Ok(())
}

/// The address in the `PORT` that a server receives.
fn told_by(port: &str) -> anyhow::Result<SocketAddr> {
    let numbers = port.trim_end().trim_start_matches("PORT ").split(',');
    let numbers: Vec<u8> = numbers.map(str::parse).collect::<Result<_, _>>()?;
    let [a, b, c, d, high, low] = numbers[..] else {
        anyhow::bail!("{port}");
    };
    Ok(([a, b, c, d], u16::from_be_bytes([high, low])).into())
}
