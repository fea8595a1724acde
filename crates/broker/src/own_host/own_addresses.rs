//! The addresses of this host, as its kernel lists them.

use std::net::IpAddr;

/// The addresses of all interfaces; none where the system does not list them.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    #[cfg(target_os = "linux")]
    return linux::list().unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::IpAddr;

    use rustix::io::Result;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
    };

    // linux/rtnetlink.h, linux/netlink.h and linux/if_addr.h
    const RTM_NEWADDR: u16 = 20;
    const RTM_GETADDR: u16 = 22;
    const NLM_F_REQUEST_DUMP: u16 = 0x301;
    const HEADER_LEN: usize = 16;
    const MESSAGE_LEN: usize = HEADER_LEN + 8;
    const ATTRIBUTE_LEN: usize = 4;
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    /// What the kernel fills at a time.
    const BUFFER: usize = 32 * 1024;
    /// More than any host has that a person uses FTP on.
    const MAX_ADDRESSES: usize = 1024;

    pub(super) fn list() -> Result<Vec<IpAddr>> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let mut request = Vec::with_capacity(MESSAGE_LEN);
        request.extend((MESSAGE_LEN as u32).to_ne_bytes());
        request.extend(RTM_GETADDR.to_ne_bytes());
        request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
        request.resize(MESSAGE_LEN, 0); // of any family and interface
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&socket, &request, SendFlags::empty(), &kernel)?;
        let mut buffer = vec![0; BUFFER];
        let mut addresses = Vec::new();
        while addresses.len() < MAX_ADDRESSES {
            // The kernel answers while it is read, so this never waits.
            let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
            let answers = buffer.get(..length).unwrap_or_default();
            if !read(answers, &mut addresses) {
                break;
            }
        }
        Ok(addresses)
    }

    /// Takes the addresses out of a batch of messages. False at the end of the list.
    fn read(mut answers: &[u8], addresses: &mut Vec<IpAddr>) -> bool {
        while let Some(length) = number(answers, 0) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (Some(message), Some(RTM_NEWADDR)) = (answers.get(..length), kind(answers, 4))
            else {
                return false;
            };
            addresses.extend(message.get(MESSAGE_LEN..).and_then(address));
            answers = answers
                .get(length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
        true
    }

    /// The own address among the attributes: on a line between two hosts `IFA_ADDRESS` is the other one's.
    fn address(mut attributes: &[u8]) -> Option<IpAddr> {
        let mut found = None;
        while let (Some(length), Some(name)) = (kind(attributes, 0), kind(attributes, 2)) {
            let length = usize::from(length);
            let value = attributes.get(ATTRIBUTE_LEN..length)?;
            match name {
                IFA_LOCAL => return ip(value),
                IFA_ADDRESS => found = ip(value),
                _ => {}
            }
            attributes = attributes
                .get(length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
        found
    }

    fn ip(value: &[u8]) -> Option<IpAddr> {
        let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
            .ok()
    }

    fn number(bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(bytes))
    }

    fn kind(bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_ne_bytes(bytes))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn every_address_listed_is_one_of_this_host() {
        let listed = own_addresses();
        assert!(listed.contains(&Ipv4Addr::LOCALHOST.into()), "{listed:?}");
        for ip in listed {
            // A link-local one says nothing without its interface.
            let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            assert!(link_local || UdpSocket::bind((ip, 0)).is_ok(), "{ip}");
        }
    }
}
