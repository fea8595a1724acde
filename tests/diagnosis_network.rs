//! Faults of the network and of whole hosts, found from `broker-ctl` alone: packets that are dropped, lines that stall or are
//! slow, peers that speak another protocol, and a daemon that hangs.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::files;
use testkit::fixture::Builder;
use testkit::netns::Netns;
use testkit::peer::FtpFiles;
use testkit::process::Process;
use testkit::profile::Profile;
use testkit::programs::PYTHON;
use testkit::relay::{Relay, RelayOptions};
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use crate::support::fixture::{SOON, real, real_with};
use crate::support::shown::{Fault, contains, fails, printed, works};
use crate::support::sockets::closed_port;
use crate::support::{Need, REAL_AND_CURL, trial};

const WEB: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("curl"),
    Need::Program("python3"),
];

const FIREWALL: &[Need] = &[
    Need::Program("ip"),
    Need::Program("nft"),
    Need::Namespaces,
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("curl"),
];

/// More than the buffers on the way hold.
const BIG: usize = 64 << 20;

/// What has been moved when the network stalls.
const MOVED: usize = 1 << 20;

/// A firewall that drops what comes from this host.
const DROP: &str = "add table inet fault; add chain inet fault in { type filter hook input priority 0; }; \
                    add rule inet fault in iifname eth0 drop";

const PASS: &str = "delete table inet fault";

/// A connection attempt ends soon, and a silent connection after four seconds without an answer to a question.
const IMPATIENT: &str = r#"<tcp-connect-timeout time="2"/><keepalive-interval time="2"/>"#;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "diagnosis: a firewall that drops packets",
            FIREWALL,
            black_hole,
        ),
        trial("diagnosis: a network that stalls", FIREWALL, stall),
        trial("diagnosis: a slow SSH server", REAL_AND_CURL, slow),
        trial("diagnosis: a web server for SSH", WEB, web_for_ssh),
        trial("diagnosis: a web server for FTP", WEB, web_for_ftp),
        trial(
            "diagnosis: a daemon that hangs",
            REAL_AND_CURL,
            daemon_hangs,
        ),
    ]
}

/// sshd in a namespace behind a firewall, and vsftpd with it.
fn behind_firewall() -> anyhow::Result<(Netns, Builder<SshdOptions, VsftpdOptions>)> {
    let netns = Netns::create()?;
    let sshd = SshdOptions {
        bind: netns.inside_addr(),
        netns: Some(netns.clone()),
        ..SshdOptions::default()
    };
    let vsftpd = VsftpdOptions {
        netns: Some(netns.clone()),
        ..VsftpdOptions::default()
    };
    Ok((netns, real_with(sshd, vsftpd).settings(IMPATIENT)))
}

