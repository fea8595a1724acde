//! The wire seen from outside: what client and server each saw differs only where it should.
// tidy: long because its trials share one scripted session and one way to compare what both sides saw

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::broker::Broker;
use testkit::fixture::{Fixture, Scripted};
use testkit::ftp_client::{FtpClient, port_command};
use testkit::peer::SshPeer;
use testkit::profile::Tunnel;
use testkit::relay::{Recording, Relay, RelayOptions};
use testkit::scripted::{Conversation, ScriptedListener};
use testkit::ssh_server::SshCounters;
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use crate::support::fixture::{CONTENT, Channels, SOON, expect_data_channels, real, real_with};
use crate::support::played::PlayedSession;
use crate::support::{REAL, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    let recorded = |name, ip, commands| trial(name, REAL, move || recorded(ip, commands));
    vec![
        recorded(
            "rewriting: recorded on both sides, IPv4",
            v4,
            &["PASV", "EPSV", "PORT", "EPRT"],
        ),
        recorded(
            "rewriting: recorded on both sides, IPv6",
            v6,
            &["EPSV", "EPRT"],
        ),
        trial(
            "rewriting: every spelling of a passive reply",
            &[],
            spellings,
        ),
        trial(
            "rewriting: what only looks like a passive reply passes",
            &[],
            look_alikes,
        ),
        trial(
            "rewriting: PORT as lenient servers take it",
            REAL,
            lenient_ports,
        ),
        trial(
            "rewriting: a web page speaks to an FTP tunnel",
            &[],
            web_page,
        ),
        trial("rewriting: replies in pieces", &[], pieces),
        trial(
            "rewriting: lazy data channels open when the client connects",
            &[],
            lazy,
        ),
        trial(
            "rewriting: PORT and EPRT in the server's terms",
            &[],
            active_spellings,
        ),
        trial(
            "rewriting: PORT and EPRT that are refused or passed",
            &[],
            active_refusals,
        ),
        trial(
            "rewriting: a client on IPv6, a server on IPv4",
            &[],
            families,
        ),
        trial("rewriting: AUTH is answered in its turn", &[], auth_in_turn),
    ]
}

/// A session of an ordinary client in all modes, recorded before and behind the broker.
async fn recorded(ip: IpAddr, modes: &[&str]) -> anyhow::Result<()> {
    let vsftpd = VsftpdOptions {
        bind: ip,
        ..VsftpdOptions::default()
    };
    let servers = real_with(SshdOptions::default(), vsftpd).servers().await?;
    let behind = relay(ip, servers.ftp.addr()).await?;
    let tunnel = Tunnel::ftp(behind.addr()).on(ip);
    let config = servers.ssh.profile()?.tunnel(tunnel).config();
    let broker = Broker::start(&config, &[]).await?;
    let before = relay(ip, broker.listener(0).await?).await?;

    let mut ftp = FtpClient::connect(before.addr()).await?;
    ftp.ask("AUTH TLS", "534").await?;
    ftp.ask("USER anonymous", "331").await?;
    ftp.ask("PASS guest", "230").await?;
    ftp.ask("HELP", "214").await?;
    for mode in modes {
        ensure!(ftp.fetch_by(mode, "file").await? == CONTENT, "{mode}");
    }
    ftp.ask("QUIT", "221").await?;
    drop(ftp);
    let ended = |all: &[testkit::relay::Passed]| all.iter().all(|one| !one.open);
    before.wait_for(SOON, ended).await?;
    behind.wait_for(SOON, ended).await?;

    let client = before
        .recording(0)
        .context("no connection before the broker")?;
    let server = behind.recordings();
    ensure!(
        server.len() == 1,
        "{} connections behind the broker",
        server.len()
    );
    compare(&client, &server[0], ip, modes)?;
    let passive = modes.iter().filter(|mode| mode.ends_with("SV")).count();
    let active = modes.len() - passive;
    // The control channel leads to the relay here, and so counts among the others.
    expect_data_channels(&servers, Channels::default(), passive + 1, active).await
}

async fn relay(ip: IpAddr, target: SocketAddr) -> anyhow::Result<Relay> {
    let bind = SocketAddr::new(ip, 0);
    Relay::start_with(RelayOptions {
        bind,
        ..RelayOptions::to(target)
    })
    .await
}

