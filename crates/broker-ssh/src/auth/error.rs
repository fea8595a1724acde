//! Why a login failed

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::tried::{LoginAttempt, Tried};
use crate::net::text::{seconds, span};
use crate::prompt::PromptError;
use crate::state::CutReason;

/// Why the user is not logged in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The server accepted none of what was tried.
    #[error(
        "SSH server {server} did not accept user {user}: tried {}; the server allows {offered}{}",
        .tried.or("nothing, since no key, agent or password is set"),
        .tried.advice(.user)
    )]
    Refused {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// What was tried, each with its outcome.
        tried: Tried,
        /// Methods that the server offers to continue with.
        offered: String,
        /// Whether a prompt that could have helped got no answer.
        wants_person: bool,
    },
    /// The server closed the connection during the login.
    #[error(
        "SSH server {server} ended the login of user {user}: {reason}; tried {}{}",
        .tried.or("nothing yet"),
        .tried.too_many()
    )]
    Ended {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// What was tried, each with its outcome.
        tried: Tried,
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
    /// No place has the key that the profile names by its hash.
    #[error(
        "the broker knows no private key whose public key has the hash {hash}: neither the SSH agent nor the directories of \
         key-stores contain it; add it to one of them, or name its file"
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
    /// The password cannot be read from its source.
    #[error("cannot read the password for the SSH server from {origin}: {reason}")]
    Password {
        /// The file, or the words "its command".
        origin: String,
        /// What is wrong, and what to do.
        reason: SecretError,
    },
    /// A prompt got no answer.
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

impl AuthError {
    /// What was tried, if that explains the failure.
    pub fn tried(&self) -> &[LoginAttempt] {
        match self {
            Self::Refused { tried, .. } | Self::Ended { tried, .. } => tried.attempts(),
            Self::Late { .. }
            | Self::KeyMissing { .. }
            | Self::KeyFile { .. }
            | Self::Password { .. }
            | Self::Prompt(_) => &[],
        }
    }

    /// See [`OpenError::may_pass`](crate::OpenError::may_pass): further attempts after a refusal could lock the user out.
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

/// How a connection ended during a login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginEnd {
    /// In the same way as any connection.
    #[error(transparent)]
    Cut(#[from] CutReason),
    /// With the text of the SSH library.
    #[error("{0}")]
    Library(String),
}

/// Why a private key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read, or others can read it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// It is in a format of other programs; the file.
    #[error(
        "it is in the SSH2 format; remove its passphrase with the program that made it, then run: \
         ssh-keygen -i -f {file} > {file}_openssh",
        file = .0.display()
    )]
    Ssh2Format(PathBuf),
    /// Its encryption is not supported; the file.
    #[error("its encryption is outdated; rewrite it with: ssh-keygen -p -f {}", .0.display())]
    OldEncryption(PathBuf),
    /// It contains something else.
    #[error("it is not a private key of a known format ({0})")]
    NoKey(String),
    /// Nobody can type the passphrase.
    #[error("it needs a passphrase; add it to the SSH agent with ssh-add")]
    Locked,
    /// Every passphrase was wrong.
    #[error("every passphrase that was typed is wrong")]
    WrongPassphrase,
}

/// Why a file cannot be used as a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateFileError {
    /// The reason of the operating system.
    #[error("{0}")]
    Unreadable(String),
    /// Others can read it; the file.
    #[error("other users can read it; run: chmod 600 {}", .0.display())]
    OpenToOthers(PathBuf),
}

impl From<io::Error> for PrivateFileError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Why a password is not available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read, or others can read it, or its command printed none.
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
    /// It is not text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is empty.
    #[error("its first line is empty")]
    Empty,
}

impl From<io::Error> for SecretError {
    fn from(error: io::Error) -> Self {
        PrivateFileError::from(error).into()
    }
}

/// Why a user certificate cannot be used; the text follows its name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CertificateFault {
    #[error("cannot be read ({0})")]
    Unreadable(String),
    #[error("belongs to another key")]
    OtherKey,
    #[error("is for a host, not for a user")]
    ForHost,
    /// It becomes valid in this many seconds.
    #[error("becomes valid in {}; check the clock", span(*.0))]
    NotYetValid(u64),
    /// It expired this many seconds ago.
    #[error("expired {} ago; request a new one", span(*.0))]
    Expired(u64),
}
