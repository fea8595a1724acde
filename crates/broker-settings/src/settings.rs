//! The settings of one server's SSH connections

use std::time::Duration;

use crate::login::{AuthMethod, HostKeyPolicy};
use crate::proxy::ProxyRule;

/// How the SSH connections to one server are made, checked and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What happens with a host key that is unknown or changed.
    pub host_key_policy: HostKeyPolicy,
    /// The algorithms offered.
    pub algorithms: Algorithms,
    /// The authentication methods, in the order they are tried.
    pub auth_methods: Vec<AuthMethod>,
    /// Keys are exchanged anew after this many bytes in one direction, 1 GiB at most; `None`: when the server asks for it,
    /// and after 16 GiB.
    pub rekey_bytes: Option<u64>,
    /// Whether the connection is compressed.
    pub compression: Compression,
    /// How the server is reached: the first rule that matches decides; none matches: directly.
    pub proxy: Vec<ProxyRule>,
    /// Bound on resolving, connecting and the key exchange together; `None`: as long as the operating system would try. A
    /// gateway has a time of its own.
    pub connect_timeout: Option<Duration>,
    /// How long a server may be silent before it is asked for a sign of life. If nothing comes for three times as long
    /// again, the connection ends. `None`: never.
    pub keepalive_interval: Option<Duration>,
    /// Whether each client gets SSH connections of its own.
    pub exclusive: bool,
    /// Which addresses of the server are tried.
    pub address_family: AddressFamily,
    /// Whether the banner that the server shows before the login is logged.
    pub server_banners: bool,
    /// How many SSH connections there may be, and how long they are kept.
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
            address_family: AddressFamily::Any,
            server_banners: true,
            pool: PoolLimits::default(),
        }
    }
}

/// Names of algorithms in order of preference; an empty list: the broker's own choice.
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

/// Whether an SSH connection is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// With zlib.
    Zlib {
        /// 1 (fast) to 9 (small); `None`: the library's choice.
        level: Option<u8>,
    },
}

/// Which addresses of a server are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// All, in the resolver's order.
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// How many SSH connections a profile may hold, and how long they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections for transfers, beside those that carry control channels; at least 1.
    pub max_connections: usize,
    /// Connections being dialled at one time; at least 1.
    pub max_dialing: usize,
    /// How long a connection without channels is kept.
    pub idle_timeout: Duration,
    /// How long a transfer that shares its connection may hold the others up before it is cut.
    pub stall_timeout: Duration,
    /// How long a remote forward is kept that was opened ahead.
    pub spare_forward_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max_connections: 8,
            max_dialing: 2,
            idle_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(60),
            // Programs need the next one within seconds. An open port is an invitation, and a person may be away.
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
        let pool = settings.pool;
        assert_eq!((pool.max_connections, pool.max_dialing), (8, 2));
        assert_eq!((pool.idle_timeout, pool.stall_timeout), (secs(5), secs(60)));
    }
}
