//! What a session is told about its surroundings and its policies.

use std::net::IpAddr;

/// What to do with `AUTH`, which would encrypt the control channel (RFC 2228, RFC 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Answer `534` and go on in the clear.
    Refuse,
    /// Hand `AUTH` on; after the server's `234` the session is opaque until it ends.
    Pass,
}

/// What to do with a `PORT`, `EPRT` or `LPRT` that can be read and names another host than the client, or a port below 1024
/// (RFC 2577, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignPort {
    /// Answer `504`; the server does not see the command.
    Refuse,
    /// Hand the command on in its plainest spelling.
    Pass,
}

/// When the data channel behind a passive reply is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataOpen {
    /// Before the client is told its port, until one passive channel of the session has worked; then meanwhile.
    Auto,
    /// Always before the client is told its port.
    Eager,
    /// Only when the client connects.
    Lazy,
}

/// What a [`Session`](crate::Session) must know before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// The client's address on the control connection. `PORT`, `EPRT` and `LPRT` must name it or one of `also_client`; an
    /// IPv4-mapped IPv6 address counts as the IPv4 address.
    pub client: IpAddr,
    /// Further addresses of the client's host, which it may name as well.
    pub also_client: Vec<IpAddr>,
    /// What to do with `AUTH`.
    pub tls: TlsPolicy,
    /// What to do with a data port that is not the client's own.
    pub foreign_port: ForeignPort,
    /// Whether active mode is offered. Where not, `PORT`, `EPRT` and `LPRT` are answered `502`, whatever
    /// they name.
    pub active: bool,
    /// When a passive data channel is opened.
    pub data_open: DataOpen,
}
