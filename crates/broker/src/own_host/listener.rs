//! A listening socket of the daemon, and the connections that it accepts.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker_config::ListenAddress;
use plain_text::canonical;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::warn;

use super::client_socket::notice_when_idle;
use super::host::{Host, ListensAt};
use super::tunnel_sockets::{OpenSocket, listening};

/// Connections that the kernel may queue while the daemon is busy; one burst of clients fits.
const BACKLOG: i32 = 1024;
/// How long to leave a listener alone when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A TCP listener that the daemon recognizes as its own while it is open.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Dropped first: once the port is free, another listener may have it.
    _listens: ListensAt,
    /// Dropped before the socket, too.
    _of_tunnel: Option<OpenSocket>,
    tcp: Arc<TcpListener>,
    address: SocketAddr,
}

impl Listener {
    /// Opens the listener of a tunnel: on the socket of the process before this one if there is one, otherwise on a new one.
    /// `beside` are sockets of the same port that will close: the new one may overlap with them.
    ///
    /// # Errors
    /// The system's reason: the port is in use, the address is not of this host, or the port requires a privilege.
    pub(crate) fn for_tunnel(
        host: &Arc<Host>,
        address: ListenAddress,
        port: u16,
        beside: &[Arc<TcpListener>],
    ) -> io::Result<Self> {
        let lasting = |ip: IpAddr, both_families| {
            Self::lasting(host, SocketAddr::new(ip, port), both_families, beside)
        };
        match address {
            ListenAddress::Address(ip) => lasting(ip, false),
            ListenAddress::All => lasting(Ipv6Addr::UNSPECIFIED.into(), true).or_else(|error| {
                let ipv4_only = lasting([0, 0, 0, 0].into(), false)?;
                warn_without_ipv6(port, &error);
                Ok(ipv4_only)
            }),
        }
    }

    fn lasting(
        host: &Arc<Host>,
        address: SocketAddr,
        both_families: bool,
        beside: &[Arc<TcpListener>],
    ) -> io::Result<Self> {
        let listener = match host.sockets.take(address, both_families) {
            Some(socket) => Self::on(host, socket, address)?,
            None => Self::bind_beside(host, address, both_families, beside)?,
        };
        let open = host.sockets.opened(listener.address, &listener.tcp);
        Ok(Self {
            _of_tunnel: Some(open),
            ..listener
        })
    }

    /// Binds a listener; `both_families` makes an IPv6 wildcard accept IPv4 as well.
    pub(crate) fn bind(
        host: &Arc<Host>,
        address: SocketAddr,
        both_families: bool,
    ) -> io::Result<Self> {
        Self::bind_beside(host, address, both_families, &[])
    }

    fn bind_beside(
        host: &Arc<Host>,
        address: SocketAddr,
        both_families: bool,
        beside: &[Arc<TcpListener>],
    ) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A daemon that restarts must not wait until its predecessor's connections are forgotten.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!both_families)?;
        }
        // The kernel allows two sockets that overlap only if both agree, also when the second one begins to listen.
        share_port(beside, true)?;
        socket.set_reuse_port(!beside.is_empty())?;
        let bound = socket.bind(&address.into());
        let listener = bound.and_then(|()| Self::on(host, socket, address));
        share_port(beside, false)?;
        let listener = listener?;
        listener.socket().set_reuse_port(false)?;
        Ok(listener)
    }

    /// Listens on a bound socket.
    fn on(host: &Arc<Host>, socket: Socket, address: SocketAddr) -> io::Result<Self> {
        let bound = socket.local_addr()?.as_socket().unwrap_or(address);
        // Recorded before anybody can connect.
        let listens = host.listen_at(bound);
        socket.listen(BACKLOG)?;
        Ok(Self {
            tcp: listening(socket)?,
            address: bound,
            _listens: listens,
            _of_tunnel: None,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, for its options.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.tcp.as_ref())
    }

    /// The next connection and its peer. If descriptors run out, this tries again, so connections in the queue are not
    /// lost.
    pub(crate) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((client, peer)) => {
                    notice_when_idle(&client);
                    return (client, canonical(peer));
                }
                Err(error) => {
                    warn!(listener = %self.address, %error, "cannot accept a client; if this continues, raise the limit of open files");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn share_port(sockets: &[Arc<TcpListener>], share: bool) -> io::Result<()> {
    let mut sockets = sockets.iter();
    sockets.try_for_each(|it| SockRef::from(it.as_ref()).set_reuse_port(share))
}

/// A tunnel on all addresses listens on those of IPv4 only, because this error prevents it for both families.
fn warn_without_ipv6(port: u16, error: &io::Error) {
    // Any other error means that the host has no IPv6.
    if error.kind() == ErrorKind::AddrInUse {
        warn!(
            port,
            "a tunnel on all addresses has no clients over IPv6: another program has the port there; if clients need IPv6, end that program and restart the daemon"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;

    use super::*;

    #[tokio::test]
    async fn clients_that_have_vanished_are_asked_for_a_sign_of_life() {
        let listener = Listener::bind(&Host::new(), ([127, 0, 0, 1], 0).into(), false).unwrap();
        let client = Client::connect(listener.address()).unwrap();
        let (accepted, peer) = listener.accept().await;
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(SockRef::from(&accepted).keepalive().unwrap());
    }
}
