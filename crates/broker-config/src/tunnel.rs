//! Tunnels as they are meant: where to listen, where to go, and what to do with FTP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ftp_proto::{DataOpen, ForeignPort, TlsPolicy};
use ipnet::IpNet;
use plain_text::is_printable;

use crate::position::Position;

/// The longest host: RFC 1035 allows 253 characters to a name, and an address with its zone is shorter.
pub const MAX_HOST: usize = 255;

/// Whether this can be a host's name or address: not empty, not longer than [`MAX_HOST`], and without white space and
/// what cannot be shown. Whether it exists is for whoever looks it up.
pub fn is_host(text: &str) -> bool {
    let fits = |c: char| is_printable(c) && !c.is_whitespace();
    !text.is_empty() && text.len() <= MAX_HOST && text.chars().all(fits)
}

/// A tunnel whose listener stands on this host and whose far end is reached from the SSH server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTunnel {
    /// What is carried.
    pub kind: LocalKind,
    /// Where to listen.
    pub listen_address: ListenAddress,
    /// The port to listen on; 0 takes a free one.
    pub listen_port: u16,
    /// The destination as the SSH server sees it.
    pub dst_host: String,
    /// The destination's port, never 0.
    pub dst_port: u16,
    /// Whether clients from other hosts are let in.
    pub allow_relay: bool,
    /// The networks other hosts must come from; empty: any. Without meaning unless `allow_relay`.
    pub allow_from: Vec<IpNet>,
    /// Where the file asks for this tunnel.
    pub position: Position,
}

/// What a local tunnel carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// Bytes, untouched.
    Tcp,
    /// FTP, with its data channels.
    Ftp(FtpOptions),
}

/// A tunnel whose listener stands on the SSH server and whose far end is reached from this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTunnel {
    /// What is carried.
    pub kind: RemoteKind,
    /// Where the SSH server shall listen.
    pub listen_address: ListenAddress,
    /// The port the SSH server shall listen on; 0 lets it choose.
    pub listen_port: u16,
    /// The destination as this host sees it.
    pub dst_host: String,
    /// The destination's port, never 0.
    pub dst_port: u16,
    /// Whether clients other than the SSH server's own host are let in.
    pub allow_relay: bool,
    /// The networks other hosts must come from; empty: any. Without meaning unless `allow_relay`.
    pub allow_from: Vec<IpNet>,
    /// Where the file asks for this tunnel.
    pub position: Position,
}

/// What a remote tunnel carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteKind {
    /// Bytes, untouched.
    Tcp,
    /// FTP, with its data channels.
    Ftp(FtpOptions),
}

/// How an FTP tunnel treats its sessions and data channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpOptions {
    /// Where passive data channels go.
    pub data_address: DataAddress,
    /// What happens when the client asks for TLS on the control channel.
    pub tls: TlsPolicy,
    /// When a passive data channel is opened.
    pub data_open: DataOpen,
    /// What happens to PORT and EPRT that name another host or a privileged port.
    pub foreign_port: ForeignPort,
    /// Whether active mode (PORT, EPRT) is served.
    pub active: bool,
    /// The address announced to the server in PORT and EPRT instead of the one chosen by the broker.
    pub active_address: Option<IpAddr>,
    /// The ports data listeners take; `None`: any free one. Its start is at least 1 and at most its end.
    pub passive_ports: Option<RangeInclusive<u16>>,
    /// The ports the SSH server listens on in active mode; `None`: those it chooses. Its start is at least 1 and at most its
    /// end.
    pub active_ports: Option<RangeInclusive<u16>>,
    /// The address announced to the client in passive mode instead of the one it reached.
    pub advertise_address: Option<IpAddr>,
    /// How long a data listener waits for its connection; at least a second.
    pub data_timeout: Duration,
    /// How many FTP sessions the tunnel serves at once; at least 1.
    pub max_sessions: usize,
}

impl FtpOptions {
    /// How long a data listener waits when the file is silent.
    pub const DATA_TIMEOUT: Duration = Duration::from_secs(60);
    /// How many sessions a tunnel serves at once when the file is silent.
    pub const MAX_SESSIONS: usize = 256;
}

impl Default for FtpOptions {
    fn default() -> Self {
        Self {
            data_address: DataAddress::Auto,
            tls: TlsPolicy::Refuse,
            data_open: DataOpen::Auto,
            foreign_port: ForeignPort::Refuse,
            active: true,
            active_address: None,
            passive_ports: None,
            active_ports: None,
            advertise_address: None,
            data_timeout: Self::DATA_TIMEOUT,
            max_sessions: Self::MAX_SESSIONS,
        }
    }
}

/// Where a passive data channel goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAddress {
    /// To the host in the server's reply, unless it cannot be meant; then to the control connection's destination.
    Auto,
    /// Always to the host in the server's reply.
    Reply,
    /// Always to the control connection's destination.
    Control,
}

/// Where a listener stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// On this address.
    Address(IpAddr),
    /// On every address of the host, of both families where it has both.
    All,
}

impl ListenAddress {
    /// 127.0.0.1, where a listener stands unless told otherwise.
    pub const LOOPBACK: Self = Self::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// Whether only this host can reach the listener.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::All => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::All => f.write_str("*"),
        }
    }
}

/// A listen address that is neither an IP address, nor `localhost`, nor `*`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address to listen on: write an IP address, `localhost`, or `*` for all addresses"
)]
pub struct ListenAddressError(String);

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    /// Takes an IP address (IPv6 with or without brackets), `localhost` (127.0.0.1), or `*`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::All);
        }
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Self::LOOPBACK);
        }
        plain_text::without_brackets(text)
            .parse()
            .map(Self::Address)
            .map_err(|_| ListenAddressError(text.to_owned()))
    }
}
