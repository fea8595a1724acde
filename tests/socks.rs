//! SOCKS tunnels: which requests are served and how others are answered, and that a data connection through one belongs
//! to its transfer.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, bail, ensure};
use libtest_mimic::Trial;
use testkit::client;
use testkit::files::pattern;
use testkit::fixture::{Fixture, Scripted};
use testkit::ftp_client::FtpClient;
use testkit::peer::FtpFiles;
use testkit::ports::unused_port;
use testkit::scripted::{Conversation, End, ScriptedListener};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::other_users::as_nobody;
use crate::support::fixture::{
    CONTENT, SOON, embedded, expect_transfers, failure, nothing_is_left,
};
use crate::support::sockets::eventually;
use crate::support::socks::{
    SocksFtp, command, connect, embedded_socks, places, request, through_socks,
};
use crate::support::{Need, trial};

/// More than the buffers on the way hold.
const LONG: usize = 64 << 20;

/// Clients of a tunnel that may take their time for their request at once.
const HANDSHAKES: usize = 256;

/// Sessions at once, each with a transfer of its own.
const SESSIONS: usize = 8;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("SOCKS: transfers both ways", &[], both_ways),
        trial("SOCKS: sessions at once", &[], at_once),
        trial("SOCKS: a cut is told", &[], cut),
        trial("SOCKS: a transfer is listed with its file", &[], listed),
        trial(
            "SOCKS: a connection to another port passes unchanged",
            &[],
            plain,
        ),
        trial("SOCKS: refusals have the code that fits", &[], codes),
        trial("SOCKS: a failed data connection is told", &[], data_refused),
        trial(
            "SOCKS: BIND and other protocols are refused",
            &[],
            not_connect,
        ),
        trial("SOCKS: a required login", &[Need::Program("curl")], login),
        trial(
            "SOCKS: a PORT that names a third party is refused",
            &[],
            third_party,
        ),
        trial(
            "SOCKS: a server that announces another's address gets nothing",
            &[],
            bounce,
        ),
        trial(
            "SOCKS: another user's request for an announced port",
            &[Need::Root, Need::Program("bash")],
            other_user,
        ),
        trial(
            "SOCKS: transfers do not count as sessions",
            &[],
            last_session,
        ),
        trial("SOCKS: clients that ask for nothing", &[], idle_crowd),
        trial("SOCKS: opened by a command", &[], by_command),
    ]
}

async fn both_ways() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (broker, listener, server) = places(&fixture);
    let mut client = SocksFtp::login(listener, server).await?;
    for name in ["first", "second"] {
        ensure!(client.fetch("file").await? == CONTENT);
        client.store(name, CONTENT).await?;
        ensure!(fixture.servers.ftp.file(name).as_deref() == Some(CONTENT));
    }
    let mut data = client.ftp.begin("PORT", "RETR file").await?;
    ensure!(data.rest().await? == CONTENT);
    client.ftp.reply("226").await?;
    expect_transfers(broker, 5).await
}

async fn at_once() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (broker, listener, server) = places(&fixture);
    let mut sessions = JoinSet::new();
    for number in 0..SESSIONS {
        let (name, content) = (format!("f{number}"), pattern(number as u64, 1 << 20));
        fixture.servers.ftp.put(&name, &content)?;
        sessions.spawn(async move {
            let mut client = SocksFtp::login(listener, server).await?;
            ensure!(client.fetch(&name).await? == content, "{name} differs");
            client.store(&format!("{name}.copy"), &content).await?;
            Ok(())
        });
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    expect_transfers(broker, 2 * SESSIONS).await
}

async fn cut() -> anyhow::Result<()> {
    let fixture = embedded_socks()
        .file("long", pattern(1, LONG))
        .start()
        .await?;
    let (_, listener, server) = places(&fixture);
    let mut client = SocksFtp::login(listener, server).await?;
    let mut data = client.passive("EPSV").await?;
    client.ftp.ask("RETR long", "150").await?;
    data.bytes(1).await?;
    let ssh = &fixture.servers.ssh;
    for number in ssh.connections().into_iter().filter(|number| *number > 0) {
        ssh.kill_connection(number);
    }
    ensure!(data.end().await? == End::Reset, "the data was not reset");
    failure(&mut client.ftp).await.map(drop)
}

