//! Remote tunnels: the SSH server listens, and the broker connects to servers on its own side.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::client;
use testkit::dropbear::DropbearOptions;
use testkit::files::pattern;
use testkit::fixture::{Fixture, Scripted};
use testkit::netns::Netns;
use testkit::ports::unused_ports;
use testkit::profile::{Profile, Tunnel};
use testkit::scripted::End;
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::clients::CURL_MODES;
use crate::support::fixture::{CONTENT, SOON, embedded, real, real_with};
use crate::support::played::PlayedDownload;
use crate::support::sockets::{closed_port, eventually};
use crate::support::{INSIDE_AND_CURL, Need, REAL, trial};

const LIMIT: Duration = Duration::from_secs(30);

/// More than the buffers on the way hold.
const PAYLOAD: usize = 4 << 20;

const DROPBEAR: &[Need] = &[
    Need::Program("dropbear"),
    Need::Program("dropbearconvert"),
    Need::Program("vsftpd"),
    Need::Namespaces,
    Need::Program("unshare"),
    Need::Program("openssl"),
    Need::Program("curl"),
];
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("remote tunnels: TCP with a half-close", &[], echo),
        trial(
            "remote tunnels: a TCP destination that refuses",
            &[],
            tcp_refused,
        ),
        trial(
            "remote tunnels: FTP without an FTP server says why",
            &[],
            ftp_refused,
        ),
        trial("remote tunnels: through dropbear", DROPBEAR, dropbear),
        trial(
            "remote tunnels: a client elsewhere, in a namespace",
            INSIDE_AND_CURL,
            from_elsewhere,
        ),
        trial(
            "remote tunnels: a passive port in use for one IP version",
            REAL,
            port_in_use,
        ),
        trial(
            "remote tunnels: asked for again after a lost connection",
            REAL,
            again,
        ),
        trial(
            "remote tunnels: refused by the server's configuration",
            REAL,
            not_allowed,
        ),
        trial(
            "remote tunnels: opened and closed by broker-ctl",
            REAL,
            on_request,
        ),
        trial(
            "remote tunnels: a download that is cut is no success",
            &[],
            cut_download,
        ),
        trial(
            "remote tunnels: an upload that is cut is no success",
            &[],
            cut_upload,
        ),
        trial(
            "remote tunnels: a client that closes after the reply",
            &[],
            closes_late,
        ),
    ]
}

async fn echo() -> anyhow::Result<()> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let fixture = tcp(target.local_addr()?).await?;
    let sent = pattern(1, PAYLOAD);
    let mut client = TcpStream::connect(fixture.tunnel).await?;
    let (mut server, _) = timeout(SOON, target.accept()).await??;
    let serve = async {
        let mut all = Vec::new();
        server.read_to_end(&mut all).await?;
        server.write_all(&all).await?;
        server.shutdown().await
    };
    let (mut read, mut write) = client.split();
    let ask = async {
        write.write_all(&sent).await?;
        write.shutdown().await?;
        let mut all = Vec::new();
        read.read_to_end(&mut all).await?;
        Ok::<_, std::io::Error>(all)
    };
    let (back, served) = timeout(SOON, async { tokio::join!(ask, serve) }).await?;
    served?;
    ensure!(back? == sent, "what came back differs from what was sent");
    Ok(())
}

async fn tcp_refused() -> anyhow::Result<()> {
    let fixture = tcp(closed_port()?).await?;
    let mut client = TcpStream::connect(fixture.tunnel).await?;
    let read = timeout(SOON, client.read(&mut [0; 1])).await?;
    ensure!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    Ok(())
}

async fn tcp(to: SocketAddr) -> anyhow::Result<Fixture> {
    let only = move |mut profile: Profile| {
        profile.tunnels = vec![Tunnel::tcp(to).remote()];
        profile
    };
    embedded().profile(only).start().await
}

async fn ftp_refused() -> anyhow::Result<()> {
    let to = closed_port()?;
    let only = move |mut profile: Profile| {
        profile.tunnels = vec![Tunnel::ftp(to).remote()];
        profile
    };
    let fixture = embedded().profile(only).start().await?;
    let mut client = TcpStream::connect(fixture.tunnel).await?;
    let mut told = String::new();
    timeout(SOON, client.read_to_string(&mut told)).await??;
    let expected = format!("421 the FTP server {to} is not available");
    ensure!(told.starts_with(&expected), "{told}");
    Ok(())
}

async fn dropbear() -> anyhow::Result<()> {
    let password = DropbearOptions {
        password: "as in the profile",
    };
    let fixture = real().ssh(password).remote().start().await?;
    for (mode, options) in CURL_MODES {
        fetch(fixture.tunnel, options, CONTENT)
            .await
            .context(mode)?;
    }
    Ok(())
}

/// The client reaches only the SSH server, and the SSH server does not reach the FTP server.
async fn from_elsewhere() -> anyhow::Result<()> {
    let netns = Netns::create()?;
    let sshd = SshdOptions {
        bind: netns.inside_addr(),
        netns: Some(netns.clone()),
        extra_config: vec!["GatewayPorts clientspecified".into()],
        ..SshdOptions::default()
    };
    let fixture = real_with(sshd, VsftpdOptions::default())
        .listen(netns.inside_addr())
        .tunnel(r#"allow-relay="yes""#)
        .remote()
        .start()
        .await?;
    for (mode, options) in CURL_MODES {
        fetch(fixture.tunnel, options, CONTENT)
            .await
            .context(mode)?;
    }
    let announced = fixture.login().await?.announced("PASV").await?;
    ensure!(announced.ip() == netns.inside_addr(), "{announced}");
    Ok(())
}

/// sshd listens on the port for the other IP version then, and reports success.
async fn port_in_use() -> anyhow::Result<()> {
    let ports = unused_ports(2)?;
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, *ports.start())).await?;
    let range = format!("{}-{}", ports.start(), ports.end());
    let tunnel = format!(r#"allow-relay="yes" passive-ports="{range}""#);
    let fixture = real().tunnel(tunnel).remote().start().await?;

    // The port with which the broker begins is another one each time.
    for _ in 0..3 {
        fetch(fixture.tunnel, &[], CONTENT).await?;
    }
    Ok(())
}

