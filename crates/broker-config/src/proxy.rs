//! The language of proxy rule sets.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use broker_settings::{
    Proxy, ProxyCondition, ProxyHosts, ProxyKind, ProxyLogin, ProxyRoute, ProxyRule,
};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use crate::suggest::clip;

/// The longest user and password, in bytes: SOCKS 5 has one byte for their lengths (RFC 1929 section 2).
const MAX_LOGIN: usize = 255;

/// The longest user id for SOCKS 4, in bytes: together with a server's name it must fit into a request of some 500.
const MAX_USER_ID: usize = 128;

/// What is wrong with a rule set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// A rule begins with an unknown scheme.
    #[error("a proxy rule begins with `{0}`, which is not a known scheme")]
    Scheme(String),
    /// A rule has a scheme, but no valid `host:port/` or `host/`.
    #[error("the proxy in `{0}` has no valid host and port")]
    Proxy(String),
    /// The text before `@` is not a valid login.
    #[error("the login before the proxy's `@` {0}")]
    Login(&'static str),
    /// The command cannot be run.
    #[error("the proxy command {0}")]
    Command(&'static str),
    /// A condition's port or range of ports is invalid.
    #[error("`{0}` is neither a port nor a range of ports in ascending order")]
    Ports(String),
    /// A condition's addresses are invalid.
    #[error("`{0}` is neither an address, nor a range or network of addresses, nor a name")]
    Hosts(String),
}

/// What begins a command. It has no conditions and ends with the rule set, so it may contain every character.
const COMMAND: &str = "command:";

/// The letters after `%` in a command.
const EXPANSIONS: [char; 5] = ['h', 'n', 'p', 'r', '%'];

/// Reads a rule set: rules separated by semicolons. Each has a scheme, a proxy, and conditions separated by commas. The
/// last one may be a command.
///
/// # Errors
/// The first fault. If the rule set has a login, the message quotes nothing: the fault can be a part of the password.
pub(crate) fn parse(ruleset: &str) -> Result<Vec<ProxyRule>, ProxyError> {
    let (rules, command) = split_command(ruleset);
    let rules = rules
        .split(';')
        .map(str::trim)
        .filter(|rule| !rule.is_empty())
        .map(parse_rule);
    let parsed: Result<_, _> = rules.chain(command.map(parse_command)).collect();
    if ruleset.contains('@') {
        parsed.map_err(without_text)
    } else {
        parsed
    }
}

/// The rules before the command, and the command.
fn split_command(ruleset: &str) -> (&str, Option<&str>) {
    let mut start = 0;
    loop {
        let rest = ruleset.get(start..).unwrap_or_default();
        let rule = rest.trim_start();
        let scheme = rule.get(..COMMAND.len()).unwrap_or_default();
        if scheme.eq_ignore_ascii_case(COMMAND) {
            let rules = ruleset.get(..start).unwrap_or_default();
            return (rules, rule.get(COMMAND.len()..));
        }
        match rest.find(';') {
            Some(end) => start += end + 1,
            None => return (ruleset, None),
        }
    }
}

fn parse_command(text: &str) -> Result<ProxyRule, ProxyError> {
    let command = text.trim();
    if command.is_empty() {
        return Err(ProxyError::Command("is empty"));
    }
    let mut signs = command.split('%').skip(1);
    while let Some(after) = signs.next() {
        if after.is_empty() {
            // `%%` splits into an empty part and the rest, in which no expansion begins.
            signs
                .next()
                .ok_or(ProxyError::Command("ends with a single `%`"))?;
        } else if !after.starts_with(EXPANSIONS) {
            return Err(ProxyError::Command(
                "has a `%` that does not begin `%h`, `%n`, `%p`, `%r` or `%%`",
            ));
        }
    }
    Ok(ProxyRule {
        route: ProxyRoute::Command(command.to_owned()),
        conditions: Vec::new(),
    })
}

fn without_text(fault: ProxyError) -> ProxyError {
    let nothing = "…".to_owned();
    match fault {
        ProxyError::Scheme(_) => ProxyError::Scheme(nothing),
        ProxyError::Proxy(_) => ProxyError::Proxy(nothing),
        ProxyError::Login(_) | ProxyError::Command(_) => fault,
        ProxyError::Ports(_) => ProxyError::Ports(nothing),
        ProxyError::Hosts(_) => ProxyError::Hosts(nothing),
    }
}

fn parse_rule(rule: &str) -> Result<ProxyRule, ProxyError> {
    let unknown = || ProxyError::Scheme(clip(rule));
    let (scheme, rest) = rule.split_once("://").ok_or_else(unknown)?;
    let (proxy, conditions) = rest.split_once('/').unwrap_or((rest, ""));
    let kind = match scheme.to_ascii_lowercase().as_str() {
        "direct" if proxy.is_empty() => None,
        "socks" | "socks4" => Some(ProxyKind::Socks4),
        "socks5" => Some(ProxyKind::Socks5),
        "http-connect" => Some(ProxyKind::HttpConnect),
        _ => return Err(unknown()),
    };
    let conditions = conditions
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty());
    let route = match kind {
        Some(kind) => ProxyRoute::Proxy(parse_proxy(kind, proxy, rule)?),
        None => ProxyRoute::Direct,
    };
    Ok(ProxyRule {
        route,
        conditions: conditions.map(parse_condition).collect::<Result<_, _>>()?,
    })
}

