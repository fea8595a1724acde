//! The settings of one server's SSH connections

use std::time::Duration;

use crate::login::{AuthMethod, HostKeyPolicy};
use crate::proxy::ProxyRule;

/// The settings of the SSH connections to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the broker does with an unknown or changed host key.
    pub host_key_policy: HostKeyPolicy,
    /// The algorithms to offer.
    pub algorithms: Algorithms,
    /// The authentication methods, in the order in which the broker tries them.
    pub auth_methods: Vec<AuthMethod>,
    /// The broker exchanges keys again after this many bytes in one direction, 1 GiB at most; `None`: when the server
    /// requests it, and after 16 GiB.
    pub rekey_bytes: Option<u64>,
    /// Whether the connection is compressed.
    pub compression: Compression,
    /// The proxy rules. The first matching rule decides. If none matches, the broker connects directly.
    pub proxy: Vec<ProxyRule>,
    /// The time limit for resolving, connecting and the key exchange together; `None`: as long as the operating system
    /// tries. Each gateway has its own time limit.
    pub connect_timeout: Option<Duration>,
    /// How long a server may be silent before the broker sends a keepalive. After three times as long without an
    /// answer, the connection ends. `None`: no keepalives.
    pub keepalive_interval: Option<Duration>,
    /// Whether each client gets its own SSH connections.
    pub exclusive: bool,
    /// Whether the broker makes an OpenSSH server before 10.1 send small packets at once. For that, the server starts its
    /// SFTP server, or the account's forced command, once on each connection.
    pub low_latency: bool,
    /// Which addresses of the server the broker tries.
    pub address_family: AddressFamily,
    /// Whether the broker logs the banner that the server shows before the login.
    pub server_banners: bool,
    /// The bounds of the SSH connections and their lifetimes.
    pub pool: PoolLimits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host_key_policy: HostKeyPolicy::Ask,
            algorithms: Algorithms::default(),
            auth_methods: AuthMethod::DEFAULT.to_vec(),
            rekey_bytes: Some(1_000_000_000),
            compression: Compression::None,
            proxy: Vec::new(),
            connect_timeout: Some(Duration::from_secs(5)),
            keepalive_interval: Some(Duration::from_secs(15)),
            exclusive: false,
            low_latency: false,
            address_family: AddressFamily::Any,
            server_banners: true,
            pool: PoolLimits::default(),
        }
    }
}

/// Names of algorithms in order of preference. An empty list means the broker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Algorithms {
    /// Ciphers.
    pub ciphers: Vec<String>,
    /// Message authentication codes.
    pub macs: Vec<String>,
    /// Key exchange methods.
    pub kexs: Vec<String>,
    /// Host key (signature) algorithms.
    pub host_keys: Vec<String>,
}

/// The compression of an SSH connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None.
    None,
    /// zlib.
    Zlib {
        /// 1 (fast) to 9 (small); `None`: the library's choice.
        level: Option<u8>,
    },
}

/// Which addresses of a server the broker tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// All, in the resolver's order.
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// The bounds of a profile's SSH connections and their lifetimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// The most connections for transfers, in addition to those for control connections; at least 1.
    pub max_connections: usize,
    /// The most connection attempts at a time; at least 1.
    pub max_dialing: usize,
    /// How long the broker keeps a connection without channels.
    pub idle_timeout: Duration,
    /// How long a transfer on a shared connection may block the others before the broker closes it.
    pub stall_timeout: Duration,
    /// How long the broker keeps a remote forward that it opened in advance.
    pub spare_forward_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max_connections: 8,
            max_dialing: 2,
            idle_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(60),
            // Programs need the next one within seconds. An open port can attract attackers, and a person may be away.
            spare_forward_timeout: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = Settings::default();
        let secs = Duration::from_secs;
        assert_eq!(settings.rekey_bytes, Some(1_000_000_000));
        assert_eq!(settings.connect_timeout, Some(secs(5)));
        assert_eq!(settings.keepalive_interval, Some(secs(15)));
        assert!(!settings.low_latency, "it starts a program at the server");
        let pool = settings.pool;
        assert_eq!((pool.max_connections, pool.max_dialing), (8, 2));
        assert_eq!((pool.idle_timeout, pool.stall_timeout), (secs(5), secs(60)));
    }
}
