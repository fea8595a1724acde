//! Files that hold a secret, and who else may read them

use std::fs::Metadata;
use std::path::Path;

use tokio::fs::File;

use super::error::PrivateFileError;

/// Where systemd says that the credentials of this service are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Opens a file that holds a secret; one that others can read holds none.
///
/// # Errors
/// Why it cannot be read or must not be used, and what to do.
pub(crate) async fn open_private(path: &Path) -> Result<File, PrivateFileError> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    let credentials = std::env::var_os(CREDENTIALS);
    let is_credential =
        credentials.is_some_and(|directory| is_directly_in(path, directory.as_ref()));
    if open_to_others(&metadata, is_credential) {
        return Err(PrivateFileError::OpenToOthers(path.to_owned()));
    }
    Ok(file)
}

fn is_directly_in(path: &Path, directory: &Path) -> bool {
    directory.is_absolute() && path.parent() == Some(directory)
}

/// Whether users other than the owner can read or write a file. systemd gives a credential to the service's user with an
/// access list, whose mask shows as if the group could read it.
#[cfg(unix)]
fn open_to_others(metadata: &Metadata, is_credential: bool) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let others = if is_credential { 0o037 } else { 0o077 };
    metadata.permissions().mode() & others != 0
}

/// Access lists on Windows are inherited from the user's directory; there is no mode to look at.
#[cfg(not(unix))]
fn open_to_others(_metadata: &Metadata, _is_credential: bool) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_credential_may_show_its_group_as_a_reader() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = |mode, is_credential| {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            open_to_others(&file.path().metadata().unwrap(), is_credential)
        };
        for (mode, as_credential, as_other_file) in [
            (0o400, false, false),
            (0o600, false, false),
            (0o440, false, true),
            (0o460, true, true),
            (0o444, true, true),
        ] {
            assert_eq!(open(mode, true), as_credential, "{mode:o}");
            assert_eq!(open(mode, false), as_other_file, "{mode:o}");
        }
    }

    #[test]
    fn a_credential_lies_directly_in_the_directory() {
        let directory = Path::new("/run/credentials/brokerd.service");
        assert!(is_directly_in(&directory.join("password"), directory));
        assert!(!is_directly_in(&directory.join("../password"), directory));
        assert!(!is_directly_in(Path::new("password"), Path::new("")));
    }
}
