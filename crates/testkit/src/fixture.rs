//! Servers and a broker before them: what tests, the demo, the benchmarks and the chaos runs start from.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::broker::Broker;
use crate::daemon::START_LIMIT;
use crate::dropbear::{Dropbear, DropbearOptions};
use crate::ftp_client::FtpClient;
use crate::ftp_server::{FtpServer, FtpServerOptions};
use crate::peer::{FtpFiles, FtpPeer, Launch, SshPeer};
use crate::profile::{Profile, Tunnel, identity};
use crate::quirky_ftp::{Quirks, QuirkyFtp};
use crate::relay::{Relay, RelayOptions};
use crate::scripted::ScriptedListener;
use crate::ssh_server::{SshServer, SshServerOptions};
use crate::sshd::{Sshd, SshdOptions};
use crate::vsftpd::{Vsftpd, VsftpdOptions};

/// An SSH server and an FTP server that it reaches.
pub struct Servers<S = SshServer, F = FtpServer> {
    /// The SSH server.
    pub ssh: S,
    /// The FTP server.
    pub ftp: F,
}

impl<S: SshPeer, F: FtpPeer> Servers<S, F> {
    /// A profile with a login at the SSH server and a tunnel to the FTP server.
    ///
    /// # Errors
    /// When the host key cannot be encoded.
    pub fn profile(&self) -> anyhow::Result<Profile> {
        Ok(self.ssh.profile()?.tunnel(self.tunnel()))
    }

    /// A tunnel to the FTP server.
    pub fn tunnel(&self) -> Tunnel {
        Tunnel::ftp(self.ftp.addr())
    }
}

/// The same with a broker before them.
pub struct Fixture<S = SshServer, F = FtpServer> {
    /// The broker, which ends before its servers do.
    pub broker: Broker,
    /// The servers.
    pub servers: Servers<S, F>,
    /// Where its first tunnel listens.
    pub tunnel: SocketAddr,
}

impl Fixture {
    /// Plain servers in process, and a profile with one tunnel, until something else is asked for.
    pub fn builder() -> Builder<SshServerOptions, FtpServerOptions> {
        Builder {
            ssh: SshServerOptions::default(),
            ftp: FtpServerOptions::default(),
            prepare: Box::new(|_| Ok(())),
            profile: Box::new(|profile| profile),
            arguments: Vec::new(),
        }
    }
}

impl<S, F> Fixture<S, F> {
    /// A client that has logged in through the tunnel.
    ///
    /// # Errors
    /// When the login fails.
    pub async fn login(&self) -> anyhow::Result<FtpClient> {
        FtpClient::login(self.tunnel).await
    }
}

type Prepare<F> = Box<dyn FnOnce(&F) -> anyhow::Result<()> + Send>;
type Change = Box<dyn FnOnce(Profile) -> Profile + Send>;

/// What a fixture is made of.
#[must_use]
pub struct Builder<S: Launch, F: Launch> {
    ssh: S,
    ftp: F,
    prepare: Prepare<F::Server>,
    profile: Change,
    arguments: Vec<String>,
}

impl<S: Launch, F: Launch> Builder<S, F> {
    /// With another SSH server.
    pub fn ssh<T: Launch>(self, ssh: T) -> Builder<T, F> {
        Builder {
            ssh,
            ftp: self.ftp,
            prepare: self.prepare,
            profile: self.profile,
            arguments: self.arguments,
        }
    }

    /// With another FTP server, which has no files yet.
    pub fn ftp<T: Launch>(self, ftp: T) -> Builder<S, T> {
        Builder {
            ssh: self.ssh,
            ftp,
            prepare: Box::new(|_| Ok(())),
            profile: self.profile,
            arguments: self.arguments,
        }
    }

    /// With a profile that is changed like this.
    pub fn profile(mut self, change: impl FnOnce(Profile) -> Profile + Send + 'static) -> Self {
        let before = self.profile;
        self.profile = Box::new(|profile| change(before(profile)));
        self
    }