/// `host:port` or `user:password@host:port`.
fn parse_proxy(kind: ProxyKind, text: &str, rule: &str) -> Result<Proxy, ProxyError> {
    let (login, place) = match text.rsplit_once('@') {
        Some((login, place)) => (Some(parse_login(kind, login)?), place),
        None => (None, text),
    };
    let (host, port) = host_port(place, kind).ok_or_else(|| ProxyError::Proxy(clip(rule)))?;
    Ok(Proxy {
        kind,
        host,
        port,
        login,
    })
}

/// `user:password`, both percent-encoded (RFC 3986 section 2.1); for SOCKS 4 `user`.
fn parse_login(kind: ProxyKind, text: &str) -> Result<ProxyLogin, ProxyError> {
    let wrong = |what| Err(ProxyError::Login(what));
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let decode = |text| percent_decode_str(text).decode_utf8().map(String::from);
    let (Ok(user), Ok(password)) = (decode(user), decode(password.unwrap_or_default())) else {
        return wrong("is not UTF-8 after decoding its `%` sequences");
    };
    let longest = if kind == ProxyKind::Socks4 {
        MAX_USER_ID
    } else {
        MAX_LOGIN
    };
    if user.is_empty() {
        return wrong("has no user");
    }
    if user.len() > longest || password.len() > MAX_LOGIN {
        return wrong("is too long");
    }
    match kind {
        ProxyKind::Socks4 if !password.is_empty() => {
            return wrong("has a password, which SOCKS 4 does not support");
        }
        ProxyKind::Socks5 if password.is_empty() => {
            return wrong("has no password, which SOCKS 5 needs");
        }
        ProxyKind::Socks4 | ProxyKind::Socks5 | ProxyKind::HttpConnect => {}
    }
    if user.contains(':') && kind == ProxyKind::HttpConnect {
        return wrong("has a colon in the user, which HTTP does not allow");
    }
    Ok(ProxyLogin {
        user,
        password: SecretString::from(password),
    })
}

/// The ports of proxies by convention: SOCKS (RFC 1928 section 3) and HTTP.
fn usual_port(kind: ProxyKind) -> u16 {
    match kind {
        ProxyKind::Socks4 | ProxyKind::Socks5 => 1080,
        ProxyKind::HttpConnect => 80,
    }
}

/// `host:port` or `[v6]:port`; without a port, the usual one.
fn host_port(text: &str, kind: ProxyKind) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().ok().filter(|port| *port > 0)?)
        }
        _ => (text, usual_port(kind)),
    };
    let bare = plain_text::without_brackets(host);
    let usable = !bare.is_empty() && !bare.contains(char::is_whitespace);
    let known = if bare == host {
        !host.contains([':', '[', ']'])
    } else {
        bare.parse::<IpAddr>().is_ok()
    };
    (usable && known).then(|| (bare.to_owned(), port))
}

fn parse_condition(text: &str) -> Result<ProxyCondition, ProxyError> {
    let (hosts, ports) = split_ports(text);
    Ok(ProxyCondition {
        hosts: parse_hosts(hosts)?,
        ports: ports.map(parse_ports).transpose()?,
    })
}

