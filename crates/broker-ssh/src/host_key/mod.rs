//! Whether a server's key is the right one

mod certificate;
mod decision;
mod error;
mod files;
mod key_types;
mod known_hosts;
mod krl;
mod named_files;
mod pinned;
mod sources;
mod store;

use std::fmt;
use std::sync::OnceLock;

use broker_settings::HostKeyPolicy;
use russh::keys::{Certificate, HashAlg, PublicKey};

use crate::spec::{ConnectSpec, HostKeyRules};
use decision::UnconfirmedKey;
pub use error::{CertificateFault, FileError, HostKeyError, ShownKey, StoreError};
use known_hosts::{HostName, KnownKey, Role};
use krl::Krl;
use sources::Known;
use store::Store;

pub(crate) use key_types::{HOST_KEYS, KnownKeys, same_key_type};
pub(crate) use pinned::parse_public_key;

/// The place of a profile's own keys, for people.
const PROFILE: &str = "the profile's hostkey";

/// The known keys of one server, loaded before the broker connects to it.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Host and port, for messages.
    server: String,
    /// Host and port, for commands.
    target: String,
    name: HostName,
    policy: HostKeyPolicy,
    pinned: Vec<PublicKey>,
    known: Known,
    store: Option<Store>,
    /// The key that a person must confirm before the connection may be used.
    unconfirmed: OnceLock<UnconfirmedKey>,
    /// The place where the key is known that the server has shown.
    known_at: OnceLock<String>,
}

/// Whether a key is known, unknown, changed or revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyStanding {
    /// It is the server's, according to this place.
    Known(String),
    /// No key of the server is known.
    Unknown,
    /// Other keys of the server are known.
    Changed(Former),
    /// This place revokes it, or the authority behind it.
    Revoked(String),
    /// A known authority has signed it, but the certificate is not valid.
    BadCertificate(CertificateFault),
}

/// A known key of the server that differs from the one it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) key: PublicKey,
    pub(crate) place: String,
    /// Whether the profile names it, so the broker must not ask anybody to accept another.
    pub(crate) pinned: bool,
}

impl fmt::Display for Former {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, fingerprint) = (self.key.algorithm(), fingerprint(&self.key));
        write!(f, "{algorithm} {fingerprint} ({})", self.place)
    }
}

/// SHA-256 fingerprint in OpenSSH's form.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Compares the keys themselves; comments do not count.
fn same(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

impl Trust {
    /// Reads every file that the rules name.
    ///
    /// # Errors
    /// `File` if a pinned key cannot be read, or if a place of known keys exists and cannot be read.
    pub(crate) async fn load(spec: &ConnectSpec) -> Result<Self, HostKeyError> {
        let (rules, policy) = (spec.host_key.clone(), spec.settings.host_key_policy);
        let name = HostName::new(&spec.host, spec.port);
        let (server, target) = (spec.server(), spec.target());
        let reading =
            tokio::task::spawn_blocking(move || Self::read(&rules, policy, server, target, name));
        reading.await.unwrap_or(Err(HostKeyError::Internal))
    }

    fn read(
        rules: &HostKeyRules,
        policy: HostKeyPolicy,
        server: String,
        target: String,
        name: HostName,
    ) -> Result<Self, HostKeyError> {
        let hash_names = rules.hash_names;
        let store = rules.store.clone().map(|path| Store { path, hash_names });
        Ok(Self {
            pinned: rules
                .pinned
                .iter()
                .map(pinned::load)
                .collect::<Result<_, _>>()?,
            known: sources::known(rules, store.as_ref(), &name)?,
            policy,
            server,
            target,
            name,
            store,
            unconfirmed: OnceLock::new(),
            known_at: OnceLock::new(),
        })
    }

    /// The place where the key is known that the server has shown; `None`: it is not known, or not shown yet.
    pub(crate) fn known_at(&self) -> Option<&str> {
        self.known_at.get().map(String::as_str)
    }

    /// Which keys to request from the server: those that would be accepted.
    pub(crate) fn known_keys(&self) -> KnownKeys {
        if !self.pinned.is_empty() {
            return KnownKeys {
                algorithms: self.pinned.iter().map(PublicKey::algorithm).collect(),
                certificates: false,
            };
        }
        let lines = self.lines(Role::Host);
        KnownKeys {
            algorithms: lines.map(|line| line.key.algorithm()).collect(),
            certificates: self.lines(Role::Authority).next().is_some(),
        }
    }

    /// Compares a key with the known ones. Revocations come first, then the profile's own keys, then known hosts, then
    /// authorities. An invalid certificate does not matter if its key is known without it.
    pub(crate) fn standing(
        &self,
        shown: &PublicKey,
        certificate: Option<&Certificate>,
        now: u64,
    ) -> KeyStanding {
        if let Some(place) = self.revocation(shown, certificate) {
            return KeyStanding::Revoked(place);
        }
        if let Some(first) = self.pinned.first() {
            return if self.pinned.iter().any(|key| same(key, shown)) {
                KeyStanding::Known(PROFILE.into())
            } else {
                KeyStanding::Changed(Former {
                    key: first.clone(),
                    place: PROFILE.into(),
                    pinned: true,
                })
            };
        }
        if let Some(line) = self.lines(Role::Host).find(|line| same(&line.key, shown)) {
            return KeyStanding::Known(line.place());
        }
        if let Some(standing) = certificate.and_then(|it| self.certified(it, now)) {
            return standing;
        }
        self.former(shown)
            .map_or(KeyStanding::Unknown, KeyStanding::Changed)
    }

    fn lines(&self, role: Role) -> impl Iterator<Item = &KnownKey> {
        self.known
            .lines
            .iter()
            .filter(move |line| line.role == role)
    }

    /// The place that revokes a key, its certificate or its authority.
    fn revocation(&self, shown: &PublicKey, certificate: Option<&Certificate>) -> Option<String> {
        let authority = certificate.map(Certificate::signature_key);
        let mut lines = self.lines(Role::Revoked);
        let line = lines.find(|line| {
            same(&line.key, shown) || authority.is_some_and(|it| it == line.key.key_data())
        });
        let mut krls = self.known.krls.iter();
        line.map(KnownKey::place).or_else(|| {
            krls.find(|krl| krl.revokes(shown, certificate))
                .map(Krl::place)
        })
    }

    /// The result for a certificate; `None` if its authority is unknown, so its key counts like any other.
    fn certified(&self, certificate: &Certificate, now: u64) -> Option<KeyStanding> {
        let mut authorities = self.lines(Role::Authority);
        let authority =
            authorities.find(|line| line.key.key_data() == certificate.signature_key())?;
        Some(
            match certificate::check(certificate, self.name.host(), now) {
                Ok(()) => KeyStanding::Known(authority.place()),
                Err(reason) => KeyStanding::BadCertificate(reason),
            },
        )
    }

    /// The known key that this one would replace: one of the same type if there is any.
    fn former(&self, shown: &PublicKey) -> Option<Former> {
        let of_type = |line: &&KnownKey| line.key.algorithm() == shown.algorithm();
        let mut known = self.lines(Role::Host);
        let line = self
            .lines(Role::Host)
            .find(of_type)
            .or_else(|| known.next())?;
        Some(Former {
            key: line.key.clone(),
            place: line.place(),
            pinned: false,
        })
    }
}

#[cfg(test)]
mod tests;
