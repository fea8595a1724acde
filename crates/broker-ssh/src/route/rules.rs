//! Which proxy a server is reached through

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::limit::TimeLimit;
use super::proxy::Proxy;
use super::resolve;
use crate::spec::ConnectSpec;
use crate::wildcard::wildcard_matches;

/// A rule: these servers are reached in this way. Of several rules the first that fits counts.
#[derive(Debug, Clone)]
pub struct ProxyRule {
    /// The proxy; `None`: straight.
    pub proxy: Option<Proxy>,
    /// The servers it is for; empty: all.
    pub servers: Vec<Servers>,
}

/// Some servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// Their hosts.
    pub hosts: Hosts,
    /// Their ports; `None`: all.
    pub ports: Option<RangeInclusive<u16>>,
}

/// Some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Those with an address in this range, both ends of one family.
    Addresses(RangeInclusive<IpAddr>),
    /// Those whose name as configured fits; `*` stands for any text and `?` for one character.
    Name(String),
}

/// The proxy for a server; `None`: straight.
///
/// A name is looked up only when a rule is come to that asks for addresses. A name that cannot be looked up here has none:
/// the proxy of a later rule may know it.
pub(super) async fn choose(spec: &ConnectSpec, limit: TimeLimit) -> Option<&Proxy> {
    let mut addresses = None;
    for rule in &spec.proxy {
        if addresses.is_none() && rule.asks_for_addresses() {
            addresses = Some(look_up(spec, limit).await);
        }
        if rule.fits(spec, addresses.as_deref().unwrap_or_default()) {
            return rule.proxy.as_ref();
        }
    }
    None
}

async fn look_up(spec: &ConnectSpec, limit: TimeLimit) -> Vec<IpAddr> {
    match resolve::addresses(&spec.host, spec.port, spec.family, limit).await {
        Ok(found) => found
            .iter()
            .map(|address| address.ip().to_canonical())
            .collect(),
        Err(reason) => {
            tracing::debug!(host = %spec.host, reason, "no address to compare with the proxy rules");
            Vec::new()
        }
    }
}

impl ProxyRule {
    fn asks_for_addresses(&self) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|some| matches!(some.hosts, Hosts::Addresses(_)))
    }

    fn fits(&self, spec: &ConnectSpec, addresses: &[IpAddr]) -> bool {
        let mut servers = self.servers.iter();
        self.servers.is_empty()
            || servers.any(|some| some.include(&spec.host, spec.port, addresses))
    }
}

impl Servers {
    fn include(&self, host: &str, port: u16, addresses: &[IpAddr]) -> bool {
        let port_fits = self
            .ports
            .as_ref()
            .is_none_or(|ports| ports.contains(&port));
        port_fits
            && match &self.hosts {
                Hosts::Addresses(range) => addresses.iter().any(|address| range.contains(address)),
                Hosts::Name(pattern) => wildcard_matches(pattern, &host.to_ascii_lowercase()),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::super::proxy::ProxyKind;
    use super::*;

    fn proxy(host: &str) -> Option<Proxy> {
        Some(Proxy {
            kind: ProxyKind::Socks5,
            host: host.into(),
            port: 1080,
            login: None,
        })
    }

    fn name(pattern: &str) -> Servers {
        Servers {
            hosts: Hosts::Name(pattern.into()),
            ports: None,
        }
    }

    fn range(low: &str, high: &str) -> Servers {
        Servers {
            hosts: Hosts::Addresses(low.parse().unwrap()..=high.parse().unwrap()),
            ports: None,
        }
    }

    /// What a host is reached through under these rules.
    async fn route(rules: &[(Option<Proxy>, &[Servers])], host: &str, port: u16) -> String {
        let mut spec = ConnectSpec::new(host, port, "user");
        let rules = rules.iter().map(|(proxy, servers)| ProxyRule {
            proxy: proxy.clone(),
            servers: servers.to_vec(),
        });
        spec.proxy = rules.collect();
        let chosen = choose(&spec, TimeLimit::starts_now(None)).await;
        chosen.map_or("straight".into(), |proxy| proxy.host.clone())
    }

    #[tokio::test]
    async fn the_first_rule_that_fits_counts() {
        let rules: &[(Option<Proxy>, &[Servers])] = &[
            (None, &[name("*.example.com"), name("h?")]),
            (proxy("first"), &[range("127.0.0.0", "127.255.255.255")]),
            (proxy("last"), &[]),
        ];
        assert_eq!(route(rules, "a.EXAMPLE.com", 22).await, "straight");
        assert_eq!(route(rules, "h1", 22).await, "straight");
        assert_eq!(route(rules, "127.0.0.9", 22).await, "first");
        assert_eq!(route(rules, "localhost", 22).await, "first");
        assert_eq!(route(rules, "192.0.2.1", 22).await, "last");
        assert_eq!(route(&rules[..2], "192.0.2.1", 22).await, "straight");
    }

    #[tokio::test]
    async fn ports_narrow_a_rule() {
        let mut only = name("*");
        only.ports = Some(1000..=2000);
        let rules: &[(Option<Proxy>, &[Servers])] = &[(proxy("p"), &[only])];
        assert_eq!(route(rules, "h", 1000).await, "p");
        assert_eq!(route(rules, "h", 22).await, "straight");
    }

    #[tokio::test]
    async fn a_range_holds_addresses_of_its_family_only() {
        let rules: &[(Option<Proxy>, &[Servers])] = &[(proxy("p"), &[range("::", "ffff::")])];
        assert_eq!(route(rules, "::1", 22).await, "p");
        assert_eq!(route(rules, "127.0.0.1", 22).await, "straight");
    }

    #[tokio::test]
    async fn a_name_that_only_the_proxy_knows_has_no_address() {
        let rules: &[(Option<Proxy>, &[Servers])] = &[
            (None, &[range("0.0.0.0", "255.255.255.255")]),
            (proxy("p"), &[]),
        ];
        assert_eq!(route(rules, "no-such-host.invalid", 22).await, "p");
    }
}