/// Separates `:port` from the hosts. An IPv6 address with a port needs brackets, which are removed.
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
        return Ok(ProxyHosts::Addresses(address..=address));
    }
    if text.contains('/') {
        return text
            .parse::<IpNet>()
            .ok()
            .or_else(|| masked(text))
            .map(|network| ProxyHosts::Addresses(network.network()..=network.broadcast()))
            .ok_or_else(wrong);
    }
    let address = |text: &str| text.trim().parse::<IpAddr>();
    if let Some((Ok(low), Ok(high))) = text
        .split_once('-')
        .map(|(low, high)| (address(low), address(high)))
    {
        let ordered = low <= high && low.is_ipv4() == high.is_ipv4();
        return if ordered {
            Ok(ProxyHosts::Addresses(low..=high))
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

/// A network whose mask is written as an address: `10.0.0.0/255.0.0.0`.
fn masked(text: &str) -> Option<IpNet> {
    let (address, mask) = text.split_once('/')?;
    IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()
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

    #[track_caller]
    fn proxy(rule: &str) -> Proxy {
        let ProxyRoute::Proxy(proxy) = one(rule).route else {
            unreachable!("{rule}");
        };
        proxy
    }

    #[test]
    fn a_command_is_everything_to_the_end() {
        let command = |text: &str| ProxyRule {
            route: ProxyRoute::Command(text.to_owned()),
            conditions: Vec::new(),
        };
        let text = "nc -x p:1080,b/c %h %p; echo '100%%' || ssh -W %h:%p %r@jump";
        assert_eq!(one(&format!("command:{text}")), command(text));
        let rules = parse(&format!("direct:///a:22;\n COMMAND: {text}")).unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rules.last(), Some(&command(text)));
        assert_eq!(one("command:sh -c '%%h'"), command("sh -c '%%h'"));
        for wrong in [
            "command:",
            "command: ",
            "command:nc %x",
            "command:nc 1%",
            "command:a %% %",
        ] {
            assert!(
                matches!(parse(wrong), Err(ProxyError::Command(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn schemes() {
        assert_eq!(one("direct:///").route, ProxyRoute::Direct);
        for (rule, kind, host) in [
            ("socks://p:1080/", ProxyKind::Socks4, "p"),
            ("SOCKS4://p:1080", ProxyKind::Socks4, "p"),
            ("socks5://p:1080/", ProxyKind::Socks5, "p"),
            ("http-connect://p:1080/", ProxyKind::HttpConnect, "p"),
            ("socks5://[::1]:1080/", ProxyKind::Socks5, "::1"),
        ] {
            let expected = Proxy {
                kind,
                host: host.to_owned(),
                port: 1080,
                login: None,
            };
            assert_eq!(proxy(rule), expected, "{rule}");
        }
    }

    #[test]
    fn a_proxy_without_a_port_has_the_usual_one() {
        for (rule, host, port) in [
            ("socks://fw.example.com/", "fw.example.com", 1080),
            ("socks5://[::1]/", "::1", 1080),
            ("socks5://me:secret@p", "p", 1080),
            ("http-connect://p/*.example.com", "p", 80),
        ] {
            let proxy = proxy(rule);
            assert_eq!((proxy.host.as_str(), proxy.port), (host, port), "{rule}");
        }
    }

    #[test]
    fn logins() {
        for (rule, user, password) in [
            ("socks5://me:open%20sesame@p:1/", "me", "open sesame"),
            ("socks5://a%3Ab:c:d@[::1]:1/", "a:b", "c:d"),
            ("http-connect://me:p%40%2F%3B@p:1/h", "me", "p@/;"),
            ("http-connect://me@p:1/", "me", ""),
            ("socks4://me@p:1/", "me", ""),
            ("socks4://me:@p:1/", "me", ""),
        ] {
            let login = proxy(rule).login;
            let expected = ProxyLogin {
                user: user.to_owned(),
                password: password.into(),
            };
            assert_eq!(login, Some(expected), "{rule}");
        }
    }

    #[test]
    fn faulty_logins_are_not_shown() {
        for rule in [
            "socks5://me:geheim@p:x/",
            "socks5://me@p:1/",
            "socks5://:geheim@p:1/",
            "socks4://me:geheim@p:1/",
            "socks5://me:ge;heim@p:1/",
            "socks5://me:ge/heim@p:1/",
            "socks5://me:%ffgeheim@p:1/",
            "me:geheim@p:1",
            "http-connect://a%3Ab:geheim@p:1/",
        ] {
            let fault = parse(rule).unwrap_err().to_string();
            assert!(!fault.contains("ge") && !fault.contains("heim"), "{fault}");
        }
        let long = format!("socks5://me:{}@p:1/", "x".repeat(256));
        assert_eq!(parse(&long), Err(ProxyError::Login("is too long")));
    }

    #[test]
    fn conditions() {
        let rule = one(
            "direct:///10.1.2.3/8:22, 192.0.2.1-192.0.2.9:1-1023,*.example.com,h?:22,[2001:db8::]:22,::1,10.0.0.0/255.255.0.0,2001:db8::/127",
        );
        let found = rule.conditions.iter();
        let found: Vec<_> = found
            .map(|it| (it.hosts.clone(), it.ports.clone()))
            .collect();
        let range = |low: &str, high: &str| {
            ProxyHosts::Addresses(low.parse().unwrap()..=high.parse().unwrap())
        };
        let name = |text: &str| ProxyHosts::Name(text.to_owned());
        let expected = [
            (range("10.0.0.0", "10.255.255.255"), Some(22..=22)),
            (range("192.0.2.1", "192.0.2.9"), Some(1..=1023)),
            (name("*.example.com"), None),
            (name("h?"), Some(22..=22)),
            (range("2001:db8::", "2001:db8::"), Some(22..=22)),
            (range("::1", "::1"), None),
            (range("10.0.0.0", "10.0.255.255"), None),
            (range("2001:db8::", "2001:db8::1"), None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn faults() {
        for (text, expected) in [
            ("ftp://p:1/", ProxyError::Scheme("ftp://p:1/".to_owned())),
            ("p:1080", ProxyError::Scheme("p:1080".to_owned())),
            ("socks5:///", ProxyError::Proxy("socks5:///".to_owned())),
            ("socks5://p:/", ProxyError::Proxy("socks5://p:/".to_owned())),
            (
                "socks5://::1/",
                ProxyError::Proxy("socks5://::1/".to_owned()),
            ),
            (
                "socks5://p:0/",
                ProxyError::Proxy("socks5://p:0/".to_owned()),
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
