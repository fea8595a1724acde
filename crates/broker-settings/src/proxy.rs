//! The proxy rules of a server

use std::net::IpAddr;
use std::ops::RangeInclusive;

use secrecy::{ExposeSecret, SecretString};

/// A rule: the route to these servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRule {
    /// The route.
    pub route: ProxyRoute,
    /// The servers that the rule applies to; one of the conditions must match; empty: all servers.
    pub conditions: Vec<ProxyCondition>,
}

/// A route to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyRoute {
    /// A direct TCP connection.
    Direct,
    /// Through this proxy.
    Proxy(Proxy),
    /// Through the standard input and output of a shell command, in which `%h`, `%n`, `%p`, `%r` and `%%` are replaced.
    Command(String),
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its protocol.
    pub kind: ProxyKind,
    /// Its name or address; never empty.
    pub host: String,
    /// Its TCP port, never 0.
    pub port: u16,
    /// The login at the proxy; `None`: without a login.
    pub login: Option<ProxyLogin>,
}

/// The protocols of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// SOCKS 4, or 4a if the server has a name. It supports a user id, but neither passwords nor IPv6.
    Socks4,
    /// SOCKS 5 (RFC 1928), with user and password as in RFC 1929.
    Socks5,
    /// HTTP with the method CONNECT (RFC 9110 section 9.3.6), with user and password as in RFC 7617.
    HttpConnect,
}

/// A login at a proxy.
#[derive(Debug, Clone)]
pub struct ProxyLogin {
    /// The user; never empty.
    pub user: String,
    /// The password; empty for SOCKS 4, which has none.
    pub password: SecretString,
}

impl PartialEq for ProxyLogin {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.password.expose_secret() == other.password.expose_secret()
    }
}

impl Eq for ProxyLogin {}

/// A condition that selects servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCondition {
    /// Their hosts.
    pub hosts: ProxyHosts,
    /// Their ports; `None`: all.
    pub ports: Option<RangeInclusive<u16>>,
}

/// The hosts of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyHosts {
    /// Servers with an address in this range, whose ends are of one family and in order.
    Addresses(RangeInclusive<IpAddr>),
    /// Servers whose configured name matches; `*` matches any text and `?` one character.
    Name(String),
}