    /// With these elements in the profile.
    pub fn settings(self, settings: impl Into<String>) -> Self {
        let settings = settings.into();
        self.profile(move |profile| profile.with(&settings))
    }

    /// With these attributes of the tunnel.
    pub fn tunnel(self, attributes: impl Into<String>) -> Self {
        let attributes = attributes.into();
        self.tunnels(move |tunnel| tunnel.with(&attributes))
    }

    /// The SSH server listens for the clients of the tunnels.
    pub fn remote(self) -> Self {
        self.profile(|mut profile| {
            let tunnels = profile.tunnels.into_iter();
            profile.tunnels = tunnels.map(Tunnel::remote).collect();
            profile
        })
    }

    /// With a tunnel that listens on another address.
    pub fn listen(self, ip: IpAddr) -> Self {
        self.tunnels(move |tunnel| tunnel.on(ip))
    }

    fn tunnels(self, change: impl FnMut(Tunnel) -> Tunnel + Send + 'static) -> Self {
        self.profile(move |mut profile| {
            profile.tunnels = profile.tunnels.into_iter().map(change).collect();
            profile
        })
    }

    /// With these arguments of the daemon.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|one| (*one).to_owned());
        self.arguments.extend(arguments);
        self
    }
}

impl<S: Launch, F: Launch> Builder<S, F>
where
    F::Server: FtpFiles,
{
    /// With this file at the FTP server.
    pub fn file(mut self, name: &'static str, content: impl Into<Vec<u8>>) -> Self {
        let (before, content) = (self.prepare, content.into());
        self.prepare = Box::new(move |ftp| {
            before(ftp)?;
            ftp.put(name, &content)
        });
        self
    }
}

impl<S: Launch, F: Launch> Builder<S, F>
where
    S::Server: SshPeer,
    F::Server: FtpPeer,
{
    /// Starts the servers alone, for a configuration of the caller's own.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn servers(self) -> anyhow::Result<Servers<S::Server, F::Server>> {
        launch(self.ssh, self.ftp, self.prepare).await
    }

    /// Starts everything.
    ///
    /// # Errors
    /// When something does not start; the message shows its log.
    pub async fn start(self) -> anyhow::Result<Fixture<S::Server, F::Server>> {
        let servers = launch(self.ssh, self.ftp, self.prepare).await?;
        let profile = (self.profile)(servers.profile()?);
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let broker = Broker::start(&profile.config(), &arguments).await?;
        // A remote tunnel listens once the SSH server says so.
        let answered = |listed: &Value| listed.pointer("/0/state") != Some(&"waiting".into());
        broker
            .wait_json(&["list-tunnel-listeners"], START_LIMIT, answered)
            .await?;
        Ok(Fixture {
            tunnel: broker.listener(0).await?,
            servers,
            broker,
        })
    }
}

async fn launch<S: Launch, F: Launch>(
    ssh: S,
    ftp: F,
    prepare: Prepare<F::Server>,
) -> anyhow::Result<Servers<S::Server, F::Server>> {
    let (ssh, ftp) = (ssh.launch().await?, ftp.launch().await?);
    prepare(&ftp)?;
    Ok(Servers { ssh, ftp })
}

/// An SSH server that is to be reached through a relay.
pub struct RelayedOptions<O> {
    /// The server.
    pub server: O,
    /// Whether the relay records.
    pub record: bool,
}

/// An SSH server with a relay before it, to which profiles lead.
pub struct Relayed<S> {
    /// The server.
    pub server: S,
    /// The relay.
    pub line: Relay,
}

impl<O: Launch<Server: SshPeer>> Launch for RelayedOptions<O> {
    type Server = Relayed<O::Server>;

    async fn launch(self) -> anyhow::Result<Self::Server> {
        let server = self.server.launch().await?;
        let profile = server.profile()?;
        let target = SocketAddr::new(profile.host.parse()?, profile.port);
        let line = Relay::start_with(RelayOptions {
            record: self.record,
            ..RelayOptions::to(target)
        });
        let line = line.await?;
        Ok(Relayed { server, line })
    }
}

