//! `broker-ctl doctor` for tunnels that need more than an FTP server behind the SSH server: remote ones, SOCKS, TLS; and the
//! keys of the profile.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::ensure;
use broker_ipc::checks::{Check, Outcome, Step};
use libtest_mimic::Trial;
use testkit::certificates::Authority;
use testkit::fixture::Servers;
use testkit::keys::KeyPair;
use testkit::netns::Netns;
use testkit::profile::{Profile, Tunnel};
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};

use crate::support::examined::Examined;
use crate::support::fixture::{real, real_with};
use crate::support::sockets::closed_port;
use crate::support::{INSIDE, Need, REAL, trial};

const SSHD: &[Need] = &[Need::Program("sshd")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("doctor: a remote tunnel", REAL, remote),
        trial(
            "doctor: a remote tunnel that the SSH server does not permit",
            REAL,
            remote_denied,
        ),
        trial(
            "doctor: a remote tunnel whose port is taken there",
            REAL,
            remote_port_taken,
        ),
        trial(
            "doctor: a remote tunnel whose destination is down",
            REAL,
            remote_without_destination,
        ),
        trial(
            "doctor: a remote tunnel without GatewayPorts",
            INSIDE,
            || gateway_ports("no"),
        ),
        trial("doctor: a remote tunnel with GatewayPorts", INSIDE, || {
            gateway_ports("yes")
        }),
        trial("doctor: a SOCKS tunnel", REAL, socks),
        trial(
            "doctor: a SOCKS tunnel without forwarding",
            REAL,
            socks_denied,
        ),
        trial("doctor: TLS that passes", TLS, tls_passes),
        trial(
            "doctor: TLS that passes to a server without it",
            REAL,
            tls_missing,
        ),
        trial("doctor: the broker's own certificate", REAL, certificate),
        trial("doctor: a public key of another key", SSHD, key_pair),
    ]
}

const TLS: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("openssl"),
];

/// A step with this outcome and these texts.
fn found(examined: &Examined, step: Step, outcome: Outcome, says: &[&str]) -> anyhow::Result<()> {
    let check: &Check = examined.step(step)?;
    let text = format!(
        "{} {}",
        check.text,
        check.remedy.as_deref().unwrap_or_default()
    );
    ensure!(check.outcome == outcome, "{examined:#?}");
    for part in says {
        ensure!(text.contains(part), "no {part:?}: {examined:#?}");
    }
    Ok(())
}

async fn remote_to_ftp(
    sshd: SshdOptions,
    change: impl FnOnce(Tunnel) -> Tunnel,
) -> anyhow::Result<(Servers<Sshd, Vsftpd>, Examined)> {
    let servers = real_with(sshd, VsftpdOptions::default()).servers().await?;
    let mut profile = servers.profile()?;
    profile.tunnels = vec![change(servers.tunnel().remote())];
    let examined = Examined::of(&profile).await?;
    Ok((servers, examined))
}

async fn remote() -> anyhow::Result<()> {
    let (servers, examined) = remote_to_ftp(SshdOptions::default(), |tunnel| tunnel).await?;
    let ftp = servers.ftp.addr().to_string();
    found(
        &examined,
        Step::Listener,
        Outcome::Ok,
        &["listens on 127.0.0.1:"],
    )?;
    found(&examined, Step::Destination, Outcome::Ok, &[&ftp])?;
    found(&examined, Step::FtpGreeting, Outcome::Ok, &["220 (vsFTPd)"])?;
    ensure!(examined.status == Some(0), "{examined:#?}");
    Ok(())
}

async fn remote_denied() -> anyhow::Result<()> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: "local",
        ..SshdOptions::default()
    };
    let (_servers, examined) = remote_to_ftp(sshd, |tunnel| tunnel).await?;
    let says = [
        "refused to listen on 127.0.0.1",
        "AllowTcpForwarding yes or remote",
    ];
    found(&examined, Step::Listener, Outcome::Failed, &says)?;
    ensure!(examined.status == Some(1), "{examined:#?}");
    Ok(())
}

async fn remote_port_taken() -> anyhow::Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let (_servers, examined) = remote_to_ftp(SshdOptions::default(), |mut tunnel| {
        tunnel.port = port;
        tunnel
    })
    .await?;
    let at = format!("but not on 127.0.0.1:{port}");
    found(
        &examined,
        Step::Listener,
        Outcome::Warning,
        &[&at, "end what has the port"],
    )
}

