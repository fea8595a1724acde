//! What a pool needs to know about its server: resolved, plain types without I/O

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use broker_settings::{Identity, PasswordSource, PinnedKey, Settings};
use plain_text::host_port;

use crate::prompt::{Keyring, Responder};
use crate::state::observer::{Observer, Passed};

/// Everything about one server and one user.
#[derive(Debug, Clone)]
pub struct ConnectSpec {
    /// Host name or address of the SSH server.
    pub host: String,
    /// TCP port of the SSH server.
    pub port: u16,
    /// User to authenticate as.
    pub user: String,
    /// The server through whose SSH connection this one is reached; the proxy rules are then ignored.
    pub gateway: Option<Arc<ConnectSpec>>,
    /// How connections are made, checked and kept.
    pub settings: Settings,
    /// Where the server's key is looked up.
    pub host_key: HostKeyRules,
    /// Private keys; if empty, the agent's keys, then those in `key_places`.
    pub identities: Vec<Identity>,
    /// Where to look for keys that `identities` does not name by file.
    pub key_places: Vec<KeyPlace>,
    /// Where secrets that a person typed are kept.
    pub keyring: Arc<Keyring>,
    /// The agent's socket; `None`: the one that `SSH_AUTH_SOCK` names, if any.
    pub agent: Option<PathBuf>,
    /// Where the password comes from.
    pub password: Option<PasswordSource>,
    /// Passes prompts to a person; `None`: nobody can be asked.
    pub responder: Option<Arc<dyn Responder>>,
    /// Learns of the connections to this server, and how far attempts come; `None`: nobody does.
    pub observer: Option<Arc<dyn Observer>>,
}

impl ConnectSpec {
    /// A specification with all defaults, which the caller then changes.
    pub fn new(host: impl Into<String>, port: u16, user: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port,
            user: user.into(),
            gateway: None,
            settings: Settings::default(),
            host_key: HostKeyRules::default(),
            identities: Vec::new(),
            key_places: vec![KeyPlace::Usual],
            keyring: Arc::default(),
            agent: None,
            password: None,
            responder: None,
            observer: None,
        }
    }

    /// The server with the gateways before it, which distinguish it from one with the same name elsewhere.
    pub(crate) fn place(&self) -> String {
        match &self.gateway {
            None => self.server(),
            Some(gateway) => format!("{} behind {}", self.server(), gateway.place()),
        }
    }

    /// Tells the observer, if there is one, that an attempt has passed this step.
    pub(crate) fn tell(&self, step: Passed) {
        if let Some(observer) = &self.observer {
            observer.passed(&self.server(), step);
        }
    }

    /// Changes the specification of every gateway before the server, and its own.
    pub fn for_each_hop(&mut self, change: &dyn Fn(&mut Self)) {
        if let Some(gateway) = &mut self.gateway {
            Arc::make_mut(gateway).for_each_hop(change);
        }
        change(self);
    }

    /// The server in the form for commands: `host#port`.
    pub fn target(&self) -> String {
        format!("{}#{}", self.host, self.port)
    }

    /// The server in the form for people: `host:port`, with brackets around an IPv6 address.
    pub fn server(&self) -> String {
        host_port(&self.host, self.port)
    }
}

/// Where the server's key is looked up.
#[derive(Debug, Clone, Default)]
pub struct HostKeyRules {
    /// Keys of which the server must have one. If there are any, known_hosts files matter only for revocations.
    pub pinned: Vec<PinnedKey>,
    /// OpenSSH known_hosts files, or directories; a missing one is empty.
    pub known_hosts: Vec<PathBuf>,
    /// Directories of known_hosts files and of files named `key_PORT_HOST.pub` with one key each; a missing one is empty.
    pub known_hosts_directories: Vec<PathBuf>,
    /// The known_hosts file for accepted keys, which is also read. The broker writes no other.
    pub store: Option<PathBuf>,
    /// Whether names are stored as hashes.
    pub hash_names: bool,
}

/// Where private keys are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// The usual files in `~/.ssh`; for a search by hash, every pair of files there.
    Usual,
    /// The files of this directory that have a public half next to them (`NAME` and `NAME.pub`).
    Directory(PathBuf),
    /// This file.
    File(PathBuf),
    /// The files that lines `IdKey NAME` of this file name, relative to a directory.
    List {
        /// The list.
        file: PathBuf,
        /// The directory.
        base: PathBuf,
    },
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
        f.write_str(&host_port(&self.host, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_has_the_defaults_of_the_configuration_file() {
        let spec = ConnectSpec::new("example.org", 22, "me");
        assert_eq!(spec.settings, Settings::default());
    }

    #[test]
    fn an_ipv6_host_is_written_in_brackets() {
        assert_eq!(Target::new("::1", 21).to_string(), "[::1]:21");
        assert_eq!(
            ConnectSpec::new("example.org", 22, "me").server(),
            "example.org:22"
        );
    }
}
