//! `broker-ctl doctor`: which step it names for each fault, and what it says to do.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use broker_ipc::checks::{Outcome, Step};
use libtest_mimic::Trial;
use testkit::broker::Broker;
use testkit::fixture::Servers;
use testkit::keys::KeyPair;
use testkit::profile::{Tunnel, config, identity};
use testkit::scripted::{Conversation, ScriptedListener};
use testkit::sshd::{Sshd, SshdOptions};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::examined::{Examined, Home, WORK};
use crate::support::fixture::{CONTENT, embedded};
use crate::support::sockets::closed_port;
use crate::support::{Need, trial};

const SSHD: &[Need] = &[Need::Program("sshd")];

/// A packet on loopback that takes longer was dropped.
const DROPPED: std::time::Duration = std::time::Duration::from_millis(100);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("doctor: everything works", &[], everything_works),
        trial("doctor: everything works with sshd", SSHD, sshd_works),
        trial("doctor: a name that nobody knows", &[], unknown_name),
        trial("doctor: a closed port", &[], connection_refused),
        trial("doctor: an address that never answers", &[], black_hole),
        trial("doctor: a server that is no SSH server", &[], not_ssh),
        trial("doctor: an unknown host key", &[], unknown_host_key),
        trial("doctor: a changed host key", &[], changed_host_key),
        trial("doctor: a refused login", &[], refused_login),
        trial("doctor: forwarding denied", SSHD, forwarding_denied),
        trial("doctor: an FTP server that is down", &[], ftp_down),
        trial("doctor: a destination without FTP", &[], not_ftp),
        trial(
            "doctor: a passive port that is blocked",
            &[],
            passive_blocked,
        ),
        trial(
            "doctor: no listener for active mode",
            SSHD,
            no_remote_forward,
        ),
        trial("doctor: a faulty configuration", &[], faulty_configuration),
        trial("doctor: a target without a profile", &[], adhoc_target),
        trial(
            "doctor: all profiles, and lines for a person",
            &[],
            all_profiles,
        ),
        trial("doctor: beside a daemon", &[], beside_a_daemon),
    ]
}

/// The steps to an FTP server whose address is written in numbers.
const TO_FTP: [Step; 7] = [
    Step::Connect,
    Step::SshGreeting,
    Step::HostKey,
    Step::Login,
    Step::RoundTrip,
    Step::Channel,
    Step::FtpGreeting,
];

async fn everything_works() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let home = Home::new(&servers.profile()?.config())?;
    let plain = home.examine(&[WORK]).await?;
    ensure!(plain.status == Some(0), "{plain:#?}");
    plain.ok(&TO_FTP)?;
    plain.ok(&[Step::Configuration])?;
    ensure!(plain.step(Step::Daemon)?.outcome == Outcome::Skipped);
    let passive = plain.step(Step::Passive)?;
    ensure!(passive.outcome == Outcome::Skipped, "{plain:#?}");
    let logins = servers.ssh.counters().logins;
    let login = ["--ftp-user", "anonymous", "--get", "file"];
    let whole = home.examine(&[&[WORK], &login[..]].concat()).await?;
    whole.ok(&TO_FTP)?;
    whole.ok(&[
        Step::FtpLogin,
        Step::Passive,
        Step::Active,
        Step::Throughput,
    ])?;
    let fetched = &whole.step(Step::Throughput)?.text;
    let bytes = format!("{} bytes of file", CONTENT.len());
    ensure!(fetched.contains(&bytes), "{fetched}");
    ensure!(servers.ssh.counters().logins > logins);
    Ok(())
}

async fn sshd_works() -> anyhow::Result<()> {
    let builder = embedded().ssh(SshdOptions::default());
    let servers = builder.servers().await?;
    let examined = Examined::of(&servers.profile()?).await?;
    examined.ok(&TO_FTP)?;
    examined.ok(&[Step::Active])?;
    let version = &examined.step(Step::SshGreeting)?.text;
    ensure!(version.contains("SSH-2.0-OpenSSH"), "{version}");
    let reached = &examined.step(Step::Active)?.text;
    ensure!(reached.contains("connections there arrive"), "{reached}");
    let greetings = examined.checks.iter();
    let greetings = greetings.filter(|it| it.step == Step::SshGreeting).count();
    ensure!(greetings == 1, "one connection is shown: {examined:#?}");
    Ok(())
}

async fn unknown_name() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.host = "no-such-host.invalid".into();
    let examined = Examined::of(&profile).await?;
    examined.failed(Step::Name, "no-such-host.invalid", "check the name")
}

