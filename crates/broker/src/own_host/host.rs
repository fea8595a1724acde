//! What the daemon knows about its own host: who owns which connection, and where the daemon itself listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::peer_owner::{Owners, is_own};
use super::tunnel_sockets::TunnelSockets;
use crate::sync::lock;

/// One instance for the whole daemon.
#[derive(Debug)]
pub(crate) struct Host {
    /// Who owns which connection.
    pub(crate) owners: Owners,
    /// The sockets of tunnels.
    pub(crate) sockets: TunnelSockets,
    /// One for each address of open listeners, with their number. Listeners are bounded.
    listening: Mutex<BTreeMap<SocketAddr, usize>>,
}

impl Host {
    /// A host without sockets of an earlier process.
    #[cfg(test)]
    pub(crate) fn new() -> Arc<Self> {
        Self::with(TunnelSockets::default())
    }

    pub(crate) fn with(sockets: TunnelSockets) -> Arc<Self> {
        Arc::new(Self {
            owners: Owners::open(),
            sockets,
            listening: Mutex::default(),
        })
    }

    /// Whether a connection to this address would reach the daemon itself.
    pub(crate) fn listens_at(&self, target: SocketAddr) -> bool {
        let meets = |own: &&SocketAddr| {
            own.ip() == target.ip() || own.ip().is_unspecified() && is_own(target.ip())
        };
        let listening = lock(&self.listening);
        let mut same_port = listening.keys().filter(|own| own.port() == target.port());
        same_port.any(|own| meets(&own))
    }

    /// Records an address until the guard is dropped.
    pub(crate) fn listen_at(self: &Arc<Self>, address: SocketAddr) -> ListensAt {
        *lock(&self.listening).entry(address).or_default() += 1;
        ListensAt {
            host: Arc::clone(self),
            address,
        }
    }
}

/// Forgets its address when dropped.
#[derive(Debug)]
pub(crate) struct ListensAt {
    host: Arc<Host>,
    address: SocketAddr,
}

impl Drop for ListensAt {
    fn drop(&mut self) {
        let mut listening = lock(&self.host.listening);
        if let Some(count) = listening.get_mut(&self.address) {
            *count -= 1;
        }
        listening.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_own_ports_are_known_while_they_are_open() {
        let host = Host::new();
        let at = |address: &str| host.listens_at(address.parse().unwrap());
        let exact = host.listen_at("127.0.0.1:2121".parse().unwrap());
        assert!(at("127.0.0.1:2121"));
        assert!(!at("127.0.0.2:2121"));
        assert!(!at("127.0.0.1:2122"));
        let every = host.listen_at("[::]:2122".parse().unwrap());
        assert!(at("127.0.0.1:2122") && at("[::1]:2122"));
        assert!(!at("192.0.2.1:2122"));
        let again = host.listen_at("127.0.0.1:2121".parse().unwrap());
        drop(exact);
        assert!(at("127.0.0.1:2121"));
        drop((again, every));
        assert!(!at("127.0.0.1:2121") && !at("127.0.0.1:2122"));
    }
}
