//! Whether the public key next to a private key file belongs to it

use std::path::{Path, PathBuf};

use russh::keys::{HashAlg, PrivateKey, PublicKey};

use super::error::AuthError;
use super::identity_file::{self, IdentityFile};
use super::keyfile::{self, KeyFile, beside, public_half};

/// A private key file and the public key next to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPair {
    /// They belong together; with the fingerprint.
    Whole(String),
    /// There is no public key next to it, or the private key does not show its public half without the passphrase.
    Alone,
    /// The public key is that of another private key.
    Mismatch {
        /// The file with the public key.
        public: PathBuf,
        /// The fingerprint of the private key.
        own: String,
        /// The fingerprint of the public key.
        other: String,
    },
}

impl KeyPair {
    /// Looks at the files of an identity. `None` if it is not a private key, or cannot be used, which a login reports.
    pub async fn of(path: &Path) -> Option<Self> {
        match identity_file::read(path).await {
            IdentityFile::Private(path) => look(&path).await.ok(),
            IdentityFile::List(_) | IdentityFile::Public { .. } => None,
        }
    }
}

async fn look(path: &Path) -> Result<KeyPair, AuthError> {
    let own = match keyfile::load(path).await? {
        KeyFile::Plain(key) => key.public_key().clone(),
        // Some formats do not have it in clear text, so there is nothing to compare.
        KeyFile::Locked(locked) => match PrivateKey::from_openssh(&*locked.text) {
            Ok(key) => key.public_key().clone(),
            Err(_) => return Ok(KeyPair::Alone),
        },
    };
    let Some(other) = public_half(path).await else {
        return Ok(KeyPair::Alone);
    };
    if own.key_data() == other.key_data() {
        return Ok(KeyPair::Whole(fingerprint(&own)));
    }
    Ok(KeyPair::Mismatch {
        public: beside(path, ".pub"),
        own: fingerprint(&own),
        other: fingerprint(&other),
    })
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use russh::keys::ssh_key::LineEnding;
    use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};

    use super::*;

    fn key(seed: u8) -> PrivateKey {
        let pair = Ed25519Keypair::from_seed(&[seed; 32]);
        PrivateKey::new(KeypairData::from(pair), "test").unwrap()
    }

    #[tokio::test]
    async fn a_public_key_of_another_private_key_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, &*key(1).to_openssh(LineEnding::LF).unwrap()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(KeyPair::of(&path).await, Some(KeyPair::Alone));

        let public = directory.path().join("key.pub");
        let write = |seed| fs::write(&public, key(seed).public_key().to_openssh().unwrap());
        let print = |seed| fingerprint(key(seed).public_key());
        write(1).unwrap();
        assert_eq!(KeyPair::of(&path).await, Some(KeyPair::Whole(print(1))));
        write(2).unwrap();
        let mismatch = KeyPair::Mismatch {
            public: public.clone(),
            own: print(1),
            other: print(2),
        };
        assert_eq!(KeyPair::of(&path).await, Some(mismatch));
        assert_eq!(KeyPair::of(&public).await, None);
    }
}
