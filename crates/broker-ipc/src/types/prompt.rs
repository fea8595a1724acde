//! Prompts: what only a person can answer.

use serde::{Deserialize, Serialize};

/// A prompt that only a person can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Prompt {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The kind of prompt.
    pub kind: PromptKind,
    /// The text of the prompt, in one or more lines. Text from the server is made harmless: control characters are
    /// escaped, and each of its lines begins with `| `.
    pub message: String,
    /// The fields to fill in, in order; empty for a host key, which is confirmed or not.
    pub fields: Vec<PromptField>,
    /// The SHA-256 fingerprint of the host key to confirm.
    pub fingerprint: Option<String>,
    /// Seconds until the daemon withdraws it.
    pub seconds_left: u64,
}

/// One field of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PromptField {
    /// The label before the input. A label from the server is made harmless and begins with `| `.
    pub label: String,
    /// Whether the typed text may be visible.
    pub echo: bool,
}

/// The prompt that the client should show now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CurrentPrompt {
    /// Absent if there is none.
    pub prompt: Option<Prompt>,
}

/// The subject of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PromptKind {
    /// Whether an SSH server's host key is correct.
    HostKey,
    /// The passphrase of a private key.
    Passphrase,
    /// The user's password.
    Password,
    /// The server's questions (RFC 4256).
    Interactive,
}
