//! Relays: clients on other hosts, each host a network namespace with addresses of its own.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::broker::Broker;
use testkit::certificates::Authority;
use testkit::client::run_in;
use testkit::ftp_client::{FtpClient, port_command};
use testkit::lan::Lan;
use testkit::netns::Netns;
use testkit::programs::CURL;
use testkit::scripted::{Conversation, End};

use crate::support::clients::{Client, Mode};
use crate::support::compare::same_bytes;
use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::site::{
    Backend, CLIENTS, PORT, connect_from, down_and_up, fetched, login_from,
};
use crate::support::{Need, trial};

const NEEDS: &[Need] = &[
    Need::Program("ip"),
    Need::Namespaces,
    Need::Program("sshd"),
    Need::Program("vsftpd"),
];

/// The numbers of the hosts on a network.
const ROUTER: u8 = 1;
const CLIENT: u8 = 2;
const THIEF: u8 = 3;
const RELAY: u8 = 4;

/// What a router with a relay behind it does: other ports outside than inside, and one address for all connections from
/// inside.
const TRANSLATION: &str = "
table inet translation {
    chain arriving {
        type nat hook prerouting priority dstnat;
        iifname lan1 ip daddr 192.168.1.1 tcp dport 21 dnat ip to 192.168.2.4:2121
        iifname lan1 ip daddr 192.168.1.1 dnat ip to tcp dport map {
            40000 : 192.168.2.4 . 50000, 40001 : 192.168.2.4 . 50001, 40002 : 192.168.2.4 . 50002
        }
        iifname lan1 ip6 daddr fd00:1::1 tcp dport 21 dnat ip6 to [fd00:2::4]:2121
        iifname lan1 ip6 daddr fd00:1::1 dnat ip6 to tcp dport map {
            40000 : fd00:2::4 . 50000, 40001 : fd00:2::4 . 50001, 40002 : fd00:2::4 . 50002
        }
    }
    chain leaving {
        type nat hook postrouting priority srcnat;
        oifname lan1 masquerade
    }
}";

/// How the router's outside address is called.
const HOSTS: &str =
    "127.0.0.1 localhost\n192.168.1.1 ftp.example.test\nfd00:1::1 ftp.example.test\n";

pub(crate) fn trials() -> Vec<Trial> {
    let with = |needs: &[Need]| [NEEDS, needs].concat();
    let mut trials = vec![
        trial(
            "relay: data connections of another host are refused",
            NEEDS,
            thieves,
        ),
        trial(
            "relay: hosts outside allow-from learn why they are refused",
            NEEDS,
            outsiders,
        ),
        trial("relay: a proxy says who the client is", NEEDS, proxied),
        trial(
            "relay: nobody but a proxy can say who the client is",
            NEEDS,
            unproxied,
        ),
    ];
    trials.push(trial(
        "relay: active mode with a proxy on the relay's own host",
        NEEDS,
        active_past_proxy,
    ));
    trials.push(trial(
        "relay: a proxy cannot name a client on the broker's own host",
        &[],
        own_host_claimed,
    ));
    for (client, v4, v6) in CLIENTS {
        let program = Need::Program(client.requirement().program);
        trials.push(trial(
            format!("relay: {client} on another host"),
            &with(&[program]),
            move || every_mode(client, v4, v6),
        ));
        let translates = with(&[Need::Program("nft"), Need::Program("unshare"), program]);
        trials.push(trial(
            format!("relay: {client} through address translation"),
            &translates,
            move || translated(client, v4, v6),
        ));
    }
    let translates = with(&[Need::Program("nft"), Need::Program("unshare")]);
    trials.push(trial(
        "relay: FTP over TLS through address translation",
        &[&translates[..], &[Need::Program("curl")]].concat(),
        encrypted,
    ));
    trials.push(trial(
        "relay: the outside address is announced, or a 425",
        &translates,
        announced,
    ));
    trials
}

/// A relay with its clients on one network.
struct Site {
    relay: Broker,
    client: Netns,
    thief: Netns,
    lan: Lan,
    backend: Backend,
}

impl Site {
    async fn start(attributes: &str) -> anyhow::Result<Self> {
        let (lan, backend) = (Lan::create(1)?, Backend::start().await?);
        let netns = lan.host(RELAY)?;
        backend.attach(&netns, RELAY)?;
        Ok(Self {
            relay: backend.relay(&netns, attributes, None).await?,
            client: lan.host(CLIENT)?,
            thief: lan.host(THIEF)?,
            lan,
            backend,
        })
    }

