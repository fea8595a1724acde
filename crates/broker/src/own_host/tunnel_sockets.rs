//! The sockets of tunnels, which outlive the daemon: another process can take them over, so no client is refused meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, Weak};

use socket2::{SockRef, Socket};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// Learns of each socket that opens or closes: its address, and the open socket.
type Watcher = Box<dyn Fn(SocketAddr, Option<BorrowedFd<'_>>) + Send + Sync>;

/// All of them. Clones are the same set.
#[derive(Clone, Default)]
pub struct TunnelSockets {
    sockets: Arc<Mutex<Sockets>>,
    /// The daemon accepts no more clients: a socket that closes now stays with whoever else has it.
    leaving: CancellationToken,
}

#[derive(Default)]
struct Sockets {
    /// From the process before this one, until a tunnel wants them.
    inherited: Vec<net::TcpListener>,
    /// One for each tunnel that listens, and tunnels are bounded.
    open: BTreeMap<SocketAddr, Weak<TcpListener>>,
    watcher: Option<Arc<Watcher>>,
}

impl TunnelSockets {
    pub(crate) fn new(leaving: CancellationToken) -> Self {
        Self {
            sockets: Arc::default(),
            leaving,
        }
    }

    /// Offers the sockets of the process before this one to the tunnels that open from now on.
    pub fn inherit(&self, sockets: Vec<net::TcpListener>) {
        lock(&self.sockets).inherited.extend(sockets);
    }

    /// Closes the inherited sockets that no tunnel wanted, and returns their addresses.
    pub fn close_inherited(&self) -> Vec<SocketAddr> {
        let unwanted = std::mem::take(&mut lock(&self.sockets).inherited);
        let addresses = unwanted.iter().map(net::TcpListener::local_addr);
        addresses.filter_map(Result::ok).collect()
    }

    /// Calls `watcher` for each socket that opens or closes from now on, except when the daemon ends.
    pub fn watch(
        &self,
        watcher: impl Fn(SocketAddr, Option<BorrowedFd<'_>>) + Send + Sync + 'static,
    ) {
        lock(&self.sockets).watcher = Some(Arc::new(Box::new(watcher)));
    }

    /// The open sockets.
    pub fn open(&self) -> Vec<(SocketAddr, Arc<TcpListener>)> {
        let sockets = lock(&self.sockets);
        let open = sockets.open.iter();
        open.filter_map(|(address, socket)| Some((*address, socket.upgrade()?)))
            .collect()
    }

    /// An inherited socket with exactly this address.
    pub(super) fn take(&self, address: SocketAddr, both_families: bool) -> Option<Socket> {
        let mut sockets = lock(&self.sockets);
        let fits = |it: &net::TcpListener| {
            it.local_addr().is_ok_and(|at| at == address)
                && (address.is_ipv4()
                    || SockRef::from(it)
                        .only_v6()
                        .is_ok_and(|v6| v6 != both_families))
        };
        let at = sockets.inherited.iter().position(fits)?;
        Some(sockets.inherited.swap_remove(at).into())
    }

    /// Records an open socket until the guard is dropped.
    pub(super) fn opened(&self, address: SocketAddr, socket: &Arc<TcpListener>) -> OpenSocket {
        let mut sockets = lock(&self.sockets);
        sockets.open.insert(address, Arc::downgrade(socket));
        let watcher = sockets.watcher.clone();
        drop(sockets);
        if let Some(watcher) = watcher {
            watcher(address, Some(socket.as_fd()));
        }
        OpenSocket {
            sockets: self.clone(),
            address,
            socket: Arc::downgrade(socket),
        }
    }
}

impl fmt::Debug for TunnelSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelSockets").finish_non_exhaustive()
    }
}

/// Forgets its socket when dropped.
#[derive(Debug)]
pub(super) struct OpenSocket {
    sockets: TunnelSockets,
    address: SocketAddr,
    socket: Weak<TcpListener>,
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        let mut sockets = lock(&self.sockets.sockets);
        // One for both IP versions can have been replaced by one for a single version, or the other way round.
        let known = sockets.open.get(&self.address);
        if !known.is_some_and(|known| known.ptr_eq(&self.socket)) {
            return;
        }
        sockets.open.remove(&self.address);
        let watcher = sockets.watcher.clone();
        drop(sockets);
        if let Some(watcher) = watcher
            && !self.sockets.leaving.is_cancelled()
        {
            watcher(self.address, None);
        }
    }
}

/// The socket in the form in which this process listens on it.
pub(super) fn listening(socket: Socket) -> io::Result<Arc<TcpListener>> {
    socket.set_nonblocking(true)?;
    Ok(Arc::new(TcpListener::from_std(socket.into())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses that were reported, and whether their sockets opened.
    type Heard = Arc<Mutex<Vec<(SocketAddr, bool)>>>;

    fn heard() -> (TunnelSockets, Heard) {
        let sockets = TunnelSockets::default();
        let heard = Heard::default();
        let hears = heard.clone();
        sockets
            .watch(move |address, socket| hears.lock().unwrap().push((address, socket.is_some())));
        (sockets, heard)
    }

    fn bound() -> (net::TcpListener, SocketAddr) {
        let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn an_inherited_socket_goes_to_its_address_only() {
        let sockets = TunnelSockets::default();
        let ((first, at), (second, unwanted)) = (bound(), bound());
        sockets.inherit(vec![first, second]);
        let mut other = at;
        other.set_ip([127, 0, 0, 2].into());
        assert!(sockets.take(other, false).is_none());
        assert!(sockets.take(at, false).is_some());
        assert!(sockets.take(at, false).is_none());
        assert_eq!(sockets.close_inherited(), [unwanted]);
    }

    #[tokio::test]
    async fn a_socket_that_replaces_another_stays_known() {
        let (sockets, heard) = heard();
        let ((first, at), (second, _)) = (bound(), bound());
        let [first, second] = [first, second].map(|it| listening(it.into()).unwrap());
        let (old, new) = (sockets.opened(at, &first), sockets.opened(at, &second));
        drop(old);
        assert!(Arc::ptr_eq(&sockets.open()[0].1, &second));
        assert_eq!(heard.lock().unwrap().len(), 2);
        drop(new);
        assert!(sockets.open().is_empty());
    }

    #[tokio::test]
    async fn a_socket_that_closes_with_the_daemon_is_not_reported() {
        let (sockets, heard) = heard();
        let (socket, at) = bound();
        let socket = listening(socket.into()).unwrap();
        drop(sockets.opened(at, &socket));
        assert_eq!(*heard.lock().unwrap(), [(at, true), (at, false)]);
        let open = sockets.opened(at, &socket);
        assert_eq!(sockets.open().len(), 1);
        sockets.leaving.cancel();
        drop(open);
        assert_eq!(heard.lock().unwrap().len(), 3);
        assert!(sockets.open().is_empty());
    }
}
