//! The language of proxy rule sets.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::settings::{ProxyCondition, ProxyHop, ProxyHosts, ProxyRule};
use crate::suggest::clip;

/// What is wrong with a rule set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// A rule begins with something else than a known scheme.
    #[error("a proxy rule begins with `{0}`")]
    Scheme(String),
    /// A rule has a scheme, but no `host:port/` that can be read.
    #[error("the proxy in `{0}` has no host and port")]
    Proxy(String),
    /// A condition's port or range of ports cannot be read.
    #[error("`{0}` is neither a port nor a range of ports in order")]
    Ports(String),
    /// A condition's addresses cannot be read.
    #[error("`{0}` is neither an address, nor a range or network of addresses, nor a name")]
    Hosts(String),
}

/// Reads a rule set: rules between semicolons, each a scheme, a proxy and conditions between commas.
pub(crate) fn parse(ruleset: &str) -> Result<Vec<ProxyRule>, ProxyError> {
    ruleset
        .split(';')
        .map(str::trim)
        .filter(|rule| !rule.is_empty())
        .map(parse_rule)
        .collect()
}

fn parse_rule(rule: &str) -> Result<ProxyRule, ProxyError> {
    let unknown = || ProxyError::Scheme(clip(rule));
    let (scheme, rest) = rule.split_once("://").ok_or_else(unknown)?;
    let (proxy, conditions) = rest.split_once('/').unwrap_or((rest, ""));
    let through = |hop: fn(String, u16) -> ProxyHop| {
        let (host, port) = host_port(proxy).ok_or_else(|| ProxyError::Proxy(clip(rule)))?;
        Ok(hop(host, port))
    };
    let hop = match scheme.to_ascii_lowercase().as_str() {
        "direct" if proxy.is_empty() => ProxyHop::Direct,
        "socks" | "socks4" => through(ProxyHop::Socks4)?,
        "socks5" => through(ProxyHop::Socks5)?,
        "http-connect" => through(ProxyHop::HttpConnect)?,
        _ => return Err(unknown()),
    };
    let conditions = conditions
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty());
    Ok(ProxyRule {
        hop,
        conditions: conditions.map(parse_condition).collect::<Result<_, _>>()?,
    })
}

/// `host:port` or `[v6]:port`.
fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .filter(|it| it.parse::<IpAddr>().is_ok())?,
        None => host,
    };
    let usable = !bare.is_empty() && !bare.contains(['@', ' ']);
    let known = host.starts_with('[') || !bare.contains(':');
    (usable && known).then(|| (bare.to_owned(), port))
}

fn parse_condition(text: &str) -> Result<ProxyCondition, ProxyError> {
    let (hosts, ports) = split_ports(text);
    Ok(ProxyCondition {
        hosts: parse_hosts(hosts)?,
        ports: ports.map(parse_ports).transpose()?,
    })
}

/// Separates `:port` from the hosts. An IPv6 address needs brackets for that, which are removed.
fn split_ports(text: &str) -> (&str, Option<&str>) {
    if let Some((hosts, after)) = text
        .strip_prefix('[')
        .and_then(|rest| rest.rsplit_once(']'))
    {
        return (hosts, after.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((hosts, ports)) if !ports.contains(':') => (hosts, Some(ports)),
        _ => (text, None),
    }
}

/// `port` or `low-high`.
pub(crate) fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, ProxyError> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    match (port(low), port(high)) {
        (Some(low), Some(high)) if low <= high => Ok(low..=high),
        _ => Err(ProxyError::Ports(clip(text))),
    }
}

fn parse_hosts(text: &str) -> Result<ProxyHosts, ProxyError> {
    let wrong = || ProxyError::Hosts(clip(text));
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(ProxyHosts::Range(address, address));
    }
    if text.contains('/') {
        return text
            .parse::<IpNet>()
            .map(ProxyHosts::Network)
            .or_else(|_| masked(text).ok_or_else(wrong));
    }
    let address = |text: &str| text.trim().parse::<IpAddr>();
    if let Some((Ok(low), Ok(high))) = text
        .split_once('-')
        .map(|(low, high)| (address(low), address(high)))
    {
        let ordered = low <= high && low.is_ipv4() == high.is_ipv4();
        return if ordered {
            Ok(ProxyHosts::Range(low, high))
        } else {
            Err(wrong())
        };
    }
    let name = |c: char| c.is_alphanumeric() || ".-_*?".contains(c);
    if text.chars().all(name) && !text.is_empty() {
        Ok(ProxyHosts::Name(text.to_owned()))
    } else {
        Err(wrong())
    }
}

