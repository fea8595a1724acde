//! The keys that a profile itself names, in the format of OpenSSH or RFC 4716

use std::path::Path;

use broker_settings::PinnedKey;
use russh::keys::{PublicKey, parse_public_key_base64};

use super::error::{FileError, HostKeyError};
use super::files::read_text;

/// First and last line of a public key in the format of RFC 4716 section 3.
const RFC4716_BEGIN: &str = "---- BEGIN SSH2 PUBLIC KEY ----";
const RFC4716_END: &str = "---- END SSH2 PUBLIC KEY ----";

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

/// The base64 of an RFC 4716 key: the text without markers and headers, whose lines may continue after a backslash.
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
            "{RFC4716_BEGIN}\nSubject: me\nComment: \"a long \\\ncontinued: one\"\n{first}\n{rest}\n{RFC4716_END}\n"
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
