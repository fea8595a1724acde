//! A network between namespaces, which this host does not reach.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::netns::{Netns, ip};

/// A switch to which namespaces are attached. Its addresses are 192.168.N.0/24 and fd00:N::/64.
pub struct Lan {
    switch: Netns,
    number: u8,
}

impl Lan {
    /// Makes a network with a number. Networks that share no namespace may have the same one.
    ///
    /// # Errors
    /// When this user may not, or `ip` is missing or fails; the message shows what it said.
    pub fn create(number: u8) -> anyhow::Result<Self> {
        let switch = Netns::create()?;
        let name = switch.name();
        ip(&format!("-n {name} link add switch type bridge"))?;
        ip(&format!("-n {name} link set switch up"))?;
        Ok(Self { switch, number })
    }

    /// A new namespace on this network, with this host number.
    ///
    /// # Errors
    /// As [`Lan::create`].
    pub fn host(&self, host: u8) -> anyhow::Result<Netns> {
        let netns = Netns::create()?;
        self.attach(&netns, host)?;
        Ok(netns)
    }

    /// Gives a namespace an interface on this network.
    ///
    /// # Errors
    /// As [`Lan::create`].
    pub fn attach(&self, netns: &Netns, host: u8) -> anyhow::Result<()> {
        let (switch, name) = (self.switch.name(), netns.name());
        let (v4, v6) = (self.v4(host), self.v6(host));
        let (port, lan) = (format!("port{host}"), format!("lan{}", self.number));
        // A router looks for a neighbour from its link-local address. The one that the kernel makes is usable only once
        // duplicate address detection is over, a second later; until then a router drops what it should pass on.
        let link_local = format!("fe80::{host:x}");
        for arguments in [
            format!("-n {switch} link add {port} type veth peer name {lan} netns {name}"),
            format!("-n {switch} link set {port} master switch"),
            format!("-n {switch} link set {port} up"),
            format!("-n {name} link set {lan} addrgenmode none"),
            format!("-n {name} addr add {link_local}/64 dev {lan} nodad"),
            format!("-n {name} addr add {v4}/24 dev {lan}"),
            format!("-n {name} addr add {v6}/64 dev {lan} nodad"),
            format!("-n {name} link set {lan} up"),
        ] {
            ip(&arguments)?;
        }
        Ok(())
    }

    /// The IPv4 address of a host.
    #[must_use]
    pub fn v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self.number, host)
    }

    /// The IPv6 address of a host.
    #[must_use]
    pub fn v6(&self, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, self.number.into(), 0, 0, 0, 0, 0, host.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};

    use super::*;
    use crate::netns;

    #[test]
    fn hosts_reach_each_other_by_both_families() {
        if netns::available().is_err() {
            return;
        }
        let lan = Lan::create(1).unwrap();
        let [one, two] = [lan.host(1), lan.host(2)].map(Result::unwrap);
        for ip in [IpAddr::from(lan.v4(2)), lan.v6(2).into()] {
            let listener = two.enter(|| TcpListener::bind((ip, 0))).unwrap().unwrap();
            one.connect(listener.local_addr().unwrap()).unwrap();
            let peer = listener.accept().unwrap().1.ip();
            assert_eq!(peer.is_ipv4(), ip.is_ipv4());
        }
    }
}
