//! Why the broker does not trust a host key, or cannot check it

use std::io;
use std::path::{Path, PathBuf};

use russh::keys::ssh_encoding;

use crate::net::text::span;
use crate::prompt::PromptError;

/// Why the broker does not trust the server's key.
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
        "host key of {} has changed: it showed {key}, but the known key is {former}; somebody may be intercepting the connection: \
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
    /// The person did not confirm the key.
    #[error("host key of {} was not confirmed: {key}", key.server)]
    Rejected {
        /// The key.
        key: Box<ShownKey>,
    },
    /// The prompt to confirm the key got no answer.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The key had to be stored and could not be. Otherwise the broker would also accept the next unknown key.
    #[error(
        "host key of {} ({}) cannot be stored, so it is not accepted: {reason}", key.server, key.fingerprint
    )]
    NotStored {
        /// The key.
        key: Box<ShownKey>,
        /// What is wrong, and what to do.
        reason: StoreError,
    },
    /// A known authority signed the key, but the certificate is not valid for this server at this time.
    #[error(
        "host certificate of {} is not valid: {reason} (key {}); its administrator must renew it", key.server, key.fingerprint
    )]
    Certificate {
        /// The key inside.
        key: Box<ShownKey>,
        /// What is wrong.
        reason: CertificateFault,
    },
    /// The server has no key with the requested fingerprint.
    #[error("SSH server {server} has no host key {fingerprint}; it has {shown}")]
    NotShown {
        /// Host and port.
        server: String,
        /// The requested fingerprint.
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
    /// A file with host keys cannot be used.
    #[error("host key file {} cannot be used: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: FileError,
    },
    /// A fault in the broker itself.
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

/// Why a file with host keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The reason of the operating system.
    #[error("{0}")]
    Unreadable(String),
    /// It does not exist.
    #[error("there is no such file")]
    Missing,
    /// No such file is so large.
    #[error("it is larger than {0} MiB")]
    TooLarge(u64),
    /// No such directory has so many files.
    #[error("it has more than {0} files")]
    TooManyFiles(usize),
    /// The revocation list is not fully understood.
    #[error("it is damaged, or a key revocation list of another kind")]
    RevocationList,
    /// It contains something other than a key.
    #[error("it contains no OpenSSH or RFC 4716 public key")]
    NoKey,
    /// The text in the profile is something other than a key.
    #[error("it is not a public key")]
    NotAKey,
    /// Others can write it, or its directory.
    #[error("other users can write {place}; check its contents, then run: chmod go-w {place}", place = .0.display())]
    WritableByOthers(PathBuf),
    /// It, or its directory, belongs to another user who is not root.
    #[error("{place} belongs to another user, who can change it; check its contents, then take ownership with chown", place = .0.display())]
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
    /// No file is configured for it.
    #[error("no file is configured to store host keys in")]
    NoFile,
    /// The profile itself names the server's keys, at this place.
    #[error("{0} names another key; change it there")]
    Pinned(String),
    /// The file already has another key, at this place.
    #[error("{0} now has another key of this server")]
    OtherKey(String),
    /// The file cannot be trusted.
    #[error(transparent)]
    File(#[from] FileError),
    /// The reason of the operating system.
    #[error("{path} cannot be written: {1}", path = .0.display())]
    Unwritable(PathBuf, String),
    /// The path does not name a file.
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    /// The name would have a special meaning in the file.
    #[error("the host name \"{}\" has characters that a known_hosts file cannot contain", .0.escape_debug())]
    Name(String),
    /// The name cannot be hashed.
    #[error("its name cannot be hashed")]
    NotHashable,
    /// The write did not finish.
    #[error("the write ended early")]
    Ended,
}

/// Why a host certificate from a known authority is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is a user certificate.
    #[error("it is made for a user, not for a host")]
    ForUser,
    /// It becomes valid in this many seconds.
    #[error("it becomes valid in {}", span(*.0))]
    NotYetValid(u64),
    /// It expired this many seconds ago.
    #[error("it expired {} ago", span(*.0))]
    Expired(u64),
    /// Its signature proves nothing.
    #[error("its authority signed it with SHA-1, which can be forged")]
    Sha1,
    /// The signature is not the authority's.
    #[error("its signature is not its authority's")]
    Signature,
    /// It is for these hosts, but not for the requested one.
    #[error("it is for {0}, not for {1}")]
    OtherHost(String, String),
    /// It has critical options.
    #[error("it has critical options, and none is supported for hosts")]
    Conditions,
}