async fn listed() -> anyhow::Result<()> {
    let fixture = embedded_socks()
        .file("long", pattern(1, LONG))
        .start()
        .await?;
    let (broker, listener, server) = places(&fixture);
    let mut client = SocksFtp::login(listener, server).await?;
    let to = client.announced("PASV").await?;
    let mut data = connect(listener, to).await?;
    client.ftp.ask("RETR long", "150").await?;
    data.bytes(1).await?;
    let channels = broker.list(&["list-channels"]).await?;
    let shown: Vec<_> = channels
        .iter()
        .map(|it| (&it["kind"], &it["target"], &it["command"]))
        .collect();
    ensure!(channels.len() == 2, "{shown:?}");
    ensure!(channels[0]["kind"] == "control" && channels[0]["target"] == server.to_string());
    ensure!(channels[0]["command"].is_null(), "{shown:?}");
    ensure!(channels[1]["kind"] == "data" && channels[1]["target"] == to.to_string());
    ensure!(channels[1]["command"] == "RETR long" && channels[1]["direction"] == "download");
    let listeners = broker.told(&["list-tunnel-listeners"]).await?;
    ensure!(
        listeners.contains("socks") && listeners.contains(" any "),
        "{listeners}"
    );
    Ok(())
}

async fn plain() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (broker, listener, _) = places(&fixture);
    let target = ScriptedListener::bind().await?;
    let (mut client, code) = request(listener, "localhost", target.addr().port()).await?;
    ensure!(code == 0, "code {code}");
    let mut server = target.accept().await?;
    client.send("question").await?;
    client.finish().await?;
    ensure!(server.rest().await? == b"question");
    let channels = broker.list(&["list-channels"]).await?;
    let leads = format!("localhost:{}", target.addr().port());
    ensure!(
        channels[0]["kind"] == "tcp" && channels[0]["target"] == leads,
        "{channels:?}"
    );
    server.send("answer").await?;
    server.finish().await?;
    ensure!(client.rest().await? == b"answer");
    nothing_is_left(broker, "list-channels").await
}

async fn codes() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (broker, listener, server) = places(&fixture);
    let closed = ScriptedListener::bind().await?.addr();
    let code = async |to: SocketAddr| {
        let (mut client, code) = request(listener, "127.0.0.1", to.port()).await?;
        ensure!(client.end().await? == End::Orderly, "not an orderly end");
        Ok(code)
    };
    ensure!(code(closed).await? == 5, "connection refused");
    broker.wait_log("did not open a channel to", SOON).await?;
    fixture.servers.ssh.set_allow_local_forward(false);
    ensure!(code(closed).await? == 2, "not allowed");
    // The control connection of an FTP session is refused in the same words.
    ensure!(code(server).await? == 2, "not allowed");
    fixture.servers.ssh.stop().await;
    fixture.servers.ssh.kill_all();
    let unreachable = code(closed).await?;
    ensure!(unreachable == 3, "network unreachable, but {unreachable}");
    Ok(())
}

async fn data_refused() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (_, listener, server) = places(&fixture);
    let mut client = SocksFtp::login(listener, server).await?;
    let to = client.announced("EPSV").await?;
    fixture.servers.ssh.set_allow_local_forward(false);
    let (_refused, code) = request(listener, "127.0.0.1", to.port()).await?;
    ensure!(code == 2, "code {code}");
    fixture.servers.ssh.set_allow_local_forward(true);
    // The session goes on.
    ensure!(client.fetch("file").await? == CONTENT);
    Ok(())
}

async fn not_connect() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (broker, listener, _) = places(&fixture);
    for number in [2, 3] {
        let mut client = Conversation::connect(listener).await?;
        client.send([5, 1, 0]).await?;
        client.bytes(2).await?;
        client.send(command(number, "127.0.0.1", 21)?).await?;
        let answer = client.rest().await?;
        ensure!(answer.get(..2) == Some(&[5, 7]), "{answer:?}");
    }
    let mut http = Conversation::connect(listener).await?;
    http.send("GET / HTTP/1.1\r\n\r\n").await?;
    broker
        .wait_log("the client speaks HTTP instead of SOCKS", SOON)
        .await
}

