//! One daemon takes over the sockets of another, and then the other one ends: no client is refused meanwhile.
//!
//! The new process asks over the local socket, and gets a descriptor for the local socket, for its lock, and for each tunnel
//! listener. Both processes accept clients until the new one is ready. If it fails before that, the old one continues as if
//! nothing had happened.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use broker::TunnelSockets;
use broker_ipc::descriptors::{receive, send};
use broker_ipc::methods::{HandOver, OpenTunnelListener, Retire};
use broker_ipc::{Client, ClientError, EndpointCopy, Patience, RpcError};
use tokio::net::UnixDatagram;

use crate::monitoring::MonitoringSocket;

/// The texts that come with the descriptors.
const LOCAL_SOCKET: &str = "local socket";
const LOCK: &str = "lock";
const TUNNEL: &str = "tunnel";
const MONITORING: &str = "monitoring";

/// What a daemon can give to its successor.
pub(crate) struct Estate {
    /// `None` if the service manager has the local socket, and starts the successor itself.
    pub(crate) endpoint: Option<Arc<EndpointCopy>>,
    pub(crate) tunnels: TunnelSockets,
    pub(crate) monitoring: MonitoringSocket,
}

impl Estate {
    /// Sends everything to the socket at this path, and returns the number of descriptors.
    ///
    /// # Errors
    /// Why the successor cannot have it.
    pub(crate) async fn give(&self, to: PathBuf) -> Result<u64, RpcError> {
        let Some(endpoint) = self.endpoint.clone() else {
            return Err(RpcError::not_supported(
                "the service manager has the daemon's local socket: let it restart the daemon",
            ));
        };
        let tunnels = self.tunnels.open();
        let monitoring = self.monitoring.open();
        // The receiver may be slow.
        let sending = tokio::task::spawn_blocking(move || {
            send(&to, LOCAL_SOCKET, Some(endpoint.socket()))?;
            send(&to, LOCK, Some(endpoint.lock()))?;
            for (_, socket) in &tunnels {
                send(&to, TUNNEL, Some(socket.as_fd()))?;
            }
            if let Some(socket) = &monitoring {
                send(&to, MONITORING, Some(socket.as_fd()))?;
            }
            let others = 2 + u64::from(monitoring.is_some());
            io::Result::Ok(others + tunnels.len() as u64)
        });
        let sent = sending.await.map_err(RpcError::internal)?;
        sent.map_err(|error| RpcError::internal(format!("cannot send the sockets: {error}")))
    }

    /// The successor serves it now.
    pub(crate) fn given_away(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.give_away();
        }
        self.monitoring.give_away();
    }
}

/// What a daemon has from its predecessor.
pub(crate) struct Heritage {
    pub(crate) local_socket: OwnedFd,
    pub(crate) lock: File,
    pub(crate) tunnels: Vec<TcpListener>,
    /// The socket for monitoring systems.
    pub(crate) monitoring: Option<TcpListener>,
    /// The tunnels that clients have opened.
    pub(crate) requested: Vec<OpenTunnelListener>,
    pub(crate) predecessor: Predecessor,
}

impl Heritage {
    /// Takes over from the daemon on this socket. `None` if there is none.
    ///
    /// # Errors
    /// Why the daemon gives nothing. It continues then.
    pub(crate) async fn take(socket: &Path) -> anyhow::Result<Option<Self>> {
        let predecessor = match Client::connect(socket, Patience::default()).await {
            Err(ClientError::NotRunning { .. }) => return Ok(None),
            connected => connected.context("cannot take over the running daemon")?,
        };
        let place = Place::beside(socket).context("cannot receive the daemon's sockets")?;
        let (received, requested) = receive_all(&predecessor, &place).await?;
        let missing = "the running daemon has not sent its local socket";
        Ok(Some(Self {
            local_socket: received.local_socket.context(missing)?,
            lock: received.lock.context(missing)?,
            tunnels: received.tunnels,
            monitoring: received.monitoring,
            requested,
            predecessor: Predecessor(predecessor),
        }))
    }
}

/// Asks for the sockets, and receives them while the daemon sends them. Also returns the tunnels that clients have opened.
async fn receive_all(
    predecessor: &Client,
    place: &Place,
) -> anyhow::Result<(Received, Vec<OpenTunnelListener>)> {
    let request = HandOver {
        to: place.path().display().to_string(),
    };
    let mut received = Received::default();
    let mut asked = std::pin::pin!(predecessor.call(&request));
    let reply = loop {
        tokio::select! {
            reply = &mut asked => break reply.context("the running daemon gives nothing away")?,
            next = receive(&place.socket) => received.add(next?),
        }
    };
    while received.count < reply.sockets {
        received.add(receive(&place.socket).await?);
    }
    Ok((received, reply.tunnels))
}

/// A daemon whose sockets this one serves.
pub(crate) struct Predecessor(Client);

impl Predecessor {
    pub(crate) fn pid(&self) -> u32 {
        self.0.server().pid
    }

    /// Ends it as soon as its sessions have ended.
    ///
    /// # Errors
    /// If it has ended already, or hangs.
    pub(crate) async fn retire(&self) -> Result<(), ClientError> {
        self.0.call(&Retire {}).await.map(drop)
    }
}

#[derive(Default)]
struct Received {
    count: u64,
    local_socket: Option<OwnedFd>,
    lock: Option<File>,
    tunnels: Vec<TcpListener>,
    monitoring: Option<TcpListener>,
}

impl Received {
    fn add(&mut self, (text, descriptor): (String, Option<OwnedFd>)) {
        let Some(descriptor) = descriptor else { return };
        self.count += 1;
        match text.as_str() {
            LOCAL_SOCKET => self.local_socket = Some(descriptor),
            LOCK => self.lock = Some(descriptor.into()),
            TUNNEL => self.tunnels.push(descriptor.into()),
            MONITORING => self.monitoring = Some(descriptor.into()),
            // A newer daemon may have more to give.
            _ => {}
        }
    }
}

/// A socket that only this user can send to, in a directory beside the daemon's socket. Removed when dropped.
struct Place {
    directory: PathBuf,
    socket: UnixDatagram,
}

impl Place {
    fn beside(socket: &Path) -> io::Result<Self> {
        let mut directory = std::path::absolute(socket)?.into_os_string();
        directory.push(".to");
        let directory = PathBuf::from(directory);
        // From an attempt that ended early.
        let _ = fs::remove_dir_all(&directory);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let socket = UnixDatagram::bind(path_in(&directory))?;
        Ok(Self { directory, socket })
    }

    fn path(&self) -> PathBuf {
        path_in(&self.directory)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join("s")
}
