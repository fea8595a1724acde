//! What the client learns of a data listener: the address and port at which it reaches the broker from outside.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// How long the lookup of `advertise-address` may take. Clients wait longer for a reply.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The outside address of a session. It is looked up when the client first needs it, and stays the same for the session.
#[derive(Debug, Default)]
pub(crate) struct Advertised(OnceCell<IpAddr>);

impl Advertised {
    /// The address that `name` has, of the same family as `like`.
    ///
    /// # Errors
    /// What to tell the client. A later call tries again.
    pub(super) async fn address(&self, name: &str, like: IpAddr) -> Result<IpAddr, String> {
        let found = self.0.get_or_try_init(|| look_up(name, like));
        found.await.copied()
    }
}

/// The port to announce. The configuration was checked: the sum is a port.
pub(super) fn outside_port(port: u16, offset: i32) -> u16 {
    u16::try_from(i32::from(port) + offset).unwrap_or(port)
}

async fn look_up(name: &str, like: IpAddr) -> Result<IpAddr, String> {
    let found = timeout(LOOKUP_TIMEOUT, lookup_host((name, 0))).await;
    let found = found.unwrap_or_else(|late| Err(io::Error::from(late)));
    let of_family = |address: SocketAddr| {
        let ip = address.ip();
        (ip.is_ipv4() == like.is_ipv4()).then_some(ip)
    };
    let family = if like.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut addresses = found.map_err(|error| {
        format!("the broker cannot look up its advertise-address {name}: {error}")
    })?;
    addresses
        .find_map(of_family)
        .ok_or_else(|| format!("the broker's advertise-address {name} has no {family} address"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[tokio::test]
    async fn the_address_is_of_the_clients_family() {
        for (name, like, expected) in [
            ("192.0.2.1", V4, Ok("192.0.2.1")),
            ("2001:db8::1", V6, Ok("2001:db8::1")),
            (
                "192.0.2.1",
                V6,
                Err("the broker's advertise-address 192.0.2.1 has no IPv6 address"),
            ),
            (
                "2001:db8::1",
                V4,
                Err("the broker's advertise-address 2001:db8::1 has no IPv4 address"),
            ),
        ] {
            let address = Advertised::default().address(name, like).await;
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(address, expected.map_err(str::to_owned));
        }
        let local = Advertised::default().address("localhost", V4).await;
        assert_eq!(local, Ok(V4));
    }

    #[tokio::test]
    async fn a_failed_lookup_is_tried_again_and_a_found_address_kept() {
        let advertised = Advertised::default();
        let failed = advertised.address("no..name", V4).await;
        let reason = failed.unwrap_err();
        let said = "the broker cannot look up its advertise-address no..name: ";
        assert!(reason.starts_with(said), "{reason}");
        assert_eq!(advertised.address("127.0.0.1", V4).await, Ok(V4));
        let kept = advertised.address("no..name", V4).await;
        assert_eq!(kept, Ok(V4));
    }

    #[test]
    fn the_outside_port_may_be_lower_or_higher() {
        assert_eq!(outside_port(50_000, -10_000), 40_000);
        assert_eq!(outside_port(50_000, 0), 50_000);
        assert_eq!(outside_port(50_000, 15_535), 65_535);
    }
}
