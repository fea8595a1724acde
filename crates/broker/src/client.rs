//! A client's connection to a tunnel, before anybody has answered it: on the daemon's own host, or on the SSH server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use broker_config::ListenAddress;
use broker_ssh::ForwardedConnection;
use bytes::Bytes;
use plain_text::canonical;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::own_host::ClientAddresses;
use crate::refusal::{FirstWord, REFUSAL_TIMEOUT, Refusal};

/// A connection that waits to be served.
#[derive(Debug)]
pub(crate) enum Client {
    /// To a listener of the daemon.
    OwnHost(TcpStream),
    /// To a listener of the SSH server.
    SshServer(FarClient),
}

/// A connection to a listener of the SSH server.
#[derive(Debug)]
pub(crate) struct FarClient {
    pub(crate) connection: ForwardedConnection,
    /// The SSH server's own address, if the broker knows it.
    pub(crate) server: Option<IpAddr>,
}

impl From<TcpStream> for Client {
    fn from(tcp: TcpStream) -> Self {
        Self::OwnHost(tcp)
    }
}

impl FarClient {
    /// Sends the client this line and closes, or rejects its connection: then it sees that the connection fails.
    async fn refuse(self, line: Option<Vec<u8>>) {
        let Some(line) = line else {
            return self.connection.reject().await;
        };
        let channel = self.connection.accept().await;
        let told = async {
            channel.write(Bytes::from(line)).await?;
            channel.eof().await
        };
        let _ = timeout(REFUSAL_TIMEOUT, told).await;
    }

    /// The addresses of its connection, as far as they are known.
    pub(crate) fn addresses(&self, listens_at: ListenAddress, peer: SocketAddr) -> ClientAddresses {
        let reached = self.reached(listens_at, peer.ip());
        ClientAddresses {
            client: peer,
            reached: SocketAddr::new(reached, 0),
        }
    }

    /// The address at which the client most likely reached the SSH server, which does not tell; otherwise the unspecified
    /// one. Only the server's own host reaches a loopback address, and comes from one.
    fn reached(&self, listens_at: ListenAddress, peer: IpAddr) -> IpAddr {
        let asked = match listens_at {
            ListenAddress::Address(ip) if !ip.is_unspecified() => Some(ip),
            ListenAddress::Address(_) | ListenAddress::All => None,
        };
        let fits =
            |ip: &IpAddr| ip.is_ipv4() == peer.is_ipv4() && ip.is_loopback() == peer.is_loopback();
        let known = asked.filter(fits).or(self.server.filter(fits));
        known.unwrap_or_else(|| fallback(peer))
    }
}

/// The loopback address of the peer's family if it comes from one, otherwise the unspecified address.
fn fallback(peer: IpAddr) -> IpAddr {
    match (peer, peer.is_loopback()) {
        (IpAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
        (IpAddr::V4(_), false) => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V6(_), false) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl Client {
    /// Whether a client with this address is on the host that listens.
    pub(crate) fn is_local(&self, peer: IpAddr) -> bool {
        let host = match self {
            Self::OwnHost(tcp) => tcp.local_addr().ok().map(|local| canonical(local).ip()),
            Self::SshServer(far) => far.server,
        };
        peer.is_loopback() || host == Some(peer)
    }

    /// Tells the client that its destination is connected, if it awaits that.
    ///
    /// # Errors
    /// If the client is gone.
    pub(crate) async fn grant(&mut self, first_word: FirstWord) -> io::Result<()> {
        match self {
            Self::OwnHost(tcp) => first_word.grant(tcp).await,
            Self::SshServer(_) => Ok(()),
        }
    }

    /// Tells the client the reason as far as its protocol can, and closes.
    pub(crate) async fn refuse(self, first_word: FirstWord, refusal: &Refusal) {
        match self {
            Self::OwnHost(tcp) => first_word.refuse(tcp, refusal).await,
            Self::SshServer(far) => far.refuse(first_word.text(refusal)).await,
        }
    }
}

/// The address in SSH's own terms, in which the empty one means all addresses (RFC 4254 section 7.1).
pub(crate) fn bind_address(address: ListenAddress) -> String {
    match address {
        ListenAddress::Address(ip) => ip.to_string(),
        ListenAddress::All => String::new(),
    }
}
