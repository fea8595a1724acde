//! What a pool needs to know of its server: resolved, plain types without I/O

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::keepalive::USUAL_INTERVAL;
use crate::keyring::Keyring;
use crate::prompt::Responder;
use crate::route::ProxyRule;

/// Everything about one server and one user.
#[derive(Debug, Clone)]
pub struct ConnectSpec {
    /// Host name or address of the SSH server.
    pub host: String,
    /// TCP port of the SSH server.
    pub port: u16,
    /// User to authenticate as.
    pub user: String,
    /// Which proxy it is reached through: that of the first rule that fits, none without one.
    pub proxy: Vec<ProxyRule>,
    /// The server through whose SSH connection this one is reached; `proxy` counts for nothing then.
    pub gateway: Option<Arc<ConnectSpec>>,
    /// Address families that may be dialled.
    pub family: AddressFamily,
    /// Bound on resolving, connecting and the key exchange together; `None` is 5 s. A gateway has a time of its own.
    pub connect_timeout: Option<Duration>,
    /// How long a server may be silent before it is asked for a sign of life; without one for three times as long again the
    /// connection ends. `None`: never.
    pub keepalive: Option<Duration>,
    /// Algorithms to offer.
    pub algorithms: Algorithms,
    /// Bytes in one direction after which keys are exchanged anew, 1 GiB at most; `None`: where the server asks for it, and
    /// after 16 GiB.
    pub rekey_bytes: Option<u64>,
    /// Whether to ask for zlib compression.
    pub compression: bool,
    /// Whether the banner that the server shows before the login is logged.
    pub server_banners: bool,
    /// How the server's key is verified.
    pub host_key: HostKeyRules,
    /// Methods in the order in which they are tried; empty is public key, password, keyboard-interactive.
    pub methods: Vec<AuthMethod>,
    /// Private keys; empty is the agent's keys, then those in `key_places`.
    pub identities: Vec<Identity>,
    /// Where keys are looked for that `identities` does not name by file.
    pub key_places: Vec<KeyPlace>,
    /// Where secrets are kept that a person typed.
    pub keyring: Arc<Keyring>,
    /// The agent's socket; `None` is the one that `SSH_AUTH_SOCK` names, if any.
    pub agent: Option<PathBuf>,
    /// Where the password comes from.
    pub password: Option<PasswordSource>,
    /// Puts questions to a person; `None`: there is nobody to ask.
    pub responder: Option<Arc<dyn Responder>>,
    /// Bounds of the pool.
    pub pool: PoolLimits,
}

impl ConnectSpec {
    /// A specification with every default, which the caller then changes.
    pub fn new(host: impl Into<String>, port: u16, user: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port,
            user: user.into(),
            proxy: Vec::new(),
            gateway: None,
            family: AddressFamily::Any,
            connect_timeout: None,
            keepalive: Some(USUAL_INTERVAL),
            algorithms: Algorithms::default(),
            rekey_bytes: Some(1 << 30),
            compression: false,
            server_banners: true,
            host_key: HostKeyRules::default(),
            methods: Vec::new(),
            identities: Vec::new(),
            key_places: vec![KeyPlace::Usual],
            keyring: Arc::default(),
            agent: None,
            password: None,
            responder: None,
            pool: PoolLimits::default(),
        }
    }

    /// The server with the gateways it is behind, which tell it from another that has the same name elsewhere.
    pub(crate) fn place(&self) -> String {
        match &self.gateway {
            None => self.server(),
            Some(gateway) => format!("{} behind {}", self.server(), gateway.place()),
        }
    }

    /// Changes the specification of every gateway on the way to the server, and its own.
    pub fn for_each_hop(&mut self, change: &dyn Fn(&mut Self)) {
        if let Some(gateway) = &mut self.gateway {
            Arc::make_mut(gateway).for_each_hop(change);
        }
        change(self);
    }

    /// The server as commands take it: `host#port`.
    pub fn target(&self) -> String {
        format!("{}#{}", self.host, self.port)
    }

    /// The server as a person writes it: `host:port`, with brackets around an IPv6 address.
    pub fn server(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

/// Address families that may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressFamily {
    /// Whatever the name resolves to, in the resolver's order.
    #[default]
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// Names of algorithms in order of preference; an empty list is the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Algorithms {
    /// Ciphers; the default puts AES-GCM first.
    pub ciphers: Vec<String>,
    /// Message authentication codes.
    pub macs: Vec<String>,
    /// Key exchange methods.
    pub kexs: Vec<String>,
    /// Host key algorithms; those of known keys are preferred among them.
    pub host_keys: Vec<String>,
}

