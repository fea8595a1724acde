//! A relay on a network with its clients, and servers that only the relay reaches.

use std::net::SocketAddr;

use testkit::broker::{Broker, BrokerOptions};
use testkit::ftp_client::FtpClient;
use testkit::lan::Lan;
use testkit::netns::Netns;
use testkit::peer::{FtpFiles, SshPeer};
use testkit::profile::{Profile, Tunnel};
use testkit::scripted::Conversation;
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use super::fixture::{CONTENT, RealServers, real_with};

/// Where a relay listens: each has a namespace of its own, so no other program has the port.
pub(crate) const PORT: u16 = 2121;

/// The number of the servers' host on each network of servers.
const SERVERS: u8 = 5;

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
