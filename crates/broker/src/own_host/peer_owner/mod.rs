//! Which local user owns the other end of a connection within this host.
//!
//! Every user of the machine can reach a port on loopback. The kernel knows who owns the socket at the other end; asking
//! it prevents one user from taking another's transfer.

#[cfg(target_os = "linux")]
mod held_end;
#[cfg(target_os = "linux")]
mod probe;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::SockRef;
use tracing::warn;

pub(crate) use socket_owners::Owner;

#[cfg(target_os = "linux")]
use socket_owners::Kernel;

/// How often to test whether the kernel names owners of closed sockets: on a busy machine one may be forgotten before the
/// request.
#[cfg(target_os = "linux")]
const PROBES: usize = 3;

/// The connection to the kernel. It is opened once and kept, so it needs no descriptor when there may be none left.
#[derive(Debug)]
pub(crate) struct Owners {
    #[cfg(target_os = "linux")]
    kernel: Option<Kernel>,
}

impl Owners {
    /// Opens and tests the connection. If the kernel names no owners, the log says so once.
    pub(crate) fn open() -> Self {
        #[cfg(target_os = "linux")]
        let (kernel, failure) = match tried() {
            Ok(kernel) => (Some(kernel), None),
            Err(error) => (None, Some(error)),
        };
        #[cfg(not(target_os = "linux"))]
        let failure = Some(io::Error::from(io::ErrorKind::Unsupported));
        if let Some(error) = failure {
            warn!(%error, "the system does not tell who owns a local connection, so another user of this machine can take part in a transfer; allow AF_NETLINK if the daemon runs in a sandbox, or give access to this machine only to users whom you trust");
        }
        Self {
            #[cfg(target_os = "linux")]
            kernel,
        }
    }

    /// Whether the system names owners at all.
    pub(crate) fn are_known(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.kernel.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Delays the end of a listener's connections until [`Self::release_end`], so that their owners are known even if
    /// they close at once. Does nothing if the kernel forgets the owner of a closed socket anyway.
    pub(crate) fn hold_ends(&self, listener: &SockRef<'_>) {
        #[cfg(target_os = "linux")]
        if self.kernel.as_ref().is_some_and(Kernel::names_closed)
            && let Err(error) = held_end::hold(listener)
        {
            tracing::debug!(%error, "cannot delay the end of data connections: the owner of one that closes at once may be unknown");
        }
        #[cfg(not(target_os = "linux"))]
        let _ = listener;
    }

    /// Accepts the end of an accepted connection.
    pub(crate) fn release_end(&self, accepted: &SockRef<'_>) {
        #[cfg(target_os = "linux")]
        if self.kernel.as_ref().is_some_and(Kernel::names_closed) {
            // There is no filter to remove if the listener could not get one.
            let _ = held_end::release(accepted);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = accepted;
    }

    /// The owner of the socket whose own address is `peer` and which is connected to `local`.
    pub(crate) fn of(&self, peer: SocketAddr, local: SocketAddr) -> Owner {
        #[cfg(target_os = "linux")]
        if let Some(kernel) = &self.kernel {
            return kernel.owner(peer, local);
        }
        let _ = (peer, local);
        Owner::Unknown
    }

    /// The owner of the port `target` to which a connection was made from `local`. This is the owner of the listener
    /// until it has accepted the connection.
    pub(crate) fn of_target(&self, target: SocketAddr, local: SocketAddr) -> Owner {
        match self.of(target, local) {
            Owner::Nobody => self.of(target, SocketAddr::new(unspecified(target.ip()), 0)),
            known @ (Owner::User(_) | Owner::Unknown) => known,
        }
    }
}

/// A tested connection to the kernel.
#[cfg(target_os = "linux")]
fn tried() -> io::Result<Kernel> {
    let kernel = Kernel::open()?;
    probe::names_open(&kernel)?;
    let trusting = kernel.trusting_closed(true);
    let mut tries = std::iter::repeat_with(|| probe::names_closed(&trusting)).take(PROBES);
    let truthful = tries.any(|named| named.unwrap_or(false));
    Ok(trusting.trusting_closed(truthful))
}

/// Whether an address is one of this host's. This sends nothing: the route shows it, since a host reaches itself from the
/// same address. If descriptors run out, the answer is yes, which is the cautious one.
pub(crate) fn is_own(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || source_for(ip).map_or_else(|error| is_shortage(&error), |from| from == ip)
}

fn source_for(ip: IpAddr) -> io::Result<IpAddr> {
    /// No datagram is sent there.
    const ANY_PORT: u16 = 9;
    let socket = UdpSocket::bind((unspecified(ip), 0))?;
    socket.connect((ip, ANY_PORT))?;
    Ok(socket.local_addr()?.ip())
}

/// Whether there was no descriptor or memory for a socket, as opposed to no route to the address.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        code,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn me() -> Owner {
        Owner::User(rustix::process::geteuid().as_raw())
    }

    fn check(address: &str) {
        let owners = Owners::open();
        let listener = TcpListener::bind(address).unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let from = client.local_addr().unwrap();
        // From the side that connected, before the other side has accepted.
        assert_eq!(owners.of_target(at, from), me());
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(owners.of_target(at, from), me());
        assert_eq!(owners.of(peer, server.local_addr().unwrap()), me());
        // Once the end was accepted no kernel has an owner.
        drop(client);
        drop(server);
        assert_eq!(owners.of(peer, at), Owner::Nobody);
    }

    #[test]
    fn the_owner_of_an_ipv4_peer_is_known_while_it_is_open() {
        check("127.0.0.1:0");
    }

    #[test]
    fn the_owner_of_an_ipv6_peer_is_known_while_it_is_open() {
        check("[::1]:0");
    }

    #[test]
    fn a_connection_that_does_not_exist_has_no_owner() {
        let nobody = "127.0.0.1:9".parse().unwrap();
        assert_eq!(Owners::open().of(nobody, nobody), Owner::Nobody);
    }

    #[test]
    fn the_addresses_of_this_host_are_told_from_others() {
        for (ip, own) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_own(ip.parse().unwrap()), own, "{ip}");
        }
    }
}
