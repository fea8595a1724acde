//! Why a connection, a channel or a forward could not be had, and why a channel was cut

use std::path::PathBuf;
use std::time::Duration;

use crate::net::text::seconds;
use crate::prompt::PromptError;
use crate::spec::Target;
use crate::state::CutReason;

/// Why something could not be opened. Each message says what failed, on what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The server's name has no address (of the family asked for).
    #[error("no address for SSH server {host}: {reason}; check the name")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No TCP connection to the server.
    #[error("cannot connect to SSH server {server}: {reason}; check that it runs there")]
    Connect {
        /// Host and port.
        server: String,
        /// Refused, unreachable, …, with the address.
        reason: String,
    },
    /// The proxy on the way to the server does not do its part.
    #[error("cannot reach SSH server {server} through {proxy}: {reason}")]
    Proxy {
        /// Host and port of the server.
        server: String,
        /// Kind, host and port of the proxy.
        proxy: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The proxy on the way to the server does not let us in.
    #[error("cannot reach SSH server {server} through {proxy}: {reason}")]
    ProxyLogin {
        /// Host and port of the server.
        server: String,
        /// Kind, host and port of the proxy.
        proxy: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The gateway on the way to the server cannot be had, or does not reach the server.
    #[error("cannot reach SSH server {server} through its gateway: {reason}")]
    Gateway {
        /// Host and port of the server.
        server: String,
        /// What is wrong; it names the gateway.
        reason: Box<OpenError>,
    },
    /// The server was reached, yet the SSH handshake failed.
    #[error("SSH handshake with {server} failed: {reason}")]
    Handshake {
        /// Host and port.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// Nothing in common to negotiate.
    #[error(
        "no common {kind} with SSH server {server}: it offers {theirs}, the profile allows {ours}; allow one of the \
         server's"
    )]
    NoCommonAlgorithm {
        /// Host and port.
        server: String,
        /// Cipher, MAC, key exchange, host key or compression.
        kind: String,
        /// Our names, separated by commas.
        ours: String,
        /// The server's names, separated by commas.
        theirs: String,
    },
    /// The server's key is not known.
    #[error(
        "host key of {server} is unknown: {algorithm} {fingerprint}; compare it with the server's, then run: \
         broker-ctl trust-host {target}"
    )]
    HostKeyUnknown {
        /// Host and port.
        server: String,
        /// The key's algorithm.
        algorithm: String,
        /// SHA-256 fingerprint as OpenSSH prints it.
        fingerprint: String,
        /// The server as commands take it.
        target: String,
    },
    /// The server showed another key than the one known.
    #[error(
        "host key of {server} has changed: it showed {algorithm} {fingerprint}, known is {former}; somebody may be \
         intercepting the connection, so ask the server's administrator, and if the change is genuine, {remedy}"
    )]
    HostKeyChanged {
        /// Host and port.
        server: String,
        /// The key's algorithm.
        algorithm: String,
        /// SHA-256 fingerprint as OpenSSH prints it.
        fingerprint: String,
        /// Algorithm, fingerprint and place of the key known before.
        former: String,
        /// What to do if the change is genuine.
        remedy: String,
    },
    /// Whoever was asked did not take the key for the server's.
    #[error("host key of {server} was not confirmed: {algorithm} {fingerprint}")]
    HostKeyRejected {
        /// Host and port.
        server: String,
        /// The key's algorithm.
        algorithm: String,
        /// SHA-256 fingerprint as OpenSSH prints it.
        fingerprint: String,
    },
    /// The key was to be remembered and cannot be; without that, the next one would be believed as well.
    #[error(
        "host key of {server} ({fingerprint}) cannot be stored, so it is not accepted: {reason}"
    )]
    HostKeyNotStored {
        /// Host and port.
        server: String,
        /// SHA-256 fingerprint as OpenSSH prints it.
        fingerprint: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A known authority signed for the key, but not for this server at this time.
    #[error(
        "host certificate of {server} does not hold: {reason} (key {fingerprint}); its administrator must renew it"
    )]
    HostCertificate {
        /// Host and port.
        server: String,
        /// SHA-256 fingerprint of the key inside, as OpenSSH prints it.
        fingerprint: String,
        /// What is wrong.
        reason: String,
    },
    /// The server has no key of the fingerprint that was asked for.
    #[error("SSH server {server} has no host key {fingerprint}; it has {shown}")]
    HostKeyNotShown {
        /// Host and port.
        server: String,
        /// The fingerprint asked for.
        fingerprint: String,
        /// Algorithms and fingerprints of its keys, separated by commas.
        shown: String,
    },
    /// The server's key is marked as revoked.
    #[error(
        "host key of {server} is revoked by {revoked_at} ({fingerprint}); do not use this server with this key"
    )]
    HostKeyRevoked {
        /// Host and port.
        server: String,
        /// SHA-256 fingerprint as OpenSSH prints it.
        fingerprint: String,
        /// Where it is revoked.
        revoked_at: String,
    },
    /// A file that says which host keys are right cannot be used.
    #[error("host key file {path} cannot be used: {reason}")]
    HostKeyFile {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The server accepted none of what was tried.
    #[error(
        "SSH server {server} did not accept user {user}: tried {tried}; the server allows {offered}"
    )]
    AuthFailed {
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
         so name the right one in user-identities"
    )]
    LoginEnded {
        /// Host and port.
        server: String,
        /// The user.
        user: String,
        /// What was tried, with what came of it.
        tried: String,
        /// How the connection ended.
        reason: String,
    },
    /// A key that the profile names by its hash is nowhere.
    #[error(
        "no private key is known whose public key has the hash {hash}: neither the SSH agent nor the directories of          key-stores hold it; add it to one of them, or name its file"
    )]
    KeyMissing {
        /// The hash in hex digits.
        hash: String,
    },
    /// A private key file cannot be used.
    #[error("private key {path} cannot be used: {reason}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The password cannot be had from where it is said to be.
    #[error("password for the SSH server cannot be read from {origin}: {reason}")]
    Password {
        /// The file, or the words "its command".
        origin: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A person was asked in vain.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The server refused to open a channel.
    #[error("SSH server {server} did not open a channel to {target}: {reason}")]
    ChannelRefused {
        /// Host and port.
        server: String,
        /// Where the channel was to lead.
        target: Target,
        /// The server's reason, and what to do.
        reason: String,
        /// Whether it is forbidden there. Servers compare the host as it is spelled.
        prohibited: bool,
    },
    /// The server refused to listen for a remote forward.
    #[error(
        "SSH server {server} refused to listen on {bind}: it must allow it (in sshd_config AllowTcpForwarding yes or remote, \
         and GatewayPorts or PermitListen for this address; at the key in authorized_keys no restrict or \
         no-port-forwarding, and permitlisten for this address)"
    )]
    ForwardRefused {
        /// Host and port.
        server: String,
        /// Address that was asked for.
        bind: String,
    },
    /// Something took too long.
    #[error("{what} took longer than {}", seconds(*.after))]
    Timeout {
        /// What was waited for, with its object.
        what: String,
        /// The bound.
        after: Duration,
    },
    /// Dials failed lately, so none is made now.
    #[error("{reason}; next try in {}", seconds(*.retry_in))]
    BackingOff {
        /// The last failure.
        reason: Box<OpenError>,
        /// How long until a dial is made again.
        retry_in: Duration,
    },
    /// The connection was lost while something was being opened on it.
    #[error("SSH connection to {server} was lost while opening: {reason}")]
    Lost {
        /// Host and port.
        server: String,
        /// Why.
        reason: CutReason,
    },
    /// A fault of the broker's own.
    #[error("an internal error ended the attempt to connect; please report it with the log")]
    Internal,
    /// The pool is ending.
    #[error("the connections to {server} are being closed")]
    ShuttingDown {
        /// Host and port.
        server: String,
    },
    /// A bound on channels is reached.
    #[error(
        "too many channels to {server} ({limit}); wait for a transfer to end or raise max-connections"
    )]
    TooManyChannels {
        /// Host and port.
        server: String,
        /// The bound.
        limit: usize,
    },
}

impl OpenError {
    /// Whether it was for want of a person, who may come at any moment, and not for the server's sake.
    pub fn wants_person(&self) -> bool {
        if let Self::BackingOff { reason, .. } | Self::Gateway { reason, .. } = self {
            return reason.wants_person();
        }
        matches!(
            self,
            Self::Prompt(_)
                | Self::AuthFailed {
                    wants_person: true,
                    ..
                }
        )
    }

    /// Whether the connection was lost on which it was to be opened, so that another one may do.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Whether it may be gone some time without anybody's doing: the server or the network is away. Where it is not, to
    /// dial again would only fail again, and perhaps lock the user out.
    pub fn may_pass(&self) -> bool {
        if let Self::BackingOff { reason, .. } | Self::Gateway { reason, .. } = self {
            return reason.may_pass();
        }
        matches!(
            self,
            Self::Resolve { .. }
                | Self::Connect { .. }
                | Self::Proxy { .. }
                | Self::Handshake { .. }
                | Self::Timeout { .. }
                | Self::Lost { .. }
        )
    }
}