    /// The relay's control port over each family.
    fn listens(&self) -> [SocketAddr; 2] {
        let ips: [IpAddr; 2] = [self.lan.v4(RELAY).into(), self.lan.v6(RELAY).into()];
        ips.map(|ip| SocketAddr::new(ip, PORT))
    }
}

/// The whole network in front of a relay behind a router.
struct Translated {
    relay: Broker,
    client: Netns,
    lan: Lan,
    _inside: (Netns, Lan),
    backend: Backend,
}

impl Translated {
    async fn start(attributes: &str) -> anyhow::Result<Self> {
        let (lan, inside, backend) = (Lan::create(1)?, Lan::create(2)?, Backend::start().await?);
        let router = lan.host(ROUTER)?;
        inside.attach(&router, ROUTER)?;
        router.translate(TRANSLATION)?;
        let netns = inside.host(RELAY)?;
        netns.route_through(inside.v4(ROUTER).into())?;
        netns.route_through(inside.v6(ROUTER).into())?;
        backend.attach(&netns, RELAY)?;
        let attributes =
            format!(r#"passive-ports="50000-50002" advertise-port-offset="-10000" {attributes}"#);
        Ok(Self {
            relay: backend.relay(&netns, &attributes, Some(HOSTS)).await?,
            client: lan.host(CLIENT)?,
            lan,
            _inside: (router, inside),
            backend,
        })
    }

    /// The control port outside, over each family.
    fn outside(&self) -> [SocketAddr; 2] {
        let ips: [IpAddr; 2] = [self.lan.v4(ROUTER).into(), self.lan.v6(ROUTER).into()];
        ips.map(|ip| SocketAddr::new(ip, 21))
    }
}

async fn every_mode(client: Client, v4: &[Mode], v6: &[Mode]) -> anyhow::Result<()> {
    let site = Site::start("").await?;
    let [over_v4, over_v6] = site.listens();
    down_and_up(&site.client, over_v4, client, v4, &site.backend).await?;
    down_and_up(&site.client, over_v6, client, v6, &site.backend).await
}

async fn translated(client: Client, v4: &[Mode], v6: &[Mode]) -> anyhow::Result<()> {
    let site = Translated::start(r#"advertise-address="ftp.example.test""#).await?;
    let [over_v4, over_v6] = site.outside();
    down_and_up(&site.client, over_v4, client, v4, &site.backend).await?;
    down_and_up(&site.client, over_v6, client, v6, &site.backend).await
}

/// With the session bound to its data connections, since other clients can have the same address.
async fn encrypted() -> anyhow::Result<()> {
    let (authority, home) = (Authority::new()?, tempfile::tempdir()?);
    authority.issue()?;
    let attributes = format!(r#"{} tls-session-reuse="yes""#, authority.tunnel());
    let site = Translated::start(&attributes).await?;
    let (sent, got) = (home.path().join("sent"), home.path().join("got"));
    std::fs::write(&sent, CONTENT)?;
    for server in site.outside() {
        let url = format!("ftp://localhost:{}/sent", server.port());
        let steps = [("--upload-file", &sent), ("--output", &got)];
        for (option, file) in steps {
            let mut command = Command::new(CURL.find()?);
            command
                .args(["--disable", "--silent", "--show-error", "--ssl-reqd"])
                .args(["--user", "anonymous:guest", "--cacert"])
                .arg(authority.file())
                .args([
                    "--resolve",
                    &format!("localhost:{}:{}", server.port(), server.ip()),
                ])
                .arg(option)
                .arg(file)
                .arg(&url);
            run_in(Some(&site.client), command, SOON).await?.success()?;
        }
        same_bytes(&got, CONTENT)?;
        std::fs::remove_file(&got)?;
    }
    Ok(())
}

async fn thieves() -> anyhow::Result<()> {
    let site = Site::start("").await?;
    for (server, command) in site.listens().into_iter().zip(["PASV", "EPSV"]) {
        let mut client = login_from(&site.client, server).await?;
        let data = client.announced(command).await?;
        ensure!(data.ip() == server.ip(), "{data} was announced at {server}");
        is_refused(&site.thief, data).await?;
        fetched(&mut client, &site.client, data).await?;
    }
    let refused = "data connection refused: it does not belong to the client of this session";
    site.relay.wait_log(refused, SOON).await?;
    let mut client = login_from(&site.client, site.listens()[0]).await?;
    let foreign = SocketAddr::new(site.lan.v4(THIEF).into(), 4000);
    client.ask(&port_command("PORT", foreign), "504").await?;
    Ok(())
}

/// A data listener resets a connection from this namespace, perhaps before the kernel has reported that it is there.
async fn is_refused(netns: &Netns, to: SocketAddr) -> anyhow::Result<()> {
    let reset = |error: &io::Error| error.kind() == ErrorKind::ConnectionReset;
    match connect_from(netns, to) {
        Ok(mut connection) => ensure!(connection.end().await? == End::Reset, "not refused"),
        Err(error) => ensure!(error.downcast_ref().is_some_and(reset), error),
    }
    Ok(())
}

async fn outsiders() -> anyhow::Result<()> {
    let site = Site::start(r#"allow-from="192.168.1.2, fd00:1::2""#).await?;
    for server in site.listens() {
        login_from(&site.client, server).await?;
        let mut refused = connect_from(&site.thief, server)?;
        let reason = refused.reply().await?;
        let expected = "is not among the networks this tunnel serves";
        ensure!(
            reason.starts_with("421") && reason.contains(expected),
            "{reason}"
        );
        ensure!(refused.end().await? == End::Orderly);
    }
    site.relay.wait_log("client refused", SOON).await
}

async fn announced() -> anyhow::Result<()> {
    let site = Translated::start(r#"advertise-address="ftp.example.test""#).await?;
    for (server, command) in site.outside().into_iter().zip(["PASV", "EPSV"]) {
        let mut client = login_from(&site.client, server).await?;
        let data = client.announced(command).await?;
        let outside = data.ip() == server.ip() && (40000..=40002).contains(&data.port());
        ensure!(outside, "{data} was announced at {server}");
        fetched(&mut client, &site.client, data).await?;
    }
    drop(site);
    let site = Translated::start(r#"advertise-address="fd00:1::1""#).await?;
    let mut client = login_from(&site.client, site.outside()[0]).await?;
    let reason = client.ask("PASV", "425").await?;
    let expected = "the broker's advertise-address fd00:1::1 has no IPv4 address";
    ensure!(reason.contains(expected), "{reason}");
    let data = client.announced("EPSV").await?;
    fetched(&mut client, &site.client, data).await?;
    drop(site.relay);
    Ok(())
}

/// The attributes of a tunnel behind a proxy, which is the namespace of the thief here.
const BEHIND_PROXY: &str =
    r#"accept-proxy="yes" allow-from="192.168.1.3" allow-clients="203.0.113.0/24""#;

/// A connection that begins with this header.
async fn through_proxy(
    site: &Site,
    to: SocketAddr,
    header: impl AsRef<[u8]>,
) -> anyhow::Result<Conversation> {
    let mut connection = connect_from(&site.thief, to)?;
    connection.send(header).await?;
    Ok(connection)
}

/// A header of version 1 for this client, which reached a proxy at 198.51.100.1.
fn header(client: &str, port: u16) -> String {
    format!("PROXY TCP4 {client} 198.51.100.1 40000 {port}\r\n")
}

async fn proxied() -> anyhow::Result<()> {
    let site = Site::start(BEHIND_PROXY).await?;
    let server = site.listens()[0];
    let control = through_proxy(&site, server, header("203.0.113.7", 21)).await?;
    let mut client = FtpClient::login_on(control).await?;
    let channels = site.relay.list(&["list-channels"]).await?;
    let shown = channels
        .iter()
        .all(|it| it["client"] == "203.0.113.7:40000");
    ensure!(!channels.is_empty() && shown, "{channels:?}");

    let data = client.announced("PASV").await?;
    ensure!(
        data.ip().to_string() == "198.51.100.1",
        "{data} was announced"
    );
    let data = SocketAddr::new(server.ip(), data.port());
    let mut other = through_proxy(&site, data, header("203.0.113.8", data.port())).await?;
    ensure!(
        other.end().await? == End::Reset,
        "another client was not refused"
    );
    let mut check = through_proxy(&site, data, "PROXY UNKNOWN\r\n").await?;
    check.end().await?;
    let mut own = through_proxy(&site, data, header("203.0.113.7", data.port())).await?;
    client.ask("RETR file", "150").await?;
    ensure!(own.rest().await? == CONTENT, "something else came");
    client.reply("226").await?;
    site.relay.wait_log("client=203.0.113.7:40000", SOON).await
}

/// The proxy reaches the relay at a loopback address, from which nothing leads to the client.
async fn active_past_proxy() -> anyhow::Result<()> {
    let (lan, backend) = (Lan::create(1)?, Backend::start().await?);
    let netns = lan.host(RELAY)?;
    backend.attach(&netns, RELAY)?;
    let attributes = r#"listen-address="127.0.0.1" accept-proxy="yes" allow-from="127.0.0.1""#;
    let _relay = backend.relay(&netns, attributes, None).await?;
    let (relay, client) = (lan.v4(RELAY), lan.host(CLIENT)?);
    let listener = client.enter(|| TcpListener::bind((lan.v4(CLIENT), 0)))??;
    let port = listener.local_addr()?;

    let mut control = connect_from(&netns, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT))?;
    let header = format!("PROXY TCP4 {} {relay} 40000 21\r\n", port.ip());
    control.send(header).await?;
    let mut ftp = FtpClient::login_on(control).await?;
    ftp.ask(&port_command("PORT", port), "200").await?;
    ftp.ask("RETR file", "150").await?;
    let (data, from) = listener.accept()?;
    ensure!(from.ip() == relay, "the client knows {relay}, not {from}");
    let content = Conversation::over(data)?.rest().await?;
    ensure!(content == CONTENT, "something else came");
    ftp.reply("226").await?;
    Ok(())
}

/// On the broker's own host the kernel knows whose a connection is, and it knows none from this address.
async fn own_host_claimed() -> anyhow::Result<()> {
    let attributes =
        r#"allow-relay="yes" accept-proxy="yes" allow-from="127.0.0.1" listen-address="127.0.0.1""#;
    let fixture = embedded().tunnel(attributes).start().await?;
    let claimed = |port| format!("PROXY TCP4 127.0.0.1 127.0.0.1 9 {port}\r\n");
    let mut control = Conversation::connect(fixture.tunnel).await?;
    control.send(claimed(9)).await?;
    let mut client = FtpClient::login_on(control).await?;
    let data = client.announced("PASV").await?;
    let mut refused = Conversation::connect(data).await?;
    refused.send(claimed(data.port())).await?;
    ensure!(refused.end().await? == End::Reset, "data was carried");
    let reason = "the system did not say who owns the session's control connection";
    fixture.broker.wait_log(reason, SOON).await
}

async fn unproxied() -> anyhow::Result<()> {
    let site = Site::start(BEHIND_PROXY).await?;
    let server = site.listens()[0];
    for (header, reason) in [
        (
            "USER anonymous\r\n".into(),
            "does not begin with a PROXY protocol header",
        ),
        (
            header("192.0.2.1", 21),
            "192.0.2.1 is not among the networks this tunnel serves",
        ),
    ] {
        let mut refused = through_proxy(&site, server, header).await?;
        let reply = refused.reply().await?;
        ensure!(
            reply.starts_with("421") && reply.contains(reason),
            "{reply}"
        );
    }
    // Its own header makes nobody a proxy.
    let mut refused = connect_from(&site.client, server)?;
    refused.send(header("203.0.113.7", 21)).await?;
    let reply = refused.reply().await?;
    let reason = "192.168.1.2 is not one of the proxies that this tunnel serves";
    ensure!(reply.contains(reason), "{reply}");
    // A health check is no session.
    let mut check = through_proxy(&site, server, "PROXY UNKNOWN\r\n").await?;
    ensure!(check.end().await? == End::Orderly && check.seen().is_empty());
    let listeners = site.relay.list(&["list-tunnel-listeners"]).await?;
    ensure!(listeners[0]["sessions_total"] == 0, "{listeners:?}");

    // The same at a data port: neither the client itself nor a proxy without a header.
    let control = through_proxy(&site, server, header("203.0.113.7", 21)).await?;
    let mut client = FtpClient::login_on(control).await?;
    let port = client.announced("PASV").await?.port();
    let data = SocketAddr::new(server.ip(), port);
    is_refused(&site.client, data).await?;
    let mut silent = through_proxy(&site, data, "RETR").await?;
    ensure!(silent.end().await? == End::Reset);
    // One that says nothing yet does not keep the client waiting.
    let _waiting = connect_from(&site.thief, data)?;
    let own = through_proxy(&site, data, header("203.0.113.7", port)).await?;
    let fetched = async {
        let mut own = own;
        client.ask("RETR file", "150").await?;
        own.rest().await
    };
    let fetched = tokio::time::timeout(Duration::from_secs(4), fetched).await;
    let content = fetched.context("a silent proxy held up the client")??;
    ensure!(content == CONTENT, "something else came");
    let refused = "no proxy of this tunnel has named its client";
    site.relay.wait_log(refused, SOON).await
}