async fn login() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("password");
    let write = |password: &str| {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)?;
        writeln!(file, "{password}")
    };
    write("first")?;
    let attributes = format!(
        r#"socks-user="me" socks-password-file="{}""#,
        file.display()
    );
    let fixture = embedded_socks().tunnel(attributes).start().await?;
    let (_, listener, server) = places(&fixture);
    let url = format!("ftp://{server}/file");
    let fetch = async |options: &[&str]| {
        let proxy = listener.to_string();
        let arguments = [options, &[proxy.as_str(), url.as_str()]].concat();
        client::curl(arguments, SOON).await
    };
    let right = fetch(&["--proxy-user", "me:first", "--socks5"]).await?;
    ensure!(right.success()?.stdout == CONTENT);
    for options in [
        &["--proxy-user", "me:wrong", "--socks5"] as &[_],
        &["--proxy-user", "you:first", "--socks5"],
        &["--socks5"],
        &["--socks4"],
    ] {
        let output = fetch(options).await?;
        ensure!(!output.status.success(), "{options:?} was served");
    }
    write("second")?;
    let old = fetch(&["--proxy-user", "me:first", "--socks5"]).await?;
    ensure!(!old.status.success(), "the old password was taken");
    let new = fetch(&["--proxy-user", "me:second", "--socks5"]).await?;
    ensure!(new.success()?.stdout == CONTENT);
    Ok(())
}

async fn third_party() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (_, listener, server) = places(&fixture);
    let mut client = SocksFtp::login(listener, server).await?;
    for wrong in [
        "PORT 192,0,2,1,100,1",
        "EPRT |1|192.0.2.1|25601|",
        "PORT 127,0,0,1,0,22",
    ] {
        client.ftp.ask(wrong, "504").await?;
    }
    ensure!(client.fetch("file").await? == CONTENT);
    Ok(())
}

/// Whoever listens at the announced address gets what the client sends there, and not the server at its own.
async fn bounce() -> anyhow::Result<()> {
    let fixture = Fixture::builder().ftp(Scripted).profile(through_socks);
    let fixture = fixture.start().await?;
    let (listener, server) = (fixture.tunnel, fixture.servers.ftp.addr());
    let mut control = connect(listener, server).await?;
    let mut ftp = fixture.servers.ftp.accept().await?;
    ftp.send("220 ready\r\n").await?;
    control.expect("220 ready").await?;
    let port = unused_port()?;
    let other = ScriptedListener::bind_on((Ipv4Addr::new(127, 0, 0, 2), port).into()).await?;
    let own = ScriptedListener::bind_on(SocketAddr::new(server.ip(), port)).await?;
    control.send("PASV\r\n").await?;
    ftp.expect("PASV").await?;
    let (high, low) = (port >> 8, port & 255);
    ftp.send(format!("227 at (127,0,0,2,{high},{low})\r\n"))
        .await?;
    // The server is on the SSH server's own host, so its data connections are where its control connection is.
    let reply = control.reply().await?;
    ensure!(
        reply.contains(&format!("(127,0,0,1,{high},{low})")),
        "{reply}"
    );
    connect(listener, other.addr())
        .await?
        .send("to the other")
        .await?;
    tokio::select! {
        reached = other.accept() => ensure!(reached?.rest().await? == b"to the other"),
        _ = own.accept() => bail!("the server got a connection that was meant for another host"),
    }
    connect(listener, own.addr())
        .await?
        .send("to the server")
        .await?;
    ensure!(own.accept().await?.bytes(13).await? == b"to the server");
    Ok(())
}

async fn other_user() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (broker, listener, server) = places(&fixture);
    let mut client = SocksFtp::login(listener, server).await?;
    for _ in 0..2 {
        let to = client.announced("EPSV").await?;
        let stolen = thief(listener, to).await?;
        ensure!(stolen.contains("05 02"), "the thief read {stolen}");
        let mut data = connect(listener, to).await?;
        client.ftp.ask("RETR file", "150").await?;
        ensure!(data.rest().await? == CONTENT);
        client.ftp.reply("226").await?;
    }
    let warned = || broker.log().matches("data connection refused").count() == 2;
    eventually("both attempts are in the log", warned).await
}