impl<S: SshPeer> SshPeer for Relayed<S> {
    fn profile(&self) -> anyhow::Result<Profile> {
        Ok(self.server.profile()?.at(self.line.addr()))
    }
}

/// Starts an FTP server that a test plays itself, on 127.0.0.1.
pub struct Scripted;

macro_rules! launch {
    ($options:ty, $server:ty) => {
        impl Launch for $options {
            type Server = $server;

            async fn launch(self) -> anyhow::Result<Self::Server> {
                <$server>::start(self).await
            }
        }
    };
}

launch!(SshServerOptions, SshServer);
launch!(SshdOptions, Sshd);
launch!(DropbearOptions, Dropbear);
launch!(FtpServerOptions, FtpServer);
launch!(VsftpdOptions, Vsftpd);
launch!(Quirks, QuirkyFtp);

impl Launch for Scripted {
    type Server = ScriptedListener;

    async fn launch(self) -> anyhow::Result<Self::Server> {
        ScriptedListener::bind().await
    }
}

impl SshPeer for SshServer {
    fn profile(&self) -> anyhow::Result<Profile> {
        let (key, login) = (self.host_key_openssh()?, identity(self.identity_file()));
        Ok(Profile::new(self.addr(), self.user(), key, login))
    }
}

impl SshPeer for Sshd {
    fn profile(&self) -> anyhow::Result<Profile> {
        let (key, login) = (self.host_key_openssh()?, identity(self.identity_file()));
        Ok(Profile::new(self.addr(), self.user(), key, login))
    }
}

impl SshPeer for Dropbear {
    fn profile(&self) -> anyhow::Result<Profile> {
        let login = format!(r#"<password string="{}"/>"#, self.password());
        let key = self.host_key_openssh()?;
        Ok(Profile::new(self.addr(), self.user(), key, login))
    }
}

macro_rules! ftp_peer {
    ($server:ty) => {
        impl FtpPeer for $server {
            fn addr(&self) -> SocketAddr {
                self.addr()
            }
        }
    };
}

ftp_peer!(FtpServer);
ftp_peer!(Vsftpd);
ftp_peer!(QuirkyFtp);
ftp_peer!(ScriptedListener);

macro_rules! ftp_files_on_disk {
    ($server:ty) => {
        impl FtpFiles for $server {
            fn put(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
                put(&self.root(), name, content)
            }

            fn file(&self, name: &str) -> Option<Vec<u8>> {
                fs::read(self.root().join(name)).ok()
            }

            fn remove(&self, name: &str) {
                // Nobody may have stored it.
                let _ = fs::remove_file(self.root().join(name));
            }
        }
    };
}

ftp_files_on_disk!(FtpServer);
ftp_files_on_disk!(Vsftpd);

fn put(root: impl AsRef<Path>, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let path = root.as_ref().join(name);
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_client_reaches_the_ftp_server_through_the_broker() {
        let ssh = RelayedOptions {
            server: SshServerOptions::default(),
            record: false,
        };
        let builder = Fixture::builder().ssh(ssh).file("file", "content");
        let mut fixture = builder.start().await.unwrap();
        let mut ftp = fixture.login().await.unwrap();
        assert_eq!(ftp.fetch("file").await.unwrap(), b"content");
        ftp.store("stored", b"more").await.unwrap();
        let servers = &fixture.servers;
        assert_eq!(servers.ftp.file("stored").unwrap(), b"more");
        assert_eq!(servers.ssh.server.counters().direct_opened, 3);
        assert!(servers.ssh.line.passed().len() > 1);
        drop(ftp);
        assert!(fixture.broker.listener(1).await.is_err());
        let none = |status: &serde_json::Value| status["sessions"] == 0;
        let ended = fixture.broker.wait_json(&["status"], LIMIT, none).await;
        ended.unwrap();
        assert!(fixture.broker.stop(LIMIT).await.unwrap().success());
    }
}
