//! Each usual fault is found from `broker-ctl` alone: what failed, on what, whose fault it is, and what to do. It is shown
//! while it lasts and after it has passed, and the log has one warning about it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;
use testkit::broker::{Broker, write_private};
use testkit::client;
use testkit::files::write_pattern;
use testkit::keys::KeyPair;
use testkit::profile::{Profile, identity};
use testkit::programs::find_program;
use testkit::relay::Cut;
use testkit::sshd::SshdOptions;

use crate::support::failing_line::{ALIVE, Direction, FailingLine};
use crate::support::fixture::{RealServers, SOON, nothing_is_left, real};
use crate::support::shown::{Fault, contains, fails, printed, works};
use crate::support::sockets::closed_port;
use crate::support::{REAL_AND_CURL, trial};

/// A connection attempt ends soon.
const IMPATIENT: &str = r#"<tcp-connect-timeout time="2"/>"#;

/// Somebody at the SSH server, as `by` names it.
const SSH: &str = "ssh";
const FTP_SERVER: &str = "ftp-server";
const BROKER: &str = "broker";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("diagnosis: sshd is down", REAL_AND_CURL, sshd_down),
        trial("diagnosis: sshd hangs", REAL_AND_CURL, sshd_hangs),
        trial("diagnosis: the FTP server is down", REAL_AND_CURL, ftp_down),
        trial("diagnosis: the FTP server hangs", REAL_AND_CURL, ftp_hangs),
        trial(
            "diagnosis: a name that nobody knows",
            REAL_AND_CURL,
            unknown_name,
        ),
        trial(
            "diagnosis: a key that sshd has revoked",
            REAL_AND_CURL,
            revoked_key,
        ),
        trial("diagnosis: an expired certificate", REAL_AND_CURL, expired),
        trial(
            "diagnosis: a changed host key",
            REAL_AND_CURL,
            changed_host_key,
        ),
        trial(
            "diagnosis: forwarding is off",
            REAL_AND_CURL,
            forwarding_off,
        ),
        trial(
            "diagnosis: active mode is refused",
            REAL_AND_CURL,
            no_active_mode,
        ),
        trial(
            "diagnosis: a wrong FTP login",
            REAL_AND_CURL,
            wrong_ftp_login,
        ),
        trial("diagnosis: a full disk", REAL_AND_CURL, full_disk),
        trial(
            "diagnosis: a full disk in the middle",
            REAL_AND_CURL,
            full_midway,
        ),
        trial("diagnosis: no such file", REAL_AND_CURL, no_such_file),
        trial(
            "diagnosis: an SSH connection that is cut",
            REAL_AND_CURL,
            cut,
        ),
        trial("diagnosis: a port that is taken", REAL_AND_CURL, port_taken),
        trial(
            "diagnosis: too many sessions",
            REAL_AND_CURL,
            too_many_sessions,
        ),
        trial(
            "diagnosis: an FTP server for SSH",
            REAL_AND_CURL,
            ftp_for_ssh,
        ),
        trial("diagnosis: sshd for FTP", REAL_AND_CURL, ssh_for_ftp),
    ]
}

