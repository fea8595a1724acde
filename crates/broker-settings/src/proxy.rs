//! Which proxy a server is reached through

use std::net::IpAddr;
use std::ops::RangeInclusive;

use secrecy::{ExposeSecret, SecretString};

/// A rule: these servers are reached in this way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRule {
    /// The proxy; `None`: directly.
    pub proxy: Option<Proxy>,
    /// The servers the rule is for, any of which must match; empty: all.
    pub conditions: Vec<ProxyCondition>,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The language it speaks.
    pub kind: ProxyKind,
    /// Its name or address; never empty.
    pub host: String,
    /// Its TCP port, never 0.
    pub port: u16,
    /// Who we are to it; `None`: nobody in particular.
    pub login: Option<ProxyLogin>,
}

/// The languages of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// SOCKS 4, and 4a where the server is given by name. It knows a user id and no password, and no IPv6.
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
    /// The password; empty for SOCKS 4, which knows none.
    pub password: SecretString,
}

impl PartialEq for ProxyLogin {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.password.expose_secret() == other.password.expose_secret()
    }
}

impl Eq for ProxyLogin {}

/// Some servers.
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
    /// Those with an address from the first to the last, which are of one family and in order.
    Addresses(RangeInclusive<IpAddr>),
    /// Those whose name as configured fits; `*` stands for any text and `?` for one character.
    Name(String),
}
