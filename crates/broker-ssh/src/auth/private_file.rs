//! Files that contain a secret, and who else can read them

use std::path::Path;

use file_access::Readers;
use tokio::fs::File;

use super::error::PrivateFileError;

/// The variable in which systemd names the directory of this service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Opens a file that contains a secret, and refuses one that others can read.
///
/// # Errors
/// Why it cannot be read or must not be used, and what to do.
pub(crate) async fn open_private(path: &Path) -> Result<File, PrivateFileError> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    let credentials = std::env::var_os(CREDENTIALS);
    let is_credential =
        credentials.is_some_and(|directory| is_directly_in(path, directory.as_ref()));
    let readers = if is_credential {
        Readers::Group
    } else {
        Readers::None
    };
    if file_access::is_open_to_others(&metadata, readers) {
        return Err(PrivateFileError::OpenToOthers(path.to_owned()));
    }
    Ok(file)
}

fn is_directly_in(path: &Path, directory: &Path) -> bool {
    directory.is_absolute() && path.parent() == Some(directory)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_credential_lies_directly_in_the_directory() {
        let directory = Path::new("/run/credentials/brokerd.service");
        assert!(is_directly_in(&directory.join("password"), directory));
        assert!(!is_directly_in(&directory.join("../password"), directory));
        assert!(!is_directly_in(Path::new("password"), Path::new("")));
    }
}
