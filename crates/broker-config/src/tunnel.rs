//! Resolved tunnels: the listen address, the destination, and the policies for FTP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use broker_settings::PasswordSource;
use ftp_proto::{DataAhead, DataOpen, ForeignPort, PasvOverIpv6};
use ipnet::IpNet;
use plain_text::is_printable;

use crate::position::Position;

/// The longest host: RFC 1035 allows names of 253 characters, and an address with its zone is shorter.
pub const MAX_HOST: usize = 255;

/// Whether this can be a host's name or address: not empty, not longer than [`MAX_HOST`], and without white space or
/// unprintable characters. Whether the host exists is decided when its name is looked up.
pub fn is_host(text: &str) -> bool {
    let fits = |c: char| is_printable(c) && !c.is_whitespace();
    !text.is_empty() && text.len() <= MAX_HOST && text.chars().all(fits)
}

/// A tunnel: where clients connect, and where they are connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSpec {
    /// Which side listens. The other one connects to the destination.
    pub listens: ListenSide,
    /// The kind of traffic.
    pub kind: TunnelKind,
    /// The address to listen on.
    pub listen_address: ListenAddress,
    /// The port to listen on; 0: a free one.
    pub listen_port: u16,
    /// The destination as the side sees it that does not listen. Empty for SOCKS.
    pub dst_host: String,
    /// The destination's port. 0 only for SOCKS.
    pub dst_port: u16,
    /// Whether clients may connect from hosts other than the one that listens.
    pub allow_relay: bool,
    /// The networks from which other hosts may connect; empty: any. Meaningful only with `allow_relay`.
    pub allow_from: Vec<IpNet>,
    /// Whether clients come through proxies that send the PROXY protocol; `allow_from` names the proxies then, and is not
    /// empty.
    pub accept_proxy: bool,
    /// The networks of the clients that may come through a proxy; empty: any.
    pub allow_clients: Vec<IpNet>,
    /// How many clients the tunnel serves at a time; at least 1.
    pub max_sessions: usize,
    /// Its position in the file.
    pub position: Position,
}

impl TunnelSpec {
    /// The default number of clients that a tunnel serves at a time.
    pub const MAX_SESSIONS: usize = 256;
}

/// The side of an SSH connection on which a tunnel listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenSide {
    /// This host: a local tunnel.
    OwnHost,
    /// The SSH server: a remote tunnel.
    SshServer,
}

/// The kind of traffic in a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    /// Any TCP connection, unchanged.
    Tcp,
    /// FTP, with its data connections.
    Ftp(FtpOptions),
    /// Any TCP connection, to the destination that its client names by SOCKS. Listens on this host only.
    Socks(SocksOptions),
}

/// The policies of a SOCKS tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocksOptions {
    /// The policies for FTP sessions. `max_sessions` counts all connections.
    pub ftp: FtpOptions,
    /// The destination ports at which an FTP server listens.
    pub ftp_ports: Vec<RangeInclusive<u16>>,
    /// The login that clients have to give, if they have to. Required with `allow_relay`.
    pub login: Option<SocksLogin>,
}

/// The login of a SOCKS tunnel's clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocksLogin {
    /// The user; at most 255 bytes.
    pub user: String,
    /// Where the password comes from; an inline one has at most 255 bytes.
    pub password: PasswordSource,
}

