//! Another user of the same host cannot take a session's data connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::account::Account;
use testkit::broker::Broker;
use testkit::client::{self, Output};
use testkit::ftp_client::port_command;
use testkit::netns::Netns;
use testkit::peer::FtpFiles;
use testkit::programs::find_program;
use testkit::scripted::{Conversation, ScriptedListener};

use crate::support::fixture::{CONTENT, embedded};
use crate::support::sockets::eventually;
use crate::support::{Need, trial};

const NEEDS: &[Need] = &[Need::Root, Need::Program("bash")];

/// A small transfer on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// More than a listener's queue would be expected to hold.
const CROWD: usize = 200;

pub(crate) fn trials() -> Vec<Trial> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    vec![
        trial("other users: another's download, IPv4", NEEDS, move || {
            download(v4)
        }),
        trial("other users: another's download, IPv6", NEEDS, move || {
            download(v6)
        }),
        trial(
            "other users: another's download, by an address of the host that others reach",
            &[
                Need::Root,
                Need::Program("bash"),
                Need::Program("ip"),
                Need::Namespaces,
            ],
            reachable,
        ),
        trial("other users: a crowd at another's data port", NEEDS, crowd),
        trial("other users: another's upload", NEEDS, upload),
        trial(
            "other users: another's PORT at the data port of a download",
            NEEDS,
            deputy_download,
        ),
        trial(
            "other users: another's PORT at the data port of an upload",
            NEEDS,
            deputy_upload,
        ),
        trial(
            "other users: another's PORT at a port of the daemon's user",
            NEEDS,
            deputy_service,
        ),
        trial(
            "other users: every user may use the tunnel",
            &[Need::Root, Need::Program("curl")],
            own,
        ),
    ]
}

/// Runs a program as the user nobody.
pub(crate) async fn as_nobody(program: &str, args: &[&str]) -> anyhow::Result<Output> {
    let nobody = Account::named("nobody")?;
    let mut command = Command::new(find_program(program).context("it is not installed")?);
    command.args(args).current_dir("/");
    command.uid(nobody.uid).gid(nobody.gid);
    client::run(command, LIMIT).await
}

/// Connects as nobody, sends a few bytes, and returns what came.
async fn thief(to: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let (ip, port) = (to.ip(), to.port());
    let script = format!("exec 3<>/dev/tcp/{ip}/{port} && echo false >&3; cat <&3");
    Ok(as_nobody("bash", &["-c", &script]).await?.stdout)
}

/// Logs in as nobody, names a port that is not nobody's, and has the broker connect there for a transfer. Returns what the
/// FTP session said.
async fn deputise(tunnel: SocketAddr, port: SocketAddr, transfer: &str) -> anyhow::Result<String> {
    let (ip, tunnel_port) = (tunnel.ip(), tunnel.port());
    let named = port_command("PORT", port);
    let script = format!(
        r##"exec 3<>/dev/tcp/{ip}/{tunnel_port}; read -r line <&3
           for command in 'USER anonymous' 'PASS guest' 'TYPE I' '{named}' '{transfer}'; do
               printf '%s\r\n' "$command" >&3; read -r line <&3; echo "$line"
           done; read -r -t 5 line <&3; echo "$line""##
    );
    let said = as_nobody("bash", &["-c", &script]).await?.stdout;
    Ok(String::from_utf8(said)?)
}

async fn deputy_download() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    for round in 0..2 {
        let announced = ftp.announced("EPSV").await?;
        let said = deputise(fixture.tunnel, announced, "STOR loot").await?;
        let mut data = Conversation::connect(announced).await?;
        ftp.ask("RETR file", "150").await?;
        ensure!(data.rest().await? == CONTENT, "the thief was told {said}");
        ftp.reply("226").await?;
        let loot = fixture.servers.ftp.file("loot").unwrap_or_default();
        ensure!(loot.is_empty(), "{:?}", String::from_utf8_lossy(&loot));
        expect_refusals(&fixture.broker, round + 1).await?;
    }
    Ok(())
}