/// How the server's key is verified.
#[derive(Debug, Clone, Default)]
pub struct HostKeyRules {
    /// What to do with an unknown or changed key.
    pub policy: HostKeyPolicy,
    /// Keys that the server must have one of; when given, known_hosts files decide nothing but revocation.
    pub pinned: Vec<PinnedKey>,
    /// OpenSSH known_hosts files; a missing one is empty.
    pub known_hosts: Vec<PathBuf>,
    /// Directories whose files are all such files; a missing one is empty.
    pub known_hosts_directories: Vec<PathBuf>,
    /// The known_hosts file in which accepted keys are stored; looked in as well. The only one that is written.
    pub store: Option<PathBuf>,
    /// Whether names are stored as hashes.
    pub hash_names: bool,
}

/// What to do with a key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeyPolicy {
    /// Ask a person, and store what is accepted; with nobody to ask, refuse.
    #[default]
    Ask,
    /// Refuse.
    Strict,
    /// Accept and store an unknown key, refuse a changed one and one that cannot be stored.
    Tofu,
    /// Accept an unknown key and store it, accept a changed one; both with a warning. A revoked one is refused all the
    /// same.
    Advisory,
}

/// One key that a profile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedKey {
    /// A public key file: OpenSSH's `.pub` or RFC 4716.
    File(PathBuf),
    /// The key itself: base64, or a whole line of a `.pub` file.
    Inline(String),
}

/// Ways to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// Key files and the agent (RFC 4252 section 7).
    PublicKey,
    /// A password (RFC 4252 section 8).
    Password,
    /// Questions and answers (RFC 4256); a single hidden field is answered with the password.
    KeyboardInteractive,
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKey => "publickey",
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
        })
    }
}

/// A private key to log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The one in this file.
    File(PathBuf),
    /// The one whose public half, in its wire form, has this hash: SHA-256, SHA-1 or MD5 in lower-case hex digits. The
    /// agent has it, or one of the `key_places`.
    Hash(String),
}

impl From<PathBuf> for Identity {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

/// Where private keys are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// The usual files in `~/.ssh`; when a key is searched by its hash, every pair of files there.
    Usual,
    /// The files of this directory that have a public half beside them (`NAME` and `NAME.pub`).
    Directory(PathBuf),
    /// The files that a line `IdKey NAME` of this file names, below a directory.
    List {
        /// The list.
        file: PathBuf,
        /// The directory.
        base: PathBuf,
    },
}

/// Where a password comes from.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// The password itself.
    Inline(SecretString),
    /// A file whose first line it is; others must not be able to read it.
    File(PathBuf),
    /// A shell command whose first line of output it is.
    Command(String),
}

/// Bounds of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLimits {
    /// Data connections at most, the control connection not counted; at least 1.
    pub max_connections: usize,
    /// Dials at the same time at most; at least 1.
    pub max_dialing: usize,
    /// How long a connection without channels is kept.
    pub idle_timeout: Duration,
    /// How long a data channel that shares its connection may hold the others up before it is cut.
    pub stall_timeout: Duration,
    /// How long a remote forward is kept that was opened ahead.
    pub spare_forward_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max_connections: 8,
            max_dialing: 2,
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            // Programs need the next one within seconds. An open port is an invitation, and a person may be away.
            spare_forward_timeout: Duration::from_secs(60),
        }
    }
}

/// Where a channel leads, as seen from the SSH server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Target {
    /// A target by host and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&host_and_port(&self.host, self.port))
    }
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_is_written_in_brackets() {
        assert_eq!(Target::new("::1", 21).to_string(), "[::1]:21");
        assert_eq!(
            ConnectSpec::new("example.org", 22, "me").server(),
            "example.org:22"
        );
    }
}