/// Asks as nobody for this address, and returns what came, in hexadecimal.
async fn thief(listener: SocketAddr, to: SocketAddr) -> anyhow::Result<String> {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("\\x{byte:02x}"))
            .collect::<String>()
    };
    let (ip, port) = (listener.ip(), listener.port());
    let greeting = hex(&[5, 1, 0]);
    let asked = hex(&command(1, &to.ip().to_string(), to.port())?);
    let script = format!(
        "exec 3<>/dev/tcp/{ip}/{port}; printf '{greeting}' >&3; head -c 2 <&3 >/dev/null; \
         printf '{asked}' >&3; od -An -tx1 <&3"
    );
    let output = as_nobody("bash", &["-c", &script]).await?;
    Ok(output.text().trim().to_owned())
}

async fn last_session() -> anyhow::Result<()> {
    let fixture = embedded_socks()
        .tunnel(r#"max-sessions="1""#)
        .start()
        .await?;
    let (_, listener, server) = places(&fixture);
    let mut client = SocksFtp::login(listener, server).await?;
    ensure!(client.fetch("file").await? == CONTENT);
    let (_second, code) = request(listener, "127.0.0.1", server.port()).await?;
    ensure!(code == 1, "a second session got code {code}");
    client.ftp.ask("QUIT", "221").await?;
    drop(client);
    let served = async || {
        let mut ftp = SocksFtp::login(listener, server).await.ok()?;
        ftp.fetch("file").await.ok()
    };
    nothing_is_left(&fixture.broker, "list-channels").await?;
    ensure!(served().await.as_deref() == Some(CONTENT));
    Ok(())
}

/// However many connect and ask for nothing, they do not take the place of sessions, and they leave room when they leave.
async fn idle_crowd() -> anyhow::Result<()> {
    let fixture = embedded_socks().start().await?;
    let (broker, listener, server) = places(&fixture);
    let mut session = SocksFtp::login(listener, server).await?;
    let mut idle = Vec::new();
    for _ in 0..=HANDSHAKES {
        idle.push(Conversation::connect(listener).await?);
    }
    // One of them is refused, not necessarily the last.
    broker
        .wait_log("have not sent their SOCKS request yet", SOON)
        .await?;
    ensure!(broker.list(&["list-channels"]).await?.len() == 1);
    drop(idle);
    let room = async { while request(listener, "127.0.0.1", server.port()).await.is_err() {} };
    timeout(SOON, room).await.context("no room for requests")?;
    ensure!(session.fetch("file").await? == CONTENT);
    Ok(())
}

async fn by_command() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let server = fixture.servers.ftp.addr();
    let ports = format!("ftp-ports={}", server.port());
    let open = [
        "open-tunnel-listener",
        "-L",
        "socks/0",
        "--option",
        &ports,
        "work",
    ];
    let opened = fixture.broker.json(&open).await?;
    ensure!(
        opened["kind"] == "socks" && opened["dst_port"] == 0,
        "{opened:#}"
    );
    let port = opened["port"].as_u64().context("no port")?;
    let listener = SocketAddr::new([127, 0, 0, 1].into(), u16::try_from(port)?);
    ensure!(
        SocksFtp::login(listener, server)
            .await?
            .fetch("file")
            .await?
            == CONTENT
    );
    expect_transfers(&fixture.broker, 1).await?;
    let told = fixture
        .broker
        .told(&["open-tunnel-listener", "-L", "socks/0", "work"])
        .await?;
    ensure!(
        told.starts_with("Opened socks tunnel ") && told.contains(" to any "),
        "{told}"
    );
    let refused = fixture
        .broker
        .ctl(&["open-tunnel-listener", "-g", "-L", "socks/0", "work"])
        .await?;
    ensure!(refused.stderr.contains("needs a login"), "{refused:?}");
    // A name is looked up by the SSH server.
    let (control, code) = request(listener, "localhost", server.port()).await?;
    ensure!(code == 0, "code {code}");
    FtpClient::login_on(control).await.map(drop)
}
