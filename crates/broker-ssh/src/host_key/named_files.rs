//! Host key files of older programs: each contains one key, and its name says which server the key is for

use std::path::Path;

use super::key_types::is_key_type;
use super::known_hosts::KnownKey;
use super::pinned::parse_public_key;

/// What the name of a file says about its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// `key_PORT_HOST.pub`: it is for this server.
    Server { host: String, port: u16 },
    /// `keys_HASH`: it is for one server, and only the program that wrote the file can tell which.
    Hashed,
}

/// What the file's name says; `None`: nothing, so the file is a list of keys.
pub(super) fn named(file: &Path) -> Option<Named> {
    let name = file.file_name()?.to_str()?;
    if let Some(hash) = name.strip_prefix("keys_") {
        let is_hash = !hash.is_empty() && hash.bytes().all(|it| it.is_ascii_hexdigit());
        return is_hash.then_some(Named::Hashed);
    }
    let (port, host) = name
        .strip_prefix("key_")?
        .strip_suffix(".pub")?
        .split_once('_')?;
    let port = port.parse().ok()?;
    let host = host.to_owned();
    (!host.is_empty()).then_some(Named::Server { host, port })
}

/// The key in the text of a file that has only one. A file without one causes a warning.
pub(super) fn only_key(text: &str, file: &Path) -> Option<KnownKey> {
    let key = parse_public_key(text);
    if key.is_none() {
        tracing::warn!(file = %file.display(), "host key is not readable");
    }
    // The broker never requests a key of another type, so it would always seem to have changed.
    key.filter(|key| is_key_type(&key.algorithm()))
        .map(|key| KnownKey::in_file(key, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_server_a_key_is_for() {
        let server = |host: &str, port| {
            let host = host.to_owned();
            Some(Named::Server { host, port })
        };
        for (name, expected) in [
            ("key_22_my.example.com.pub", server("my.example.com", 22)),
            ("key_2222_a_b.pub", server("a_b", 2222)),
            ("key_22_2001:db8::1.pub", server("2001:db8::1", 22)),
            (
                "keys_182166d2efe5a134d3fb948646e0b48f780bff6c",
                Some(Named::Hashed),
            ),
            ("keys_of_anna", None),
            ("keys_", None),
            ("key_22_.pub", None),
            ("key_70000_host.pub", None),
            ("key_22_host", None),
            ("salt", None),
            ("known_hosts", None),
        ] {
            assert_eq!(
                named(&Path::new("/hostkeys").join(name)),
                expected,
                "{name}"
            );
        }
    }
}
