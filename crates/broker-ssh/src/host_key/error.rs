//! Why a host key is not believed, or cannot be

use std::io;
use std::path::{Path, PathBuf};

use russh::keys::ssh_encoding;

use crate::net::text::span;
use crate::prompt::PromptError;

/// Why the server's key is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// The server's key is not known.
    #[error(
        "host key of {} is unknown: {key}; compare it with the server's, then run: broker-ctl trust-host {target}",
        key.server
    )]
    Unknown {
        /// The key.
        key: Box<ShownKey>,
        /// The server as commands take it.
        target: String,
    },
    /// The server showed another key than the one known.
    #[error(
        "host key of {} has changed: it showed {key}, known is {former}; somebody may be intercepting the connection, so \
         ask the server's administrator, and if the change is genuine, {remedy}", key.server
    )]
    Changed {
        /// The key.
        key: Box<ShownKey>,
        /// Algorithm, fingerprint and place of the key known before.
        former: String,
        /// What to do if the change is genuine.
        remedy: String,
    },
    /// Whoever was asked did not take the key for the server's.
    #[error("host key of {} was not confirmed: {key}", key.server)]
    Rejected {
        /// The key.
        key: Box<ShownKey>,
    },
    /// Whoever was to confirm the key was asked in vain.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The key was to be remembered and cannot be; without that, the next one would be believed as well.
    #[error(
        "host key of {} ({}) cannot be stored, so it is not accepted: {reason}", key.server, key.fingerprint
    )]
    NotStored {
        /// The key.
        key: Box<ShownKey>,
        /// What is wrong, and what to do.
        reason: StoreError,
    },
    /// A known authority signed for the key, but not for this server at this time.
    #[error(
        "host certificate of {} does not hold: {reason} (key {}); its administrator must renew it", key.server, key.fingerprint
    )]
    Certificate {
        /// The key inside.
        key: Box<ShownKey>,
        /// What is wrong.
        reason: CertificateFault,
    },
    /// The server has no key of the fingerprint that was asked for.
    #[error("SSH server {server} has no host key {fingerprint}; it has {shown}")]
    NotShown {
        /// Host and port.
        server: String,
        /// The fingerprint asked for.
        fingerprint: String,
        /// Algorithms and fingerprints of its keys, separated by commas.
        shown: String,
    },
    /// The server's key is marked as revoked.
    #[error(
        "host key of {} is revoked by {revoked_at} ({}); do not use this server with this key", key.server, key.fingerprint
    )]
    Revoked {
        /// The key.
        key: Box<ShownKey>,
        /// Where it is revoked.
        revoked_at: String,
    },
    /// A file that says which host keys are right cannot be used.
    #[error("host key file {} cannot be used: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: FileError,
    },
    /// A fault of the broker's own.
    #[error("an internal error ended the check of the host key; please report it with the log")]
    Internal,
}

impl HostKeyError {
    pub(super) fn file(path: &Path, reason: impl Into<FileError>) -> Self {
        let path = path.to_owned();
        let reason = reason.into();
        Self::File { path, reason }
    }

    /// See [`OpenError::wants_person`](crate::OpenError::wants_person).
    pub(crate) fn wants_person(&self) -> bool {
        matches!(self, Self::Prompt(_))
    }
}

/// A key that a server showed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{algorithm} {fingerprint}")]
pub struct ShownKey {
    /// Host and port of the server.
    pub server: String,
    /// The key's algorithm.
    pub algorithm: String,
    /// SHA-256 fingerprint as OpenSSH prints it.
    pub fingerprint: String,
}

/// Why a file that says something of host keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// What the operating system said.
    #[error("{0}")]
    Unreadable(String),
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// No such file is so large.
    #[error("it is larger than {0} MiB")]
    TooLarge(u64),
    /// No such directory has so many files.
    #[error("it has more than {0} files")]
    TooManyFiles(usize),
    /// Not all of a revocation list is understood.
    #[error("it is damaged, or a key revocation list of another kind")]
    RevocationList,
    /// It holds something else than a key.
    #[error("it holds no OpenSSH or RFC 4716 public key")]
    NoKey,
    /// The text in the profile is something else than a key.
    #[error("it is not a public key")]
    NotAKey,
    /// Others can write it, or the directory around it.
    #[error("other users can write {place}; look through it, then run: chmod go-w {place}", place = .0.display())]
    WritableByOthers(PathBuf),
    /// It, or the directory around it, belongs to somebody who is neither this user nor root.
    #[error("{place} belongs to another user, who can change it; look through it, then make it yours with chown", place = .0.display())]
    Foreign(PathBuf),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<ssh_encoding::Error> for FileError {
    fn from(_: ssh_encoding::Error) -> Self {
        Self::RevocationList
    }
}

/// Why a key cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no place for it.
    #[error("no file is set to store host keys in")]
    NoFile,
    /// This place of the profile has the last word.
    #[error("{0} names another; change it there")]
    Pinned(String),
    /// The file has another key already, at this place.
    #[error("{0} has another key of it by now")]
    OtherKey(String),
    /// What the file says cannot be believed.
    #[error(transparent)]
    File(#[from] FileError),
    /// What the operating system said.
    #[error("{path} cannot be written: {1}", path = .0.display())]
    Unwritable(PathBuf, String),
    /// The path names no file.
    #[error("{} is no file", .0.display())]
    NotAFile(PathBuf),
    /// The name would be more than a name there.
    #[error("the host name \"{}\" has characters that a known_hosts file cannot hold", .0.escape_debug())]
    Name(String),
    /// The name has no hash.
    #[error("its name cannot be hashed")]
    NotHashable,
    /// The writing did not come to its end.
    #[error("the attempt to write it ended early")]
    Ended,
}

/// Why a host certificate that a known authority signed does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is of the other kind.
    #[error("it is made for a user, not for a host")]
    ForUser,
    /// Its time is to come in so many seconds.
    #[error("it is valid only in {}", span(*.0))]
    NotYetValid(u64),
    /// Its time was over so many seconds ago.
    #[error("it expired {} ago", span(*.0))]
    Expired(u64),
    /// Its signature proves nothing.
    #[error("its authority signed it with SHA-1, which can be forged")]
    Sha1,
    /// Its signature is somebody else's.
    #[error("its signature is not its authority's")]
    Signature,
    /// It is for these hosts, and not for that one.
    #[error("it is for {0}, not for {1}")]
    OtherHost(String, String),
    /// It has critical options.
    #[error("it has conditions, and none is known for hosts")]
    Conditions,
}
