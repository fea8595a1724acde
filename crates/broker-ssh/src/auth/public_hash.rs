//! Hashes by which configurations name public keys

use md5::Md5;
use russh::keys::{HashAlg, PublicKey};
use sha1::{Digest, Sha1};

/// Whether this is the hash of a public key in its wire format (RFC 4253 section 6.6): SHA-256, SHA-1 or MD5 in
/// lower-case hex digits, distinguished by length. It only selects one of the user's own keys, so weak hashes do no harm.
pub(crate) fn has_hash(key: &PublicKey, hash: &str) -> bool {
    let Ok(blob) = key.to_bytes() else {
        return false;
    };
    match hash.len() {
        64 => hash == hex(key.fingerprint(HashAlg::Sha256).as_bytes()),
        40 => hash == hex(&Sha1::digest(blob)),
        32 => hash == hex(&Md5::digest(blob)),
        _ => false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    #[test]
    fn each_kind_of_hash_is_told_by_its_length() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        // The output of sha256sum, sha1sum and md5sum for the decoded key.
        for hash in [
            "6cf19a84c7168a64014dd92c35252823e8fc49f6dbc75392804ee11e24830538",
            "b9dd585b589cb54fccc05b7cce1fadda15745382",
            "b0258ac870d75a3b1903f463ff9b12f3",
        ] {
            assert!(has_hash(&key, hash), "{hash}");
            let other = hash.replace('3', "4");
            assert!(!has_hash(&key, &other), "{other}");
        }
        assert!(!has_hash(&key, ""));
    }
}
