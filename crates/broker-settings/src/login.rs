//! How the broker identifies the server, and how the user logs in

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

/// What the broker does with an unknown or changed host key. It always refuses a revoked one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// It asks a person, and stores an accepted key. If there is nobody to ask, it refuses the key.
    Ask,
    /// It refuses the key, and stores nothing.
    Strict,
    /// It accepts and stores an unknown key. It refuses a changed key, and a key that it cannot store.
    Tofu,
    /// It accepts and stores an unknown key, and accepts a changed key for one connection, both with a warning.
    Advisory,
}

/// A host key that a profile pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedKey {
    /// A public key file: OpenSSH's `.pub` or RFC 4716.
    File(PathBuf),
    /// The key itself, in base64 or in OpenSSH's one-line form.
    Inline(String),
}

/// A method for the user to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// Key files and the agent (RFC 4252 section 7).
    PublicKey,
    /// A password (RFC 4252 section 8).
    Password,
    /// Questions and answers (RFC 4256). The broker answers a single hidden field with the password.
    KeyboardInteractive,
    /// GSSAPI (RFC 4462). Not supported.
    Gssapi,
    /// The client's host authenticates the user (RFC 4252 section 9). Not supported.
    HostBased,
}

impl AuthMethod {
    /// The default methods.
    pub const DEFAULT: [Self; 3] = [Self::PublicKey, Self::Password, Self::KeyboardInteractive];

    /// Whether the broker supports the method.
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
    /// The key in this file.
    File(PathBuf),
    /// The key whose public key, in its wire form, has this hash: SHA-256, SHA-1 or MD5 in 64, 40 or 32 lower-case hex
    /// digits. It comes from the agent or from a key store.
    Hash(String),
}

impl From<PathBuf> for Identity {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

/// The source of a password.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// The configuration itself.
    Inline(SecretString),
    /// The first line of a file that other users cannot read.
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
