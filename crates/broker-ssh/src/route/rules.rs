//! Which route leads to a server

use std::net::IpAddr;

use broker_settings::{ProxyCondition, ProxyHosts, ProxyRoute, ProxyRule};

use super::limit::TimeLimit;
use super::resolve;
use crate::net::wildcard::wildcard_matches;
use crate::spec::ConnectSpec;

/// The route to a server: that of the first rule that fits, otherwise direct.
///
/// The broker resolves a name only if it reaches a rule that compares addresses. A name that it cannot resolve has no
/// address: the proxy of a later rule may know it.
pub(super) async fn choose(spec: &ConnectSpec, limit: TimeLimit) -> &ProxyRoute {
    let mut addresses = None;
    for rule in &spec.settings.proxy {
        if addresses.is_none() && asks_for_addresses(rule) {
            addresses = Some(look_up(spec, limit).await);
        }
        if fits(rule, spec, addresses.as_deref().unwrap_or_default()) {
            return &rule.route;
        }
    }
    &ProxyRoute::Direct
}

async fn look_up(spec: &ConnectSpec, limit: TimeLimit) -> Vec<IpAddr> {
    match resolve::addresses(&spec.host, spec.port, spec.settings.address_family, limit).await {
        Ok(found) => found
            .iter()
            .map(|address| address.ip().to_canonical())
            .collect(),
        Err(reason) => {
            tracing::debug!(host = %spec.host, %reason, "no address to compare with the proxy rules");
            Vec::new()
        }
    }
}

fn asks_for_addresses(rule: &ProxyRule) -> bool {
    let mut conditions = rule.conditions.iter();
    conditions.any(|condition| matches!(condition.hosts, ProxyHosts::Addresses(_)))
}

fn fits(rule: &ProxyRule, spec: &ConnectSpec, addresses: &[IpAddr]) -> bool {
    let mut conditions = rule.conditions.iter();
    rule.conditions.is_empty() || conditions.any(|condition| holds(condition, spec, addresses))
}

fn holds(condition: &ProxyCondition, spec: &ConnectSpec, addresses: &[IpAddr]) -> bool {
    let ports = condition.ports.as_ref();
    ports.is_none_or(|ports| ports.contains(&spec.port))
        && match &condition.hosts {
            ProxyHosts::Addresses(range) => addresses.iter().any(|it| range.contains(it)),
            ProxyHosts::Name(pattern) => wildcard_matches(pattern, &spec.host.to_ascii_lowercase()),
        }
}

#[cfg(test)]
mod tests {
    use broker_settings::{Proxy, ProxyKind};

    use super::*;

    fn proxy(host: &str) -> ProxyRoute {
        ProxyRoute::Proxy(Proxy {
            kind: ProxyKind::Socks5,
            host: host.into(),
            port: 1080,
            login: None,
        })
    }

    fn name(pattern: &str) -> ProxyCondition {
        ProxyCondition {
            hosts: ProxyHosts::Name(pattern.into()),
            ports: None,
        }
    }

    fn range(low: &str, high: &str) -> ProxyCondition {
        ProxyCondition {
            hosts: ProxyHosts::Addresses(low.parse().unwrap()..=high.parse().unwrap()),
            ports: None,
        }
    }

    /// What a host is reached through under these rules.
    async fn route(rules: &[(ProxyRoute, &[ProxyCondition])], host: &str, port: u16) -> String {
        let mut spec = ConnectSpec::new(host, port, "user");
        let rules = rules.iter().map(|(route, conditions)| ProxyRule {
            route: route.clone(),
            conditions: conditions.to_vec(),
        });
        spec.settings.proxy = rules.collect();
        match choose(&spec, TimeLimit::starts_now(None)).await {
            ProxyRoute::Direct => "direct".into(),
            ProxyRoute::Proxy(proxy) => proxy.host.clone(),
            ProxyRoute::Command(command) => command.clone(),
        }
    }

    #[tokio::test]
    async fn the_first_rule_that_fits_counts() {
        let rules: &[(ProxyRoute, &[ProxyCondition])] = &[
            (ProxyRoute::Direct, &[name("*.example.com"), name("h?")]),
            (proxy("first"), &[range("127.0.0.0", "127.255.255.255")]),
            (proxy("last"), &[]),
        ];
        assert_eq!(route(rules, "a.EXAMPLE.com", 22).await, "direct");
        assert_eq!(route(rules, "h1", 22).await, "direct");
        assert_eq!(route(rules, "127.0.0.9", 22).await, "first");
        assert_eq!(route(rules, "localhost", 22).await, "first");
        assert_eq!(route(rules, "192.0.2.1", 22).await, "last");
        assert_eq!(route(&rules[..2], "192.0.2.1", 22).await, "direct");
    }

    #[tokio::test]
    async fn ports_narrow_a_rule() {
        let mut only = name("*");
        only.ports = Some(1000..=2000);
        let rules: &[(ProxyRoute, &[ProxyCondition])] = &[(proxy("p"), &[only])];
        assert_eq!(route(rules, "h", 1000).await, "p");
        assert_eq!(route(rules, "h", 22).await, "direct");
    }

    #[tokio::test]
    async fn a_range_holds_addresses_of_its_family_only() {
        let rules: &[(ProxyRoute, &[ProxyCondition])] = &[(proxy("p"), &[range("::", "ffff::")])];
        assert_eq!(route(rules, "::1", 22).await, "p");
        assert_eq!(route(rules, "127.0.0.1", 22).await, "direct");
    }

    #[tokio::test]
    async fn a_name_that_only_the_proxy_knows_has_no_address() {
        let rules: &[(ProxyRoute, &[ProxyCondition])] = &[
            (ProxyRoute::Direct, &[range("0.0.0.0", "255.255.255.255")]),
            (proxy("p"), &[]),
        ];
        assert_eq!(route(rules, "no-such-host.invalid", 22).await, "p");
    }
}
