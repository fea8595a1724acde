//! Servers that are reached through other SSH servers, and what is told when one of those does not do its part.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use testkit::broker::Broker;
use testkit::proxy::Proxy;
use testkit::relay::{Flow, Relay, RelayOptions};
use testkit::scripted::{Conversation, End};
use testkit::ssh_server::{Asked, SshServer, SshServerOptions};
use testkit::sshd::{Sshd, SshdOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::faults::Rig;
use crate::support::ftp::Ftp;
use crate::support::rig::{CONTENT, Login, Peers, SOON, Servers, config};
use crate::support::sockets::{closed_port, eventually, started};
use crate::support::ways::{IN_RULE, LOGIN, profile, proxy, renamed, works};
use crate::support::{Need, trial};

const REAL: &[Need] = &[Need::Program("sshd"), Need::Program("vsftpd")];
const MICROSOCKS: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("microsocks"),
];

/// More than all buffers on the way hold, so that it cannot be over before it is cut.
const BIG: u64 = 1 << 30;

/// What has been moved when the cut comes.
const MOVED: usize = 1 << 20;

/// A write on loopback that takes longer waits for somebody who does not read.
const STANDSTILL: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "gateways: three gateways, one behind the other",
            REAL,
            three_gateways,
        ),
        trial(
            "gateways: as many in a row as there may be",
            REAL,
            longest_row,
        ),
        trial(
            "gateways: a gateway that is reached through a proxy",
            MICROSOCKS,
            gateway_behind_proxy,
        ),
        trial(
            "gateways: a gateway that asks a person",
            &[Need::Program("setsid")],
            gateway_that_asks,
        ),
        trial("gateways: a gateway cut in a download", REAL, || {
            gateway_cut("RETR big")
        }),
        trial("gateways: a gateway cut in an upload", REAL, || {
            gateway_cut("STOR half")
        }),
        trial(
            "gateways: a gateway that hangs in an upload and dies",
            REAL,
            gateway_hangs,
        ),
        trial(
            "gateways: a line to a gateway that goes dead",
            REAL,
            dead_line,
        ),
        trial(
            "gateways: a gateway's connections end with what they are for",
            REAL,
            nothing_stays_at_the_gateway,
        ),
        trial(
            "gateways: a gateway that may not forward",
            REAL,
            gateway_may_not_forward,
        ),
        trial(
            "gateways: a gateway that does not know us",
            REAL,
            gateway_knows_us_not,
        ),
        trial("gateways: a gateway that is not there", &[], absent_gateway),
        trial(
            "gateways: a server that its gateway does not reach",
            REAL,
            absent_behind_gateway,
        ),
    ]
}

