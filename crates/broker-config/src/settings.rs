//! Connection settings as they are meant: defaults, global, user and profile combined.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

/// How one profile's SSH connections are made, checked and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What happens with host keys that are unknown or changed.
    pub host_key_policy: HostKeyPolicy,
    /// The algorithms offered.
    pub algorithms: Algorithms,
    /// The authentication methods, in the order they are tried; never empty.
    pub auth_methods: Vec<AuthMethod>,
    /// New keys are agreed on after this many bytes; `None`: the broker never asks for it.
    pub rekey_bytes: Option<u64>,
    /// Whether the connection is compressed.
    pub compression: Compression,
    /// How the server is reached: the first rule that matches decides; none matches: directly.
    pub proxy: Vec<ProxyRule>,
    /// How long a connection without channels is kept.
    pub idle_timeout: Duration,
    /// How long a TCP connect may take; `None`: as long as the operating system lets it.
    pub connect_timeout: Option<Duration>,
    /// How often a silent peer is asked whether it lives; `None`: never.
    pub keepalive_interval: Option<Duration>,
    /// Whether each client gets SSH connections of its own.
    pub exclusive: bool,
    /// Which addresses of the server are tried.
    pub address_family: AddressFamily,
    /// Whether the server's banner is shown.
    pub server_banners: bool,
    /// How many SSH connections the profile may hold.
    pub pool: PoolLimits,
}

impl Settings {
    /// Bytes between two key exchanges when the file is silent.
    pub const REKEY_BYTES: u64 = 1_000_000_000;
    /// How long an idle connection is kept when the file is silent.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long a TCP connect may take when the file is silent.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How often a silent peer is asked when the file is silent.
    pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host_key_policy: HostKeyPolicy::Ask,
            algorithms: Algorithms::default(),
            auth_methods: AuthMethod::DEFAULT.to_vec(),
            rekey_bytes: Some(Self::REKEY_BYTES),
            compression: Compression::None,
            proxy: Vec::new(),
            idle_timeout: Self::IDLE_TIMEOUT,
            connect_timeout: Some(Self::CONNECT_TIMEOUT),
            keepalive_interval: Some(Self::KEEPALIVE_INTERVAL),
            exclusive: false,
            address_family: AddressFamily::Any,
            server_banners: true,
            pool: PoolLimits::default(),
        }
    }
}

/// What happens with host keys that are unknown or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// A person decides; with nobody attached the key is refused.
    Ask,
    /// Unknown and changed keys are refused, nothing is stored.
    Strict,
    /// Unknown keys are stored, changed ones refused.
    Tofu,
    /// Unknown keys are stored, changed ones accepted for one connection and logged.
    Advisory,
}

/// Algorithm names by use, in the order they are offered; an empty list: the broker's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Algorithms {
    /// Ciphers.
    pub ciphers: Vec<String>,
    /// Message authentication codes.
    pub macs: Vec<String>,
    /// Key exchanges.
    pub kexs: Vec<String>,
    /// Host key (signature) algorithms.
    pub host_keys: Vec<String>,
}

/// A way to prove who the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// `publickey`: key files and the agent.
    PublicKey,
    /// `password`.
    Password,
    /// `keyboard-interactive`.
    KeyboardInteractive,
    /// `gssapi-with-mic`.
    Gssapi,
    /// `hostbased`.
    HostBased,
}

impl AuthMethod {
    /// The methods tried when the file is silent.
    pub const DEFAULT: [Self; 3] = [Self::PublicKey, Self::Password, Self::KeyboardInteractive];
}

/// Whether an SSH connection is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// All.
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// How many SSH connections a profile may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections for transfers, beside the one that carries control channels; at least 1.
    pub max_connections: usize,
    /// Connections being dialled at one time; at least 1.
    pub max_dialing: usize,
    /// How long a transfer that shares its connection may hold the others up.
    pub stall_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max_connections: 8,
            max_dialing: 2,
            stall_timeout: Duration::from_secs(60),
        }
    }
}

/// One rule of a proxy rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRule {
    /// What a connection that matches goes through; `None`: nothing.
    pub proxy: Option<Proxy>,
    /// The destinations the rule is for, any of which must match; empty: all.
    pub conditions: Vec<ProxyCondition>,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The language it speaks.
    pub kind: ProxyKind,
    /// Its name or address; never empty.
    pub host: String,
    /// Its port, never 0.
    pub port: u16,
    /// Who we are to it; `None`: nobody in particular.
    pub login: Option<ProxyLogin>,
}

/// The languages of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// SOCKS 4, and 4a for names.
    Socks4,
    /// SOCKS 5.
    Socks5,
    /// HTTP with CONNECT.
    HttpConnect,
}

/// A login at a proxy.
#[derive(Clone, Debug)]
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

/// A destination a proxy rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyCondition {
    /// The hosts.
    pub hosts: ProxyHosts,
    /// The ports; `None`: all.
    pub ports: Option<RangeInclusive<u16>>,
}

/// The hosts of a proxy condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyHosts {
    /// Addresses from the first to the last, which are of one family and in order.
    Range(IpAddr, IpAddr),
    /// The addresses of a network.
    Network(IpNet),
    /// Names, in which `*` stands for any text and `?` for any character.
    Name(String),
}
