//! A server that goes away and comes back: clients are told at once, and served again as soon as it can be.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::scripted::{Conversation, End};
use testkit::ssh_server::{SshServer, SshServerOptions};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::support::ftp::Ftp;
use crate::support::rig::{CONTENT, Embedded, Login, Peers, SOON, Servers, ftp_tunnel};
use crate::support::sockets::eventually;
use crate::support::{Need, trial};

const REAL: &[Need] = &[Need::Program("sshd"), Need::Program("vsftpd")];

/// More than all buffers on the way hold, so that it cannot be over before the server goes.
const BIG: u64 = 1 << 30;

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
            outage(Servers::start_default().await?).await
        }),
        trial(
            "reconnect: an embedded server stops and starts again",
            &[],
            || async { outage(Peers::start().await?).await },
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
            "reconnect: a login that is refused is not tried again by itself",
            &[],
            refused_login,
        ),
    ]
}

/// An SSH server that can go away, with an FTP server behind it that stays.
trait Leaves {
    fn login(&self) -> &Login;
    fn ftp(&self) -> SocketAddr;
    /// Puts a small and a big file where the FTP server finds them.
    fn put_files(&self) -> anyhow::Result<()>;
    /// Ends all connections; its port refuses from then on.
    async fn go(&mut self) -> anyhow::Result<()>;
    /// Serves again, on the same port and with the same key.
    async fn come_back(&mut self) -> anyhow::Result<()>;
}

impl Leaves for Servers {
    fn login(&self) -> &Login {
        &self.login
    }

    fn ftp(&self) -> SocketAddr {
        self.ftp.addr()
    }

    fn put_files(&self) -> anyhow::Result<()> {
        fs::write(self.ftp.root().join("file"), CONTENT)?;
        Ok(File::create(self.ftp.root().join("big"))?.set_len(BIG)?)
    }

    async fn go(&mut self) -> anyhow::Result<()> {
        self.sshd.kill();
        Ok(())
    }

    async fn come_back(&mut self) -> anyhow::Result<()> {
        self.sshd.restart().await
    }
}

impl Leaves for Peers {
    fn login(&self) -> &Login {
        &self.embedded.login
    }

    fn ftp(&self) -> SocketAddr {
        self.ftp.addr()
    }

    fn put_files(&self) -> anyhow::Result<()> {
        Ok(File::create(self.root.path().join("big"))?.set_len(BIG)?)
    }

    async fn go(&mut self) -> anyhow::Result<()> {
        self.embedded.ssh.stop_accepting();
        self.embedded.ssh.kill_all();
        let addr = self.embedded.ssh.addr();
        eventually("its port refuses", || TcpStream::connect(addr).is_err()).await?;
        // Who came in between is served otherwise.
        self.embedded.ssh.kill_all();
        Ok(())
    }

    async fn come_back(&mut self) -> anyhow::Result<()> {
        let Embedded { ssh, login, .. } = &mut self.embedded;
        *ssh = SshServer::start(SshServerOptions {
            bind: ssh.addr(),
            host_key: Some(ssh.host_key().clone()),
            users: vec![login.user.clone()],
            authorized_keys: vec![fs::read_to_string(login.identity.with_extension("pub"))?],
            ..SshServerOptions::default()
        })
        .await?;
        Ok(())
    }
}

async fn start(server: &impl Leaves, settings: &str) -> anyhow::Result<(Broker, SocketAddr)> {
    let tunnel = ftp_tunnel(server.ftp().ip(), server.ftp(), "");
    let config = server.login().config(settings, &tunnel);
    let broker = Broker::start(&config, &[]).await?;
    let tunnel = broker.listener(0).await?;
    Ok((broker, tunnel))
}

async fn outage(mut server: impl Leaves) -> anyhow::Result<()> {
    server.put_files()?;
    let (broker, tunnel) = start(&server, "").await?;
    let done = async {
        let idle = Ftp::login(tunnel).await?;
        let mut busy = Ftp::login(tunnel).await?;
        let mut data = busy.passive("EPSV").await?;
        busy.ask("RETR big", "150").await?;
        data.bytes(FETCHED).await?;

        server.go().await?;
        ensure!(data.end().await? == End::Reset, "the cut looks like an end");
        for session in [idle, busy] {
            goodbye(session).await?;
        }
        refused(&broker, tunnel).await?;
        ensure!(
            broker.listener(0).await? == tunnel,
            "the listener did not stay"
        );

        server.come_back().await?;
        let mut ftp = served(tunnel).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        let profiles = broker.json(&["list-profiles"]).await?;
        ensure!(profiles[0]["last_error"].is_null(), "{profiles:#}");
        ensure!(profiles[0]["retry_in"].is_null(), "{profiles:#}");
        let listeners = broker.json(&["list-tunnel-listeners"]).await?;
        ensure!(listeners[0]["reason"].is_null(), "{listeners:#}");
        anyhow::Ok(())
    };
    done.await.with_context(|| broker.log())
}

