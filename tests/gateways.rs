//! Servers that are reached through other SSH servers, and what is told when one of those does not do its part.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use testkit::broker::Broker;
use testkit::ftp_client::FtpClient;
use testkit::peer::SshPeer;
use testkit::profile::{Profile, config};
use testkit::proxy::Proxy;
use testkit::relay::{Flow, Relay, RelayOptions};
use testkit::scripted::{Conversation, End};
use testkit::ssh_server::{Asked, SshServer, SshServerOptions};
use testkit::sshd::{Sshd, SshdOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::support::bad_tunnel::BadTunnel;
use crate::support::fixture::{
    CONTENT, RealServers, SOON, embedded, failure, nothing_is_dialled, real,
};
use crate::support::routes::{IN_RULE, LOGIN, proxy, works};
use crate::support::sockets::{closed_port, eventually, logged, started};
use crate::support::{Need, REAL, trial};

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

/// sshd with keys of its own, and the profile that logs in to it.
async fn gateway(options: SshdOptions) -> anyhow::Result<(Sshd, Profile)> {
    let sshd = Sshd::start(options).await?;
    let profile = sshd.profile()?;
    Ok((sshd, profile))
}

/// Servers behind a gateway, and a broker before it.
struct Behind {
    servers: RealServers,
    gateway: Sshd,
    broker: Broker,
}

impl Behind {
    async fn start(settings: &str) -> anyhow::Result<Self> {
        let servers = real().servers().await?;
        let (gateway, outer) = gateway(SshdOptions::default()).await?;
        let inner = servers.profile()?.called("b").behind("a").with(settings);
        let file = config("", [outer.called("a"), inner]);
        Ok(Self {
            servers,
            gateway,
            broker: Broker::start(&file, &[]).await?,
        })
    }
}

/// The server's profile last: the tunnel is its.
async fn three_gateways() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let (first, outermost) = gateway(SshdOptions::default()).await?;
    let (second, middle) = gateway(SshdOptions::default()).await?;
    let (third, inner) = gateway(SshdOptions::default()).await?;
    let profiles = [
        outermost.called("a"),
        middle.called("b").behind("a"),
        inner.called("c").behind("b"),
        servers.profile()?.called("d").behind("c"),
    ];
    let route = [&first, &second, &third].map(|sshd| format!("gateway {}", sshd.addr()));
    works(&servers, &profiles, &route.join(", ")).await?;
    for sshd in [&first, &second, &third] {
        let accepted = "Accepted publickey";
        sshd.process().wait_log(accepted, SOON).await?;
    }
    Ok(())
}

/// One server is all of the gateways: it connects to itself again and again.
async fn longest_row() -> anyhow::Result<()> {
    /// As docs/configuration.md says.
    const MOST: usize = 16;
    let servers = real().servers().await?;
    let (sshd, again) = gateway(SshdOptions::default()).await?;
    let id = |number: usize| format!("g{number}");
    let mut profiles = vec![again.clone().called(&id(0))];
    profiles.extend((1..MOST).map(|number| {
        let again = again.clone().called(&id(number));
        again.behind(&id(number - 1))
    }));
    profiles.push(servers.profile()?.called("z").behind(&id(MOST - 1)));
    let route = vec![format!("gateway {}", sshd.addr()); MOST];
    works(&servers, &profiles, &route.join(", ")).await
}

async fn gateway_behind_proxy() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let socks = Proxy::microsocks(Some(LOGIN)).await?;
    let (sshd, outer) = gateway(SshdOptions::default()).await?;
    let rule = proxy("socks5", IN_RULE, socks.addr());
    let profiles = [
        outer.called("a").with(&rule),
        servers.profile()?.called("b").behind("a"),
    ];
    let route = format!("SOCKS5 proxy {}, gateway {}", socks.addr(), sshd.addr());
    works(&servers, &profiles, &route).await
}

/// The person is asked about the gateway, and once for all that goes through it.
async fn gateway_that_asks() -> anyhow::Result<()> {
    const CODE: Asked = Asked {
        text: "Code: ",
        echo: false,
        answer: "246810",
    };
    let servers = embedded().servers().await?;
    let asks = SshServer::start(SshServerOptions {
        interactive: vec![vec![CODE]],
        ..SshServerOptions::default()
    })
    .await?;
    let mut outer = asks.profile()?.called("outer");
    outer.login =
        "<authentication-methods><auth-keyboard-interactive/></authentication-methods>".into();
    let inner = servers.profile()?.called("inner").behind("outer");
    let broker = Broker::start(&config("", [outer, inner]), &[]).await?;
    let handler = broker.ctl_on_terminal(&["auth-handler"])?;
    handler.shows("This terminal now shows", SOON).await?;
    let answers = async {
        handler.shows(CODE.text, SOON).await?;
        handler.type_line(CODE.answer)
    };
    let (ftp, answered) = tokio::join!(FtpClient::login(broker.listener(0).await?), answers);
    answered?;
    ensure!(ftp?.fetch("file").await? == CONTENT);
    let logins = asks.counters().logins;
    ensure!(logins == 1, "{logins} logins at the gateway");
    Ok(())
}

