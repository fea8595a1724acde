//! The types of host keys, and those that a server is asked for

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};

/// Those that are asked for where the profile names none.
pub(crate) const HOST_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// What is known of a server's keys and decides about what it is asked for.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    /// Algorithms of its keys, to be preferred: another key of it would look like a changed one.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether an authority is known whose certificates it may have.
    pub(crate) certificates: bool,
}

/// Whether a server may be asked for a key of this type at all.
pub(super) fn is_key_type(algorithm: &Algorithm) -> bool {
    HOST_KEYS.iter().any(|it| same_key_type(it, algorithm))
}

/// Whether two algorithms use the same type of key; RSA's differ in their hash only.
pub(crate) fn same_key_type(a: &Algorithm, b: &Algorithm) -> bool {
    a == b || matches!((a, b), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}