/// A session's last words: only failures, at last 421, and then its connection ends in order.
async fn goodbye(mut session: Ftp) -> anyhow::Result<()> {
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
async fn served(tunnel: SocketAddr) -> anyhow::Result<Ftp> {
    let deadline = Instant::now() + SOON;
    loop {
        match Ftp::login(tunnel).await {
            Ok(ftp) => return Ok(ftp),
            Err(error) => ensure!(Instant::now() < deadline, "still refused: {error:#}"),
        }
        // tidy: sleeps because a server that refuses does not tell when it will not
        sleep(PATIENCE).await;
    }
}

/// However many come, the server is not dialled more often than the pauses allow.
async fn clients_do_not_dial() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let closing = TcpListener::bind("127.0.0.1:0").await?;
    let mut login = peers.login().clone();
    login.server = closing.local_addr()?;
    let broker = Broker::start(&login.config("", &peers.tunnel()), &[]).await?;
    let tunnel = broker.listener(0).await?;
    let began = Instant::now();
    let mut dials = 0;
    let clients = async {
        for _ in 0..KNOCKS {
            let (reply, _) = knock(tunnel).await?;
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
    let mut server = Peers::start().await?;
    let settings = r#"<exclusive-connection enable="yes"/>"#;
    let (broker, tunnel) = start(&server, settings).await?;
    let done = async {
        let session = Ftp::login(tunnel).await?;
        server.go().await?;
        goodbye(session).await?;
        refused(&broker, tunnel).await?;
        let none = |listed: &Value| listed.as_array().is_some_and(Vec::is_empty);
        broker.wait_json(&["list-connections"], SOON, none).await?;
        server.come_back().await?;
        ensure!(served(tunnel).await?.fetch("file").await? == CONTENT);
        anyhow::Ok(())
    };
    done.await.with_context(|| broker.log())
}

/// A configuration whose one profile is connected from the start, and listens only while it is.
fn kept(login: &Login, tunnel: &str) -> String {
    let config = login.config(r#"<idle-timeout time="0"/>"#, tunnel);
    let config = config.replace("<profile ", r#"<profile connect-on-startup="yes" "#);
    config.replace("<tunnels>", r#"<tunnels listen="connected">"#)
}

/// Nobody can come while they are down, so that they come back without anybody.
async fn kept_connected() -> anyhow::Result<()> {
    let mut server = Peers::start().await?;
    let broker = Broker::start(&kept(server.login(), &server.tunnel()), &[]).await?;
    let done = async {
        for _ in 0..2 {
            until_listeners_are(&broker, "listening").await?;
            let mut ftp = Ftp::login(broker.listener(0).await?).await?;
            ensure!(ftp.fetch("file").await? == CONTENT);
            ftp.ask("QUIT", "221").await?;
            drop(ftp);
            let unused = |listed: &Value| listed.as_array().is_some_and(|all| all.len() == 1);
            broker
                .wait_json(&["list-connections"], SOON, unused)
                .await?;
            until_listeners_are(&broker, "listening").await?;

            server.go().await?;
            until_listeners_are(&broker, "waiting").await?;
            server.come_back().await?;
        }
        anyhow::Ok(())
    };
    done.await.with_context(|| broker.log())
}

async fn until_listeners_are(broker: &Broker, state: &str) -> anyhow::Result<()> {
    let are = |listed: &Value| listed[0]["state"] == state;
    let seen = broker.wait_json(&["list-tunnel-listeners"], SOON, are);
    seen.await.map(drop)
}

/// To try a key again that is not accepted would lock its user out.
async fn refused_login() -> anyhow::Result<()> {
    let server = Peers::start().await?;
    let mut login = server.login().clone();
    login.user = "nobody".into();
    let broker = Broker::start(&kept(&login, &server.tunnel()), &[]).await?;
    let refused = "not tried again by itself";
    broker.process().wait_log(refused, SOON).await?;
    // Longer than the first pauses.
    // tidy: sleeps because it is about what does not happen
    sleep(FIRST_PAUSE * 3).await;
    let dialled = server.embedded.ssh.counters().connections;
    ensure!(dialled == 1, "{dialled} connections\n{}", broker.log());
    until_listeners_are(&broker, "waiting").await
}
