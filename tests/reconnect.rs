//! A server that goes away and comes back: clients are told at once, and served again as soon as it can be.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::fixture::{Fixture, Servers};
use testkit::ftp_client::FtpClient;
use testkit::peer::{FtpFiles, SshPeer};
use testkit::profile::Profile;
use testkit::scripted::{Conversation, End};
use testkit::ssh_server::SshServer;
use testkit::sshd::Sshd;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::support::fixture::{CONTENT, SOON, embedded, nothing_is_left, real};
use crate::support::{REAL, trial};

/// More than all buffers on the way hold, so that it cannot be over before the server goes.
const BIG: usize = 64 << 20;

/// What has been fetched of it by then.
const FETCHED: usize = 1 << 20;

/// How often a client tries that wants to be served.
const PATIENCE: Duration = Duration::from_millis(100);

/// The first pause; a client that is told of a pause does not wait as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause in seconds.
const LONGEST_PAUSE: u64 = 60;

/// Clients that come while the server is away.
const KNOCKS: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("reconnect: sshd stops and starts again", REAL, || async {
            outage(real().servers().await?).await
        }),
        trial(
            "reconnect: an embedded server stops and starts again",
            &[],
            || async { outage(embedded().servers().await?).await },
        ),
        trial(
            "reconnect: clients of a server that is away",
            &[],
            clients_do_not_dial,
        ),
        trial(
            "reconnect: sessions with connections of their own",
            &[],
            own_connections,
        ),
        trial(
            "reconnect: listeners that stand only while connected",
            &[],
            kept_connected,
        ),
        trial(
            "reconnect: a login that is refused is the broker does not try again",
            &[],
            refused_login,
        ),
    ]
}

/// An SSH server that can go away.
trait Leaves: SshPeer {
    /// Ends all connections; its port refuses from then on.
    async fn go(&mut self);
    /// Serves again, on the same port and with the same key.
    async fn come_back(&mut self) -> anyhow::Result<()>;
}

impl Leaves for Sshd {
    async fn go(&mut self) {
        self.kill();
    }

    async fn come_back(&mut self) -> anyhow::Result<()> {
        self.restart().await
    }
}

impl Leaves for SshServer {
    async fn go(&mut self) {
        self.stop().await;
    }

    async fn come_back(&mut self) -> anyhow::Result<()> {
        self.restart().await
    }
}

async fn outage<S: Leaves, F: FtpFiles>(mut servers: Servers<S, F>) -> anyhow::Result<()> {
    servers.ftp.put("big", &vec![0; BIG])?;
    let broker = Broker::start(&servers.profile()?.config(), &[]).await?;
    let tunnel = broker.listener(0).await?;
    let idle = FtpClient::login(tunnel).await?;
    let mut busy = FtpClient::login(tunnel).await?;
    let mut data = busy.begin("EPSV", "RETR big").await?;
    data.bytes(FETCHED).await?;

    servers.ssh.go().await;
    ensure!(data.end().await? == End::Reset, "the cut looks like an end");
    for session in [idle, busy] {
        goodbye(session).await?;
    }
    refused(&broker, tunnel).await?;
    ensure!(
        broker.listener(0).await? == tunnel,
        "the listener did not stay"
    );

    servers.ssh.come_back().await?;
    let mut ftp = served(tunnel).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let profiles = broker.json(&["list-profiles"]).await?;
    ensure!(profiles[0]["last_error"].is_null(), "{profiles:#}");
    ensure!(profiles[0]["retry_in"].is_null(), "{profiles:#}");
    let listeners = broker.json(&["list-tunnel-listeners"]).await?;
    ensure!(listeners[0]["reason"].is_null(), "{listeners:#}");
    Ok(())
}

/// A session's last words: only failures, at last 421, and then its connection ends in order.
async fn goodbye(mut session: FtpClient) -> anyhow::Result<()> {
    let words = session.control().rest().await?;
    let words = String::from_utf8(words)?;
    let failures = words.lines().all(|line| line.starts_with('4'));
    let last = words.lines().last().unwrap_or_default();
    ensure!(failures && last.starts_with("421 "), "{words:?}");
    Ok(())
}

/// The server is known to be away: the client, the lists and the tables say why, and when it is tried again.
async fn refused(broker: &Broker, tunnel: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let (reply, waited) = knock(tunnel).await?;
        ensure!(reply.starts_with("421 "), "{reply}");
        let profiles = broker.json(&["list-profiles"]).await?;
        let table = broker.told(&["list-profiles"]).await?;
        let listeners = broker.json(&["list-tunnel-listeners"]).await?;
        ensure!(listeners[0]["state"] == "listening", "{listeners:#}");
        let error = profiles[0]["last_error"].as_str().unwrap_or_default();
        let reason = listeners[0]["reason"].as_str().unwrap_or_default();
        let pause = profiles[0]["retry_in"].as_u64().unwrap_or_default();
        let why = [&reply, error, reason, &table];
        let when = [&reply, reason].map(|text| text.contains("next try in "));
        if why.iter().all(|text| text.contains("refused")) && when == [true; 2] && pause > 0 {
            ensure!(pause <= LONGEST_PAUSE, "{profiles:#}");
            ensure!(table.contains(" in "), "{table}");
            ensure!(
                waited < FIRST_PAUSE,
                "a client waited for {waited:?} to hear {reply:?}"
            );
            return Ok(());
        }
        // The server may have gone in the middle of a dial, which then says so, and what is asked after a pause shows
        // none: both are over with the next pause.
        ensure!(
            Instant::now() < deadline,
            "{reply}\n{profiles:#}\n{listeners:#}\n{table}"
        );
    }
}