/// A profile with this id, reached through another.
fn behind(profile: &str, id: &str, gateway: &str) -> String {
    let renamed = renamed(profile, id);
    renamed.replacen(
        "<profile ",
        &format!(r#"<profile gateway-profile="{gateway}" "#),
        1,
    )
}

/// sshd with keys of its own, and the profile that logs in to it.
async fn gateway(options: SshdOptions) -> anyhow::Result<(Sshd, String)> {
    let sshd = Sshd::start(options).await?;
    let profile = Login::to(&sshd)?.profile("", "");
    Ok((sshd, profile))
}

/// The server's profile last: the tunnel is its.
async fn three_gateways() -> anyhow::Result<()> {
    let servers = Servers::start_default().await?;
    let (first, outermost) = gateway(SshdOptions::default()).await?;
    let (second, middle) = gateway(SshdOptions::default()).await?;
    let (third, inner) = gateway(SshdOptions::default()).await?;
    let config = config(
        &[
            renamed(&outermost, "a"),
            behind(&middle, "b", "a"),
            behind(&inner, "c", "b"),
            behind(&profile(&servers, ""), "d", "c"),
        ]
        .concat(),
    );
    let way = [&first, &second, &third].map(|sshd| format!("gateway {}", sshd.addr()));
    works(&servers, &config, &way.join(", ")).await?;
    for sshd in [&first, &second, &third] {
        ensure!(sshd.log().contains("Accepted publickey"), "{}", sshd.log());
    }
    Ok(())
}

/// One server is all of the gateways: it connects to itself again and again.
async fn longest_row() -> anyhow::Result<()> {
    /// As docs/configuration.md says.
    const MOST: usize = 16;
    let servers = Servers::start_default().await?;
    let (sshd, again) = gateway(SshdOptions::default()).await?;
    let id = |number: usize| format!("g{number}");
    let row = (1..MOST).map(|number| behind(&again, &id(number), &id(number - 1)));
    let row: String = std::iter::once(renamed(&again, &id(0)))
        .chain(row)
        .collect();
    let last = behind(&profile(&servers, ""), "z", &id(MOST - 1));
    let way = vec![format!("gateway {}", sshd.addr()); MOST];
    works(&servers, &config(&(row + &last)), &way.join(", ")).await
}

async fn gateway_behind_proxy() -> anyhow::Result<()> {
    let servers = Servers::start_default().await?;
    let socks = Proxy::microsocks(Some(LOGIN)).await?;
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let rule = proxy("socks5", IN_RULE, socks.addr());
    let outer = Login::to(&sshd)?.profile(&rule, "");
    let config = config(&(renamed(&outer, "a") + &behind(&profile(&servers, ""), "b", "a")));
    let way = format!("SOCKS5 proxy {}, gateway {}", socks.addr(), sshd.addr());
    works(&servers, &config, &way).await
}

/// The person is asked about the gateway, and once for all that goes through it.
async fn gateway_that_asks() -> anyhow::Result<()> {
    const CODE: Asked = Asked {
        text: "Code: ",
        echo: false,
        answer: "246810",
    };
    let peers = Peers::start().await?;
    let asks = SshServer::start(SshServerOptions {
        interactive: vec![vec![CODE]],
        ..SshServerOptions::default()
    })
    .await?;
    let login = Login {
        server: asks.addr(),
        user: "anne".into(),
        host_key: asks.host_key_openssh()?,
        identity: peers.embedded.login.identity.clone(),
    };
    let method = "<authentication-methods><auth-keyboard-interactive/></authentication-methods>";
    let outer = renamed(&login.profile(method, ""), "outer");
    let inner = peers.embedded.login.profile("", &peers.tunnel());
    let file = config(&(outer + &behind(&inner, "inner", "outer")));
    let broker = Broker::start(&file, &[]).await?;
    let handler = broker.ctl_on_terminal(&["auth-handler"])?;
    handler.shows("Prompts are asked here", SOON).await?;
    let answers = async {
        handler.shows(CODE.text, SOON).await?;
        handler.type_line(CODE.answer)
    };
    let (ftp, answered) = tokio::join!(Ftp::login(broker.listener(0).await?), answers);
    answered?;
    ensure!(ftp?.fetch("file").await? == CONTENT);
    let logins = asks.counters().logins;
    ensure!(logins == 1, "{logins} logins at the gateway");
    Ok(())
}

/// What is cut at the gateway looks like a cut, and the next session works.
async fn gateway_cut(command: &str) -> anyhow::Result<()> {
    let servers = Servers::start_default().await?;
    fs::File::create(servers.ftp.root().join("big"))?.set_len(BIG)?;
    let (sshd, outer) = gateway(SshdOptions::default()).await?;
    let file = config(&(renamed(&outer, "a") + &behind(&profile(&servers, ""), "b", "a")));
    let broker = Broker::start(&file, &[]).await?;
    let listens = broker.listener(0).await?;
    for only_data in [true, false] {
        let mut ftp = Ftp::login(listens).await?;
        let mut data = ftp.passive("EPSV").await?;
        ftp.ask(command, "150").await?;
        let upload = command.starts_with("STOR");
        if upload {
            data.send(vec![7; MOVED]).await?;
        } else {
            data.bytes(MOVED).await?;
        }
        nothing_is_dialled(&broker).await?;
        let mut sessions = sshd.session_pids();
        sessions.sort_by_key(|pid| started(*pid));
        // The control connection is dialled before all others.
        for pid in sessions.iter().skip(usize::from(only_data)) {
            sshd.kill_session(*pid);
        }
        let end = data.end().await?;
        ensure!(end == End::Reset, "the data connection ended in order");
        let reply = last_words(&mut ftp).await?;
        let expected = if only_data { "426 " } else { "4" };
        ensure!(reply.starts_with(expected), "{reply}");
    }
    let mut ftp = Ftp::login(listens).await?;
    fs::write(servers.ftp.root().join("file"), CONTENT)?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

/// A write that waits for a gateway to take more notices that it is gone.
async fn gateway_hangs() -> anyhow::Result<()> {
    let servers = Servers::start_default().await?;
    let (sshd, outer) = gateway(SshdOptions::default()).await?;
    let file = config(&(renamed(&outer, "a") + &behind(&profile(&servers, ""), "b", "a")));
    let broker = Broker::start(&file, &[]).await?;
    let mut ftp = Ftp::login(broker.listener(0).await?).await?;
    let mut data = ftp.passive("EPSV").await?;
    ftp.ask("STOR half", "150").await?;
    nothing_is_dialled(&broker).await?;
    // The control connection was the first.
    let mut families = sshd.process().families();
    families.sort_by_key(|family| family.first().and_then(|pid| started(*pid)));
    let hung: Vec<_> = families.iter().skip(1).collect();
    for pid in hung.iter().copied().flatten() {
        kill_process(raw(*pid)?, Signal::STOP)?;
    }
    fill(&mut data).await?;
    for pid in hung.iter().filter_map(|family| family.first()) {
        sshd.kill_session(*pid);
    }
    ensure!(data.end().await? == End::Reset, "it ended in order");
    let reply = last_words(&mut ftp).await?;
    ensure!(reply.starts_with("426 "), "{reply}");
    Ok(())
}

async fn dead_line() -> anyhow::Result<()> {
    let servers = Servers::start_default().await?;
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let mut line = RelayOptions::to(sshd.addr());
    line.record = false;
    let line = Relay::start_with(line).await?;
    let mut login = Login::to(&sshd)?;
    login.server = line.addr();
    let outer = renamed(&login.profile(r#"<keepalive-interval time="1"/>"#, ""), "a");
    let file = config(&(outer + &behind(&profile(&servers, ""), "b", "a")));
    let broker = Broker::start(&file, &[]).await?;
    let mut ftp = Ftp::login(broker.listener(0).await?).await?;
    let mut data = ftp.passive("EPSV").await?;
    ftp.ask("STOR half", "150").await?;
    data.send(vec![7; MOVED]).await?;
    line.set_flow(Flow::Swallow);
    fill(&mut data).await?;
    ensure!(data.end().await? == End::Reset, "it ended in order");
    let reply = last_words(&mut ftp).await?;
    ensure!(reply.starts_with('4'), "{reply}");
    Ok(())
}

/// Sends until nobody takes more.
async fn fill(data: &mut Conversation) -> anyhow::Result<()> {
    let chunk = [7; 64 << 10];
    while let Ok(written) = timeout(STANDSTILL, data.stream().write(&chunk)).await {
        written?;
    }
    Ok(())
}

fn raw(pid: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(pid)?).context("no process has the id 0")
}

async fn nothing_stays_at_the_gateway() -> anyhow::Result<()> {
    let servers = Servers::start_default().await?;
    fs::write(servers.ftp.root().join("file"), CONTENT)?;
    let (sshd, outer) = gateway(SshdOptions::default()).await?;
    let at_once = r#"<idle-timeout type="connection" time="0"/>"#;
    let inner = behind(&profile(&servers, at_once), "b", "a");
    let file = config(&(renamed(&outer, "a") + &inner));
    let mut broker = Broker::start(&file, &[]).await?;
    let listens = broker.listener(0).await?;
    for _ in 0..2 {
        let mut ftp = Ftp::login(listens).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        ensure!(!sshd.session_pids().is_empty(), "the gateway was not used");
        drop(ftp);
        let ended = || sshd.session_pids().is_empty() && servers.sshd.session_pids().is_empty();
        eventually("the end of all SSH sessions", ended).await?;
    }
    let goodbyes = sshd.log().matches("Received disconnect").count();
    ensure!(
        goodbyes > 1,
        "the gateway was left without a word: {}",
        sshd.log()
    );
    let _used = Ftp::login(listens).await?;
    ensure!(broker.stop(SOON).await?.success());
    let ended = || sshd.session_pids().is_empty();
    eventually("the end of the gateway's sessions with the broker", ended).await
}

/// A spare connection that dies while it is dialled is another matter.
async fn nothing_is_dialled(broker: &Broker) -> anyhow::Result<()> {
    let dialled = |connections: &serde_json::Value| {
        let all = connections.as_array();
        all.is_some_and(|all| all.iter().all(|one| one["state"] != "connecting"))
    };
    broker
        .wait_json(&["list-connections"], SOON, dialled)
        .await
        .map(drop)
}

/// The reply that ends a transfer that was cut.
async fn last_words(ftp: &mut Ftp) -> anyhow::Result<String> {
    let reply = ftp.control().reply().await?;
    ensure!(!reply.starts_with('2'), "reported complete: {reply}");
    Ok(reply)
}

/// A broker whose bad tunnel goes through a gateway. The servers behind it are the testkit's.
async fn rig_behind(gateway: &str) -> anyhow::Result<Rig> {
    let peers = Peers::start().await?;
    let inner = peers.embedded.login.profile("", &peers.tunnel());
    let inner = inner.replacen("<profile ", r#"<profile gateway-profile="outer" "#, 1);
    Rig::with(peers, inner + &renamed(gateway, "outer")).await
}

async fn gateway_may_not_forward() -> anyhow::Result<()> {
    let (sshd, outer) = gateway(SshdOptions {
        allow_tcp_forwarding: "no",
        ..SshdOptions::default()
    })
    .await?;
    let refuses = format!(
        "through its gateway: SSH server {} did not open a channel",
        sshd.addr()
    );
    let rig = rig_behind(&outer).await?;
    rig.tells(&[&refuses, "AllowTcpForwarding"]).await
}

async fn gateway_knows_us_not() -> anyhow::Result<()> {
    let (sshd, other) = (
        Sshd::start(SshdOptions::default()).await?,
        Sshd::start(SshdOptions::default()).await?,
    );
    let mut login = Login::to(&sshd)?;
    login.identity = other.identity_file();
    let rig = rig_behind(&login.profile("", "")).await?;
    let refuses = format!(
        "through its gateway: SSH server {} did not accept user",
        sshd.addr()
    );
    rig.tells(&[&refuses, "publickey"]).await
}

async fn absent_gateway() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let mut login = peers.embedded.login.clone();
    login.server = closed_port().await?;
    let rig = rig_behind(&login.profile("", "")).await?;
    let refuses = format!(
        "through its gateway: cannot connect to SSH server {}",
        login.server
    );
    rig.tells(&[&refuses, "connection refused"]).await
}

async fn absent_behind_gateway() -> anyhow::Result<()> {
    let (sshd, outer) = gateway(SshdOptions::default()).await?;
    let peers = Peers::start().await?;
    let mut login = peers.embedded.login.clone();
    login.server = closed_port().await?;
    let inner = login.profile("", &peers.tunnel());
    let inner = inner.replacen("<profile ", r#"<profile gateway-profile="outer" "#, 1);
    let rig = Rig::with(peers, inner + &renamed(&outer, "outer")).await?;
    let (gateway, server) = (sshd.addr().to_string(), login.server.to_string());
    rig.tells(&[
        &server,
        "through its gateway",
        &gateway,
        "could not connect",
    ])
    .await
}
