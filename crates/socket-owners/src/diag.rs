//! The kernel's descriptions of TCP sockets, by netlink (`sock_diag`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

// linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const HEADER_LEN: usize = 16;
const REQUEST_LEN: usize = HEADER_LEN + 56;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const ANY_COOKIE: [u8; 8] = [0xff; 8];
/// Offsets in the message: its type and sequence number, then the family, the state, the own port and address, the user
/// and the inode of an `inet_diag_msg`.
const TYPE_AT: usize = 4;
const SEQUENCE_AT: usize = 8;
const FAMILY_AT: usize = HEADER_LEN;
const STATE_AT: usize = HEADER_LEN + 1;
const PORT_AT: usize = HEADER_LEN + 4;
const ADDRESS_AT: usize = HEADER_LEN + 8;
const UID_AT: usize = HEADER_LEN + 64;
const INODE_AT: usize = HEADER_LEN + 68;
/// How many late answers to earlier requests may come before the right one.
const MAX_LATE: usize = 16;
/// How many sockets of one port are read. Those that listen come first; the rest are connections to them.
const MAX_OF_PORT: usize = 256;
/// The kernel sends at most this much at once (`netlink_dump`).
const MAX_ANSWER: usize = 32 * 1024;

/// A socket as the kernel describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// As in net/tcp_states.h.
    pub(crate) state: u8,
    /// Its own address.
    pub(crate) local: SocketAddr,
    pub(crate) uid: u32,
    /// 0 if no process has it: it was closed, or nobody has accepted it yet.
    pub(crate) inode: u32,
}

/// The netlink socket.
#[derive(Debug)]
pub(crate) struct Diag {
    socket: OwnedFd,
    sequence: u32,
}

impl Diag {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::SOCK_DIAG),
        )?;
        let sequence = 0;
        Ok(Self { socket, sequence })
    }

    /// The socket whose own address is `peer` and which is connected to `local`. `None` if there is no such socket.
    pub(crate) fn ask(&mut self, peer: SocketAddr, local: SocketAddr) -> io::Result<Option<Found>> {
        self.send(NLM_F_REQUEST, peer, local)?;
        for _ in 0..MAX_LATE {
            let mut answer = [0u8; 512];
            let answer = self.receive(&mut answer)?;
            if number(answer, SEQUENCE_AT) == Some(self.sequence) {
                return parse(answer);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The first sockets of one family that have this port, those that listen first. Nothing can be asked afterwards,
    /// since the rest of the answer remains.
    pub(crate) fn of_port(mut self, any: IpAddr, port: u16) -> io::Result<Vec<Found>> {
        self.send(
            NLM_F_REQUEST | NLM_F_DUMP,
            (any, port).into(),
            (any, 0).into(),
        )?;
        let mut all = Vec::new();
        let mut buffer = vec![0; MAX_ANSWER];
        while all.len() < MAX_OF_PORT {
            let mut rest = self.receive(&mut buffer)?;
            while let Some((message, next)) = next_message(rest) {
                if kind(message) == Some(NLMSG_DONE) {
                    return Ok(all);
                }
                all.extend(parse(message)?);
                rest = next;
            }
        }
        Ok(all)
    }

    fn send(&mut self, flags: u16, own: SocketAddr, other: SocketAddr) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(flags, self.sequence, own, other);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &request, SendFlags::empty(), &kernel)?;
        Ok(())
    }

    /// The kernel answers while the request is being sent, or when its answer is fetched. So this never waits.
    fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let (_, length) = recv(&self.socket, &mut *buffer, RecvFlags::empty())?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

/// An `nlmsghdr` and an `inet_diag_req_v2` that names one socket, or the sockets of a port.
fn request(flags: u16, sequence: u32, own: SocketAddr, other: SocketAddr) -> Vec<u8> {
    let family = match own {
        SocketAddr::V4(_) => AF_INET,
        SocketAddr::V6(_) => AF_INET6,
    };
    let mut message = Vec::with_capacity(REQUEST_LEN);
    message.extend((REQUEST_LEN as u32).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // the port id, which the kernel knows
    message.extend([family, IPPROTO_TCP, 0, 0]);
    message.extend(u32::MAX.to_ne_bytes()); // any state
    message.extend(own.port().to_be_bytes());
    message.extend(other.port().to_be_bytes());
    message.extend(octets(own.ip()));
    message.extend(octets(other.ip()));
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

/// The first of several messages, and those behind it. Each begins at a multiple of four bytes.
fn next_message(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = number(messages, 0)? as usize;
    let message = messages.get(..length.max(HEADER_LEN))?;
    let rest = messages.get(message.len().next_multiple_of(4)..);
    Some((message, rest.unwrap_or_default()))
}

fn parse(answer: &[u8]) -> io::Result<Option<Found>> {
    match kind(answer) {
        Some(SOCK_DIAG_BY_FAMILY) => Ok(found(answer)),
        Some(NLMSG_ERROR) => match refusal(answer) {
            Some(rustix::io::Errno::NOENT) => Ok(None),
            Some(errno) => Err(errno.into()),
            None => Err(io::ErrorKind::InvalidData.into()),
        },
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn kind(message: &[u8]) -> Option<u16> {
    bytes(message, TYPE_AT).map(u16::from_ne_bytes)
}

fn found(answer: &[u8]) -> Option<Found> {
    let ip: IpAddr = match *answer.get(FAMILY_AT)? {
        AF_INET => Ipv4Addr::from(bytes::<4>(answer, ADDRESS_AT)?).into(),
        _ => Ipv6Addr::from(bytes::<16>(answer, ADDRESS_AT)?).into(),
    };
    Some(Found {
        state: *answer.get(STATE_AT)?,
        local: SocketAddr::new(
            ip.to_canonical(),
            u16::from_be_bytes(bytes(answer, PORT_AT)?),
        ),
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
    bytes(message, at).map(u32::from_ne_bytes)
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> Option<[u8; N]> {
    message.get(at..at + N)?.try_into().ok()
}
