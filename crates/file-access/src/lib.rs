//! Decides from the owner and mode of a file or directory who else can read or change it.
//!
//! If possible, callers pass the metadata of an open file: the file at a path can be replaced between the check and the
//! use. On Windows, access lists are inherited from the user's directory. There is no mode, so this crate finds
//! nothing.

use std::fs::Metadata;

/// How somebody else can change a file, or the contents of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Its group, or everybody, can write to it.
    Writable,
    /// It belongs neither to the user who runs this program nor to root.
    Foreign,
}

/// Who may read a secret in addition to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Nobody.
    None,
    /// Its group: systemd gives a credential to the service's user with an access list, whose mask makes the file look
    /// as if the group could read it.
    Group,
}

/// Whether somebody other than root and this program's user can change the file or directory. In a directory with the
/// sticky bit, such as `/tmp`, nobody can replace another user's files.
#[cfg(unix)]
pub fn exposure(metadata: &Metadata) -> Option<Exposure> {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    exposed(metadata.uid(), metadata.mode(), metadata.is_dir(), own)
}

/// Other systems have no mode to check.
#[cfg(not(unix))]
pub fn exposure(_metadata: &Metadata) -> Option<Exposure> {
    None
}

/// Whether users other than the owner and these readers can read or write the file or directory, or enter it.
#[cfg(unix)]
pub fn is_open_to_others(metadata: &Metadata, readers: Readers) -> bool {
    use std::os::unix::fs::MetadataExt;
    let others = match readers {
        Readers::None => 0o077,
        Readers::Group => 0o037,
    };
    metadata.mode() & others != 0
}

/// Other systems have no mode to check.
#[cfg(not(unix))]
pub fn is_open_to_others(_metadata: &Metadata, _readers: Readers) -> bool {
    false
}

#[cfg(unix)]
fn exposed(owner: u32, mode: u32, is_directory: bool, own: u32) -> Option<Exposure> {
    const ROOT: u32 = 0;
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    if owner != own && owner != ROOT {
        return Some(Exposure::Foreign);
    }
    let keeps_files_apart = is_directory && mode & STICKY != 0;
    (mode & OTHERS_WRITE != 0 && !keeps_files_apart).then_some(Exposure::Writable)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_user_and_root_may_write() {
        use Exposure::{Foreign, Writable};
        const ME: u32 = 1000;
        for (owner, mode, is_directory, expected) in [
            (ME, 0o100_600, false, None),
            (ME, 0o100_644, false, None),
            (0, 0o100_644, false, None),
            (ME, 0o100_664, false, Some(Writable)),
            (ME, 0o100_646, false, Some(Writable)),
            (0, 0o100_666, false, Some(Writable)),
            (1001, 0o100_600, false, Some(Foreign)),
            (ME, 0o040_755, true, None),
            (ME, 0o040_775, true, Some(Writable)),
            (0, 0o041_777, true, None),
            (1001, 0o041_777, true, Some(Foreign)),
            // The sticky bit of a file has no meaning.
            (ME, 0o101_666, false, Some(Writable)),
        ] {
            let found = exposed(owner, mode, is_directory, ME);
            assert_eq!(found, expected, "{owner} {mode:o}");
        }
    }

    #[test]
    fn root_trusts_only_its_own() {
        assert_eq!(exposed(1000, 0o100_600, false, 0), Some(Exposure::Foreign));
    }

    #[test]
    fn only_a_credential_may_show_its_group_as_a_reader() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = |mode, readers| {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            is_open_to_others(&file.path().metadata().unwrap(), readers)
        };
        for (mode, as_credential, as_other_file) in [
            (0o400, false, false),
            (0o600, false, false),
            (0o440, false, true),
            (0o460, true, true),
            (0o444, true, true),
        ] {
            assert_eq!(open(mode, Readers::Group), as_credential, "{mode:o}");
            assert_eq!(open(mode, Readers::None), as_other_file, "{mode:o}");
        }
    }
}