async fn connection_refused() -> anyhow::Result<()> {
    let gone = closed_port()?;
    let servers = embedded().servers().await?;
    let profile = servers.profile()?.at(gone);
    let examined = Examined::of(&profile).await?;
    let text = format!("connection refused at {gone}");
    examined.failed(Step::Connect, &text, "nothing listens on this port")
}

async fn black_hole() -> anyhow::Result<()> {
    // The kernel drops the packets of new connections once the queue is full.
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let silent = socket.listen(1)?;
    let address = silent.local_addr()?;
    let mut queue = Vec::new();
    while let Ok(connected) = timeout(DROPPED, TcpStream::connect(address)).await {
        queue.push(connected?);
    }
    let limit = r#"<tcp-connect-timeout time="1"/>"#;
    let servers = embedded().servers().await?;
    let profile = servers.profile()?;
    let examined = Examined::of(&profile.at(address).with(limit)).await?;
    let text = format!("no answer from {address} within 1 s");
    examined.failed(Step::Connect, &text, "firewalls")
}

async fn not_ssh() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let other = servers.ftp.addr();
    let limit = r#"<tcp-connect-timeout time="2"/>"#;
    let profile = servers.profile()?.at(other).with(limit);
    let examined = Examined::of(&profile).await?;
    examined.ok(&[Step::Connect])?;
    examined.failed(
        Step::SshGreeting,
        "is an FTP server, not an SSH server: it greeted with: 220 ",
        "check the port",
    )
}

async fn unknown_host_key() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.host_key.clear();
    let examined = Examined::of(&profile).await?;
    examined.ok(&[Step::SshGreeting])?;
    let target = servers.ssh.addr();
    let target = format!("broker-ctl trust-host {}#{}", target.ip(), target.port());
    examined.failed(Step::HostKey, "is unknown: ssh-ed25519 SHA256:", &target)
}

async fn changed_host_key() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.host_key = KeyPair::generate()?.public_openssh()?;
    let examined = Examined::of(&profile).await?;
    examined.failed(Step::HostKey, "has changed", "")?;
    let remedy = examined.step(Step::HostKey)?.remedy.as_deref();
    let remedy = remedy.context("no remedy")?;
    ensure!(remedy.contains("intercepting the connection"), "{remedy}");
    Ok(())
}

async fn refused_login() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let key = KeyPair::generate()?.write(directory.path(), "other")?;
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.login = identity(&key);
    let examined = Examined::of(&profile).await?;
    examined.ok(&[Step::HostKey])?;
    let tried = key.display().to_string();
    examined.failed(Step::Login, &tried, "authorized_keys")
}

async fn sshd_with(forwarding: &'static str) -> anyhow::Result<Servers<Sshd>> {
    let options = SshdOptions {
        allow_tcp_forwarding: forwarding,
        ..SshdOptions::default()
    };
    embedded().ssh(options).servers().await
}

async fn forwarding_denied() -> anyhow::Result<()> {
    let servers = sshd_with("no").await?;
    let examined = Examined::of(&servers.profile()?).await?;
    examined.ok(&[Step::Login, Step::RoundTrip])?;
    let remedy = "set AllowTcpForwarding yes";
    examined.failed(Step::Channel, "administratively prohibited", remedy)
}

async fn ftp_down() -> anyhow::Result<()> {
    let gone = closed_port()?;
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.tunnels = vec![Tunnel::ftp(gone)];
    let examined = Examined::of(&profile).await?;
    examined.ok(&[Step::Login])?;
    examined.failed(
        Step::Channel,
        &gone.to_string(),
        "check that the server runs there",
    )
}

async fn not_ftp() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.tunnels = vec![Tunnel::ftp(servers.ssh.addr())];
    let examined = Examined::of(&profile).await?;
    examined.failed(Step::FtpGreeting, "is an SSH server", "check dst-port")
}

/// Plays an FTP server that announces a port on which nobody listens.
async fn announces(ftp: &ScriptedListener, closed: SocketAddr) -> anyhow::Result<()> {
    loop {
        let conversation = ftp.accept().await?;
        serve(conversation, closed).await?;
    }
}

