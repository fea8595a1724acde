//! The socket that prevents a listener.

use std::net::SocketAddr;

/// A socket that has a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InTheWay {
    pub(crate) address: SocketAddr,
    pub(crate) listens: bool,
    pub(crate) uid: u32,
    pub(crate) inode: u32,
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn in_the_way(_: SocketAddr) -> Option<InTheWay> {
    None
}

#[cfg(target_os = "linux")]
pub(crate) use linux::in_the_way;

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::InTheWay;
    use crate::diag::{Diag, Found};

    /// A listening socket (net/tcp_states.h).
    const LISTEN: u8 = 10;
    /// A socket with a port that is not connected and does not listen.
    const BOUND: u8 = 13;

    /// The socket that prevents a listener at this address: the one that clashes most clearly.
    pub(crate) fn in_the_way(wanted: SocketAddr) -> Option<InTheWay> {
        let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let of_family = |any| Diag::open()?.of_port(any, wanted.port());
        let all = families.into_iter().filter_map(|any| of_family(any).ok());
        let open = all.flatten().filter(|found| found.inode != 0);
        let clashing = open.filter_map(|found| Some((clash(wanted, found)?, found)));
        let (_, clearest) = clashing.min_by_key(|(clarity, _)| *clarity)?;
        Some(InTheWay {
            address: clearest.local,
            listens: is_listener(clearest),
            uid: clearest.uid,
            inode: clearest.inode,
        })
    }

    /// How clearly a socket clashes with a listener, the lowest number first. `None` if both can exist.
    fn clash(wanted: SocketAddr, found: Found) -> Option<(bool, u8)> {
        let (wanted, has) = (wanted.ip(), found.local.ip());
        let overlap = wanted.is_unspecified() || has.is_unspecified();
        let same_family = wanted.is_ipv4() == has.is_ipv4();
        let clarity = match (wanted == has, same_family) {
            (true, _) => 0,
            (false, true) if overlap => 1,
            // A listener at the unspecified address of IPv6 can accept IPv4 as well.
            (false, false) if overlap => 2,
            (false, true | false) => return None,
        };
        Some((!is_listener(found), clarity))
    }

    /// Whether it listens, or can as soon as its program wants to.
    fn is_listener(found: Found) -> bool {
        matches!(found.state, LISTEN | BOUND)
    }
}