fn compare(
    client: &Recording,
    server: &Recording,
    ip: IpAddr,
    modes: &[&str],
) -> anyhow::Result<()> {
    let mut commands = lines(&client.to_target);
    let auth = commands.iter().position(|line| line == "AUTH TLS\r\n");
    commands.remove(auth.context("the client sent no AUTH")?);
    let mut replies = lines(&client.to_client);
    let refusal = replies.iter().position(|line| line.starts_with("534 "));
    replies.remove(refusal.context("AUTH was not refused")?);

    let changed = changed(&commands, &lines(&server.to_target))?;
    let expected: Vec<&&str> = modes.iter().filter(|mode| !mode.ends_with("SV")).collect();
    ensure!(
        changed.len() == expected.len(),
        "changed commands: {changed:?}"
    );
    for ((from, to), verb) in changed.iter().zip(expected) {
        ensure!(from.starts_with(*verb), "{from:?}");
        only_the_address_differs(from, to, ip)?;
    }

    let changed = self::changed(&replies, &lines(&server.to_client))?;
    let expected: Vec<&&str> = modes.iter().filter(|mode| mode.ends_with("SV")).collect();
    ensure!(
        changed.len() == expected.len(),
        "changed replies: {changed:?}"
    );
    for ((from, to), verb) in changed.iter().zip(expected) {
        ensure!(
            from.starts_with(if **verb == *"PASV" { "227 " } else { "229 " }),
            "{from:?}"
        );
        only_the_address_differs(from, to, ip)?;
    }
    Ok(())
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The pairs of lines that are not the same on both sides.
fn changed(client: &[String], server: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    ensure!(
        client.len() == server.len(),
        "client: {client:#?}\nserver: {server:#?}"
    );
    let pairs = client.iter().cloned().zip(server.iter().cloned());
    Ok(pairs.filter(|(client, server)| client != server).collect())
}

/// On one host only the port changes: everything else must be the same to the last byte.
fn only_the_address_differs(client: &str, server: &str, ip: IpAddr) -> anyhow::Result<()> {
    let (before, port, after) = around_port(client).with_context(|| client.to_owned())?;
    let (server_before, server_port, server_after) =
        around_port(server).with_context(|| server.to_owned())?;
    ensure!(
        before == server_before && after == server_after && port != server_port,
        "{client:?} against {server:?}"
    );
    let address = ip
        .to_string()
        .replace('.', if client.contains(',') { "," } else { "." });
    // 229 names no address.
    ensure!(
        client.starts_with("229") || before.contains(&address),
        "{client:?}"
    );
    Ok(())
}

/// A line taken apart at its port: two numbers with a comma, or one between bars.
fn around_port(line: &str) -> Option<(&str, &str, &str)> {
    let end = line.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (start_at, numbers) = if line.contains('|') {
        ('|', 1)
    } else {
        (',', 2)
    };
    let start = line[..end].rmatch_indices(start_at).nth(numbers - 1)?.0 + 1;
    Some((&line[..start], &line[start..end], &line[end..]))
}

impl PlayedSession {
    /// Sends a command that must reach the server as it is.
    async fn command(&mut self, command: &str) -> anyhow::Result<()> {
        self.client.send(format!("{command}\r\n")).await?;
        self.server.expect(command).await
    }

    /// Sends a reply that must reach the client as it is.
    async fn passes(&mut self, reply: &str) -> anyhow::Result<()> {
        self.server.send(reply).await?;
        let seen = self.client.bytes(reply.len()).await?;
        ensure!(
            seen == reply.as_bytes(),
            "{reply:?} became {:?}",
            String::from_utf8_lossy(&seen)
        );
        Ok(())
    }

    /// Has the server announce a place, and returns the one that the client is told.
    async fn announces(&mut self, place: SocketAddr) -> anyhow::Result<SocketAddr> {
        self.command("EPSV").await?;
        self.server.send(written(EPSV_REPLY, place)).await?;
        let line = self.client.line().await?;
        let port = told(EPSV_REPLY, &line)?;
        Ok(SocketAddr::new(self.client.peer_addr()?.ip(), port))
    }

    async fn login(&mut self) -> anyhow::Result<()> {
        self.command("USER me").await?;
        self.passes("230 in\r\n").await
    }

    /// Announces a data port with `reply`, in which `A` stands for the address and `P` for the port in 227's spelling
    /// and `E` for the port as one number, and moves a byte each way through what the client is told.
    async fn passive(&mut self, command: &str, reply: &str) -> anyhow::Result<()> {
        let listener = ScriptedListener::bind().await?;
        self.command(command).await?;
        self.server.send(written(reply, listener.addr())).await?;
        let line = self.client.line().await?;
        let told = told(reply, &line)
            .with_context(|| format!("{reply:?} became {:?}", String::from_utf8_lossy(&line)))?;
        ensure!(told != listener.addr().port(), "the port was not rewritten");
        let to = SocketAddr::new(self.client.peer_addr()?.ip(), told);
        let mut client = Conversation::connect(to).await?;
        let mut server = listener.accept().await?;
        self.command("STOR x").await?;
        self.passes("150 go\r\n").await?;
        client.send("up").await?;
        client.finish().await?;
        ensure!(server.rest().await? == b"up");
        server.send("down").await?;
        server.finish().await?;
        ensure!(client.rest().await? == b"down");
        self.passes("226 done\r\n").await
    }
}

/// Also says where the port stands in it.
const EPSV_REPLY: &str = "229 Entering Extended Passive Mode (|||{E}|)\r\n";

/// The reply with an address in it.
fn written(reply: &str, address: SocketAddr) -> String {
    let ip = address.ip().to_string().replace('.', ",");
    let port = address.port();
    let halves = format!("{},{}", port >> 8, port & 255);
    reply
        .replace("{A}", &ip)
        .replace("{P}", &halves)
        .replace("{E}", &port.to_string())
}

/// The port in the reply as it reached the client, where everything around it is as in `reply`.
fn told(reply: &str, line: &[u8]) -> anyhow::Result<u16> {
    let line = std::str::from_utf8(line)?;
    let reply = reply.replace("{A}", "127,0,0,1");
    let field = if reply.contains("{P}") { "{P}" } else { "{E}" };
    let (before, after) = reply.split_once(field).context("no port in the reply")?;
    let middle = line
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    let middle = middle.context("something else changed too")?;
    match middle.split_once(',') {
        Some((high, low)) => Ok(u16::from_be_bytes([high.parse()?, low.parse()?])),
        None => Ok(middle.parse()?),
    }
}

async fn spellings() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    session.login().await?;
    // For the broker this changes nothing.
    session.command("EPSV ALL").await?;
    session.passes("200 ok\r\n").await?;
    let spellings = [
        ("PASV", "227 Entering Passive Mode ({A},{P}).\r\n"),
        ("PASV", "227 Entering Passive Mode ({A},{P})\r\n"),
        ("PASV", "227 PASV OK ({A},{P})\r\n"),
        ("PASV", "227 ={A},{P}\r\n"),
        (
            "PASV",
            "227 Data transfer will passively listen to {A},{P}\r\n",
        ),
        ("PASV", "227 Entering passive mode. {A},{P}\r\n"),
        ("PASV", "227 Entering Passive Mode ({A},{P})\n"),
        ("PASV", "227\tEntering Passive Mode ({A},{P})\r\n"),
        ("PASV", "227Entering Passive Mode ({A},{P})\r\n"),
        ("P@SW", "227 Entering Passive Mode ({A},{P}).\r\n"),
        ("pasv", "227 Entering Passive Mode ({A},{P}).\r\n"),
        ("EPSV", "229 Entering Extended Passive Mode (|||{E}|)\r\n"),
        ("EPSV", "229 Extended Passive mode OK (|||{E}|)\r\n"),
        ("EPSV", "229 Entering Extended Passive Mode (|||{E}|).\r\n"),
        ("EPSV", "229 Entering Extended Passive Mode (||| {E} |\r\n"),
        ("EPSV 1", "229 Entering Extended Passive Mode (!!!{E}!)\r\n"),
        ("EPSV", "229 Passive (|1|127.0.0.1|{E}|)\r\n"),
        ("LPSV", "228 Entering Long Passive Mode (4,4,{A},2,{P})\r\n"),
    ];
    for (number, (command, reply)) in spellings.iter().enumerate() {
        session
            .passive(command, reply)
            .await
            .with_context(|| (*reply).to_owned())?;
        // The control channel and one data channel each, so that nothing took another way.
        let opened = session.fixture.servers.ssh.counters().direct_opened;
        ensure!(opened == number + 2, "{reply:?}: {opened} channels");
    }
    Ok(())
}

