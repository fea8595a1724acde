//! The addresses of this host according to its kernel.

use std::net::IpAddr;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

/// More than any host has on which a person uses FTP.
const MAX_ADDRESSES: usize = 1024;

/// The addresses of all interfaces; none if the system does not list them.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    interfaces.filter_map(ip).take(MAX_ADDRESSES).collect()
}

fn ip(interface: InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address?;
    let v4 = address.as_sockaddr_in().map(|it| it.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|it| it.ip().into()))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn every_address_listed_is_one_of_this_host() {
        let listed = own_addresses();
        assert!(listed.contains(&Ipv4Addr::LOCALHOST.into()), "{listed:?}");
        for ip in listed {
            // A link-local address means nothing without its interface.
            let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            assert!(link_local || UdpSocket::bind((ip, 0)).is_ok(), "{ip}");
        }
    }
}
