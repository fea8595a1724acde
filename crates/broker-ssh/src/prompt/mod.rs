//! Prompts that only a person can answer, and the trait that passes them on
//!
//! This crate knows neither who answers nor how to reach them.

mod asking;
mod keyring;

use futures::future::BoxFuture;
use std::fmt;

use secrecy::SecretString;

use crate::state::CutReason;
pub(crate) use asking::DialPrompts;
pub(crate) use keyring::Login;
pub use keyring::{KeepFor, Keyring};

/// Passes prompts to a person. One answer may serve several connection attempts with the same prompt.
pub trait Responder: fmt::Debug + Send + Sync {
    /// Asks, and waits for the answer or for the time limit, which the responder sets. Dropping the future withdraws the
    /// prompt. `Err` says why there is no answer, and what to do about it.
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
        /// Fingerprint and place of the known key, if this one differs from it.
        changed_from: Option<String>,
    },
    /// The passphrase of a private key. The answer is [`Answer::Texts`] with one text.
    Passphrase {
        /// The key's file.
        file: String,
        /// Whether a wrong passphrase was given just before.
        again: bool,
    },
    /// The user's password. The answer is [`Answer::Texts`] with one text.
    Password {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// Whether the server refused a password just before.
        again: bool,
    },
    /// The server's own prompts (RFC 4256 section 3.2). The answer is [`Answer::Texts`] with a text for each.
    Interactive {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// The server's title; may be empty. Untrusted text, not yet escaped for a terminal.
        name: String,
        /// The server's instruction; may be empty. Untrusted text, not yet escaped for a terminal.
        instruction: String,
        /// The server's prompts, in order.
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

/// Names the prompt in a message, without the server's own text.
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

/// One prompt of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The server's text. Untrusted, not yet escaped for a terminal.
    pub text: String,
    /// Whether the typed text may be visible.
    pub echo: bool,
}

/// What a person answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Yes or no to a host key; `true` also stores it.
    Confirm(bool),
    /// A text for each field.
    Texts(Vec<SecretString>),
}

/// Why a prompt has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// No client answers prompts.
    #[error("nobody is attached to answer it; run broker-ctl auth-handler, then try again")]
    Nobody,
    /// The person declined to answer.
    #[error("it was declined")]
    Declined,
    /// The person did not answer in time.
    #[error("it was not answered in time")]
    TimedOut,
    /// The client that was asked disconnected.
    #[error("the client that was asked for it disconnected")]
    Left,
    /// The queue of prompts is full.
    #[error("too many other prompts wait for an answer; answer those first")]
    TooMany,
}

/// Why there is no answer to a prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// There is no answer.
    #[error("{prompt} got no answer: {why}")]
    Unanswered {
        /// The prompt, see [`Prompt`]'s display.
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
        /// The prompt.
        prompt: String,
        /// How the connection ended.
        reason: CutReason,
    },
}