async fn look_alikes() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    session.login().await?;
    let replies = [
        (
            "RETR x",
            "450 227 Entering Passive Mode (127,0,0,1,4,5): No such file\r\n",
        ),
        (
            "FEAT",
            "211-Features\r\n 227 Entering Passive Mode (127,0,0,1,4,5)\r\n 229 x (|||1029|)\r\n211 End\r\n",
        ),
        (
            "STAT",
            "213-227 Entering Passive Mode (127,0,0,1,4,5)\r\n 227 x (127,0,0,1,4,5)\r\n213 end\r\n",
        ),
        ("QUOTE", "227 Logout.\r\n"),
        ("PASV", "227 Entering Passive Mode ()\r\n"),
        ("EPSV", "229 Entering Extended Passive Mode\r\n"),
        ("NOOP", "200 bytes \u{1}\u{2} and \t227 (127,0,0,1,4,5)\r\n"),
    ];
    for (command, reply) in replies {
        session.command(command).await?;
        session.passes(reply).await?;
    }
    let unusable = [
        ("PASV", "227 Entering Passive Mode (127,0,0,1,4)\r\n"),
        ("PASV", "227 Entering Passive Mode (127,0,0,256,4,5)\r\n"),
        ("PASV", "227 Entering Passive Mode (127,0,0,1,0,0)\r\n"),
        ("PASV", "227 Entering Passive Mode (127,0,0,-1,4,5)\r\n"),
        ("EPSV", "229 Entering Extended Passive Mode (|||0|)\r\n"),
        ("EPSV", "229 Entering Extended Passive Mode (|||65536|)\r\n"),
        ("NOOP", "227 Entering Passive Mode (127,0,0,1,4,5)\r\n"),
    ];
    for (command, reply) in unusable {
        session.command(command).await?;
        session.server.send(reply).await?;
        let told = session.client.reply().await?;
        ensure!(told.starts_with("425 "), "{reply:?} became {told:?}");
    }
    session.client.send(b"SITE \xff\xfe\xe9\r\n").await?;
    let line = session.server.line().await?;
    ensure!(line == b"SITE \xff\xfe\xe9\r\n", "{line:?}");
    let counters = session.fixture.servers.ssh.counters();
    ensure!(
        counters.direct_opened + counters.direct_refused == 1,
        "{counters:?}"
    );
    // And what is meant is still understood.
    session.server.send("200 ok\r\n").await?;
    session.client.expect("200 ok").await?;
    session
        .passive("EPSV", "229 Entering Extended Passive Mode (|||{E}|)\r\n")
        .await
}

