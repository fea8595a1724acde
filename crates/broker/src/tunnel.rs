//! A tunnel: what the sessions of all clients that connect to its listener share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use broker_config::{FtpOptions, TunnelKind, TunnelSpec};
use ipnet::IpNet;
use plain_text::host_port;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::own_host::{ClientAddresses, Host};
use crate::profiles::Connections;
use crate::registry::{
    ChannelEntry, Registration, SessionEntry, SessionRegistry, SessionTunnel, TunnelTotals,
};
use crate::shutdown::Shutdown;

/// How many sessions may wait for the server's greeting at once. Otherwise a burst of clients would reach the FTP server
/// in the same instant, and many servers have an accept queue of 32; a connection that overflows it never gets a
/// greeting.
pub(crate) const GREETINGS_AWAITED: usize = 16;

/// What the sessions of one tunnel share.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// Number of the tunnel.
    pub(crate) id: u64,
    /// Where to listen, and the destination.
    pub(crate) spec: TunnelSpec,
    /// The host on which clients connect.
    pub(crate) host: Arc<Host>,
    /// The SSH connections to use.
    pub(crate) connections: Arc<Connections>,
    /// All sessions of the daemon.
    pub(crate) registry: Arc<SessionRegistry>,
    /// Totals of this tunnel.
    pub(crate) totals: Arc<TunnelTotals>,
    /// Where tasks are spawned, and when to end.
    pub(crate) shutdown: Shutdown,
    /// Permits for sessions that wait for the server's greeting, see [`GREETINGS_AWAITED`].
    pub(crate) greetings: Arc<Semaphore>,
}

impl Tunnel {
    /// The FTP options; those of a plain tunnel are never used.
    pub(crate) fn ftp(&self) -> FtpOptions {
        match &self.spec.kind {
            TunnelKind::Ftp(options) => options.clone(),
            TunnelKind::Tcp => FtpOptions::default(),
        }
    }

    /// `host:port` of the destination, as the SSH server is asked to reach it.
    pub(crate) fn destination(&self) -> String {
        host_port(&self.spec.dst_host, self.spec.dst_port)
    }

    /// Who has connected from `peer`: the peer itself, or the client that one of the tunnel's proxies names. `None` if the
    /// proxy connects for itself, to see whether the tunnel listens.
    ///
    /// # Errors
    /// Why that cannot be known.
    pub(crate) async fn client_of(
        &self,
        tcp: &mut TcpStream,
        peer: SocketAddr,
    ) -> Result<Option<ClientAddresses>, String> {
        if !self.spec.accept_proxy {
            let addresses = ClientAddresses::of_socket(tcp, peer);
            return addresses.map(Some).map_err(|error| error.to_string());
        }
        if !is_in(&self.spec.allow_from, peer.ip()) {
            let ip = peer.ip();
            return Err(format!(
                "{ip} is not one of the proxies that this tunnel serves"
            ));
        }
        let named = ClientAddresses::named_by_proxy(tcp).await;
        named.map_err(|fault| fault.to_string())
    }

    /// Shows a client's session in the registry until the returned guard is dropped.
    pub(crate) fn register(&self, id: u64, client: SocketAddr) -> Registration {
        let tunnel = SessionTunnel {
            id: self.id,
            is_ftp: matches!(self.spec.kind, TunnelKind::Ftp(_)),
            destination: self.destination(),
        };
        let channel = ChannelEntry::new(id, self.shutdown.kill.child_token());
        self.registry
            .enter(SessionEntry::new(channel, tunnel, client))
    }
}

/// Whether one of the networks contains this address.
pub(crate) fn is_in(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.registry.remove_tunnel(self.id);
    }
}
