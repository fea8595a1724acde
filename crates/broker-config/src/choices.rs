//! Values from a fixed set of words.

use broker_settings::{AddressFamily, AuthMethod, HostKeyPolicy};
use ftp_proto::{DataAhead, DataOpen, ForeignPort, PasvOverIpv6};

use crate::config::{HookEvent, ListenWhen};
use crate::tunnel::DataAddress;

/// A value from a fixed set of words, in any letter case.
pub(crate) trait Choice: Copy + 'static {
    /// The words with their values.
    const WORDS: &'static [(&'static str, Self)];
}

/// The kind of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelType {
    Tcp,
    Ftp,
    Socks,
}

/// What happens if an FTP client requests TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsWord {
    Refuse,
    Pass,
    Terminate,
}

/// The kind of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompressionName {
    None,
    Zlib,
}

/// The kind of cryptography.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CryptoMode {
    Standard,
    Fips,
}

/// What a server proves its identity with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerMethod {
    PublicKey,
    Certificate,
}

/// The kind of a log target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogType {
    #[default]
    File,
    Xferlog,
    Syslog,
    Discard,
}

/// How the broker stores host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilenameFormat {
    Hash,
    Plain,
}

impl Choice for bool {
    const WORDS: &'static [(&'static str, Self)] = &[("yes", true), ("no", false)];
}

impl Choice for TunnelType {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tcp", Self::Tcp),
        ("ftp", Self::Ftp),
        ("socks", Self::Socks),
        ("socks-proxy", Self::Socks),
    ];
}

impl Choice for DataAddress {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("reply", Self::Reply),
        ("control", Self::Control),
    ];
}

impl Choice for TlsWord {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("refuse", Self::Refuse),
        ("pass", Self::Pass),
        ("terminate", Self::Terminate),
    ];
}

impl Choice for DataOpen {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("eager", Self::Eager),
        ("lazy", Self::Lazy),
    ];
}

impl Choice for DataAhead {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("yes", Self::Always),
        ("no", Self::Never),
    ];
}

impl Choice for ForeignPort {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("pass", Self::Pass)];
}

impl Choice for PasvOverIpv6 {
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("any", Self::Any)];
}

impl Choice for HookEvent {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connected", Self::Connected),
        ("disconnected", Self::Disconnected),
        ("transfer-complete", Self::TransferComplete),
        ("transfer-failed", Self::TransferFailed),
    ];
}

impl Choice for ListenWhen {
    const WORDS: &'static [(&'static str, Self)] =
        &[("startup", Self::Startup), ("connected", Self::Connected)];
}

impl Choice for HostKeyPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ask", Self::Ask),
        ("strict", Self::Strict),
        ("tofu", Self::Tofu),
        ("trust-on-first-use", Self::Tofu),
        ("advisory", Self::Advisory),
    ];
}

impl Choice for AddressFamily {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("any", Self::Any),
        ("inet", Self::Inet),
        ("inet6", Self::Inet6),
    ];
}

impl Choice for AuthMethod {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("publickey", Self::PublicKey),
        ("password", Self::Password),
        ("keyboard-interactive", Self::KeyboardInteractive),
        ("gssapi", Self::Gssapi),
        ("gssapi-with-mic", Self::Gssapi),
        ("hostbased", Self::HostBased),
    ];
}

impl Choice for CompressionName {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("zlib", Self::Zlib)];
}

impl Choice for CryptoMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("standard", Self::Standard), ("fips", Self::Fips)];
}

impl Choice for ServerMethod {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("publickey", Self::PublicKey),
        ("certificate", Self::Certificate),
    ];
}

impl Choice for LogType {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("file", Self::File),
        ("xferlog", Self::Xferlog),
        ("syslog", Self::Syslog),
        ("discard", Self::Discard),
    ];
}

impl Choice for FilenameFormat {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("hash", Self::Hash),
        ("default", Self::Hash),
        ("plain", Self::Plain),
    ];
}
