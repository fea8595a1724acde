//! What a file that a profile names as an identity is: a private key, its public half, or a list of keys

use std::path::{Path, PathBuf};

use russh::keys::PublicKey;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::key_places::keys_in_list;
use super::keyfile::MAX_KEY_FILE;
use crate::host_key::parse_public_key;

/// The ending of public halves.
const PUBLIC: &str = "pub";

/// The contents of an identity file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IdentityFile {
    /// It is a private key, or unreadable, which its use will report.
    Private(PathBuf),
    /// It names these private keys.
    List(Vec<PathBuf>),
    /// It is the public half of a key, whose private half is in the agent or in the file.
    Public {
        key: Box<PublicKey>,
        private: PathBuf,
    },
}

/// Reads the file, as far as it takes to tell.
pub(super) async fn read(path: &Path) -> IdentityFile {
    let text = start_of(path).await.unwrap_or_default();
    if let Some(key) = parse_public_key(&text) {
        return IdentityFile::Public {
            key: Box::new(key),
            private: private_half(path),
        };
    }
    let base = path.parent().unwrap_or(path);
    match keys_in_list(&text, base) {
        keys if keys.is_empty() => IdentityFile::Private(path.to_owned()),
        keys => IdentityFile::List(keys),
    }
}

/// `NAME` for `NAME.pub`; otherwise the path itself.
fn private_half(path: &Path) -> PathBuf {
    match path.extension() {
        Some(ending) if ending == PUBLIC => path.with_extension(""),
        Some(_) | None => path.to_owned(),
    }
}

async fn start_of(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).await?;
    file.take(MAX_KEY_FILE).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    #[tokio::test]
    async fn the_content_tells_what_a_file_is() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let key = Box::new(PublicKey::from_openssh(KEY).unwrap());
        let private = directory.path().join("my.key");
        for (path, expected) in [
            (
                write("my.key.pub", &format!("{KEY} me@host\n")),
                IdentityFile::Public {
                    key,
                    private: private.clone(),
                },
            ),
            (
                write("list", "# keys\nIdKey one\nIdKey /two\n"),
                IdentityFile::List(vec![directory.path().join("one"), "/two".into()]),
            ),
            (
                write("my.key", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
                IdentityFile::Private(private),
            ),
            (
                "/nonexistent.pub".into(),
                IdentityFile::Private("/nonexistent.pub".into()),
            ),
        ] {
            let found = read(&path).await;
            match (&found, &expected) {
                (
                    IdentityFile::Public { key: a, private: b },
                    IdentityFile::Public { key, private },
                ) => assert_eq!((a.key_data(), b), (key.key_data(), private)),
                (found, expected) => assert_eq!(found, expected),
            }
        }
    }
}
