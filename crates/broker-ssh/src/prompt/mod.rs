//! Questions that only a person can answer, and the trait through which they are asked
//!
//! This crate knows neither who is there to answer nor how they are reached.

mod asking;
mod keyring;

use futures::future::BoxFuture;
use std::fmt;

use secrecy::SecretString;

use crate::state::CutReason;
pub(crate) use asking::DialPrompts;
pub(crate) use keyring::Login;
pub use keyring::{KeepFor, Keyring};

/// Puts questions to a person. One that is asked by several dials at once may be answered once for all of them.
pub trait Responder: fmt::Debug + Send + Sync {
    /// Asks, and waits for the answer or for the bound on waiting, which the responder sets. Dropping the future withdraws
    /// the prompt. `Err` says why there is no answer, and what to do about it.
    fn ask(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, NoAnswer>>;
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// Whether a host key is the server's. The answer is [`Answer::Confirm`].
    HostKey {
        /// Host and port.
        server: String,
        /// The key's algorithm.
        algorithm: String,
        /// SHA-256 fingerprint as OpenSSH prints it.
        fingerprint: String,
        /// Fingerprint and place of the key known before, where this one differs from it.
        changed_from: Option<String>,
    },
    /// The passphrase of a private key. The answer is [`Answer::Texts`] with one text.
    Passphrase {
        /// The key's file.
        file: String,
        /// Whether a passphrase was given just now and was wrong.
        again: bool,
    },
    /// The user's password. The answer is [`Answer::Texts`] with one text.
    Password {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// Whether a password was given just now and was refused.
        again: bool,
    },
    /// The server's own questions (RFC 4256 section 3.2). The answer is [`Answer::Texts`] with a text for each.
    Interactive {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// The server's title; may be empty. Text of a stranger: not yet fit for a terminal.
        name: String,
        /// The server's instruction; may be empty. Text of a stranger: not yet fit for a terminal.
        instruction: String,
        /// What the server wants to know, in order.
        fields: Vec<Field>,
    },
}

impl Prompt {
    /// How many texts its answer has.
    pub fn texts(&self) -> usize {
        match self {
            Self::HostKey { .. } => 0,
            Self::Passphrase { .. } | Self::Password { .. } => 1,
            Self::Interactive { fields, .. } => fields.len(),
        }
    }
}

/// Names the prompt in a message; the server's own text is left out.
impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostKey {
                server,
                algorithm,
                fingerprint,
                changed_from: None,
            } => write!(
                f,
                "the prompt to confirm the host key of {server} ({algorithm} {fingerprint})"
            ),
            Self::HostKey {
                server,
                algorithm,
                fingerprint,
                changed_from: Some(former),
            } => write!(
                f,
                "the prompt to confirm the host key of {server}, which has changed from {former} to {algorithm} \
                 {fingerprint} (somebody may be intercepting the connection),"
            ),
            Self::Passphrase { file, .. } => {
                write!(f, "the prompt for the passphrase of {file}")
            }
            Self::Password { server, user, .. } => {
                write!(f, "the prompt for the password of {user} at {server}")
            }
            Self::Interactive { server, user, .. } => {
                write!(
                    f,
                    "the prompt of {server} for {user} (keyboard-interactive)"
                )
            }
        }
    }
}

/// One thing that a server wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The server's text. Text of a stranger: not yet fit for a terminal.
    pub text: String,
    /// Whether what is typed may be seen.
    pub echo: bool,
}

/// What a person answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Yes or no to a host key; `true` also stores it.
    Confirm(bool),
    /// A text for each thing asked.
    Texts(Vec<SecretString>),
}

/// Why a prompt has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody is there to be asked.
    #[error("nobody is attached to answer it; run broker-ctl auth-handler, then try again")]
    Nobody,
    /// The person said that they do not want to answer.
    #[error("it was declined")]
    Declined,
    /// The person let the time pass.
    #[error("it was not answered in time")]
    TimedOut,
    /// Whoever was asked went away.
    #[error("whoever was asked went away")]
    Left,
    /// As many questions as may be are waiting for their answers.
    #[error("too many others wait for an answer; answer those first")]
    TooMany,
}

/// Why a person was asked in vain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// There is no answer.
    #[error("{prompt} got no answer: {why}")]
    Unanswered {
        /// What was asked, see [`Prompt`]'s display.
        prompt: String,
        /// Why nobody answered.
        why: NoAnswer,
    },
    /// The connection ended while a person was being asked.
    #[error(
        "SSH server {server} did not wait for the answer to {prompt}: {reason}; answer sooner, or raise the server's \
         LoginGraceTime"
    )]
    ConnectionLost {
        /// Host and port.
        server: String,
        /// What was asked.
        prompt: String,
        /// How the connection ended.
        reason: CutReason,
    },
}
