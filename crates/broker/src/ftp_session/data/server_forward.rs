//! The remote forward to which the FTP server connects in active mode.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use broker_config::FtpOptions;
use broker_ipc::Reason;
use broker_ssh::{Channel, ForwardedConnection, RemoteForward};
use plain_text::host_port;

use super::destination;
use super::server_port::ServerListener;
use super::task::{ControlConnection, DataTask};
use crate::refusal::Refusal;

/// A remote forward for one transfer of a session.
pub(super) struct ServerForward<'a> {
    task: &'a DataTask,
    forward: RemoteForward,
}

impl<'a> ServerForward<'a> {
    /// Asks the SSH server to listen, unless it already does for this session.
    ///
    /// # Errors
    /// Why it does not listen.
    pub(super) async fn open(task: &'a DataTask) -> Result<Self, Refusal> {
        let bind = forward_address(
            &task.control.ftp,
            &task.control.server,
            has_two_families(&task.control) && task.other_family,
        )
        .map_err(|reason| Refusal::because(Reason::Config, reason))?;
        let ports = task.control.ftp.active_ports.clone();
        let forwards = &task.control.forwards;
        let forward = match task.ahead {
            true => forwards.open_ahead(&bind, ports).await,
            false => forwards.open(&bind, ports).await,
        };
        let forward = forward.map_err(|error| Refusal::from(&error))?;
        task.entry.channel.carried_by(forward.connection());
        task.entry
            .relabel(|label| label.target = host_port(&bind, forward.port()));
        Ok(Self { task, forward })
    }
}

impl ServerListener for ServerForward<'_> {
    type Incoming = ForwardedConnection;
    type Connection = Channel;

    fn address(&self) -> Option<SocketAddr> {
        let ip = self.forward.bind_address().parse::<IpAddr>().ok()?;
        Some(SocketAddr::new(ip, self.forward.port()))
    }

    async fn incoming(&mut self) -> Result<ForwardedConnection, String> {
        self.forward.accept().await.map_err(|cut| cut.to_string())
    }

    async fn withdraw(self) {
        self.forward.cancel().await;
    }

    async fn reject(self, incoming: ForwardedConnection) {
        incoming.reject().await;
        self.forward.cancel().await;
    }

    async fn accept(self, incoming: ForwardedConnection) -> Channel {
        let channel = incoming.accept().await;
        self.task.opened(&channel).await;
        // The forward has served its one connection, and must accept no other.
        self.task.control.forwards.follow(self.forward);
        channel
    }
}

/// Whether the FTP server may be on either loopback address: the SSH server permits only the name, and does not say which
/// address it connected to.
pub(crate) fn has_two_families(control: &ControlConnection) -> bool {
    let unknown = control.direct.is_none() && control.ftp.active_address.is_none();
    unknown && control.server.eq_ignore_ascii_case("localhost")
}

/// The address at which the FTP server can reach the SSH server's host. `server` is the host of the FTP server as the SSH
/// server was asked for it; `second` is true if it is `localhost`, and the other loopback address is wanted.
///
/// # Errors
/// It is not known; says what to do.
pub(crate) fn forward_address(
    ftp: &FtpOptions,
    server: &str,
    second: bool,
) -> Result<String, String> {
    if let Some(address) = ftp.active_address {
        return Ok(address.to_string());
    }
    if server.eq_ignore_ascii_case("localhost") {
        let loopback = match second {
            false => IpAddr::from(Ipv4Addr::LOCALHOST),
            true => IpAddr::from(Ipv6Addr::LOCALHOST),
        };
        return Ok(loopback.to_string());
    }
    if destination::is_loopback(server) {
        return Ok(server.to_owned());
    }
    Err("the FTP server is not on the SSH server's own host: set active-address for this tunnel, or use passive mode".to_owned())
}
