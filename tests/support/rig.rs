//! A broker between peers of the test's choice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use tempfile::TempDir;
use testkit::broker::Broker;
use testkit::ftp_server::FtpServer;
use testkit::keys::KeyPair;
use testkit::ssh_server::{SshServer, SshServerOptions};
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};

/// How long something may take that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How often sshd's log is looked at.
const LOG_POLL: Duration = Duration::from_millis(20);

/// What a small file holds.
pub(crate) const CONTENT: &[u8] = b"content";

/// What a profile needs to know of an SSH server.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) server: SocketAddr,
    pub(crate) user: String,
    /// The public host key as one OpenSSH line; empty: the profile names none.
    pub(crate) host_key: String,
    pub(crate) identity: PathBuf,
}

impl Login {
    pub(crate) fn to(sshd: &Sshd) -> anyhow::Result<Self> {
        Ok(Self {
            server: sshd.addr(),
            user: sshd.user().to_owned(),
            host_key: sshd.host_key_openssh()?,
            identity: sshd.identity_file(),
        })
    }

    /// A profile with these elements of settings and these tunnels.
    pub(crate) fn profile(&self, settings: &str, tunnels: &str) -> String {
        let (host, port, user) = (self.server.ip(), self.server.port(), &self.user);
        let key = self.host_key.split_whitespace().nth(1);
        let key = key.map_or_else(String::new, |key| format!("<hostkey>{key}</hostkey>"));
        let identity = self.identity.display();
        format!(
            r#"<profile id="id1" name="work" host="{host}" port="{port}" user="{user}">
                 {key}
                 <user-identities><identity identity-file="{identity}"/></user-identities>
                 {settings}
                 <tunnels>{tunnels}</tunnels>
               </profile>"#
        )
    }

    /// A file with this one profile.
    pub(crate) fn config(&self, settings: &str, tunnels: &str) -> String {
        config(&self.profile(settings, tunnels))
    }
}

/// A file with these profiles.
pub(crate) fn config(profiles: &str) -> String {
    format!(r#"<secsh-broker version="1.0"><profiles>{profiles}</profiles></secsh-broker>"#)
}

/// An FTP tunnel from a free port of `listen` to a server as the SSH server sees it.
pub(crate) fn ftp_tunnel(listen: IpAddr, to: SocketAddr, attributes: &str) -> String {
    let (host, port) = (to.ip(), to.port());
    format!(
        r#"<local-tunnel type="FTP" listen-address="{listen}" listen-port="0" dst-host="{host}" dst-port="{port}"
                         allow-relay="NO" {attributes}/>"#
    )
}

/// An SSH server in process, and the key that may log in.
pub(crate) struct Embedded {
    pub(crate) ssh: SshServer,
    pub(crate) login: Login,
    _directory: TempDir,
}

impl Embedded {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let key = KeyPair::generate()?;
        let ssh = SshServer::start(SshServerOptions {
            users: vec!["user".into()],
            authorized_keys: vec![key.public_openssh()?],
            ..SshServerOptions::default()
        })
        .await?;
        let login = Login {
            server: ssh.addr(),
            user: "user".into(),
            host_key: ssh.host_key_openssh()?,
            identity: key.write(directory.path(), "id_ed25519")?,
        };
        Ok(Self {
            ssh,
            login,
            _directory: directory,
        })
    }
}

/// The testkit's SSH server and FTP server, which need nothing installed.
pub(crate) struct Peers {
    pub(crate) embedded: Embedded,
    pub(crate) ftp: FtpServer,
    pub(crate) root: TempDir,
}

impl Peers {
    /// Starts both, with a small `file` to fetch.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        std::fs::write(root.path().join("file"), CONTENT)?;
        Ok(Self {
            embedded: Embedded::start().await?,
            ftp: FtpServer::start(root.path()).await?,
            root,
        })
    }

    /// An FTP tunnel to the FTP server.
    pub(crate) fn tunnel(&self) -> String {
        ftp_tunnel(Ipv4Addr::LOCALHOST.into(), self.ftp.addr(), "")
    }

    /// A file with this one tunnel.
    pub(crate) fn config(&self) -> String {
        self.embedded.login.config("", &self.tunnel())
    }
}

/// sshd and vsftpd on one address.
pub(crate) struct Servers {
    pub(crate) sshd: Sshd,
    pub(crate) ftp: Vsftpd,
    pub(crate) login: Login,
}

impl Servers {
    pub(crate) async fn start(sshd: SshdOptions, ftp: VsftpdOptions) -> anyhow::Result<Self> {
        let mut sshd = sshd;
        // At this level it tells of each channel and each forward.
        sshd.extra_config.push("LogLevel DEBUG1".into());
        let sshd = Sshd::start(sshd).await?;
        let ftp = Vsftpd::start(ftp).await?;
        let login = Login::to(&sshd)?;
        Ok(Self { sshd, ftp, login })
    }

    pub(crate) async fn start_default() -> anyhow::Result<Self> {
        Self::start(SshdOptions::default(), VsftpdOptions::default()).await
    }

    /// A broker with one FTP tunnel to vsftpd, and where it listens.
    pub(crate) async fn broker(&self, args: &[&str]) -> anyhow::Result<(Broker, SocketAddr)> {
        let tunnel = ftp_tunnel(self.ftp.addr().ip(), self.ftp.addr(), "");
        let broker = Broker::start(&self.login.config("", &tunnel), args).await?;
        let listens = broker.listener(0).await?;
        Ok((broker, listens))
    }

    /// How many channels sshd opened to this port and to others, and how many connections came in by forwards.
    pub(crate) fn channels(&self) -> Channels {
        Channels::in_log(&self.sshd.log(), self.ftp.addr().port())
    }

    /// Waits until sshd has logged exactly so many data channels since `before`. Its log comes through a pipe, so that the
    /// last line may still be on its way when the client is done; which one it will be cannot be known.
    pub(crate) async fn expect_data_channels(
        &self,
        before: Channels,
        passive: usize,
        active: usize,
    ) -> anyhow::Result<()> {
        let logged = async {
            loop {
                let now = self.channels();
                let since = (now.passive - before.passive, now.active - before.active);
                if since == (passive, active) {
                    return;
                }
                // tidy: sleeps because sshd's log is a file that tells of no change
                tokio::time::sleep(LOG_POLL).await;
            }
        };
        let logged = tokio::time::timeout(SOON, logged).await;
        let (now, expected) = (self.channels(), (passive, active));
        logged.map_err(|_| {
            anyhow!("{expected:?} passive and active data channels expected since {before:?}, sshd logged {now:?}")
        })
    }
}

/// What sshd has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) control: usize,
    pub(crate) passive: usize,
    pub(crate) active: usize,
}

impl Channels {
    fn in_log(log: &str, control_port: u16) -> Self {
        let control = format!("port {control_port},");
        let opened = |line: &&str| line.contains("server_request_direct_tcpip: originator");
        let (to_control, to_data): (Vec<&str>, Vec<&str>) = log
            .lines()
            .filter(opened)
            .partition(|line| line.ends_with(control.trim_end_matches(',')));
        // One that is opened ahead may serve nobody.
        let arrived = |line: &&str| line.contains("Connection to port ");
        Self {
            control: to_control.len(),
            passive: to_data.len(),
            active: log.lines().filter(arrived).count(),
        }
    }
}
