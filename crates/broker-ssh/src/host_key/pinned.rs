//! The keys that a profile itself names, in the format of OpenSSH or RFC 4716

use std::path::Path;

use broker_settings::{PinnedKey, rfc4716_base64};
use russh::keys::{PublicKey, parse_public_key_base64};

use super::error::{FileError, HostKeyError};
use super::files::read_text;

/// The place of a key that is in no file.
const INSIDE: &str = "(inside the profile)";

/// Reads one of the keys.
///
/// # Errors
/// `HostKeyFile` if it cannot be read or is not a key: without it, the wrong server could pass.
pub(super) fn load(source: &PinnedKey) -> Result<PublicKey, HostKeyError> {
    match source {
        PinnedKey::Inline(text) => parse_public_key(text)
            .ok_or_else(|| HostKeyError::file(Path::new(INSIDE), FileError::NotAKey)),
        PinnedKey::File(path) => load_file(path).map_err(|reason| HostKeyError::file(path, reason)),
    }
}

fn load_file(path: &Path) -> Result<PublicKey, FileError> {
    let text = read_text(path)?.ok_or(FileError::Missing)?;
    parse_public_key(&text).ok_or(FileError::NoKey)
}

/// Reads a key in OpenSSH's format, with or without the algorithm before it, or in the format of RFC 4716.
pub(crate) fn parse_public_key(text: &str) -> Option<PublicKey> {
    if let Some(base64) = rfc4716_base64(text) {
        return parse_public_key_base64(&base64).ok();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_key::same;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    #[test]
    fn public_keys_are_read_in_three_forms() {
        let base64 = KEY.split_once(' ').unwrap().1;
        let (first, rest) = base64.split_at(30);
        let rfc4716 = format!(
            "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"me\"\n{first}\n{rest}\n---- END SSH2 PUBLIC KEY ----\n"
        );
        let with_comment = format!("\n# a comment\n{KEY} me@example.org\n");
        let key = PublicKey::from_openssh(KEY).unwrap();
        for text in [base64, with_comment.as_str(), rfc4716.as_str()] {
            assert!(same(&parse_public_key(text).unwrap(), &key), "{text}");
        }
        assert!(parse_public_key("nonsense").is_none());
        assert!(parse_public_key("").is_none());
    }

    #[test]
    fn a_file_that_is_missing_or_no_key_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.pub");
        let refused = || {
            load(&PinnedKey::File(path.clone()))
                .unwrap_err()
                .to_string()
        };
        assert!(refused().contains("host.pub cannot be used: there is no such file"));
        std::fs::write(&path, "nonsense").unwrap();
        assert!(refused().contains("contains no OpenSSH or RFC 4716 public key"));
    }
}
