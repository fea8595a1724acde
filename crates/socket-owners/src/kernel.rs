//! Asks the kernel who owns a TCP socket, with one exact netlink request (`sock_diag`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use super::Owner;

// linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const HEADER_LEN: usize = 16;
const REQUEST_LEN: usize = HEADER_LEN + 56;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const ANY_COOKIE: [u8; 8] = [0xff; 8];
/// Offsets in the message: its type and sequence number, then `idiag_state`, `idiag_uid` and `idiag_inode` of an
/// `inet_diag_msg`.
const TYPE_AT: usize = 4;
const SEQUENCE_AT: usize = 8;
const STATE_AT: usize = HEADER_LEN + 1;
const UID_AT: usize = HEADER_LEN + 64;
const INODE_AT: usize = HEADER_LEN + 68;
/// States in which the kernel keeps only the remains of a connection, without an owner (net/tcp_states.h): SYN_RECV,
/// FIN_WAIT2, TIME_WAIT.
const SHELLS: [u8; 3] = [3, 5, 6];
/// How many late answers to earlier requests may come before the right one.
const MAX_LATE: usize = 16;

/// A connection to the kernel for questions about one socket each. It is a netlink socket.
#[derive(Debug)]
pub struct Kernel {
    asking: Mutex<Asking>,
    names_closed: bool,
}

#[derive(Debug)]
struct Asking {
    socket: OwnedFd,
    sequence: u32,
}

/// A socket as the kernel describes it.
#[derive(Debug, Clone, Copy)]
struct Found {
    state: u8,
    uid: u32,
    /// 0 if no process has it: it was closed, or nobody has accepted it yet.
    inode: u32,
}

impl Kernel {
    /// Opens the connection.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::SOCK_DIAG),
        )?;
        let sequence = 0;
        Ok(Self {
            asking: Mutex::new(Asking { socket, sequence }),
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
        let mut asking = self.asking();
        match asking.ask(peer, local) {
            Ok(Some(found)) if self.has_owner(found) => Owner::User(found.uid),
            Ok(_) => Owner::Nobody,
            Err(_) => Owner::Unknown,
        }
    }

    /// The socket is usable after any panic: late answers are skipped.
    fn asking(&self) -> MutexGuard<'_, Asking> {
        let asking = self.asking.lock();
        asking.unwrap_or_else(PoisonError::into_inner)
    }

    fn has_owner(&self, found: Found) -> bool {
        found.inode != 0 || (self.names_closed && !SHELLS.contains(&found.state))
    }
}

impl Asking {
    /// `None` if there is no such socket.
    fn ask(&mut self, peer: SocketAddr, local: SocketAddr) -> io::Result<Option<Found>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence, peer, local);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &request, SendFlags::empty(), &kernel)?;
        for _ in 0..MAX_LATE {
            // The kernel answers while the request is being sent, so this never waits.
            let mut answer = [0u8; 512];
            let (_, length) = recv(&self.socket, &mut answer, RecvFlags::empty())?;
            let answer = answer.get(..length).unwrap_or_default();
            if number(answer, SEQUENCE_AT) == Some(self.sequence) {
                return parse(answer);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// An `nlmsghdr` and an `inet_diag_req_v2` that names exactly one socket.
fn request(sequence: u32, peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let family = match peer {
        SocketAddr::V4(_) => AF_INET,
        SocketAddr::V6(_) => AF_INET6,
    };
    let mut message = Vec::with_capacity(REQUEST_LEN);
    message.extend((REQUEST_LEN as u32).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // the port id, which the kernel knows
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

fn parse(answer: &[u8]) -> io::Result<Option<Found>> {
    let kind = answer.get(TYPE_AT..TYPE_AT + 2);
    let kind = kind.and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
    match kind {
        Some(SOCK_DIAG_BY_FAMILY) => Ok(found(answer)),
        Some(NLMSG_ERROR) => match refusal(answer) {
            Some(rustix::io::Errno::NOENT) => Ok(None),
            Some(errno) => Err(errno.into()),
            None => Err(io::ErrorKind::InvalidData.into()),
        },
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn found(answer: &[u8]) -> Option<Found> {
    Some(Found {
        state: *answer.get(STATE_AT)?,
        uid: number(answer, UID_AT)?,
        inode: number(answer, INODE_AT)?,
    })
}

/// The negative error number after the header.
fn refusal(answer: &[u8]) -> Option<rustix::io::Errno> {
    let negative = number(answer, HEADER_LEN)?.cast_signed();
    Some(rustix::io::Errno::from_raw_os_error(
        negative.wrapping_neg(),
    ))
}

fn number(message: &[u8], at: usize) -> Option<u32> {
    let bytes = message.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}
