//! Asks the kernel who owns one TCP socket.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Owner;
use super::diag::{Diag, Found};

/// States in which the kernel keeps only the remains of a connection, without an owner (net/tcp_states.h): SYN_RECV,
/// FIN_WAIT2, TIME_WAIT.
const SHELLS: [u8; 3] = [3, 5, 6];

/// A connection to the kernel for questions about one socket each.
#[derive(Debug)]
pub struct Kernel {
    diag: Mutex<Diag>,
    names_closed: bool,
}

impl Kernel {
    /// Opens the connection.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            diag: Mutex::new(Diag::open()?),
            names_closed: false,
        })
    }

    /// Whether to trust the answer about a socket that no process has. Linux keeps its owner since 6.17; before that it
    /// says 0.
    #[must_use]
    pub fn trusting_closed(self, names_closed: bool) -> Self {
        Self {
            names_closed,
            ..self
        }
    }

    /// Whether its answers about sockets that no process has are trusted.
    pub fn names_closed(&self) -> bool {
        self.names_closed
    }

    /// The owner of the socket whose own address is `peer` and which is connected to `local`.
    pub fn owner(&self, peer: SocketAddr, local: SocketAddr) -> Owner {
        match self.diag().ask(peer, local) {
            Ok(Some(found)) if self.has_owner(found) => Owner::User(found.uid),
            Ok(_) => Owner::Nobody,
            Err(_) => Owner::Unknown,
        }
    }

    /// The socket is usable after any panic: late answers are skipped.
    fn diag(&self) -> MutexGuard<'_, Diag> {
        let diag = self.diag.lock();
        diag.unwrap_or_else(PoisonError::into_inner)
    }

    fn has_owner(&self, found: Found) -> bool {
        found.inode != 0 || (self.names_closed && !SHELLS.contains(&found.state))
    }
}