async fn lazy() -> anyhow::Result<()> {
    let lazy = Fixture::builder().tunnel(r#"data-open="lazy""#);
    let mut session = PlayedSession::start_with(lazy.ftp(Scripted)).await?;
    session.login().await?;
    // A data connection stands ready from now on, so that an early channel would be there at once.
    session.passive("EPSV", EPSV_REPLY).await?;
    let listener = ScriptedListener::bind().await?;
    let port = session.announces(listener.addr()).await?;
    for _ in 0..10 {
        session.command("NOOP").await?;
        session.passes("200 ok\r\n").await?;
    }
    let opened = session.fixture.servers.ssh.counters().direct_opened;
    ensure!(opened == 2, "{opened} channels before the client came");
    let mut client = Conversation::connect(port).await?;
    let mut server = listener.accept().await?;
    session.command("RETR x").await?;
    session.passes("150 go\r\n").await?;
    server.send("down").await?;
    server.finish().await?;
    ensure!(client.rest().await? == b"down");
    session.passes("226 done\r\n").await?;
    // Where nobody listens, the failure shows on the client's data connection, and in the reply.
    let nobody = ScriptedListener::bind().await?.addr();
    let port = session.announces(nobody).await?;
    let mut client = Conversation::connect(port).await?;
    ensure!(
        client.rest().await.is_err(),
        "the failure looks like an end"
    );
    session.command("RETR y").await?;
    session.server.send("226 done\r\n").await?;
    let reply = session.client.reply().await?;
    ensure!(reply.starts_with("42"), "{reply}");
    Ok(())
}

async fn pieces() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    session.login().await?;
    let listener = ScriptedListener::bind().await?;
    session.command("PASV").await?;
    let reply = written("227 Entering Passive Mode ({A},{P}).\r\n", listener.addr());
    for piece in reply.as_bytes().chunks(7) {
        session.server.send(piece).await?;
    }
    let line = session.client.text().await?;
    ensure!(
        line.starts_with("227 Entering Passive Mode (127,0,0,1,") && line != reply.trim_end(),
        "{line}"
    );
    // A segment that begins with what looks like a passive reply in the middle of a line.
    session.command("NOOP").await?;
    let line = "200 noise 227 Entering Passive Mode (127,0,0,1,4,5)\r\n";
    session.server.send(&line[..10]).await?;
    session.server.send(&line[10..]).await?;
    session.client.expect(line.trim_end()).await?;
    // A line longer than anything that is interpreted.
    session.command("STAT").await?;
    let long = format!("211 {}227 (127,0,0,1,4,5)\r\n", "x".repeat(200_000));
    session.passes(&long).await
}

