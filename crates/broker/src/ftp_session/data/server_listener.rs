//! The broker's own listener to which an FTP server on this side of SSH connects in active mode.

use std::net::{IpAddr, SocketAddr};

use broker_ipc::Reason;
use tokio::net::TcpStream;

use super::client_connection::{Refused, bind};
use super::server_port::ServerListener;
use super::task::DataTask;
use crate::own_host::{Listener, Objection, reset_when_dropped};
use crate::refusal::Refusal;

/// A listener for one transfer, at the address from which the broker reached the FTP server.
pub(super) struct OwnListener {
    listener: Listener,
    /// The address to announce.
    told: IpAddr,
    /// The FTP server's address: only it may connect.
    server: IpAddr,
    refused: Refused,
}

impl OwnListener {
    /// Listens.
    ///
    /// # Errors
    /// Why it cannot listen.
    pub(super) fn open(task: &DataTask) -> Result<Self, Refusal> {
        let control = &task.control;
        let direct = control.direct.ok_or_else(|| {
            Refusal::because(Reason::Internal, "the control connection is not direct")
        })?;
        let ip = direct.local.ip();
        let listener = bind(task, ip, control.ftp.active_ports.clone(), "active-ports")?;
        Ok(Self {
            listener,
            told: control.ftp.active_address.unwrap_or(ip),
            server: direct.peer.ip(),
            refused: Refused::default(),
        })
    }
}

impl ServerListener for OwnListener {
    type Incoming = TcpStream;
    type Connection = TcpStream;

    fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.told, self.listener.address().port()))
    }

    async fn incoming(&mut self) -> Result<TcpStream, String> {
        loop {
            let (tcp, peer) = self.listener.accept().await;
            reset_when_dropped(&tcp);
            if peer.ip() == self.server {
                return Ok(tcp);
            }
            self.refused.count(Some(&peer), Objection::Stranger);
        }
    }

    async fn withdraw(self) {}

    async fn reject(self, incoming: TcpStream) {
        drop(incoming);
    }

    async fn accept(self, incoming: TcpStream) -> TcpStream {
        incoming
    }
}