async fn serve(mut client: Conversation, closed: SocketAddr) -> anyhow::Result<()> {
    client.send("220 ready\r\n").await?;
    loop {
        let Ok(line) = client.line().await else {
            return Ok(());
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        let reply = match line.split_whitespace().next() {
            None => return Ok(()),
            Some("EPSV") => format!("229 at (|||{}|)\r\n", closed.port()),
            Some("LIST") => "150 here it comes\r\n425 nobody came\r\n".to_owned(),
            Some(_) => "200 done\r\n".to_owned(),
        };
        client.send(reply).await?;
    }
}

async fn passive_blocked() -> anyhow::Result<()> {
    let ftp = ScriptedListener::bind().await?;
    let closed = closed_port()?;
    let servers = embedded().servers().await?;
    let mut profile = servers.profile()?;
    profile.tunnels = vec![Tunnel::ftp(ftp.addr()).with(r#"active="no""#)];
    let home = Home::new(&profile.config())?;
    let examined = tokio::select! {
        examined = home.examine(&[WORK, "--ftp-user", "anonymous"]) => examined?,
        played = announces(&ftp, closed) => return played,
    };
    examined.ok(&[Step::FtpGreeting, Step::FtpLogin])?;
    let passive = examined.step(Step::Passive)?;
    ensure!(passive.outcome == Outcome::Failed, "{examined:#?}");
    ensure!(examined.status == Some(1));
    ensure!(passive.text.contains("425"), "{examined:#?}");
    let remedy = passive.remedy.as_deref().unwrap_or_default();
    ensure!(!remedy.is_empty(), "{examined:#?}");
    ensure!(examined.step(Step::Active)?.outcome == Outcome::Skipped);
    Ok(())
}

async fn no_remote_forward() -> anyhow::Result<()> {
    let servers = sshd_with("local").await?;
    let examined = Examined::of(&servers.profile()?).await?;
    examined.ok(&TO_FTP)?;
    let remedy = "AllowTcpForwarding yes or remote";
    examined.failed(Step::Active, "refused to listen on 127.0.0.1", "")?;
    let active = examined.step(Step::Active)?;
    let all = format!("{} {:?}", active.text, active.remedy);
    ensure!(all.contains(remedy), "{all}");
    Ok(())
}

async fn faulty_configuration() -> anyhow::Result<()> {
    let home = Home::new("<secsh-broker><profiles><profile/></profiles></secsh-broker>")?;
    let examined = home.examine(&[]).await?;
    let command = format!("broker-ctl check-config {}", home.config().display());
    examined.failed(Step::Configuration, "lacks the attribute `id`", &command)
}

async fn adhoc_target() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let ssh = servers.ssh.addr();
    let home = Home::new("<secsh-broker/>")?;
    let target = format!("user@localhost#{}", ssh.port());
    let ftp = servers.ftp.addr().to_string();
    let examined = home.examine(&[&target, "--ftp", &ftp]).await?;
    let name = examined.step(Step::Name)?;
    ensure!(name.text.contains("127.0.0.1"), "{examined:#?}");
    ensure!(name.target.as_ref() == Some(&target), "{examined:#?}");
    let failed = examined.step(Step::HostKey)?;
    ensure!(failed.outcome == Outcome::Failed, "{examined:#?}");
    Ok(())
}

async fn all_profiles() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let gone = closed_port()?;
    let broken = servers.profile()?.called("broken").at(gone);
    let home = Home::new(&config("", [servers.profile()?, broken]))?;
    let output = home.run(&["--ascii"]).await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let text = output.text();
    let refused = format!("connection refused at {gone}");
    for part in [
        "\nwork\nok      key pair",
        "\nFAILED  connect",
        refused.as_str(),
        "-> the host is there",
        "\n1 step failed: broken\n",
    ] {
        ensure!(text.contains(part), "no {part:?} in {text}");
    }
    Ok(())
}

async fn beside_a_daemon() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let mut profile = servers.profile()?;
    let mut second = servers.tunnel();
    second.port = taken.local_addr()?.port();
    profile = profile.tunnel(second);
    let broker = Broker::start(&profile.config(), &[]).await?;
    let examined = Examined::read(&broker.ctl(&["doctor", WORK, "--json"]).await?)?;
    // The daemon's own file is examined, though no option names it.
    let file = broker.config_file().display().to_string();
    let (running, failed) = match examined.checks.as_slice() {
        [running, failed, ..] => (running, failed),
        _ => anyhow::bail!("{examined:#?}"),
    };
    ensure!(running.outcome == Outcome::Ok, "{examined:#?}");
    let pid = format!("process {}", broker.process().pid());
    ensure!(running.text.contains(&pid) && running.text.contains(&file));
    ensure!(failed.step == Step::Daemon && failed.outcome == Outcome::Failed);
    let at = taken.local_addr()?.to_string();
    ensure!(failed.text.contains(&at), "{examined:#?}");
    ensure!(examined.step(Step::Configuration)?.text.contains(&file));
    examined.ok(&TO_FTP)?;
    ensure!(examined.status == Some(1), "{examined:#?}");
    Ok(())
}