async fn active_spellings() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    session.login().await?;
    let mut told = Vec::new();
    for (number, verb) in ["PORT", "EPRT", "port"].into_iter().enumerate() {
        let listener = ScriptedListener::bind().await?;
        let command = port_command(&verb.to_uppercase(), listener.addr());
        let command = command.replacen(&verb.to_uppercase(), verb, 1);
        session.client.send(format!("{command}\r\n")).await?;
        let line = session.server.text().await?;
        only_the_address_differs(&command.to_uppercase(), &line, Ipv4Addr::LOCALHOST.into())?;
        // The first was asked for when it was needed, each other one while the one before was in use.
        let granted = session.fixture.servers.ssh.counters().forwards_granted;
        ensure!(granted == number + 1, "{granted} forwards");
        let address = address_in(&line)?;
        ensure!(!told.contains(&address), "{address} again");
        told.push(address);
        session.passes("200 ok\r\n").await?;
        session.command("RETR x").await?;
        let mut server = Conversation::connect(address).await?;
        let mut client = listener.accept().await?;
        // It is taken back, and the next one made.
        let one_ahead =
            |c: &SshCounters| (c.forwards_granted, c.forwards_active) == (number + 2, 1);
        session
            .fixture
            .servers
            .ssh
            .wait_for(SOON, one_ahead)
            .await?;
        session.passes("150 go\r\n").await?;
        server.send("down").await?;
        server.finish().await?;
        ensure!(client.rest().await? == b"down");
        drop(client);
        session.passes("226 done\r\n").await?;
    }
    session.command("QUIT").await?;
    session.passes("221 bye\r\n").await?;
    drop((session.client, session.server));
    let all_cancelled = |c: &SshCounters| c.forwards_active == 0;
    session
        .fixture
        .servers
        .ssh
        .wait_for(SOON, all_cancelled)
        .await?;
    Ok(())
}

/// The address in a PORT or EPRT command.
fn address_in(command: &str) -> anyhow::Result<SocketAddr> {
    let (_, argument) = command.split_once(' ').context("no argument")?;
    if argument.starts_with('|') {
        let parts: Vec<&str> = argument.split('|').collect();
        return Ok(SocketAddr::new(parts[2].parse()?, parts[3].parse()?));
    }
    let numbers: Vec<u8> = argument
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let ip = Ipv4Addr::new(numbers[0], numbers[1], numbers[2], numbers[3]);
    Ok(SocketAddr::new(
        ip.into(),
        u16::from_be_bytes([numbers[4], numbers[5]]),
    ))
}

