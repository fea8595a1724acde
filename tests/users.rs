//! Another user of the same host cannot take a session's data connection.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::account::Account;
use testkit::broker::Broker;
use testkit::client::{self, Output};
use testkit::programs::find_program;
use testkit::scripted::Conversation;

use crate::support::ftp::Ftp;
use crate::support::rig::{CONTENT, Peers, ftp_tunnel};
use crate::support::sockets::eventually;
use crate::support::{Need, trial};

const NEEDS: &[Need] = &[Need::Root, Need::Program("bash")];

/// A small transfer on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    vec![
        trial("users: another's download, IPv4", NEEDS, move || {
            download(v4)
        }),
        trial("users: another's download, IPv6", NEEDS, move || {
            download(v6)
        }),
        trial("users: another's upload", NEEDS, upload),
        trial(
            "users: every user may use the tunnel",
            &[Need::Root, Need::Program("curl")],
            own,
        ),
    ]
}

async fn start(ip: IpAddr) -> anyhow::Result<(Peers, Broker, SocketAddr)> {
    let peers = Peers::start().await?;
    let tunnel = ftp_tunnel(ip, peers.ftp.addr(), "");
    let broker = Broker::start(&peers.embedded.login.config("", &tunnel), &[]).await?;
    let listens = broker.listener(0).await?;
    Ok((peers, broker, listens))
}

/// Runs a program as the user nobody.
async fn as_nobody(program: &str, args: &[&str]) -> anyhow::Result<Output> {
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

async fn download(ip: IpAddr) -> anyhow::Result<()> {
    let (_peers, broker, listens) = start(ip).await?;
    let mut ftp = Ftp::login(listens).await?;
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
    let warned = || broker.log().matches("data connection refused").count() == 2;
    eventually("both attempts are in the log", warned).await?;
    Ok(())
}

async fn upload() -> anyhow::Result<()> {
    let (peers, _broker, listens) = start(Ipv4Addr::LOCALHOST.into()).await?;
    let mut ftp = Ftp::login(listens).await?;
    let announced = ftp.announced("EPSV").await?;
    ftp.control().send("STOR stored\r\n").await?;
    thief(announced).await?;
    let mut data = Conversation::connect(announced).await?;
    ftp.reply("150").await?;
    data.send(CONTENT).await?;
    data.finish().await?;
    ftp.reply("226").await?;
    ensure!(fs::read(peers.root.path().join("stored"))? == CONTENT);
    Ok(())
}

/// Who owns the control connection owns the data connections, whoever runs the daemon.
async fn own() -> anyhow::Result<()> {
    let (_peers, _broker, listens) = start(Ipv4Addr::LOCALHOST.into()).await?;
    let url = format!("ftp://{listens}/file");
    let fetched = as_nobody("curl", &["--disable", "-sS", &url])
        .await?
        .success()?;
    ensure!(fetched.stdout == CONTENT, "{fetched:?}");
    Ok(())
}