async fn black_hole() -> anyhow::Result<()> {
    let (netns, builder) = behind_firewall()?;
    let rig = builder.start().await?;
    netns.filter(DROP)?;
    let server = format!("SSH server {}", rig.servers.ssh.addr());
    let says = [
        server.as_str(),
        "no answer",
        "a firewall may drop the packets",
    ];
    let fault = Fault {
        by: "ssh",
        says: &says,
    };
    fails(rig.tunnel, "file", &[]).await?;
    fault.is_found(&rig.broker).await?;
    netns.filter(PASS)?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

/// The broker says that nothing moves and that the server does not answer, before it gives up.
async fn stall() -> anyhow::Result<()> {
    let (netns, builder) = behind_firewall()?;
    let rig = builder.start().await?;
    let broker = &rig.broker;
    rig.servers.ftp.put("big", &files::pattern(1, BIG))?;
    let mut ftp = rig.login().await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(MOVED).await?;
    // With the spare connection, so that the stall meets no login.
    let all_up = |listed: &Value| {
        let states = (0..3).map(|index| listed[index]["state"].as_str());
        states
            .flatten()
            .filter(|state| *state != "connecting")
            .count()
            == 3
    };
    broker
        .wait_json(&["list-connections"], SOON, all_up)
        .await?;
    netns.filter(DROP)?;
    let silent = |listed: &Value| listed[0]["no_answer"].is_u64();
    broker.wait_json(&["list-profiles"], SOON, silent).await?;
    let listed = printed(broker, &["list-profiles"]).await?;
    contains(&listed, &["no answer for"])?;
    contains(
        &printed(broker, &["list-connections"]).await?,
        &["no answer for"],
    )?;
    let health = broker.ctl(&["health"]).await?;
    contains(&health.text(), &["WARNING", "no answer from SSH server"])?;

    let server = format!("the SSH connection to {} was lost", rig.servers.ssh.addr());
    let says = ["RETR big", server.as_str(), "no longer answers"];
    let fault = Fault {
        by: "ssh",
        says: &says,
    };
    broker.wait_log("transfer failed", SOON).await?;
    fault.is_shown(broker).await?;
    fault.is_logged_once(broker).await?;
    drop((data, ftp));
    netns.filter(PASS)?;
    works(rig.tunnel).await?;
    fault.is_kept(broker).await
}

/// The server greets at once, and the rest takes too long.
async fn slow() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let ssh = servers.ssh.addr();
    let line = Relay::start_with(RelayOptions {
        delay: Duration::from_millis(900),
        ..RelayOptions::to(ssh)
    });
    let line = line.await?;
    let profile = servers.profile()?.at(line.addr()).with(IMPATIENT);
    let broker = Broker::start(&profile.config(), &[]).await?;
    fails(broker.listener(0).await?, "file", &[]).await?;
    let server = format!("the SSH handshake with {}", line.addr());
    let says = [
        server.as_str(),
        "SSH-2.0-OpenSSH",
        "took longer than 2 s",
        "slow or overloaded",
    ];
    let fault = Fault {
        by: "ssh",
        says: &says,
    };
    fault.is_found(&broker).await
}

/// A web server, which waits for its client's first word.
async fn web_server() -> anyhow::Result<(Process, std::net::SocketAddr)> {
    let address = closed_port()?;
    let mut command = Command::new(PYTHON.find()?);
    let port = address.port().to_string();
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", &port]);
    let server = Process::spawn(command, None)?;
    server.wait_stdout("Serving HTTP", 1, SOON).await?;
    Ok((server, address))
}

async fn web_for_ssh() -> anyhow::Result<()> {
    let (_web, address) = web_server().await?;
    let servers = real().servers().await?;
    let profile = servers.profile()?.at(address).with(IMPATIENT);
    let broker = Broker::start(&profile.config(), &[]).await?;
    fails(broker.listener(0).await?, "file", &[]).await?;
    let server = address.to_string();
    let says = [server.as_str(), "not an SSH server", "check the port"];
    Fault {
        by: "ssh",
        says: &says,
    }
    .is_found(&broker)
    .await
}

/// It says nothing, so the client leaves first.
async fn web_for_ftp() -> anyhow::Result<()> {
    let (_web, address) = web_server().await?;
    let servers = real().servers().await?;
    let mut profile: Profile = servers.profile()?;
    profile.tunnels[0].to = address;
    let broker = Broker::start(&profile.config(), &[]).await?;
    fails(broker.listener(0).await?, "file", &["--max-time", "2"]).await?;
    let server = format!("the FTP server {address} opened, but no greeting");
    let says = [
        server.as_str(),
        "waits for another protocol",
        "check dst-port",
    ];
    let fault = Fault {
        by: "ftp-server",
        says: &says,
    };
    fault.is_found(&broker).await?;
    fault.is_logged_once(&broker).await
}

async fn daemon_hangs() -> anyhow::Result<()> {
    let rig = real().start().await?;
    let daemon = rig.broker.process();
    daemon.signal(Signal::STOP)?;
    let pid = format!("process {}", daemon.pid());
    let status = rig.broker.ctl(&["status"]).await?;
    ensure!(status.status.code() == Some(4), "{status:?}");
    contains(&status.stderr, &[&pid, "5 s"])?;
    let health = rig.broker.ctl(&["health"]).await?;
    ensure!(health.status.code() == Some(2), "{health:?}");
    contains(&health.text(), &["CRITICAL", &pid])?;
    daemon.signal(Signal::CONT)?;
    works(rig.tunnel).await
}
