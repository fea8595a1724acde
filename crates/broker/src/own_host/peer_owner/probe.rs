//! What this kernel supports, tested with a connection of this process to itself.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::fs::{Gid, Uid, fchown};
use rustix::process::geteuid;
use socket_owners::Kernel;
use socket2::SockRef;

use super::Owner;
use super::held_end::hold;
use crate::own_host::client_socket::reset_when_dropped;

/// The temporary owner of a socket of root's: the answer 0 could also mean that the kernel does not know.
const SOMEBODY: u32 = 65534;

/// How long a connection within this process may take. While loopback is down, such as early in the start of a host or in
/// a bare network namespace, it would otherwise hold the start of the daemon up for minutes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Both ends of a connection, and their addresses.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Pair {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let local = listener.local_addr()?;
        let client = TcpStream::connect_timeout(&local, PATIENCE)?;
        let (server, peer) = listener.accept()?;
        Ok(Self {
            client,
            server,
            peer,
            local,
        })
    }
}

/// Fails if the kernel does not name the owner of an open socket.
pub(super) fn names_open(kernel: &Kernel) -> io::Result<()> {
    let pair = Pair::new()?;
    match kernel.owner(pair.peer, pair.local) {
        Owner::User(owner) if owner == geteuid().as_raw() => Ok(()),
        other @ (Owner::User(_) | Owner::Nobody | Owner::Unknown) => Err(io::Error::other(
            format!("asked for this process's own connection, it says {other:?}"),
        )),
    }
}

/// Whether the kernel names the owner of a closed socket whose end was not accepted. After a byte, the end is accepted a
/// few hundredths of a second later, even if it cannot be delayed.
pub(super) fn names_closed(kernel: &Kernel) -> io::Result<bool> {
    let Pair {
        mut client,
        server,
        peer,
        local,
    } = Pair::new()?;
    let mut owner = geteuid();
    if owner.is_root() {
        owner = Uid::from_raw(SOMEBODY);
        fchown(&client, Some(owner), None::<Gid>)?;
    }
    let _ = hold(&SockRef::from(&server));
    client.write_all(&[0])?;
    drop(client);
    let named = kernel.owner(peer, local);
    // Nothing remains that would wait for an answer.
    reset_when_dropped(&server);
    Ok(named == Owner::User(owner.as_raw()))
}
