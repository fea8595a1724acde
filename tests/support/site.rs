//! A relay on a network with its clients, and servers that only the relay reaches.

use std::ffi::OsStr;
use std::net::SocketAddr;

use anyhow::ensure;
use testkit::broker::{Broker, BrokerOptions};
use testkit::ftp_client::FtpClient;
use testkit::lan::Lan;
use testkit::netns::Netns;
use testkit::peer::{FtpFiles, SshPeer};
use testkit::profile::{Profile, Tunnel};
use testkit::scripted::Conversation;
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use super::clients::Client::{Curl, Ftplib, Lftp, Tnftp};
use super::clients::Mode::{Eprt, Epsv, Pasv, Port};
use super::clients::{Client, Mode, Step};
use super::compare::same_bytes;
use super::fixture::{CONTENT, RealServers, real_with};

/// Where a relay listens: each has a namespace of its own, so no other program has the port.
pub(crate) const PORT: u16 = 2121;

/// The number of the servers' host on each network of servers.
const SERVERS: u8 = 5;

/// What each client can do over each family.
pub(crate) const CLIENTS: [(Client, &[Mode], &[Mode]); 4] = [
    (Curl, &[Pasv, Epsv, Port, Eprt], &[Epsv, Eprt]),
    (Lftp, &[Pasv, Epsv, Port], &[Epsv, Eprt]),
    (Tnftp, &[Pasv, Epsv, Port, Eprt], &[Epsv, Eprt]),
    (Ftplib, &[Pasv, Port], &[Epsv, Eprt]),
];

/// sshd and vsftpd in a namespace that only relays share a network with. vsftpd is on loopback there.
pub(crate) struct Backend {
    pub(crate) servers: RealServers,
    lan: Lan,
}

impl Backend {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let lan = Lan::create(9)?;
        let netns = lan.host(SERVERS)?;
        let sshd = SshdOptions {
            bind: lan.v4(SERVERS).into(),
            netns: Some(netns.clone()),
            ..SshdOptions::default()
        };
        let vsftpd = VsftpdOptions {
            netns: Some(netns),
            ..VsftpdOptions::default()
        };
        let servers = real_with(sshd, vsftpd).servers().await?;
        servers.ftp.put("file", CONTENT)?;
        Ok(Self { servers, lan })
    }

    /// Gives a relay a way to the servers.
    pub(crate) fn attach(&self, relay: &Netns, number: u8) -> anyhow::Result<()> {
        self.lan.attach(relay, number)
    }

    /// A profile with one tunnel that has these attributes.
    pub(crate) fn profile(&self, attributes: &str) -> anyhow::Result<Profile> {
        let profile = self.servers.ssh.profile()?;
        let mut tunnel = Tunnel::ftp(self.servers.ftp.addr()).with(attributes);
        tunnel.port = PORT;
        Ok(profile.tunnel(tunnel))
    }

    /// Starts a relay with one tunnel that has these attributes.
    pub(crate) async fn relay(
        &self,
        netns: &Netns,
        attributes: &str,
        hosts: Option<&str>,
    ) -> anyhow::Result<Broker> {
        let options = BrokerOptions {
            netns: Some(netns),
            hosts,
            ..BrokerOptions::default()
        };
        let attributes = format!(r#"allow-relay="yes" {attributes}"#);
        Broker::start_with(&self.profile(&attributes)?.config(), &options).await
    }
}

/// A client that has logged in from inside a namespace.
pub(crate) async fn login_from(netns: &Netns, to: SocketAddr) -> anyhow::Result<FtpClient> {
    FtpClient::login_on(connect_from(netns, to)?).await
}

/// A connection from inside a namespace.
pub(crate) fn connect_from(netns: &Netns, to: SocketAddr) -> anyhow::Result<Conversation> {
    Conversation::over(netns.connect(to)?)
}

/// Takes the file over a data connection from inside a namespace.
pub(crate) async fn fetched(
    ftp: &mut FtpClient,
    netns: &Netns,
    data: SocketAddr,
) -> anyhow::Result<()> {
    let mut data = connect_from(netns, data)?;
    ftp.ask("RETR file", "150").await?;
    ensure!(data.rest().await? == CONTENT, "something else came");
    ftp.reply("226").await?;
    Ok(())
}

/// A download and an upload in each mode.
pub(crate) async fn down_and_up(
    netns: &Netns,
    server: SocketAddr,
    client: Client,
    modes: &[Mode],
    backend: &Backend,
) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let local = home.path().join("file");
    for &mode in modes {
        let get = Step::Get(OsStr::new("file"), &local);
        client
            .perform_in(Some(netns), server, mode, get, home.path())
            .await?;
        same_bytes(&local, CONTENT)?;
        let put = Step::Put(&local, OsStr::new("stored"));
        client
            .perform_in(Some(netns), server, mode, put, home.path())
            .await?;
        let stored = backend.servers.ftp.file("stored");
        ensure!(
            stored.as_deref() == Some(CONTENT),
            "{client} {mode}: {stored:?}"
        );
        backend.servers.ftp.remove("stored");
    }
    Ok(())
}