async fn remote_without_destination() -> anyhow::Result<()> {
    let gone = closed_port()?;
    let (_servers, examined) = remote_to_ftp(SshdOptions::default(), |mut tunnel| {
        tunnel.to = gone;
        tunnel
    })
    .await?;
    let at = gone.to_string();
    found(
        &examined,
        Step::Destination,
        Outcome::Failed,
        &[&at, "this host connects to it"],
    )
}

/// sshd without GatewayPorts listens on loopback, and reports success.
async fn gateway_ports(setting: &'static str) -> anyhow::Result<()> {
    let netns = Netns::create()?;
    let sshd = SshdOptions {
        bind: netns.inside_addr(),
        netns: Some(netns.clone()),
        extra_config: vec![format!("GatewayPorts {setting}")],
        ..SshdOptions::default()
    };
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let allowed = r#"allow-relay="yes""#;
    let (servers, examined) = remote_to_ftp(sshd, |tunnel| tunnel.on(all).with(allowed)).await?;
    let address = servers.ssh.addr().ip().to_string();
    match setting {
        "no" => {
            let says = [address.as_str(), "set GatewayPorts clientspecified"];
            found(&examined, Step::Listener, Outcome::Warning, &says)
        }
        _ => {
            let says = [address.as_str(), "arrive"];
            found(&examined, Step::Listener, Outcome::Ok, &says)
        }
    }
}

async fn with_socks(forwarding: &'static str) -> anyhow::Result<Examined> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: forwarding,
        ..SshdOptions::default()
    };
    let servers = real().ssh(sshd).servers().await?;
    let mut profile = servers.profile()?;
    profile.tunnels = vec![Tunnel::socks(servers.ftp.addr())];
    Examined::of(&profile).await
}

async fn socks() -> anyhow::Result<()> {
    let examined = with_socks("yes").await?;
    found(
        &examined,
        Step::Channel,
        Outcome::Ok,
        &["opens channels for SOCKS clients"],
    )?;
    ensure!(examined.status == Some(0), "{examined:#?}");
    Ok(())
}

async fn socks_denied() -> anyhow::Result<()> {
    let examined = with_socks("no").await?;
    let says = ["administratively prohibited", "AllowTcpForwarding yes"];
    found(&examined, Step::Channel, Outcome::Failed, &says)
}

async fn with_tls(vsftpd: VsftpdOptions) -> anyhow::Result<Examined> {
    let servers = real_with(SshdOptions::default(), vsftpd).servers().await?;
    let mut profile = servers.profile()?;
    profile.tunnels = vec![servers.tunnel().with(r#"tls="pass""#)];
    Examined::of(&profile).await
}

async fn tls_passes() -> anyhow::Result<()> {
    let vsftpd = VsftpdOptions {
        tls: true,
        ..VsftpdOptions::default()
    };
    found(
        &with_tls(vsftpd).await?,
        Step::Tls,
        Outcome::Ok,
        &["begins TLS: 234"],
    )
}

async fn tls_missing() -> anyhow::Result<()> {
    let examined = with_tls(VsftpdOptions::default()).await?;
    let says = ["refuses TLS: 530", "switch TLS on"];
    found(&examined, Step::Tls, Outcome::Warning, &says)
}

async fn certificate() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    authority.issue()?;
    let servers = real().servers().await?;
    let mut profile: Profile = servers.profile()?;
    profile.tunnels = vec![servers.tunnel().with(&authority.tunnel())];
    let examined = Examined::of(&profile).await?;
    found(
        &examined,
        Step::Certificate,
        Outcome::Ok,
        &["127.0.0.1", "more days"],
    )
}

async fn key_pair() -> anyhow::Result<()> {
    let servers = real().ssh(SshdOptions::default()).servers().await?;
    let profile = servers.profile()?;
    let key = servers.ssh.identity_file();
    let whole = Examined::of(&profile).await?;
    found(
        &whole,
        Step::KeyPair,
        Outcome::Ok,
        &["belong together: SHA256:"],
    )?;
    let public = key.with_extension("pub");
    fs::write(&public, KeyPair::generate()?.public_openssh()?)?;
    let mixed = Examined::of(&profile).await?;
    let command = format!("ssh-keygen -y -f {} > {}", key.display(), public.display());
    found(
        &mixed,
        Step::KeyPair,
        Outcome::Warning,
        &["another key", &command],
    )?;
    let login = mixed.step(Step::Login)?.outcome;
    ensure!(login == Outcome::Ok, "the key itself works: {mixed:#?}");
    Ok(())
}
