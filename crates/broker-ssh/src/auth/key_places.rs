//! Where the broker looks for private keys that no profile names

use std::path::{Path, PathBuf};

use crate::auth::keyfile::beside;
use crate::spec::KeyPlace;

/// The usual files in `~/.ssh`, in the order in which they are tried.
const USUAL_NAMES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// The word that starts a line with a key in an identification file.
const KEY_LINE: &str = "IdKey";

/// More keys than a person has; a larger directory is not for keys.
const MAX_FILES: usize = 256;

/// The key files to try, in the order of their places. A place that cannot be read has none.
pub(crate) async fn files(places: &[KeyPlace]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in places {
        match place {
            KeyPlace::Usual => found.extend(usual()),
            KeyPlace::Directory(directory) => found.extend(pairs(directory).await),
            KeyPlace::File(file) => found.push(file.clone()),
            KeyPlace::List { file, base } => found.extend(listed(file, base).await),
        }
    }
    found
}

/// The key files to search for a hash: the same, but in `~/.ssh` all key files, whatever their names.
pub(crate) async fn find(places: &[KeyPlace]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in places {
        match (place, home()) {
            (KeyPlace::Usual, Some(directory)) => found.extend(pairs(&directory).await),
            (KeyPlace::Usual, None) => {}
            (KeyPlace::Directory(_) | KeyPlace::File(_) | KeyPlace::List { .. }, _) => {
                found.extend(files(std::slice::from_ref(place)).await);
            }
        }
    }
    found
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".ssh"))
}

fn usual() -> Vec<PathBuf> {
    let Some(directory) = home() else {
        return Vec::new();
    };
    let files = USUAL_NAMES.iter().map(|name| directory.join(name));
    files.filter(|file| file.is_file()).collect()
}

/// The files of a directory that have a public half of the same name next to them, sorted by name.
async fn pairs(directory: &Path) -> Vec<PathBuf> {
    let Ok(mut entries) = tokio::fs::read_dir(directory).await else {
        tracing::debug!(directory = %directory.display(), "cannot read this directory, so its keys are not tried");
        return Vec::new();
    };
    let mut found = Vec::new();
    while let Ok(Some(entry)) = entries.next_entry().await {
        let path = entry.path();
        if beside(&path, ".pub").is_file() && path.is_file() && found.len() < MAX_FILES {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The keys that an identification file names: one in each line `IdKey NAME`.
async fn listed(file: &Path, base: &Path) -> Vec<PathBuf> {
    let text = match tokio::fs::read_to_string(file).await {
        Ok(text) => text,
        Err(error) => {
            tracing::debug!(file = %file.display(), %error, "cannot read this list, so its keys are not tried");
            return Vec::new();
        }
    };
    keys_in_list(&text, base)
}

/// The keys in the text of an identification file. Other text has none.
pub(super) fn keys_in_list(text: &str, base: &Path) -> Vec<PathBuf> {
    let key = |line: &str| {
        let (word, name) = line.trim().split_once(char::is_whitespace)?;
        word.eq_ignore_ascii_case(KEY_LINE)
            .then(|| base.join(name.trim()))
    };
    text.lines().filter_map(key).take(MAX_FILES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[PathBuf]) -> Vec<&str> {
        let names = found.iter().map(|path| path.file_name().unwrap());
        names.map(|name| name.to_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_directory_holds_pairs() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b", "b.pub", "a", "a.pub", "alone", "lost.pub", "config"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let found = files(&[KeyPlace::Directory(directory.path().to_owned())]).await;
        assert_eq!(names(&found), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_list_names_keys_beside_other_things() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("identification");
        std::fs::write(
            &file,
            "# mine\nIdKey first\n  idkey\tsecond\nPgpKeyName x\nIdKey\n",
        )
        .unwrap();
        let base = directory.path().to_owned();
        let found = files(&[KeyPlace::List { file, base }]).await;
        assert_eq!(names(&found), ["first", "second"]);
    }

    #[tokio::test]
    async fn what_is_not_there_holds_nothing() {
        let absent = PathBuf::from("/nonexistent");
        let list = KeyPlace::List {
            file: absent.clone(),
            base: absent.clone(),
        };
        assert!(files(&[KeyPlace::Directory(absent), list]).await.is_empty());
    }
}
