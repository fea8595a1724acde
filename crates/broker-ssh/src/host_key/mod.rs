//! Whether the key that a server shows is the right one

mod certificate;
mod decision;
mod error;
mod files;
mod key_types;
mod known_hosts;
mod krl;
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

/// Where a profile's own keys stand, for a person.
const PROFILE: &str = "the profile's hostkey";

/// What is known of one server's keys, loaded before it is dialled.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Host and port as messages name them.
    server: String,
    /// Host and port as commands take them.
    target: String,
    name: HostName,
    policy: HostKeyPolicy,
    pinned: Vec<PublicKey>,
    known: Known,
    store: Option<Store>,
    /// What a person has to say before the connection may be used.
    unconfirmed: OnceLock<UnconfirmedKey>,
}

/// How a key stands to what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyStanding {
    /// It is the server's, as this place says.
    Known(String),
    /// Nothing is known of the server.
    Unknown,
    /// Other keys of the server are known.
    Changed(Former),
    /// This place revokes it, or the authority behind it.
    Revoked(String),
    /// A known authority has signed for it, in a way that does not hold.
    BadCertificate(CertificateFault),
}

/// A key that a server was known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) key: PublicKey,
    pub(crate) place: String,
    /// Whether the profile names it, so that nobody can be asked for another.
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
    /// Reads every file the rules name.
    ///
    /// # Errors
    /// `File` for a pinned key that cannot be read, and for a place of known keys that exists and cannot.
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
        })
    }

    /// What the server should be asked for: the keys that would be accepted.
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

    /// Compares a key with what is known. Revocations come first, then the profile's own keys, then known hosts, then
    /// authorities; a certificate that does not hold is as good as none where its key is known by itself.
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

    /// The place that revokes a key, or what vouches for it.
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

    /// How a certificate stands; `None` where its authority is unknown, so that its key counts like any other.
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

    /// The key that this one has taken the place of: one of its own type if there is any.
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
