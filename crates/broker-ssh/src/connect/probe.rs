//! Which host keys a server has: one connection for each type of key, which ends before any login

use std::sync::{Arc, OnceLock};

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::dial::Dial;
use super::error::{HandshakeError, OpenError};
use super::handshake;
use crate::host_key::{HostKeyError, KeyStanding, Trust, fingerprint, same_key_type};
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// A key that a server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The key's algorithm.
    pub algorithm: String,
    /// Its size in bits.
    pub bits: u32,
    /// SHA-256 fingerprint as OpenSSH prints it.
    pub fingerprint: String,
    /// The fingerprint as a picture of several lines, as OpenSSH draws it.
    pub randomart: String,
    /// Whether it is known, unknown, changed or revoked.
    pub standing: HostKeyStanding,
}

/// Whether a key is known, unknown, changed or revoked. Places are for people: file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyStanding {
    /// It is the server's, according to this place.
    Known(String),
    /// No key of its type is known. Either no key is known at all, or the server also showed one that is.
    Unknown,
    /// Another key is known: one of its type, or one that the server did not show. The text has that key's algorithm,
    /// fingerprint and place.
    Changed(String),
    /// This place revokes it.
    Revoked(String),
}

/// Makes the server show its keys, the preferred ones first. It requests only types that the algorithms of `spec` allow.
///
/// # Errors
/// See [`OpenError`]: the server cannot be reached, has no such key, or the known keys cannot be read.
pub async fn probe(spec: &ConnectSpec, tracker: &TaskTracker) -> Result<Vec<HostKey>, OpenError> {
    let trust = Trust::load(spec).await?;
    let keys = shown_keys(spec, tracker).await?;
    let all = keys.iter().map(|key| HostKey::new(key, &keys, &trust));
    Ok(all.collect())
}

/// Makes the server show its keys, and stores the one with the wanted fingerprint. It replaces another key of the same
/// type that the store has for the server. A key that is already known is not stored again.
///
/// # Errors
/// As [`probe`]; also if the server has no such key, or if the key is revoked or cannot be stored.
pub async fn trust(
    spec: &ConnectSpec,
    tracker: &TaskTracker,
    wanted: &str,
) -> Result<HostKey, OpenError> {
    let keys = shown_keys(spec, tracker).await?;
    let found = keys.iter().find(|key| fingerprint(key) == wanted);
    let key = found.ok_or_else(|| not_shown(spec, wanted, &keys))?;
    Trust::load(spec).await?.adopt(key).await?;
    Ok(HostKey::new(key, &keys, &Trust::load(spec).await?))
}

impl HostKey {
    /// Compares one of the keys that a server showed with those that are known.
    fn new(key: &PublicKey, shown: &[PublicKey], trust: &Trust) -> Self {
        let bits = bits(key);
        let art = key.fingerprint(HashAlg::Sha256);
        Self {
            algorithm: key.algorithm().to_string(),
            bits,
            fingerprint: fingerprint(key),
            randomart: art.to_randomart(&format!("[{} {bits}]", family(key))),
            standing: standing(key, shown, trust),
        }
    }
}

fn standing(key: &PublicKey, shown: &[PublicKey], trust: &Trust) -> HostKeyStanding {
    let known = |key| matches!(trust.standing(key, None, 0), KeyStanding::Known(_));
    match trust.standing(key, None, 0) {
        KeyStanding::Known(place) => HostKeyStanding::Known(place),
        KeyStanding::Revoked(place) => HostKeyStanding::Revoked(place),
        KeyStanding::Changed(former)
            if former.key.algorithm() == key.algorithm() || !shown.iter().any(known) =>
        {
            HostKeyStanding::Changed(former.to_string())
        }
        KeyStanding::Changed(_) | KeyStanding::Unknown | KeyStanding::BadCertificate(_) => {
            HostKeyStanding::Unknown
        }
    }
}

/// One connection after the other, so the server does not take them for an attack.
async fn shown_keys(
    spec: &ConnectSpec,
    tracker: &TaskTracker,
) -> Result<Vec<PublicKey>, OpenError> {
    let mut keys = Vec::new();
    let mut missing = None;
    for names in types(spec)? {
        let mut spec = spec.clone();
        spec.settings.algorithms.host_keys = names;
        match shown_key(spec, tracker).await {
            Ok(key) => keys.push(key),
            Err(OpenError::Handshake(error @ HandshakeError::NoCommonAlgorithm { .. })) => {
                missing = Some(error.into());
            }
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if keys.is_empty() => Err(error),
        Some(_) | None => Ok(keys),
    }
}

/// The names of the algorithms that may be requested, grouped by type of key.
fn types(spec: &ConnectSpec) -> Result<Vec<Vec<String>>, HandshakeError> {
    let mut types: Vec<(Algorithm, Vec<String>)> = Vec::new();
    for algorithm in handshake::host_keys(spec)? {
        let name = algorithm.to_string();
        match types
            .iter_mut()
            .find(|(first, _)| same_key_type(first, &algorithm))
        {
            Some((_, names)) => names.push(name),
            None => types.push((algorithm, vec![name])),
        }
    }
    Ok(types.into_iter().map(|(_, names)| names).collect())
}

async fn shown_key(spec: ConnectSpec, tracker: &TaskTracker) -> Result<PublicKey, OpenError> {
    let state = ConnectionState::new(
        0,
        ConnectionKind::Control,
        spec.server(),
        Arc::default(),
        Arc::default(),
        Handle::current(),
    );
    let seen = Arc::<OnceLock<PublicKey>>::default();
    let dial = Dial {
        spec: Arc::new(spec),
        state,
        prompts: Arc::default(),
        tracker: tracker.clone(),
    };
    let ended = dial.look(Arc::clone(&seen)).await;
    match (seen.get(), ended) {
        (Some(key), _) => Ok(key.clone()),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(OpenError::Internal),
    }
}

fn not_shown(spec: &ConnectSpec, wanted: &str, keys: &[PublicKey]) -> HostKeyError {
    let shown = keys.iter();
    let shown = shown.map(|key| format!("{} {}", key.algorithm(), fingerprint(key)));
    HostKeyError::NotShown {
        server: spec.server(),
        fingerprint: wanted.to_owned(),
        shown: shown.collect::<Vec<_>>().join(", "),
    }
}

/// The key's type as a picture's frame names it.
fn family(key: &PublicKey) -> &'static str {
    let data = key.key_data();
    if data.is_rsa() {
        "RSA"
    } else if data.is_ecdsa() {
        "ECDSA"
    } else {
        "ED25519"
    }
}

fn bits(key: &PublicKey) -> u32 {
    let data = key.key_data();
    if let Some(rsa) = data.rsa() {
        return rsa.key_size();
    }
    match data.ecdsa().map(|key| key.curve()) {
        None | Some(EcdsaCurve::NistP256) => 256,
        Some(EcdsaCurve::NistP384) => 384,
        Some(EcdsaCurve::NistP521) => 521,
    }
}