async fn active_refusals() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    session.login().await?;
    for command in [
        "PORT 127,0,0,1,256,1",
        "PORT 127,0,0,1,4",
        "PORT 127,0,0,1,-4,1",
        "PORT",
        "PORT383,0,0,1,31,144",
        "EPRT |1|127.0.0.1|65536|",
    ] {
        session.client.send(format!("{command}\r\n")).await?;
        let harmless = format!("{} ?", &command[..4]);
        session.server.expect(&harmless).await?;
        session.passes("501 no\r\n").await?;
    }
    for (command, family) in [
        ("EPRT |3|127.0.0.1|5000|", "(1,2)"),
        ("EPRT |2|2001:db8::1|5000|", "(1)"),
    ] {
        let reply = session.client.command(command).await?;
        ensure!(
            reply.starts_with("522 ") && reply.trim_end().ends_with(family),
            "{command:?} was answered {reply:?}"
        );
    }
    for command in [
        "PORT 192,0,2,7,100,1",
        "PORT 127,0,0,1,0,25",
        "EPRT |1|192.0.2.7|5000|",
        "EPRT |1|127.0.0.1|1023|",
    ] {
        let reply = session.client.command(command).await?;
        ensure!(
            reply.starts_with("504 "),
            "{command:?} was answered {reply:?}"
        );
    }
    // The next thing the server sees is this: none of those reached it.
    session.command("NOOP").await?;
    let counters = session.fixture.servers.ssh.counters();
    ensure!(counters.forwards_granted == 0, "{counters:?}");
    Ok(())
}

async fn families() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv6Addr::LOCALHOST.into()).await?;
    session.login().await?;
    session
        .passive("EPSV", "229 Entering Extended Passive Mode (|||{E}|)\r\n")
        .await?;
    // A 227 has no room for the client's kind of address.
    let listener = ScriptedListener::bind().await?;
    session.command("PASV").await?;
    session
        .server
        .send(written(
            "227 Entering Passive Mode ({A},{P}).\r\n",
            listener.addr(),
        ))
        .await?;
    let reply = session.client.reply().await?;
    ensure!(
        reply.starts_with("425 ") && reply.contains("EPSV"),
        "{reply}"
    );

    let listener = ScriptedListener::bind_on(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).await?;
    session
        .client
        .send(format!("{}\r\n", port_command("EPRT", listener.addr())))
        .await?;
    let line = session.server.text().await?;
    let address = address_in(&line)?;
    ensure!(
        address.ip() == Ipv4Addr::LOCALHOST,
        "the server was told {line:?}"
    );
    session.passes("200 ok\r\n").await?;
    session.command("STOR x").await?;
    let mut server = Conversation::connect(address).await?;
    let mut client = listener.accept().await?;
    session.passes("150 go\r\n").await?;
    client.send("up").await?;
    drop(client);
    ensure!(server.rest().await? == b"up");
    drop(server);
    session.passes("226 done\r\n").await
}

async fn auth_in_turn() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    session
        .client
        .send("FEAT\r\nAUTH TLS\r\nAUTH SSL\r\nNOOP\r\n")
        .await?;
    session.server.expect("FEAT").await?;
    session.server.send("211 none\r\n").await?;
    session.client.expect("211 none").await?;
    for _ in 0..2 {
        let reply = session.client.reply().await?;
        ensure!(
            reply.starts_with("534 ") && reply.contains("SSH"),
            "{reply}"
        );
    }
    session.server.expect("NOOP").await?;
    session.passes("200 ok\r\n").await
}

/// vsftpd takes all of these. On one host an address that was passed on works as well, so what counts is the channels.
async fn lenient_ports() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let mut ftp = FtpClient::connect(fixture.tunnel).await?;
    ftp.ask("USER anonymous", "331").await?;
    ftp.ask("PASS guest", "230").await?;
    let forms = ["{},", "{} x", " {}", "{}\0"];
    for form in forms {
        let listener = ScriptedListener::bind().await?;
        let command = port_command("PORT", listener.addr());
        ftp.ask(&form.replace("{}", &command), "200").await?;
        ftp.ask("RETR file", "150").await?;
        ensure!(listener.accept().await?.rest().await? == CONTENT);
        ftp.reply("226").await?;
    }
    // vsftpd counts to 255 and no further; others count on from 0.
    ftp.ask("PORT 127,0,0,1,31,400", "500").await?;
    ftp.ask("RETR file", "425").await?;
    expect_data_channels(&fixture.servers, Channels::default(), 0, forms.len()).await
}

/// What a browser sends for a page that means to drive the FTP server.
async fn web_page() -> anyhow::Result<()> {
    let mut session = PlayedSession::start(Ipv4Addr::LOCALHOST.into()).await?;
    let request = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nUSER anonymous\r\nPASS x\r\nMKD a\r\n";
    let reply = session.client.command(request).await?;
    ensure!(
        reply.starts_with("421 ") && reply.contains("HTTP"),
        "{reply}"
    );
    ensure!(
        session.server.rest().await? == b"",
        "the server saw some of it"
    );
    Ok(())
}