async fn deputy_upload() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    fixture.servers.ftp.put("evil", b"evil")?;
    let mut ftp = fixture.login().await?;
    let announced = ftp.announced("EPSV").await?;
    deputise(fixture.tunnel, announced, "RETR evil").await?;
    let mut data = Conversation::connect(announced).await?;
    ftp.ask("STOR stored", "150").await?;
    data.send(CONTENT).await?;
    data.finish().await?;
    ftp.reply("226").await?;
    ensure!(fixture.servers.ftp.file("stored").as_deref() == Some(CONTENT));
    expect_refusals(&fixture.broker, 1).await
}

/// A port of this test's, which runs as the daemon's user.
async fn deputy_service() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let service = ScriptedListener::bind().await?;
    let said = deputise(fixture.tunnel, service.addr(), "RETR file").await?;
    // Either end is one without a byte.
    let got = service.accept().await?.rest().await.unwrap_or_default();
    ensure!(got.is_empty(), "{got:?} came; {said}");
    expect_refusals(&fixture.broker, 1).await
}

async fn expect_refusals(broker: &Broker, count: usize) -> anyhow::Result<()> {
    let refused = "active data connection refused";
    let warned = || broker.log().matches(refused).count() == count;
    eventually("the refusals are in the log", warned).await
}

async fn download(ip: IpAddr) -> anyhow::Result<()> {
    let fixture = embedded()
        .listen(ip)
        .tunnel(r#"allow-relay="yes""#)
        .start()
        .await?;
    let mut ftp = fixture.login().await?;
    // The first one is opened before the client is told its port, later ones are not.
    for _ in 0..2 {
        let announced = ftp.announced("EPSV").await?;
        let stolen = thief(announced).await?;
        ensure!(stolen.is_empty(), "{:?}", String::from_utf8_lossy(&stolen));
        let mut data = Conversation::connect(announced).await?;
        ftp.ask("RETR file", "150").await?;
        ensure!(data.rest().await? == CONTENT);
        drop(data);
        ftp.reply("226").await?;
    }
    let warned = || {
        fixture
            .broker
            .log()
            .matches("data connection refused")
            .count()
            == 2
    };
    eventually("both attempts are in the log", warned).await?;
    Ok(())
}

/// A link makes this host an address that is not loopback.
async fn reachable() -> anyhow::Result<()> {
    let link = Netns::create()?;
    download(link.host_addr()).await
}

/// However many come first, the client gets its file, and the log stays short.
async fn crowd() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    let announced = ftp.announced("EPSV").await?;
    let (ip, port) = (announced.ip(), announced.port());
    let knock = format!("for n in {{1..{CROWD}}}; do : <>/dev/tcp/{ip}/{port}; done");
    as_nobody("bash", &["-c", &knock]).await?;
    let mut data = Conversation::connect(announced).await?;
    ftp.ask("RETR file", "150").await?;
    ensure!(data.rest().await? == CONTENT);
    ftp.reply("226").await?;
    let summed = format!("further={}", CROWD - 1);
    fixture.broker.wait_log(&summed, LIMIT).await?;
    let log = fixture.broker.log();
    let lines = log.lines().filter(|line| line.contains("refused"));
    ensure!(lines.count() == 2, "{log}");
    Ok(())
}

async fn upload() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    let announced = ftp.announced("EPSV").await?;
    ftp.control().send("STOR stored\r\n").await?;
    thief(announced).await?;
    let mut data = Conversation::connect(announced).await?;
    ftp.reply("150").await?;
    data.send(CONTENT).await?;
    data.finish().await?;
    ftp.reply("226").await?;
    ensure!(fixture.servers.ftp.file("stored").as_deref() == Some(CONTENT));
    Ok(())
}

/// Who owns the control connection owns the data connections, whoever runs the daemon.
async fn own() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let url = format!("ftp://{}/file", fixture.tunnel);
    let fetched = as_nobody("curl", &["--disable", "-sS", &url])
        .await?
        .success()?;
    ensure!(fetched.stdout == CONTENT, "{fetched:?}");
    Ok(())
}
