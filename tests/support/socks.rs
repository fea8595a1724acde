//! A SOCKS 5 client that a test drives byte by byte, and FTP through it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use testkit::broker::Broker;
use testkit::fixture::{Builder, Fixture};
use testkit::ftp_client::{FtpClient, announced};
use testkit::ftp_server::FtpServerOptions;
use testkit::profile::{Profile, Tunnel};
use testkit::scripted::Conversation;
use testkit::ssh_server::SshServerOptions;

use super::fixture::embedded;

/// The answer to a request that is granted, without its address.
const GRANTED: u8 = 0;

/// The testkit's servers behind a SOCKS tunnel.
pub(crate) fn embedded_socks() -> Builder<SshServerOptions, FtpServerOptions> {
    embedded().profile(through_socks)
}

/// The same profile with a SOCKS tunnel instead of each FTP tunnel.
pub(crate) fn through_socks(mut profile: Profile) -> Profile {
    let tunnels = profile.tunnels.into_iter();
    profile.tunnels = tunnels.map(|tunnel| Tunnel::socks(tunnel.to)).collect();
    profile
}

/// A granted request for this address.
pub(crate) async fn connect(
    listener: SocketAddr,
    target: SocketAddr,
) -> anyhow::Result<Conversation> {
    let (client, code) = request(listener, &target.ip().to_string(), target.port()).await?;
    ensure!(code == GRANTED, "the request for {target} got code {code}");
    Ok(client)
}

/// A request for this host, and the code of the answer.
pub(crate) async fn request(
    listener: SocketAddr,
    host: &str,
    port: u16,
) -> anyhow::Result<(Conversation, u8)> {
    let mut client = Conversation::connect(listener).await?;
    client.send([5, 1, 0]).await?;
    let method = client.bytes(2).await?;
    ensure!(method == [5, 0], "{method:?} instead of no login");
    client.send(command(1, host, port)?).await?;
    let answer = client.bytes(10).await?;
    Ok((client, *answer.get(1).context("no code")?))
}

/// The bytes of a command.
pub(crate) fn command(command: u8, host: &str, port: u16) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![5, command, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            bytes.push(1);
            bytes.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
        Err(_) => {
            bytes.extend([3, u8::try_from(host.len())?]);
            bytes.extend(host.as_bytes());
        }
    }
    bytes.extend(port.to_be_bytes());
    Ok(bytes)
}

/// An FTP client that believes that it speaks to its server through plain SOCKS.
pub(crate) struct SocksFtp {
    pub(crate) ftp: FtpClient,
    listener: SocketAddr,
    server: SocketAddr,
}

impl SocksFtp {
    /// Logs in at this server through a SOCKS tunnel.
    pub(crate) async fn login(listener: SocketAddr, server: SocketAddr) -> anyhow::Result<Self> {
        let ftp = FtpClient::login_on(connect(listener, server).await?).await?;
        Ok(Self {
            ftp,
            listener,
            server,
        })
    }

    /// What the server announces.
    pub(crate) async fn announced(&mut self, command: &str) -> anyhow::Result<SocketAddr> {
        let reply = self.ftp.ask(command, "22").await?;
        announced(&reply, self.server.ip())
    }

    /// A passive data connection.
    pub(crate) async fn passive(&mut self, command: &str) -> anyhow::Result<Conversation> {
        let to = self.announced(command).await?;
        connect(self.listener, to).await
    }

    /// Fetches a whole file.
    pub(crate) async fn fetch(&mut self, name: &str) -> anyhow::Result<Vec<u8>> {
        let mut data = self.passive("EPSV").await?;
        self.ftp.ask(&format!("RETR {name}"), "150").await?;
        let bytes = data.rest().await?;
        self.ftp.reply("226").await?;
        Ok(bytes)
    }

    /// Stores a whole file.
    pub(crate) async fn store(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let mut data = self.passive("PASV").await?;
        self.ftp.ask(&format!("STOR {name}"), "150").await?;
        data.send(bytes).await?;
        data.finish().await?;
        self.ftp.reply("226").await?;
        Ok(())
    }
}

/// The fixture's first tunnel and its FTP server.
pub(crate) fn places(fixture: &Fixture) -> (&Broker, SocketAddr, SocketAddr) {
    (&fixture.broker, fixture.tunnel, fixture.servers.ftp.addr())
}