/// What a client is greeted with, and after how long.
async fn knock(tunnel: SocketAddr) -> anyhow::Result<(String, Duration)> {
    let began = Instant::now();
    let mut client = Conversation::connect(tunnel).await?;
    Ok((client.reply().await?, began.elapsed()))
}

/// Knocks until a session is had: refusals end when the pause does.
async fn served(tunnel: SocketAddr) -> anyhow::Result<FtpClient> {
    let deadline = Instant::now() + SOON;
    loop {
        match FtpClient::login(tunnel).await {
            Ok(ftp) => return Ok(ftp),
            Err(error) => ensure!(Instant::now() < deadline, "still refused: {error:#}"),
        }
        // tidy: sleeps because a server that refuses does not tell when it will not
        sleep(PATIENCE).await;
    }
}

/// However many come, the server is not dialled more often than the pauses allow.
async fn clients_do_not_dial() -> anyhow::Result<()> {
    let closing = TcpListener::bind("127.0.0.1:0").await?;
    let closes = closing.local_addr()?;
    let fixture = embedded().profile(move |profile| profile.at(closes));
    let fixture = fixture.start().await?;
    let began = Instant::now();
    let mut dials = 0;
    let clients = async {
        for _ in 0..KNOCKS {
            let (reply, _) = knock(fixture.tunnel).await?;
            ensure!(reply.starts_with("421 "), "{reply}");
        }
        anyhow::Ok(())
    };
    tokio::select! {
        done = clients => done?,
        error = async {
            loop {
                match closing.accept().await {
                    Ok(dialled) => drop(dialled),
                    Err(error) => break error,
                }
                dials += 1;
            }
        } => return Err(error.into()),
    }
    // The first two come without a pause, each later one after a pause of a second at least.
    let most = 2 + began.elapsed().as_secs();
    ensure!(
        dials <= most,
        "{dials} dials for {KNOCKS} clients, where {most} were due"
    );
    Ok(())
}

/// Where each session has connections of its own, what one has found out holds for the next.
async fn own_connections() -> anyhow::Result<()> {
    let settings = r#"<exclusive-connection enable="yes"/>"#;
    let Fixture {
        mut servers,
        broker,
        tunnel,
    } = embedded().settings(settings).start().await?;
    let session = FtpClient::login(tunnel).await?;
    servers.ssh.go().await;
    goodbye(session).await?;
    refused(&broker, tunnel).await?;
    nothing_is_left(&broker, "list-connections").await?;
    servers.ssh.come_back().await?;
    ensure!(served(tunnel).await?.fetch("file").await? == CONTENT);
    Ok(())
}

/// Connected from the start, with listeners only while it is.
fn kept(mut profile: Profile) -> Profile {
    profile.tunnels_attributes = r#" listen="connected""#;
    profile
        .attribute(r#"connect-on-startup="yes""#)
        .with(r#"<idle-timeout time="0"/>"#)
}

/// Nobody can come while they are down, so that they come back without anybody.
async fn kept_connected() -> anyhow::Result<()> {
    let mut servers = embedded().servers().await?;
    let broker = Broker::start(&kept(servers.profile()?).config(), &[]).await?;
    for _ in 0..2 {
        until_listeners_are(&broker, "listening").await?;
        let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        ftp.ask("QUIT", "221").await?;
        drop(ftp);
        let unused = |listed: &Value| listed.as_array().is_some_and(|all| all.len() == 1);
        broker
            .wait_json(&["list-connections"], SOON, unused)
            .await?;
        until_listeners_are(&broker, "listening").await?;

        servers.ssh.go().await;
        until_listeners_are(&broker, "waiting").await?;
        servers.ssh.come_back().await?;
    }
    Ok(())
}

async fn until_listeners_are(broker: &Broker, state: &str) -> anyhow::Result<()> {
    let are = |listed: &Value| listed[0]["state"] == state;
    let seen = broker.wait_json(&["list-tunnel-listeners"], SOON, are);
    seen.await.map(drop)
}

/// To try a key again that is not accepted would lock its user out.
async fn refused_login() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.user = "nobody".into();
    let broker = Broker::start(&kept(profile).config(), &[]).await?;
    let refused = "the broker does not try again";
    broker.wait_log(refused, SOON).await?;
    // Longer than the first pauses.
    // tidy: sleeps because it is about what does not happen
    sleep(FIRST_PAUSE * 3).await;
    let dialled = servers.ssh.counters().connections;
    ensure!(dialled == 1, "{dialled} connections");
    until_listeners_are(&broker, "waiting").await
}
