//! Whether the key that a server shows is the right one

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyBase64, parse_public_key_base64};

use crate::error::OpenError;
use crate::known_hosts::{KnownKey, keys_for, lookup_name};
use crate::spec::{ConnectSpec, HostKeyPolicy, PinnedKey};

/// First line of a public key in the format of RFC 4716 section 3.
const RFC4716_BEGIN: &str = "---- BEGIN SSH2 PUBLIC KEY ----";
const RFC4716_END: &str = "---- END SSH2 PUBLIC KEY ----";

/// What is known of one server's keys, loaded before it is dialled.
#[derive(Debug)]
pub(crate) struct Trust {
    server: String,
    lookup_name: String,
    policy: HostKeyPolicy,
    pinned: Vec<PublicKey>,
    known: Vec<KnownKey>,
    store: Option<PathBuf>,
}

/// SHA-256 fingerprint in OpenSSH's form.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

impl Trust {
    /// Reads every file the rules name.
    ///
    /// # Errors
    /// `HostKeyFile` for a pinned key that cannot be read, and for a known_hosts file that exists and cannot.
    pub(crate) async fn load(spec: &ConnectSpec) -> Result<Self, OpenError> {
        let rules = &spec.host_key;
        let lookup_name = lookup_name(&spec.host, spec.port);
        let mut pinned = Vec::new();
        for source in &rules.pinned {
            pinned.push(load_pinned(source).await?);
        }
        let mut known = Vec::new();
        for file in rules.known_hosts.iter().chain(rules.store.iter()) {
            known.extend(keys_for(&read_known_hosts(file).await?, &lookup_name, file));
        }
        let store = rules.store.clone();
        Ok(Self {
            server: spec.server(),
            lookup_name,
            policy: rules.policy,
            pinned,
            known,
            store,
        })
    }

    /// Algorithms of the keys that would be accepted, to be preferred in the negotiation.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        if !self.pinned.is_empty() {
            return self.pinned.iter().map(PublicKey::algorithm).collect();
        }
        self.valid().map(|known| known.key.algorithm()).collect()
    }

    /// Judges a key. Revoked beats everything, then the profile's own keys, then known_hosts, then the policy.
    pub(crate) fn verify(&self, shown: &PublicKey) -> Result<(), OpenError> {
        if let Some(revoked) = self
            .known
            .iter()
            .find(|known| known.revoked && same(&known.key, shown))
        {
            let (server, fingerprint) = (self.server.clone(), fingerprint(shown));
            return Err(OpenError::HostKeyRevoked {
                server,
                fingerprint,
                revoked_at: revoked.place(),
            });
        }
        if !self.pinned.is_empty() {
            let right = self.pinned.iter().any(|key| same(key, shown));
            return if right {
                Ok(())
            } else {
                self.judge_changed(shown, "the profile's hostkey".into())
            };
        }
        if self.valid().any(|known| same(&known.key, shown)) {
            return Ok(());
        }
        match self.valid().next() {
            Some(other) => self.judge_changed(shown, other.place()),
            None => self.judge_unknown(shown),
        }
    }

    fn valid(&self) -> impl Iterator<Item = &KnownKey> {
        self.known.iter().filter(|known| !known.revoked)
    }

    fn judge_changed(&self, shown: &PublicKey, known_at: String) -> Result<(), OpenError> {
        let (server, fingerprint) = (self.server.clone(), fingerprint(shown));
        match self.policy {
            HostKeyPolicy::Advisory => {
                tracing::warn!(%server, %fingerprint, %known_at, "host key has changed, accepted as the policy says");
                Ok(())
            }
            HostKeyPolicy::Ask | HostKeyPolicy::Strict | HostKeyPolicy::Tofu => {
                let algorithm = shown.algorithm().to_string();
                Err(OpenError::HostKeyChanged {
                    server,
                    algorithm,
                    fingerprint,
                    known_at,
                })
            }
        }
    }

    fn judge_unknown(&self, shown: &PublicKey) -> Result<(), OpenError> {
        let (server, fingerprint) = (self.server.clone(), fingerprint(shown));
        match self.policy {
            HostKeyPolicy::Ask | HostKeyPolicy::Strict => {
                let algorithm = shown.algorithm().to_string();
                Err(OpenError::HostKeyUnknown {
                    server,
                    algorithm,
                    fingerprint,
                })
            }
            HostKeyPolicy::Tofu | HostKeyPolicy::Advisory => {
                tracing::warn!(%server, %fingerprint, "host key seen for the first time, accepted as the policy says");
                self.remember(shown);
                Ok(())
            }
        }
    }

    /// Stores a first-seen key; a failure is logged, since the policy accepts the key all the same.
    fn remember(&self, key: &PublicKey) {
        let Some(store) = &self.store else {
            tracing::warn!(server = %self.server, "no file is set to store host keys in, so this one is not remembered");
            return;
        };
        let line = format!(
            "{} {} {}\n",
            self.lookup_name,
            key.algorithm(),
            key.public_key_base64()
        );
        if let Err(error) = append(store, &line) {
            tracing::warn!(file = %store.display(), %error, "host key could not be stored");
        }
    }
}

/// Compares the keys themselves; comments do not count.
fn same(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

/// Appends in one write, so that two processes cannot mix their lines, to a file of the owner's alone.
fn append(store: &Path, line: &str) -> std::io::Result<()> {
    use std::io::{Read, Seek, SeekFrom, Write};
    if let Some(folder) = store.parent().filter(|folder| !folder.exists()) {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(store)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let separator = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{separator}{line}").as_bytes())?;
    file.sync_data()
}

async fn read_known_hosts(file: &Path) -> Result<String, OpenError> {
    match tokio::fs::read(file).await {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(unusable(file.display().to_string(), error.to_string())),
    }
}

async fn load_pinned(source: &PinnedKey) -> Result<PublicKey, OpenError> {
    match source {
        PinnedKey::Inline(text) => parse_public_key(text).ok_or_else(|| {
            unusable(
                "(inside the profile)".into(),
                "it is not a public key".into(),
            )
        }),
        PinnedKey::File(path) => {
            let name = path.display().to_string();
            let text = tokio::fs::read_to_string(path)
                .await
                .map_err(|error| unusable(name.clone(), error.to_string()))?;
            parse_public_key(&text)
                .ok_or_else(|| unusable(name, "it holds no OpenSSH or RFC 4716 public key".into()))
        }
    }
}

fn unusable(path: String, reason: String) -> OpenError {
    OpenError::HostKeyFile { path, reason }
}

/// Reads a key in OpenSSH's form, with or without the algorithm before it, or in the form of RFC 4716.
pub(crate) fn parse_public_key(text: &str) -> Option<PublicKey> {
    let text = text.trim();
    if text.starts_with(RFC4716_BEGIN) {
        return parse_public_key_base64(&rfc4716_body(text)).ok();
    }
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let mut words = line.split_whitespace();
    let first = words.next()?;
    parse_public_key_base64(first)
        .or_else(|_| parse_public_key_base64(words.next().unwrap_or_default()))
        .ok()
}

/// The base64 of an RFC 4716 key: what is left without markers and headers, whose lines may continue after a backslash.
fn rfc4716_body(text: &str) -> String {
    let mut body = String::new();
    let mut in_header = false;
    for line in text
        .lines()
        .map(str::trim)
        .skip(1)
        .take_while(|line| *line != RFC4716_END)
    {
        let header = in_header || line.contains(':');
        in_header = header && line.ends_with('\\');
        if !header {
            body.push_str(line);
        }
    }
    body
}

#[cfg(test)]
#[path = "hostkey_tests.rs"]
mod tests;
