//! From configured proxy rules to those of the SSH side.

use broker_config::{ProxyCondition, ProxyHosts};
use broker_ssh::{Hosts, Proxy, ProxyKind, ProxyLogin, ProxyRule, Servers};

pub(crate) fn proxy_rules(rules: &[broker_config::ProxyRule]) -> Vec<ProxyRule> {
    let rules = rules.iter().map(|rule| ProxyRule {
        proxy: rule.proxy.as_ref().map(proxy),
        servers: rule.conditions.iter().map(servers).collect(),
    });
    rules.collect()
}

fn proxy(proxy: &broker_config::Proxy) -> Proxy {
    Proxy {
        kind: match proxy.kind {
            broker_config::ProxyKind::Socks4 => ProxyKind::Socks4,
            broker_config::ProxyKind::Socks5 => ProxyKind::Socks5,
            broker_config::ProxyKind::HttpConnect => ProxyKind::HttpConnect,
        },
        host: proxy.host.clone(),
        port: proxy.port,
        login: proxy.login.as_ref().map(|login| ProxyLogin {
            user: login.user.clone(),
            password: login.password.clone(),
        }),
    }
}

fn servers(condition: &ProxyCondition) -> Servers {
    Servers {
        hosts: match &condition.hosts {
            ProxyHosts::Range(low, high) => Hosts::Addresses(*low..=*high),
            ProxyHosts::Network(network) => {
                Hosts::Addresses(network.network()..=network.broadcast())
            }
            ProxyHosts::Name(pattern) => Hosts::Name(pattern.clone()),
        },
        ports: condition.ports.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_the_range_of_its_addresses() {
        let network = |text: &str| {
            let condition = ProxyCondition {
                hosts: ProxyHosts::Network(text.parse().unwrap()),
                ports: None,
            };
            servers(&condition).hosts
        };
        let range =
            |low: &str, high: &str| Hosts::Addresses(low.parse().unwrap()..=high.parse().unwrap());
        assert_eq!(network("10.1.2.3/8"), range("10.0.0.0", "10.255.255.255"));
        assert_eq!(
            network("2001:db8::/127"),
            range("2001:db8::", "2001:db8::1")
        );
        assert_eq!(network("192.0.2.1/32"), range("192.0.2.1", "192.0.2.1"));
    }
}
