//! An FTP server in process: any user and password, files below one directory, passive and active mode, no TLS.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use libunftp::ServerBuilder;
use libunftp::options::{ActivePassiveMode, Binder};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use unftp_sbe_fs::Filesystem;

use crate::peer_runtime::PeerRuntime;

/// Where a server listens. [`Default`] is 127.0.0.1.
#[derive(Clone, Copy)]
pub struct FtpServerOptions {
    /// The address, on a free port.
    pub bind: IpAddr,
}

impl Default for FtpServerOptions {
    fn default() -> Self {
        let bind = Ipv4Addr::LOCALHOST.into();
        Self { bind }
    }
}

/// A running server; dropping it ends it with all its sessions, and removes its directory.
///
/// It knows PASV, EPSV and PORT but not EPRT, and wants names in UTF-8.
pub struct FtpServer {
    addr: SocketAddr,
    sessions: watch::Receiver<usize>,
    _runtime: PeerRuntime,
    root: TempDir,
}

impl FtpServer {
    /// Serves a directory of its own.
    ///
    /// # Errors
    /// When the directory cannot be made or no port can be bound.
    pub async fn start(options: FtpServerOptions) -> anyhow::Result<Self> {
        let root = tempfile::tempdir().context("cannot make a directory for the FTP server")?;
        let runtime = PeerRuntime::new("ftp-server")?;
        let bind = options.bind;
        let listener = runtime
            .run(TcpListener::bind((bind, 0)))
            .await
            .with_context(|| format!("the FTP server cannot listen on {bind}"))?;
        let addr = listener.local_addr()?;
        let (count, sessions) = watch::channel(0);
        runtime.spawn(accept(listener, Arc::from(root.path()), count));
        Ok(Self {
            addr,
            sessions,
            _runtime: runtime,
            root,
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The directory it serves.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Control connections accepted so far.
    #[must_use]
    pub fn sessions(&self) -> usize {
        *self.sessions.borrow()
    }
}

async fn accept(listener: TcpListener, root: Arc<Path>, sessions: watch::Sender<usize>) {
    let tasks = TaskTracker::new();
    loop {
        if let Ok((stream, _peer)) = listener.accept().await {
            sessions.send_modify(|count| *count += 1);
            tasks.spawn(serve(stream, Arc::clone(&root)));
        }
    }
}

async fn serve(stream: TcpStream, root: Arc<Path>) {
    if let Err(error) = serve_session(stream, &root).await {
        tracing::debug!(error, "FTP session ended");
    }
}

/// One control connection, with a server of its own: that is how libunftp serves a socket it did not accept itself.
async fn serve_session(stream: TcpStream, root: &Path) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let root = root.to_owned();
    let server = ServerBuilder::new(Box::new(move || open_root(&root)))
        .greeting("Test server ready")
        .active_passive_mode(ActivePassiveMode::ActiveAndPassive)
        .binder(FreePort)
        .build()
        .map_err(|e| e.to_string())?;
    server.service(stream).await.map_err(|e| e.to_string())
}

#[expect(
    clippy::expect_used,
    reason = "libunftp takes no error here; a session whose directory has vanished may end this way"
)]
fn open_root(root: &Path) -> Filesystem {
    Filesystem::new(root).expect("the directory the FTP server serves should exist while it runs")
}

/// Takes passive ports from the kernel, where libunftp would guess and give up after ten that are in use.
struct FreePort;

impl fmt::Debug for FreePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreePort")
    }
}

#[async_trait]
impl Binder for FreePort {
    async fn bind(
        &mut self,
        local_addr: IpAddr,
        _ports: RangeInclusive<u16>,
    ) -> std::io::Result<TcpSocket> {
        let socket = match local_addr {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(SocketAddr::new(local_addr, 0))?;
        Ok(socket)
    }
}

#[cfg(test)]
#[path = "ftp_server_tests.rs"]
mod tests;