/// A network with its mask written as an address: `10.0.0.0/255.0.0.0`.
fn masked(text: &str) -> Option<ProxyHosts> {
    let (address, mask) = text.split_once('/')?;
    let network = IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()?;
    Some(ProxyHosts::Network(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn one(rule: &str) -> ProxyRule {
        let mut rules = parse(rule).unwrap();
        assert_eq!(rules.len(), 1);
        rules.remove(0)
    }

    #[test]
    fn schemes() {
        let proxy = |name: &str| (name.to_owned(), 1080);
        let (host, port) = proxy("p");
        assert_eq!(one("direct:///").hop, ProxyHop::Direct);
        assert_eq!(
            one("socks://p:1080/").hop,
            ProxyHop::Socks4(host.clone(), port)
        );
        assert_eq!(
            one("SOCKS4://p:1080").hop,
            ProxyHop::Socks4(host.clone(), port)
        );
        assert_eq!(
            one("socks5://p:1080/").hop,
            ProxyHop::Socks5(host.clone(), port)
        );
        assert_eq!(
            one("http-connect://p:1080/").hop,
            ProxyHop::HttpConnect(host, port)
        );
        assert_eq!(
            one("socks5://[::1]:9/").hop,
            ProxyHop::Socks5("::1".to_owned(), 9)
        );
    }

    #[test]
    fn conditions() {
        let rule = one(
            "direct:///10.0.0.0/8:22, 192.0.2.1-192.0.2.9:1-1023,*.example.com,h?:22,[2001:db8::]:22,::1,10.0.0.0/255.255.0.0",
        );
        let [net, range, name, short, v6, bare, mask] = rule.conditions.as_slice() else {
            panic!()
        };
        assert_eq!(
            net.hosts,
            ProxyHosts::Network("10.0.0.0/8".parse().unwrap())
        );
        assert_eq!(net.ports, Some(22..=22));
        let (low, high) = ("192.0.2.1".parse().unwrap(), "192.0.2.9".parse().unwrap());
        assert_eq!(range.hosts, ProxyHosts::Range(low, high));
        assert_eq!(range.ports, Some(1..=1023));
        assert_eq!(name.hosts, ProxyHosts::Name("*.example.com".to_owned()));
        assert_eq!(short.ports, Some(22..=22));
        assert_eq!(v6.ports, Some(22..=22));
        assert_eq!(
            bare.hosts,
            ProxyHosts::Range("::1".parse().unwrap(), "::1".parse().unwrap())
        );
        assert_eq!(
            mask.hosts,
            ProxyHosts::Network("10.0.0.0/16".parse().unwrap())
        );
    }

    #[test]
    fn faults() {
        for (text, expected) in [
            ("ftp://p:1/", ProxyError::Scheme("ftp://p:1/".to_owned())),
            ("p:1080", ProxyError::Scheme("p:1080".to_owned())),
            ("socks5://p/", ProxyError::Proxy("socks5://p/".to_owned())),
            (
                "socks5://p:0/",
                ProxyError::Proxy("socks5://p:0/".to_owned()),
            ),
            (
                "socks5://u@p:1/",
                ProxyError::Proxy("socks5://u@p:1/".to_owned()),
            ),
            ("direct:///a:9-1", ProxyError::Ports("9-1".to_owned())),
            (
                "direct:///10.0.0.0/99",
                ProxyError::Hosts("10.0.0.0/99".to_owned()),
            ),
            (
                "direct:///10.0.0.9-10.0.0.1",
                ProxyError::Hosts("10.0.0.9-10.0.0.1".to_owned()),
            ),
        ] {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }
}
