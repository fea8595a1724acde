//! OpenSSH's known_hosts files: which lines match a host, and what each says about its key
//!
//! The format is described in sshd(8). Lines may contain patterns with wildcards, negations, ports and hashed names.

use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use sha1::Sha1;

use super::key_types::is_key_type;
use crate::net::wildcard::wildcard_matches;

/// The role of a line's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is one of the host's keys.
    Host,
    /// It signs certificates of hosts.
    Authority,
    /// No host may use it.
    Revoked,
}

/// A line that matches the host.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) key: PublicKey,
    pub(crate) role: Role,
    file: PathBuf,
    /// Counted from 1; 0 if the key is the whole content of its file.
    pub(crate) line: usize,
}

impl KnownKey {
    /// The only key in a file.
    pub(crate) fn in_file(key: PublicKey, file: &Path) -> Self {
        Self {
            key,
            role: Role::Host,
            file: file.to_owned(),
            line: 0,
        }
    }

    /// File and line, for people.
    pub(crate) fn place(&self) -> String {
        match self.line {
            0 => self.file.display().to_string(),
            line => format!("{} line {line}", self.file.display()),
        }
    }
}

/// The names that lines use for a server.
#[derive(Debug, Clone)]
pub(crate) struct HostName {
    /// In lower case.
    host: String,
    /// `[host]:port`, or only the host if the port is 22.
    exact: String,
}

impl HostName {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        let exact = if port == 22 {
            host.clone()
        } else {
            format!("[{host}]:{port}")
        };
        Self { host, exact }
    }

    /// The host without its port, as certificates name it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The name for the host's own keys.
    pub(crate) fn exact(&self) -> &str {
        &self.exact
    }

    /// A host's own key is for one port. Authorities and revocations apply to all ports of a host: certificates name no
    /// ports, and a key that leaked somewhere has leaked everywhere.
    fn is_meant_by(&self, hosts: &HostPatterns, role: Role) -> bool {
        let names: &[&str] = match role {
            Role::Host => &[&self.exact],
            Role::Authority | Role::Revoked => &[&self.exact, &self.host],
        };
        match hosts {
            HostPatterns::HashedName { salt, hash } => {
                names.iter().any(|name| hashed_matches(salt, hash, name))
            }
            HostPatterns::Patterns(patterns) => list_matches(patterns, names),
        }
    }
}

/// All lines of a file's text that match the host.
pub(crate) fn keys_for(text: &str, name: &HostName, file: &Path) -> Vec<KnownKey> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| known_key(line, name, file, index + 1))
        .collect()
}

/// Skips a line about the host with a warning if its key cannot be read. Lines about other hosts cause no warning.
fn known_key(line: &str, name: &HostName, file: &Path, number: usize) -> Option<KnownKey> {
    let mut words = line.split_whitespace();
    let first = words.next().filter(|word| !word.starts_with('#'))?;
    let (role, hosts) = match first {
        "@cert-authority" => (Role::Authority, words.next()?),
        "@revoked" => (Role::Revoked, words.next()?),
        hosts => (Role::Host, hosts),
    };
    if !name.is_meant_by(&hosts.parse().ok()?, role) {
        return None;
    }
    let key = format!("{} {}", words.next()?, words.next()?);
    let key = PublicKey::from_openssh(&key)
        .inspect_err(|error| tracing::warn!(file = %file.display(), line = number, %error, "host key is not readable"))
        .ok()?;
    // The broker never requests such a key, so it would always seem to have changed.
    if role == Role::Host && !is_key_type(&key.algorithm()) {
        return None;
    }
    Some(KnownKey {
        key,
        role,
        file: file.to_owned(),
        line: number,
    })
}

fn hashed_matches(salt: &[u8], hash: &[u8], name: &str) -> bool {
    Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
        mac.update(name.as_bytes());
        mac.verify_slice(hash).is_ok()
    })
}

/// The name with a new salt, in the form that [`hashed_matches`] recognizes.
pub(crate) fn hashed(name: &str) -> Option<String> {
    let salt: [u8; 20] = rand::random();
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.as_bytes());
    let (salt, hash) = (salt.to_vec(), mac.finalize().into_bytes().into());
    Some(HostPatterns::HashedName { salt, hash }.to_string())
}

/// A matching negated pattern excludes the whole line.
fn list_matches(patterns: &[String], names: &[&str]) -> bool {
    let matches = |pattern: &str| names.iter().any(|name| wildcard_matches(pattern, name));
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated) => return false,
            Some(_) => {}
            None => found |= matches(pattern),
        }
    }
    found
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