/// The policies of an FTP tunnel for its sessions and data connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpOptions {
    /// The host of passive data connections.
    pub data_address: DataAddress,
    /// What happens if the client requests TLS on the control connection.
    pub tls: Tls,
    /// When the broker opens a passive data connection to the FTP server.
    pub data_open: DataOpen,
    /// When the broker asks the FTP server for the next data connection before the client does.
    pub data_ahead: DataAhead,
    /// What happens to a PORT or EPRT that names another host or a privileged port.
    pub foreign_port: ForeignPort,
    /// What happens when a client on IPv6 sends `PASV`.
    pub pasv_over_ipv6: PasvOverIpv6,
    /// Whether the broker supports active mode (PORT, EPRT).
    pub active: bool,
    /// The address to announce to the server in PORT and EPRT, instead of the one that the broker chooses.
    pub active_address: Option<IpAddr>,
    /// The ports of data listeners; `None`: any free one. The start is at least 1 and at most the end.
    pub passive_ports: Option<RangeInclusive<u16>>,
    /// The ports on which the SSH server listens in active mode; `None`: the server chooses. The start is at least 1
    /// and at most the end.
    pub active_ports: Option<RangeInclusive<u16>>,
    /// The address to announce to the client in passive mode, instead of the one that it connected to; or a name that
    /// has it.
    pub advertise_address: Option<String>,
    /// What to add to a port of `passive_ports` to get the port to announce. Each sum is a port.
    pub advertise_port_offset: i32,
    /// How long a data listener waits for its connection; at least a second.
    pub data_timeout: Duration,
}

impl FtpOptions {
    /// The default time that a data listener waits.
    pub const DATA_TIMEOUT: Duration = Duration::from_secs(60);

    /// Whether clients begin TLS with the first byte.
    pub fn begins_with_tls(&self) -> bool {
        matches!(&self.tls, Tls::Terminate(server) if server.implicit)
    }
}

impl Default for FtpOptions {
    fn default() -> Self {
        Self {
            data_address: DataAddress::Auto,
            tls: Tls::Refuse,
            data_open: DataOpen::Auto,
            data_ahead: DataAhead::Auto,
            foreign_port: ForeignPort::Refuse,
            pasv_over_ipv6: PasvOverIpv6::Refuse,
            active: true,
            active_address: None,
            passive_ports: None,
            active_ports: None,
            advertise_address: None,
            advertise_port_offset: 0,
            data_timeout: Self::DATA_TIMEOUT,
        }
    }
}

/// What happens if an FTP client requests TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The broker refuses it, since SSH already encrypts the connection.
    Refuse,
    /// TLS passes to the server, and the broker no longer reads the control connection.
    Pass,
    /// The broker is the TLS server, and speaks plain FTP to the server.
    Terminate(TlsServer),
}

/// How the broker speaks FTP over TLS to its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServer {
    /// The PEM file with the broker's certificate, and those between it and the authority. The path is absolute.
    pub certificate: PathBuf,
    /// The PEM file with the private key; it can be the same file. The path is absolute.
    pub key: PathBuf,
    /// Whether clients must use TLS for the login and for data.
    pub required: bool,
    /// Whether TLS begins with the connection's first byte, without `AUTH`.
    pub implicit: bool,
    /// Whether an upload that ends without TLS's `close_notify` counts as cut.
    pub close_notify: bool,
    /// Whether a data connection must resume the TLS session of its control connection.
    pub session_reuse: bool,
}

/// The host of a passive data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAddress {
    /// The host in the server's reply, if it is plausible; otherwise the control connection's destination.
    Auto,
    /// Always the host in the server's reply.
    Reply,
    /// Always the control connection's destination.
    Control,
}

/// The address of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// This address.
    Address(IpAddr),
    /// Every address of the host, in both families if it has both.
    All,
}

impl ListenAddress {
    /// 127.0.0.1, the default address of a listener.
    pub const LOOPBACK: Self = Self::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// Whether only this host can reach the listener.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::All => false,
        }
    }

    /// The address of a socket that listens here.
    pub fn with_port(self, port: u16) -> SocketAddr {
        let ip = match self {
            Self::Address(ip) => ip,
            Self::All => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(ip, port)
    }

    /// Whether two listeners of one port exclude each other.
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::Address(a), Self::Address(b)) => {
                let any = a.is_unspecified() || b.is_unspecified();
                a == b || (a.is_ipv4() == b.is_ipv4() && any)
            }
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

    /// Accepts an IP address (IPv6 with or without brackets), `localhost` (127.0.0.1), or `*`.
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