async fn again() -> anyhow::Result<()> {
    let fixture = real().remote().start().await?;
    let (broker, servers) = (&fixture.broker, &fixture.servers);
    fetch(fixture.tunnel, &[], CONTENT).await?;
    for pid in servers.ssh.session_pids() {
        servers.ssh.kill_session(pid);
    }
    let listed = broker
        .wait_json(&["list-tunnel-listeners"], LIMIT, |listed| {
            let connected = listed[0]["state"] == "listening";
            connected && listed[0]["port"] != u64::from(fixture.tunnel.port())
        })
        .await?;
    let port = listed[0]["port"].as_u64().context("no port")?;
    let tunnel = SocketAddr::new(fixture.tunnel.ip(), u16::try_from(port)?);
    fetch(tunnel, &["--ftp-port", "-"], CONTENT).await
}

async fn not_allowed() -> anyhow::Result<()> {
    for (allowed, extra) in [
        ("local", None),
        ("no", None),
        ("yes", Some("PermitListen none")),
    ] {
        let sshd = SshdOptions {
            allow_tcp_forwarding: allowed,
            extra_config: extra.map(str::to_owned).into_iter().collect(),
            ..SshdOptions::default()
        };
        let fixture = real_with(sshd, VsftpdOptions::default()).start().await?;
        let spec = format!("ftp/0:{}", fixture.servers.ftp.addr());
        let asked = ["open-tunnel-listener", "-R", &spec, "id1"];
        let refused = fixture.broker.ctl(&asked).await?;
        ensure!(!refused.status.success(), "{allowed}: not refused");
        for part in [
            "refused to listen",
            "AllowTcpForwarding",
            "PermitListen",
            "GatewayPorts",
        ] {
            ensure!(refused.stderr.contains(part), "{}", refused.stderr);
        }
        let listed = fixture.broker.list(&["list-tunnel-listeners"]).await?;
        ensure!(listed.len() == 1, "it is still listed: {listed:?}");
    }
    Ok(())
}

async fn on_request() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let broker = &fixture.broker;
    let spec = format!("ftp/0:{}", fixture.servers.ftp.addr());
    let opened = broker
        .json(&["open-tunnel-listener", "-R", &spec, "id1"])
        .await?;
    ensure!(opened["side"] == "remote", "{opened}");
    let port = u16::try_from(opened["port"].as_u64().context("no port")?)?;
    ensure!(port != 0, "{opened}");
    let tunnel = SocketAddr::from(([127, 0, 0, 1], port));
    fetch(tunnel, &[], CONTENT).await?;
    let id = opened["id"].to_string();
    broker
        .ctl(&["close-tunnel-listener", &id])
        .await?
        .success()?;
    eventually("the server listens no longer", || {
        std::net::TcpStream::connect(tunnel).is_err()
    })
    .await
}

/// The SSH connection dies behind the last byte: the SSH server then ends the client's connection in order.
async fn cut_download() -> anyhow::Result<()> {
    let mut download = played("RETR file").await?;
    download.sender.send("all of it").await?;
    download.sender.finish().await?;
    download.receiver.bytes(9).await?;
    ensure!(download.receiver.end().await? == End::Orderly);
    download.session.server.send("226 done\r\n").await?;
    cut_data(&download);
    let told = download.session.client.reply().await?;
    ensure!(told.starts_with("426 "), "{told}");
    Ok(())
}

async fn cut_upload() -> anyhow::Result<()> {
    let mut upload = played("STOR file").await?;
    upload.receiver.send("half of it").await?;
    upload.sender.bytes(10).await?;
    cut_data(&upload);
    ensure!(
        upload.sender.end().await? == End::Reset,
        "it looks complete"
    );
    upload.session.server.send("226 done\r\n").await?;
    let told = upload.session.client.reply().await?;
    ensure!(told.starts_with("426 "), "{told}");
    Ok(())
}

/// Most clients close when they have everything. This one waits for the reply first.
async fn closes_late() -> anyhow::Result<()> {
    let mut download = played("RETR file").await?;
    download.sender.send("all of it").await?;
    download.sender.finish().await?;
    download.session.server.send("226 done\r\n").await?;
    download.receiver.bytes(9).await?;
    download.session.client.expect("226 done").await
}

async fn played(command: &str) -> anyhow::Result<PlayedDownload> {
    let builder = Fixture::builder().ftp(Scripted).remote();
    PlayedDownload::begin_with(builder, command).await
}

/// Kills all SSH connections but the first one, which carries the control connection.
fn cut_data(transfer: &PlayedDownload) {
    let ssh = &transfer.session.fixture.servers.ssh;
    for number in ssh.connections().into_iter().filter(|number| *number != 0) {
        ssh.kill_connection(number);
    }
}

async fn fetch(from: SocketAddr, options: &[&str], expected: &[u8]) -> anyhow::Result<()> {
    let url = format!("ftp://{from}/file");
    let fetched = client::curl([options, &[url.as_str()]].concat(), LIMIT).await?;
    let fetched = fetched.success()?;
    ensure!(fetched.stdout == expected, "something else came");
    Ok(())
}
