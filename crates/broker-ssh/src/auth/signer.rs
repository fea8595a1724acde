//! Who answers when the server asks for a signature: a key in memory, or nobody

use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::{Error as KeyError, Signature};
use russh::keys::{HashAlg, PrivateKey, signature};
use russh::{SendError, Signer};

/// Signs with a key in memory.
pub(super) struct KeySigner(pub(super) Arc<PrivateKey>);

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the session has ended")]
    Ended(#[from] SendError),
    #[error("the key cannot sign: {0}")]
    Key(#[from] KeyError),
}

impl KeySigner {
    fn sign(&self, hash: Option<HashAlg>, data: &[u8]) -> Result<Signature, KeyError> {
        let signed = if let KeypairData::Rsa(key) = self.0.key_data() {
            signature::Signer::try_sign(&(key, hash), data)
        } else {
            signature::Signer::try_sign(&*self.0, data)
        };
        signed.map_err(KeyError::from)
    }
}

impl Signer for KeySigner {
    type Error = SignError;

    /// The data to sign, followed by the signature as a string (RFC 4252 section 7).
    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let signature = self.sign(hash, &to_sign)?;
        let mut blob = Vec::new();
        signature
            .encode(&mut blob)
            .and_then(|()| blob.encode(&mut to_sign))
            .map_err(KeyError::from)?;
        Ok(to_sign)
    }
}

/// Finds out whether the server would accept a key: it asks for a signature, and gets none.
#[derive(Default)]
pub(super) struct Probe {
    pub(super) wanted: bool,
}

impl Signer for Probe {
    type Error = SendError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        _hash: Option<HashAlg>,
        _to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SendError> {
        self.wanted = true;
        Err(SendError {})
    }
}