/// What is cut at the gateway looks like a cut, and the next session works.
async fn gateway_cut(command: &str) -> anyhow::Result<()> {
    let Behind {
        servers,
        gateway: sshd,
        broker,
    } = Behind::start("").await?;
    fs::File::create(servers.ftp.root().join("big"))?.set_len(BIG)?;
    let listens = broker.listener(0).await?;
    for only_data in [true, false] {
        let mut ftp = FtpClient::login(listens).await?;
        let mut data = ftp.begin("EPSV", command).await?;
        if command.starts_with("STOR") {
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
        let reply = failure(&mut ftp).await?;
        let expected = if only_data { "426 " } else { "4" };
        ensure!(reply.starts_with(expected), "{reply}");
    }
    let mut ftp = FtpClient::login(listens).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

/// A write that waits for a gateway to take more notices that it is gone.
async fn gateway_hangs() -> anyhow::Result<()> {
    let Behind {
        servers: _servers,
        gateway: sshd,
        broker,
    } = Behind::start("").await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    let mut data = ftp.begin("EPSV", "STOR half").await?;
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
    let reply = failure(&mut ftp).await?;
    ensure!(reply.starts_with("426 "), "{reply}");
    Ok(())
}

async fn dead_line() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let mut line = RelayOptions::to(sshd.addr());
    line.record = false;
    let line = Relay::start_with(line).await?;
    let outer = sshd.profile()?.at(line.addr()).called("a");
    let outer = outer.with(r#"<keepalive-interval time="1"/>"#);
    let inner = servers.profile()?.called("b").behind("a");
    let broker = Broker::start(&config("", [outer, inner]), &[]).await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    let mut data = ftp.begin("EPSV", "STOR half").await?;
    data.send(vec![7; MOVED]).await?;
    line.set_flow(Flow::Swallow);
    fill(&mut data).await?;
    ensure!(data.end().await? == End::Reset, "it ended in order");
    let reply = failure(&mut ftp).await?;
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
    let at_once = r#"<idle-timeout type="connection" time="0"/>"#;
    let Behind {
        servers,
        gateway: sshd,
        mut broker,
    } = Behind::start(at_once).await?;
    let listens = broker.listener(0).await?;
    for _ in 0..2 {
        let mut ftp = FtpClient::login(listens).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        ensure!(!sshd.session_pids().is_empty(), "the gateway was not used");
        drop(ftp);
        let ended = || sshd.session_pids().is_empty() && servers.ssh.session_pids().is_empty();
        eventually("the end of all SSH sessions", ended).await?;
    }
    // The gateway was not left without a word.
    logged(|| sshd.log(), "Received disconnect", 2).await?;
    let _used = FtpClient::login(listens).await?;
    ensure!(broker.stop(SOON).await?.success());
    let ended = || sshd.session_pids().is_empty();
    eventually("the end of the gateway's sessions with the broker", ended).await
}

/// A broker whose bad tunnel goes through a gateway. The servers behind it are the testkit's.
async fn bad_behind(gateway: Profile) -> anyhow::Result<BadTunnel> {
    let servers = embedded().servers().await?;
    let inner = servers.profile()?.behind("outer");
    BadTunnel::with(servers, vec![inner, gateway.called("outer")]).await
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
    let bad = bad_behind(outer).await?;
    bad.tells(&[&refuses, "AllowTcpForwarding"]).await
}

async fn gateway_knows_us_not() -> anyhow::Result<()> {
    let (sshd, other) = (
        Sshd::start(SshdOptions::default()).await?,
        Sshd::start(SshdOptions::default()).await?,
    );
    let mut outer = sshd.profile()?;
    outer.login = other.profile()?.login;
    let bad = bad_behind(outer).await?;
    let refuses = format!(
        "through its gateway: SSH server {} did not accept user",
        sshd.addr()
    );
    bad.tells(&[&refuses, "publickey"]).await
}

async fn absent_gateway() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let nobody = closed_port()?;
    let bad = bad_behind(servers.ssh.profile()?.at(nobody)).await?;
    let refuses = format!("through its gateway: cannot connect to SSH server {nobody}");
    bad.tells(&[&refuses, "connection refused"]).await
}

async fn absent_behind_gateway() -> anyhow::Result<()> {
    let (sshd, outer) = gateway(SshdOptions::default()).await?;
    let servers = embedded().servers().await?;
    let nobody = closed_port()?;
    let inner = servers.profile()?.at(nobody).behind("outer");
    let bad = BadTunnel::with(servers, vec![inner, outer.called("outer")]).await?;
    let (gateway, server) = (sshd.addr().to_string(), nobody.to_string());
    bad.tells(&[
        &server,
        "through its gateway",
        &gateway,
        "could not connect",
    ])
    .await
}
