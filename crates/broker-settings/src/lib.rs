//! The settings for connecting to a server, checking it, and logging in: plain types and their defaults
//!
//! `broker-config` reads the configuration file into these types, and `broker-ssh` uses them. This crate defines each
//! setting and its default once.

mod login;
mod proxy;
mod rfc4716;
mod settings;

pub use login::{AuthMethod, HostKeyPolicy, Identity, PasswordSource, PinnedKey};
pub use proxy::{Proxy, ProxyCondition, ProxyHosts, ProxyKind, ProxyLogin, ProxyRoute, ProxyRule};
pub use rfc4716::rfc4716_base64;
pub use settings::{AddressFamily, Algorithms, Compression, PoolLimits, Settings};
