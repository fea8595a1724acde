//! Who the server must be, and how the user proves who he is

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

/// What happens with a host key that is unknown or changed. A revoked one is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// A person decides, and what is accepted is stored. With nobody to ask, the key is refused.
    Ask,
    /// The key is refused, and nothing is stored.
    Strict,
    /// An unknown key is accepted and stored. A changed one is refused, and so is one that cannot be stored.
    Tofu,
    /// An unknown key is accepted and stored, a changed one is accepted for one connection; both with a warning.
    Advisory,
}

/// A host key that a profile vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedKey {
    /// A public key file: OpenSSH's `.pub` or RFC 4716.
    File(PathBuf),
    /// The key itself: base64, or OpenSSH's one-line form.
    Inline(String),
}

/// A way to prove who the user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// Key files and the agent (RFC 4252 section 7).
    PublicKey,
    /// A password (RFC 4252 section 8).
    Password,
    /// Questions and answers (RFC 4256); a single hidden field is answered with the password.
    KeyboardInteractive,
    /// GSSAPI (RFC 4462). Not supported.
    Gssapi,
    /// The client's host vouches for the user (RFC 4252 section 9). Not supported.
    HostBased,
}

impl AuthMethod {
    /// The methods tried when a profile names none.
    pub const DEFAULT: [Self; 3] = [Self::PublicKey, Self::Password, Self::KeyboardInteractive];

    /// Whether the broker can log in with it.
    pub fn is_supported(self) -> bool {
        Self::DEFAULT.contains(&self)
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKey => "publickey",
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
            Self::Gssapi => "gssapi-with-mic",
            Self::HostBased => "hostbased",
        })
    }
}

/// A private key to log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The one in this file.
    File(PathBuf),
    /// The one whose public half, in its wire form, has this hash: SHA-256, SHA-1 or MD5 in 64, 40 or 32 lower-case hex
    /// digits. The agent has it, or a key store.
    Hash(String),
}

impl From<PathBuf> for Identity {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

/// Where a password comes from.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// The configuration itself.
    Inline(SecretString),
    /// The first line of a file, which others must not be able to read.
    File(PathBuf),
    /// The first line of a shell command's output.
    Command(String),
}

impl PartialEq for PasswordSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(a), Self::Inline(b)) => a.expose_secret() == b.expose_secret(),
            (Self::File(a), Self::File(b)) => a == b,
            (Self::Command(a), Self::Command(b)) => a == b,
            (Self::Inline(_) | Self::File(_) | Self::Command(_), _) => false,
        }
    }
}

impl Eq for PasswordSource {}
