//! Which local user owns the other end of a loopback connection.
//!
//! A data listener on loopback can be reached by every user of the machine. The kernel knows whose
//! socket is at the other end; asking it keeps one user's transfer from being taken by another.

use std::net::SocketAddr;

/// What the kernel says of the socket at the other end of a loopback connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The socket belongs to this user id.
    User(u32),
    /// The socket is already closed by its process, so that nobody can be held to own it.
    Orphaned,
    /// This system does not tell (not Linux, or the lookup is not permitted).
    Unknown,
}

/// Looks up the owner of the socket whose own address is `peer` and which is connected to `local`.
///
/// Both addresses must be of this machine; for others the answer is [`Owner::Unknown`].
pub(crate) fn owner_of(peer: SocketAddr, local: SocketAddr) -> Owner {
    #[cfg(target_os = "linux")]
    {
        linux::lookup(peer, local).unwrap_or(Owner::Unknown)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (peer, local);
        Owner::Unknown
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{IpAddr, SocketAddr};

    use rustix::net::netlink::{self, SocketAddrNetlink};
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
    };

    use super::Owner;

    // linux/sock_diag.h and linux/inet_diag.h
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const HEADER_LEN: usize = 16;
    const REQUEST_LEN: usize = HEADER_LEN + 56;
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;
    const ANY_COOKIE: [u8; 8] = [0xff; 8];
    /// Where `idiag_uid` and `idiag_inode` stand in an `inet_diag_msg`, counted from its start.
    const UID_AT: usize = HEADER_LEN + 64;
    const INODE_AT: usize = HEADER_LEN + 68;

    /// One exact question to the kernel (`inet_diag`); `None` where it gives no answer.
    pub(super) fn lookup(peer: SocketAddr, local: SocketAddr) -> Option<Owner> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::SOCK_DIAG),
        )
        .ok()?;
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&socket, &request(peer, local), SendFlags::empty(), &kernel).ok()?;
        // The kernel answers while the request is being sent, so this never waits.
        let mut answer = [0u8; 512];
        let (_, length) = recv(&socket, &mut answer, RecvFlags::empty()).ok()?;
        parse(answer.get(..length)?)
    }

    /// An `nlmsghdr` and an `inet_diag_req_v2` that names exactly one socket.
    fn request(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
        let family = match peer {
            SocketAddr::V4(_) => AF_INET,
            SocketAddr::V6(_) => AF_INET6,
        };
        let mut message = Vec::with_capacity(REQUEST_LEN);
        message.extend((REQUEST_LEN as u32).to_ne_bytes());
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend(NLM_F_REQUEST.to_ne_bytes());
        message.extend([0; 8]); // sequence and port id: one question, one answer
        message.extend([family, IPPROTO_TCP, 0, 0]);
        message.extend(u32::MAX.to_ne_bytes()); // any state
        message.extend(peer.port().to_be_bytes());
        message.extend(local.port().to_be_bytes());
        message.extend(octets(peer.ip()));
        message.extend(octets(local.ip()));
        message.extend(0u32.to_ne_bytes()); // any interface
        message.extend(ANY_COOKIE);
        message
    }

    fn octets(ip: IpAddr) -> [u8; 16] {
        match ip {
            IpAddr::V6(ip) => ip.octets(),
            IpAddr::V4(ip) => {
                let mut padded = [0; 16];
                for (to, from) in padded.iter_mut().zip(ip.octets()) {
                    *to = from;
                }
                padded
            }
        }
    }

    fn parse(answer: &[u8]) -> Option<Owner> {
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        if kind != SOCK_DIAG_BY_FAMILY {
            return None;
        }
        let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
        let (uid, inode) = (number(UID_AT)?, number(INODE_AT)?);
        Some(if inode == 0 {
            Owner::Orphaned
        } else {
            Owner::User(uid)
        })
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn check(address: &str) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let local = server.local_addr().unwrap();
        let me = rustix::process::getuid().as_raw();
        assert_eq!(owner_of(peer, local), Owner::User(me));
        drop(client);
        assert_ne!(owner_of(peer, local), Owner::User(me));
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
    fn an_unknown_connection_has_no_owner() {
        let nobody = "127.0.0.1:9".parse().unwrap();
        assert_eq!(owner_of(nobody, nobody), Owner::Unknown);
    }
}
