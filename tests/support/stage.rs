//! Two servers with the broker before them, real ones or those of the testkit, and a directory for the client.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use broker_ipc::types::{DaemonStatus, TransferCounts};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use testkit::broker::Broker;
use testkit::ftp_server::FtpServer;
use testkit::ssh_server::SshServer;
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use super::rig::{Channels, Embedded, Login, Servers, ftp_tunnel};

/// How long the daemon may take to notice that the last transfer has ended.
const SETTLED: Duration = Duration::from_secs(20);

/// What a client needs: where to connect, a directory of its own, and the broker to ask.
pub(crate) struct Stage<P = Servers> {
    peers: P,
    broker: Broker,
    tunnel: SocketAddr,
    home: TempDir,
}

/// The servers of the testkit, which need nothing installed.
pub(crate) struct InProcess {
    embedded: Embedded,
    _ftp: FtpServer,
    root: TempDir,
}

/// What differs from two plain servers and a plain tunnel.
#[derive(Default)]
pub(crate) struct Variant {
    /// Lines of `vsftpd.conf`.
    pub(crate) vsftpd: Vec<String>,
    /// Whether vsftpd offers TLS.
    pub(crate) ftp_tls: bool,
    /// Attributes of the tunnel in the broker's configuration.
    pub(crate) tunnel: &'static str,
}

impl Stage<Servers> {
    /// Clients connect to `near`; sshd and vsftpd listen on `far`.
    pub(crate) async fn real(near: IpAddr, far: IpAddr) -> anyhow::Result<Self> {
        Self::real_with(near, far, Variant::default()).await
    }

    pub(crate) async fn real_with(
        near: IpAddr,
        far: IpAddr,
        variant: Variant,
    ) -> anyhow::Result<Self> {
        let sshd = SshdOptions {
            bind: far,
            ..SshdOptions::default()
        };
        let vsftpd = VsftpdOptions {
            bind: far,
            tls: variant.ftp_tls,
            extra_config: variant.vsftpd,
            ..VsftpdOptions::default()
        };
        let servers = Servers::start(sshd, vsftpd).await?;
        let (login, ftp) = (servers.login.clone(), servers.ftp.addr());
        Self::new(servers, &login, ftp_tunnel(near, ftp, variant.tunnel)).await
    }

    /// The directory that the FTP server serves.
    pub(crate) fn directory(&self) -> PathBuf {
        self.peers.ftp.root()
    }

    /// Waits until sshd has counted exactly so many data channels.
    pub(crate) async fn expect_data_channels(
        &self,
        passive: usize,
        active: usize,
    ) -> anyhow::Result<()> {
        let start = Channels::default();
        self.peers
            .expect_data_channels(start, passive, active)
            .await
    }

    /// The commands and replies that the FTP server saw.
    pub(crate) fn server_log(&self) -> String {
        self.peers.ftp.log()
    }

    /// Puts a file where the FTP server finds it.
    pub(crate) fn put_at_server(&self, name: &OsStr, content: &[u8]) -> anyhow::Result<()> {
        let path = self.directory().join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Stage<InProcess> {
    /// Clients connect to `near`; the FTP server listens on `far`.
    pub(crate) async fn embedded(near: IpAddr, far: IpAddr) -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        let ftp = FtpServer::start_on(root.path(), SocketAddr::new(far, 0)).await?;
        let embedded = Embedded::start().await?;
        let (login, tunnel) = (embedded.login.clone(), ftp_tunnel(near, ftp.addr(), ""));
        let peers = InProcess {
            embedded,
            _ftp: ftp,
            root,
        };
        Self::new(peers, &login, tunnel).await
    }

    /// The directory that the FTP server serves.
    pub(crate) fn directory(&self) -> PathBuf {
        self.peers.root.path().to_owned()
    }

    pub(crate) fn ssh(&self) -> &SshServer {
        &self.peers.embedded.ssh
    }
}

impl<P> Stage<P> {
    async fn new(peers: P, login: &Login, tunnel: String) -> anyhow::Result<Self> {
        let broker = Broker::start(&login.config("", &tunnel), &[]).await?;
        let tunnel = broker.listener(0).await?;
        Ok(Self {
            peers,
            broker,
            tunnel,
            home: tempfile::tempdir()?,
        })
    }

    /// Where FTP clients connect.
    pub(crate) fn tunnel(&self) -> SocketAddr {
        self.tunnel
    }

    /// A directory for the client's files.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What the daemon has logged, to explain a failure.
    pub(crate) fn broker_log(&self) -> String {
        format!("the broker's log:\n{}", self.broker.log())
    }

    /// Waits until the daemon has counted exactly so many transfers, all of them complete.
    pub(crate) async fn expect_transfers(&self, ok: usize) -> anyhow::Result<()> {
        let expected = TransferCounts {
            active: 0,
            ok: ok as u64,
            failed: 0,
        };
        let counted = |status: &Value| {
            DaemonStatus::deserialize(status).is_ok_and(|status| status.transfers == expected)
        };
        let settled = self.broker.wait_json(&["status"], SETTLED, counted).await;
        settled
            .map(drop)
            .with_context(|| format!("expected {expected:?}"))
    }
}
