//! The listeners that the server has for a connection (RFC 4254 section 7), and their incoming connections

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use russh::client::{ChannelOpenHandle, Msg};
use tokio::sync::mpsc;

use super::leftovers::Leftovers;
use crate::net::lock::lock;

/// Addresses of forwards that are remembered: those of a profile's tunnels.
const MAX_ADDRESSES: usize = 64;

/// Who connected to a remote forward, as the SSH server reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Originator {
    /// Address, as the server wrote it.
    pub host: String,
    /// Port; 0 if the server sent no valid one.
    pub port: u16,
}

impl Originator {
    pub(super) fn new(host: &str, port: u32) -> Self {
        Self {
            host: host.to_owned(),
            port: u16::try_from(port).unwrap_or(0),
        }
    }

    /// The address in numbers; `None` if the server wrote something else.
    pub fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip.to_canonical(), self.port))
    }
}

/// A connection to a listener that waits to be accepted. Dropping it rejects it.
pub(crate) struct Arrival {
    pub(crate) channel: russh::Channel<Msg>,
    pub(crate) reply: ChannelOpenHandle,
    pub(crate) originator: Originator,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("originator", &self.originator)
            .finish_non_exhaustive()
    }
}

/// The listeners of one connection.
#[derive(Debug)]
pub(crate) struct ForwardListeners {
    /// Who waits for arrivals, by port; `None` once the connection has ended.
    by_port: Mutex<Option<HashMap<u32, mpsc::Sender<Arrival>>>>,
    /// Those that the server did not end.
    pub(crate) leftovers: Leftovers,
    /// Addresses on which the server has listened. A pool requests few.
    granted: Mutex<BTreeSet<String>>,
}

impl Default for ForwardListeners {
    fn default() -> Self {
        Self {
            by_port: Mutex::new(Some(HashMap::new())),
            leftovers: Leftovers::default(),
            granted: Mutex::default(),
        }
    }
}

impl ForwardListeners {
    /// Registers a listener; false if the port is already registered, or the connection has ended.
    pub(crate) fn add(&self, port: u32, arrivals: mpsc::Sender<Arrival>) -> bool {
        match &mut *lock(&self.by_port) {
            Some(listeners) if !listeners.contains_key(&port) => {
                listeners.insert(port, arrivals);
                true
            }
            Some(_) | None => false,
        }
    }

    pub(crate) fn remove(&self, port: u32) {
        if let Some(listeners) = &mut *lock(&self.by_port) {
            listeners.remove(&port);
        }
    }

    /// Who waits for connections to a port.
    pub(super) fn at(&self, port: u32) -> Option<mpsc::Sender<Arrival>> {
        lock(&self.by_port).as_ref()?.get(&port).cloned()
    }

    /// Whether the server has any listener.
    pub(crate) fn any(&self) -> bool {
        let listeners = lock(&self.by_port);
        listeners
            .as_ref()
            .is_some_and(|listeners| !listeners.is_empty())
    }

    /// Marks the connection as ended, so no listener waits any longer.
    pub(super) fn end(&self) {
        lock(&self.by_port).take();
    }

    /// Records that the server has granted a request to listen on an address.
    pub(crate) fn note_granted(&self, bind: &str) {
        let mut granted = lock(&self.granted);
        if granted.len() < MAX_ADDRESSES {
            granted.insert(bind.to_owned());
        }
    }

    /// See [`ForwardListeners::note_granted`].
    pub(crate) fn has_granted(&self, bind: &str) -> bool {
        lock(&self.granted).contains(bind)
    }
}