async fn sshd_down() -> anyhow::Result<()> {
    let mut rig = real().start().await?;
    rig.servers.ssh.kill();
    let server = format!("SSH server {}", rig.servers.ssh.addr());
    let says = [
        server.as_str(),
        "connection refused",
        "check that it runs there",
    ];
    let fault = Fault {
        by: SSH,
        says: &says,
    };
    fails(rig.tunnel, "file", &[]).await?;
    fault.is_found(&rig.broker).await?;
    contains(&printed(&rig.broker, &["list-profiles"]).await?, &says)?;
    rig.servers.ssh.restart().await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

/// The kernel accepts for a process that does nothing.
async fn sshd_hangs() -> anyhow::Result<()> {
    let rig = real().settings(IMPATIENT).start().await?;
    let sshd = rig.servers.ssh.process();
    sshd.signal(Signal::STOP)?;
    let server = format!("SSH server {} opened", rig.servers.ssh.addr());
    let says = [
        server.as_str(),
        "nothing came from there for 2 s",
        "the server hangs",
    ];
    let fault = Fault {
        by: SSH,
        says: &says,
    };
    fails(rig.tunnel, "file", &[]).await?;
    fault.is_found(&rig.broker).await?;
    sshd.signal(Signal::CONT)?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

async fn ftp_down() -> anyhow::Result<()> {
    let mut rig = real().start().await?;
    rig.servers.ftp.kill();
    let server = format!("did not open a channel to {}", rig.servers.ftp.addr());
    let says = [
        server.as_str(),
        "Connection refused",
        "check that the server runs there",
    ];
    let fault = Fault {
        by: FTP_SERVER,
        says: &says,
    };
    fails(rig.tunnel, "file", &[]).await?;
    fault.is_found(&rig.broker).await?;
    fault.is_logged_once(&rig.broker).await?;
    rig.servers.ftp.restart().await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

/// The client gives up before the server greets.
async fn ftp_hangs() -> anyhow::Result<()> {
    let rig = real().start().await?;
    let ftp = rig.servers.ftp.process();
    ftp.signal(Signal::STOP)?;
    let server = format!(
        "FTP server {} opened, but no greeting",
        rig.servers.ftp.addr()
    );
    let says = [server.as_str(), "the server hangs", "check dst-port"];
    let fault = Fault {
        by: FTP_SERVER,
        says: &says,
    };
    fails(rig.tunnel, "file", &["--max-time", "2"]).await?;
    fault.is_found(&rig.broker).await?;
    fault.is_logged_once(&rig.broker).await?;
    ftp.signal(Signal::CONT)?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

/// A daemon with a profile that is wrong, until somebody corrects the file.
struct Spoiled {
    broker: Broker,
    tunnel: SocketAddr,
    right: Profile,
    _servers: RealServers,
}

impl Spoiled {
    async fn start(
        servers: RealServers,
        spoil: impl FnOnce(Profile) -> Profile,
    ) -> anyhow::Result<Self> {
        let tunnel = closed_port()?;
        let mut right = servers.profile()?;
        right.tunnels[0].port = tunnel.port();
        let broker = Broker::start(&spoil(right.clone()).config(), &[]).await?;
        Ok(Self {
            broker,
            tunnel,
            right,
            _servers: servers,
        })
    }

    /// The fault is found, and kept after the file was corrected.
    async fn shows(self, fault: Fault<'_>) -> anyhow::Result<()> {
        fails(self.tunnel, "file", &[]).await?;
        fault.is_found(&self.broker).await?;
        write_private(&self.broker.config_file(), &self.right.config())?;
        self.broker.told(&["reload"]).await?;
        works(self.tunnel).await?;
        fault.is_kept(&self.broker).await
    }
}

async fn unknown_name() -> anyhow::Result<()> {
    let spoil = |mut profile: Profile| {
        profile.host = "no-such-host.invalid".into();
        profile
    };
    let says = [
        "no address for SSH server no-such-host.invalid",
        "check the name",
    ];
    let rig = Spoiled::start(real().servers().await?, spoil).await?;
    rig.shows(Fault {
        by: SSH,
        says: &says,
    })
    .await
}

async fn changed_host_key() -> anyhow::Result<()> {
    let other = KeyPair::generate()?.public_openssh()?;
    let spoil = |mut profile: Profile| {
        profile.host_key = other;
        profile
    };
    let servers = real().servers().await?;
    let server = format!("host key of {} has changed", servers.ssh.addr());
    let says = [
        server.as_str(),
        "intercepting",
        "change the profile's hostkey",
    ];
    let rig = Spoiled::start(servers, spoil).await?;
    rig.shows(Fault {
        by: SSH,
        says: &says,
    })
    .await
}

async fn ftp_for_ssh() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let other = servers.ftp.addr();
    let server = format!("SSH handshake with {other} failed");
    let says = [
        server.as_str(),
        "it is an FTP server, not an SSH server",
        "check the port",
    ];
    let rig = Spoiled::start(servers, |profile| profile.at(other)).await?;
    rig.shows(Fault {
        by: SSH,
        says: &says,
    })
    .await
}

async fn ssh_for_ftp() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let other = servers.ssh.addr();
    let server = format!("{other} is an SSH server, not an FTP server");
    let says = [server.as_str(), "SSH-2.0-OpenSSH", "check dst-port"];
    let spoil = |mut profile: Profile| {
        profile.tunnels[0].to = other;
        profile
    };
    let rig = Spoiled::start(servers, spoil).await?;
    rig.shows(Fault {
        by: FTP_SERVER,
        says: &says,
    })
    .await
}

/// sshd reads the list at each login.
async fn revoked_key() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let list = directory.path().join("revoked");
    fs::write(&list, "")?;
    let sshd = SshdOptions {
        extra_config: vec![format!("RevokedKeys {}", list.display())],
        ..SshdOptions::default()
    };
    let rig = real().ssh(sshd).start().await?;
    fs::write(&list, rig.servers.ssh.client_key().public_openssh()?)?;
    let key = rig.servers.ssh.identity_file().display().to_string();
    let user = format!("user {}", rig.servers.ssh.user());
    let says = [key.as_str(), user.as_str(), "authorized_keys"];
    let fault = Fault {
        by: SSH,
        says: &says,
    };
    fails(rig.tunnel, "file", &[]).await?;
    fault.is_found(&rig.broker).await?;
    fs::write(&list, "")?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

async fn expired() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let keygen = async |args: &[&str]| {
        let mut keygen = Command::new(find_program("ssh-keygen").context("no ssh-keygen")?);
        keygen.current_dir(directory.path()).arg("-q").args(args);
        client::run(keygen, SOON).await?.success()
    };
    keygen(&["-t", "ed25519", "-N", "", "-f", "ca"]).await?;
    keygen(&["-t", "ed25519", "-N", "", "-f", "key"]).await?;
    keygen(&["-s", "ca", "-I", "test", "-V", "-3d:-2d", "key.pub"]).await?;
    let key = directory.path().join("key");
    let spoil = |mut profile: Profile| {
        profile.login = identity(&key);
        profile
    };
    let certificate = format!("{}-cert.pub (expired 2 days ago", key.display());
    let says = [certificate.as_str(), "request a new one"];
    let rig = Spoiled::start(real().servers().await?, spoil).await?;
    rig.shows(Fault {
        by: SSH,
        says: &says,
    })
    .await
}

async fn forwarding_off() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let included = directory.path().join("sshd.conf");
    fs::write(&included, "AllowTcpForwarding no\n")?;
    let sshd = SshdOptions {
        extra_config: vec![format!("Include {}", included.display())],
        ..SshdOptions::default()
    };
    let mut rig = real().ssh(sshd).start().await?;
    let to = format!("channel to {}", rig.servers.ftp.addr());
    let says = [
        to.as_str(),
        "administratively prohibited",
        "AllowTcpForwarding yes",
    ];
    let fault = Fault {
        by: SSH,
        says: &says,
    };
    fails(rig.tunnel, "file", &[]).await?;
    fault.is_found(&rig.broker).await?;
    fault.is_logged_once(&rig.broker).await?;
    fs::write(&included, "")?;
    rig.servers.ssh.restart().await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

async fn full_disk() -> anyhow::Result<()> {
    let rig = real().start().await?;
    symlink("/dev/full", rig.servers.ftp.root().join("full"))?;
    let local = rig.broker.config_file().display().to_string();
    fails(rig.tunnel, "full", &["--append", "--upload-file", &local]).await?;
    let says = ["APPE full", "451 Failure writing to local file"];
    let fault = Fault {
        by: FTP_SERVER,
        says: &says,
    };
    fault.is_found(&rig.broker).await?;
    fault.is_logged_once(&rig.broker).await?;
    in_transfers(&rig.broker, &["failed", "/full", says[1]]).await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

/// The FTP server closes the data connection while the client still sends.
async fn full_midway() -> anyhow::Result<()> {
    let rig = real().start().await?;
    symlink("/dev/full", rig.servers.ftp.root().join("full"))?;
    let directory = tempfile::tempdir()?;
    let big = directory.path().join("big");
    write_pattern(&big, 1, 32 << 20)?;
    let big = big.display().to_string();
    fails(rig.tunnel, "full", &["--append", "--upload-file", &big]).await?;
    let says = ["APPE full", "451 Failure writing to local file"];
    let fault = Fault {
        by: FTP_SERVER,
        says: &says,
    };
    fault.is_found(&rig.broker).await?;
    fault.is_logged_once(&rig.broker).await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

/// The list of transfers shows this.
async fn in_transfers(broker: &Broker, says: &[&str]) -> anyhow::Result<()> {
    contains(&printed(broker, &["list-transfers"]).await?, says)
}

async fn no_such_file() -> anyhow::Result<()> {
    let rig = real().start().await?;
    let mut ftp = rig.login().await?;
    ftp.ask("PWD", "257").await?;
    let unused = ftp.passive("EPSV").await?;
    ftp.ask("RETR missing", "550").await?;
    drop((ftp, unused));
    in_transfers(
        &rig.broker,
        &["refused", "/missing", "550 Failed to open file"],
    )
    .await?;
    let logged = rig.broker.log();
    let lines = logged
        .lines()
        .filter(|line| line.contains("550 Failed to open file"));
    let lines: Vec<_> = lines.filter(|line| line.contains(" INFO ")).collect();
    ensure!(lines.len() == 1, "{lines:#?}");
    works(rig.tunnel).await?;
    in_transfers(
        &rig.broker,
        &["refused", "/missing", "550 Failed to open file"],
    )
    .await
}

async fn cut() -> anyhow::Result<()> {
    let rig = FailingLine::start(ALIVE).await?;
    let mut ftp = rig.login().await?;
    let data = rig.middle(&mut ftp, Direction::Download, "EPSV").await?;
    rig.line().cut_all(Cut::Reset);
    ftp.reply("").await?;
    drop((ftp, data));
    let server = rig.line().addr().to_string();
    let says = ["RETR big", server.as_str(), "SSH connection", "lost"];
    let fault = Fault {
        by: SSH,
        says: &says,
    };
    fault.is_found(rig.broker()).await?;
    fault.is_logged_once(rig.broker()).await?;
    in_transfers(rig.broker(), &["cut", "RETR big", "SSH connection"]).await?;
    works(rig.fixture.tunnel).await?;
    fault.is_kept(rig.broker()).await
}

async fn port_taken() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let mut profile = servers.profile()?;
    profile.tunnels[0].port = address.port();
    let broker = Broker::start(&profile.config(), &[]).await?;
    let at = address.to_string();
    let pid = format!("process {}", std::process::id());
    let says = [
        at.as_str(),
        "in use by",
        pid.as_str(),
        "end it, or choose another listen-port",
    ];
    let listed = printed(&broker, &["list-tunnel-listeners"]).await?;
    contains(&listed, &["failed"])?;
    contains(&listed, &says)?;
    let fault = Fault {
        by: BROKER,
        says: &says,
    };
    fault.is_found(&broker).await?;
    fault.is_logged_once(&broker).await?;
    drop(taken);
    let listens = |listed: &Value| listed[0]["state"] == "listening";
    broker
        .wait_json(&["list-tunnel-listeners"], SOON, listens)
        .await?;
    works(address).await?;
    fault.is_kept(&broker).await
}

async fn too_many_sessions() -> anyhow::Result<()> {
    let rig = real().tunnel(r#"max-sessions="1""#).start().await?;
    let first = rig.login().await?;
    fails(rig.tunnel, "file", &[]).await?;
    let says = [
        "this tunnel already serves 1 session, its max-sessions",
        "try again later",
    ];
    let fault = Fault {
        by: BROKER,
        says: &says,
    };
    fault.is_found(&rig.broker).await?;
    drop(first);
    nothing_is_left(&rig.broker, "list-sessions").await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

async fn no_active_mode() -> anyhow::Result<()> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: "local",
        ..SshdOptions::default()
    };
    let rig = real().ssh(sshd).start().await?;
    let server = format!("SSH server {}", rig.servers.ssh.addr());
    let says = [
        server.as_str(),
        "refused to listen",
        "AllowTcpForwarding yes or remote",
    ];
    let fault = Fault {
        by: SSH,
        says: &says,
    };
    fails(rig.tunnel, "file", &["--ftp-port", "-"]).await?;
    fault.is_found(&rig.broker).await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}

/// No fault of the tunnel, but a person who asks finds it.
async fn wrong_ftp_login() -> anyhow::Result<()> {
    let rig = real().start().await?;
    fails(rig.tunnel, "file", &["--user", "nobody-here:wrong"]).await?;
    let says = ["530", "nobody-here"];
    let fault = Fault {
        by: FTP_SERVER,
        says: &says,
    };
    fault.is_shown(&rig.broker).await?;
    works(rig.tunnel).await?;
    fault.is_kept(&rig.broker).await
}
