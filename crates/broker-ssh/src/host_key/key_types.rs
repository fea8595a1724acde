//! The types of host keys, and those that the broker requests from a server

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};

/// The types to request if the profile names none.
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

/// What is known of a server's keys and determines which types are requested.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    /// Algorithms of its known keys, which are preferred: any other key of the server would look like a changed one.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether an authority is known that may have signed a certificate for it.
    pub(crate) certificates: bool,
}

/// Whether the broker may request this type of key.
pub(super) fn is_key_type(algorithm: &Algorithm) -> bool {
    HOST_KEYS.iter().any(|it| same_key_type(it, algorithm))
}

/// Whether two algorithms use the same type of key; those of RSA differ only in their hash.
pub(crate) fn same_key_type(a: &Algorithm, b: &Algorithm) -> bool {
    a == b || matches!((a, b), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}
