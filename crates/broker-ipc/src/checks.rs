//! `broker-ctl doctor`: what is asked, and each step that was tried, with its outcome and what to do.
//!
//! A `brokerd --doctor` reads one [`Question`] from its standard input, and writes a [`Check`] on each line of its standard
//! output.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::LoginAttempt;
use crate::secret::Secret;

/// What to examine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Question {
    /// A profile's name or id, or `[user@]host[#port]`; absent: every profile.
    pub target: Option<String>,
    /// The FTP server to try, in place of those of the profile's tunnels.
    pub ftp: Option<FtpServer>,
    /// The FTP login for transfers; absent: no transfer is tried.
    pub login: Option<FtpLogin>,
    /// The file to fetch, to measure the throughput; needs a login.
    pub get: Option<String>,
}

/// An FTP server, as the SSH server is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A login at an FTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FtpLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// One step on the way to an FTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// The profile's name or id, or the target as it was given. Absent for the configuration and the daemon.
    pub target: Option<String>,
    /// What was tried.
    pub step: Step,
    /// How it went.
    pub outcome: Outcome,
    /// What was found, on what.
    pub text: String,
    /// What was tried in a login that failed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<LoginAttempt>,
    /// What to do about it; absent if there is nothing to do.
    pub remedy: Option<String>,
    /// How long the step took, in microseconds; absent if that says nothing.
    pub microseconds: Option<u64>,
}

/// A step on the way to an FTP server, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Whether a daemon runs, and with which configuration.
    Daemon,
    /// Reading the configuration.
    Configuration,
    /// Whether the public key next to a private key belongs to it.
    KeyPair,
    /// The certificate that the broker shows to FTP clients.
    Certificate,
    /// What the target means.
    Target,
    /// Looking up the server's name.
    Name,
    /// A TCP connection to the server, proxy or gateway.
    Connect,
    /// The SSH server's version.
    SshGreeting,
    /// The key exchange, and the server's host key.
    HostKey,
    /// The login.
    Login,
    /// How long the SSH server takes for an answer.
    RoundTrip,
    /// When the SSH server sends small packets, if a setting matters for that.
    SmallPackets,
    /// A listener at the SSH server, for a remote tunnel.
    Listener,
    /// A connection from this host to the destination of a remote tunnel.
    Destination,
    /// A channel from the SSH server to a destination of a tunnel.
    Channel,
    /// The FTP server's greeting.
    FtpGreeting,
    /// Whether the FTP server offers TLS, for a tunnel that lets TLS pass.
    Tls,
    /// The FTP login.
    FtpLogin,
    /// A listing in passive mode.
    Passive,
    /// Active mode: the SSH server listens, and with an FTP login a listing.
    Active,
    /// Fetching a file.
    Throughput,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// It succeeded in part: something else will work in its place, or not for everything.
    Warning,
    /// It failed. The steps that need it are not tried.
    Failed,
    /// It was not tried.
    Skipped,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Daemon => "daemon",
            Self::Configuration => "configuration",
            Self::KeyPair => "key pair",
            Self::Certificate => "certificate",
            Self::Target => "target",
            Self::Name => "name",
            Self::Connect => "connect",
            Self::SshGreeting => "SSH greeting",
            Self::HostKey => "host key",
            Self::Login => "login",
            Self::RoundTrip => "round trip",
            Self::SmallPackets => "small packets",
            Self::Listener => "listener",
            Self::Destination => "destination",
            Self::Channel => "channel",
            Self::FtpGreeting => "FTP greeting",
            Self::Tls => "TLS",
            Self::FtpLogin => "FTP login",
            Self::Passive => "passive mode",
            Self::Active => "active mode",
            Self::Throughput => "throughput",
        })
    }
}
