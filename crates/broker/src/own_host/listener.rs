//! A listening socket of the daemon, and the connections that it accepts.

use std::io;
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

/// Connections that the kernel may queue while the daemon is busy; one burst of clients fits.
const BACKLOG: i32 = 1024;
/// How long to leave a listener alone when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A TCP listener that the daemon recognizes as its own while it is open.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Dropped first: once the port is free, another listener may have it.
    _listens: ListensAt,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds the listener of a tunnel.
    ///
    /// # Errors
    /// The system's reason: the port is in use, the address is not of this host, or the port requires a privilege.
    pub(crate) fn for_tunnel(
        host: &Arc<Host>,
        address: ListenAddress,
        port: u16,
    ) -> io::Result<Self> {
        match address {
            ListenAddress::Address(ip) => Self::bind(host, SocketAddr::new(ip, port), false),
            ListenAddress::All => Self::bind(host, (Ipv6Addr::UNSPECIFIED, port).into(), true)
                .or_else(|_| Self::bind(host, (IpAddr::from([0, 0, 0, 0]), port).into(), false)),
        }
    }

    /// Binds a listener; `both_families` makes an IPv6 wildcard accept IPv4 as well.
    pub(crate) fn bind(
        host: &Arc<Host>,
        address: SocketAddr,
        both_families: bool,
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
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let bound = socket.local_addr()?.as_socket().unwrap_or(address);
        // Recorded before anybody can connect.
        let listens = host.listen_at(bound);
        socket.listen(BACKLOG)?;
        Ok(Self {
            tcp: TcpListener::from_std(socket.into())?,
            address: bound,
            _listens: listens,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, for its options.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.tcp)
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
