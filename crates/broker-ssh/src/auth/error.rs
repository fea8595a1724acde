//! Why nobody is logged in

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::net::text::{seconds, span};
use crate::prompt::PromptError;
use crate::state::CutReason;

/// Why the user is not logged in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The server accepted none of what was tried.
    #[error(
        "SSH server {server} did not accept user {user}: tried {tried}; the server allows {offered}"
    )]
    Refused {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// What was tried, with what came of it.
        tried: String,
        /// Methods with which the server would go on.
        offered: String,
        /// Whether a prompt that might have helped got no answer.
        wants_person: bool,
    },
    /// The server hung up in the middle of the login.
    #[error(
        "SSH server {server} ended the login of user {user}: {reason}; tried {tried}; too many keys may be the reason, \
         so name the right key in user-identities"
    )]
    Ended {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// What was tried, with what came of it.
        tried: String,
        /// How the connection ended.
        reason: LoginEnd,
    },
    /// It took too long.
    #[error("authentication at {server} took longer than {}", seconds(*.after))]
    Late {
        /// Host and port.
        server: String,
        /// The bound.
        after: Duration,
    },
    /// A key that the profile names by its hash is nowhere.
    #[error(
        "no private key is known whose public key has the hash {hash}: neither the SSH agent nor the directories of \
         key-stores hold it; add it to one of them, or name its file"
    )]
    KeyMissing {
        /// The hash in hex digits.
        hash: String,
    },
    /// A private key file cannot be used.
    #[error("private key {} cannot be used: {reason}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: KeyFileError,
    },
    /// The password cannot be had from where it is said to be.
    #[error("password for the SSH server cannot be read from {origin}: {reason}")]
    Password {
        /// The file, or the words "its command".
        origin: String,
        /// What is wrong, and what to do.
        reason: SecretError,
    },
    /// A person was asked in vain.
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

impl AuthError {
    /// See [`OpenError::may_pass`](crate::OpenError::may_pass): whoever is refused must not be locked out by trying on.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Late { .. })
    }

    /// See [`OpenError::wants_person`](crate::OpenError::wants_person).
    pub(crate) fn wants_person(&self) -> bool {
        matches!(
            self,
            Self::Prompt(_)
                | Self::Refused {
                    wants_person: true,
                    ..
                }
        )
    }
}

/// How a connection ended in the middle of a login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginEnd {
    /// As any connection may.
    #[error(transparent)]
    Cut(#[from] CutReason),
    /// With what the SSH library says; the connection may go on without us.
    #[error("{0}")]
    Library(String),
}

/// Why a private key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read, or others can.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// It is in a format that other programs write; the file.
    #[error(
        "it is in the SSH2 format; take its passphrase away with the program that made it, then run: \
         ssh-keygen -i -f {file} > {file}_openssh",
        file = .0.display()
    )]
    Ssh2Format(PathBuf),
    /// Its encryption is not supported; the file.
    #[error("it is encrypted in an old way; write it anew with: ssh-keygen -p -f {}", .0.display())]
    OldEncryption(PathBuf),
    /// It holds something else.
    #[error("it is not a private key of a known format ({0})")]
    NoKey(String),
    /// Nobody is there to type the passphrase.
    #[error("it needs a passphrase; add it to the SSH agent with ssh-add")]
    Locked,
    /// Nobody knows the passphrase.
    #[error("each passphrase that was typed is wrong")]
    WrongPassphrase,
}

/// Why a file that should hold a secret holds none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateFileError {
    /// What the operating system said.
    #[error("{0}")]
    Unreadable(String),
    /// It is no secret; the file.
    #[error("other users can read it; run: chmod 600 {}", .0.display())]
    OpenToOthers(PathBuf),
}

impl From<io::Error> for PrivateFileError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Why a password cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read, or others can, or its command gives none.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Its command cannot be run.
    #[error("sh cannot be started: {0}")]
    NoShell(String),
    /// Its command failed.
    #[error("it failed with {0}")]
    Failed(ExitStatus),
    /// Its command did not end.
    #[error("it did not end within {}", seconds(*.0))]
    Late(Duration),
    /// It is no text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// There is nothing.
    #[error("its first line is empty")]
    Empty,
}

impl From<io::Error> for SecretError {
    fn from(error: io::Error) -> Self {
        PrivateFileError::from(error).into()
    }
}

/// What makes a user certificate useless, to be read behind its name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CertificateFault {
    #[error("cannot be read ({0})")]
    Unreadable(String),
    #[error("is not that of the key beside it")]
    OtherKey,
    #[error("is for a host, not for a user")]
    ForHost,
    /// In so many seconds it will be.
    #[error("is not valid yet, but in {}; check the clock", span(*.0))]
    NotYetValid(u64),
    /// Since so many seconds.
    #[error("expired {} ago; have it signed anew", span(*.0))]
    Expired(u64),
}
