//! How a server is reached, checked and logged in to: plain types and their defaults
//!
//! The configuration file is read into these types, and the SSH side works with them. Each setting and its default stand
//! here once.

mod login;
mod proxy;
mod settings;

pub use login::{AuthMethod, HostKeyPolicy, Identity, PasswordSource, PinnedKey};
pub use proxy::{Proxy, ProxyCondition, ProxyHosts, ProxyKind, ProxyLogin, ProxyRule};
pub use settings::{AddressFamily, Algorithms, Compression, PoolLimits, Settings};
