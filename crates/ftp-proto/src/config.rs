//! The configuration of a session: addresses and policies.

use std::net::IpAddr;

use crate::event::Peer;

/// What to do with `AUTH`, which would encrypt the control connection (RFC 2228, RFC 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Answer `534` and continue without encryption.
    Refuse,
    /// Pass `AUTH` on. After the server's `234` the session is opaque until it ends.
    Pass,
    /// Answer it: the caller encrypts the client's connections, and the server never sees TLS.
    Terminate(Terminate),
}

/// How a session speaks FTP over TLS to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminate {
    /// Whether the client must encrypt the control connection before it logs in, and its data connections.
    pub required: bool,
    /// Whether the caller has encrypted the control connection before the session's first byte.
    pub implicit: bool,
}

/// What to do with a readable `PORT`, `EPRT` or `LPRT` with a host other than the client, or a port below 1024 (RFC
/// 2577, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignPort {
    /// Answer `504`. The server does not see the command.
    Refuse,
    /// Pass the command on in its plainest form.
    Pass,
}

/// What to do when a client on IPv6 sends `PASV`, whose reply supports only IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasvOverIpv6 {
    /// Answer `425`, which names `EPSV`.
    Refuse,
    /// Answer with the address `0.0.0.0`, for clients that use the host of the control connection whatever the reply
    /// says. Some FTP servers do the same.
    Any,
}

/// When the caller opens the data connection of a passive reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataOpen {
    /// Before the client learns its port, until one passive data connection of the session has worked; after that, at
    /// the same time.
    Auto,
    /// Always before the client learns its port.
    Eager,
    /// Only when the client connects.
    Lazy,
}

/// When the session asks the server for the next data connection before the client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataAhead {
    /// In a burst of transfers, if a round trip to the server takes long enough to be worth it.
    Auto,
    /// After every transfer.
    Always,
    /// Never.
    Never,
}

/// The settings of a [`Session`](crate::Session).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// The client's address on the control connection. `PORT`, `EPRT` and `LPRT` must contain it or one of
    /// `also_client`. An IPv4-mapped IPv6 address counts as the IPv4 address.
    pub client: IpAddr,
    /// Further addresses of the client's host, which it can use as well.
    pub also_client: Vec<IpAddr>,
    /// The peer whose data connections the SSH server carries. That server ends them in an orderly way even if the SSH
    /// connection breaks, so what was sent to this peer counts only once it is confirmed.
    pub behind_ssh: Peer,
    /// What to do with `AUTH`.
    pub tls: TlsPolicy,
    /// What to do with a foreign data port.
    pub foreign_port: ForeignPort,
    /// Whether active mode is allowed. If not, the session answers every `PORT`, `EPRT` and `LPRT` with `502`.
    pub active: bool,
    /// Whether the caller can provide active endpoints of two address families, and does not know which of them the
    /// server uses. See [`Action::Offer`](crate::Action::Offer).
    pub two_families: bool,
    /// What to do with `PASV` if the client uses IPv6.
    pub pasv_over_ipv6: PasvOverIpv6,
    /// When the caller opens a passive data connection.
    pub data_open: DataOpen,
    /// When the session asks the server for the next data connection ahead.
    pub data_ahead: DataAhead,
}
