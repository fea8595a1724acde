//! `local-tunnel`, `remote-tunnel` and static `tunnel`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::choices::TunnelType;
use crate::findings::{Located, Span};
use crate::proxy::parse_ports;
use crate::suggest::clip;
use crate::table::{Attribute, Rule, part, row};
use crate::tree::Element;
use crate::tunnel::{FtpOptions, ListenAddress, is_host};
use crate::values::{Field, Values, set};

/// What a tunnel says.
#[derive(Clone, Debug)]
pub(crate) struct RawTunnel {
    /// Where its name stands.
    pub(crate) span: Span,
    /// The profile of a static tunnel.
    pub(crate) profile: Option<Located<String>>,
    pub(crate) kind: Located<TunnelType>,
    pub(crate) listen_address: Option<Located<ListenAddress>>,
    /// `None` only after a complaint.
    pub(crate) listen_port: Option<Located<u16>>,
    pub(crate) dst_host: Option<Located<String>>,
    pub(crate) dst_port: Option<Located<u16>>,
    pub(crate) allow_relay: bool,
    pub(crate) allow_from: Option<Located<Vec<IpNet>>>,
    pub(crate) ftp: FtpOptions,
    /// The first attribute that only means something to FTP.
    pub(crate) ftp_attribute: Option<Located<String>>,
}

/// The most sessions one tunnel may be given: each holds several sockets.
const MAX_SESSIONS: u64 = 65_536;

/// Also what a tunnel is read by that no file has.
pub(crate) static LOCAL_TUNNEL: Rule<RawTunnel> = Rule::<RawTunnel>::new("local-tunnel")
    .many()
    .attributes(&[TUNNEL, FTP]);

pub(super) static REMOTE_TUNNEL: Rule<RawTunnel> = Rule::<RawTunnel>::new("remote-tunnel")
    .many()
    .attributes(&[TUNNEL, FTP]);

pub(super) static STATIC_TUNNELS: Rule<Vec<RawTunnel>> = Rule::<Vec<RawTunnel>>::new(
    "static-tunnels",
)
.children(&[part!(STATIC_TUNNEL, |list, e, v| {
    list.push(read(&STATIC_TUNNEL, e, v));
})]);

static STATIC_TUNNEL: Rule<RawTunnel> = Rule::<RawTunnel>::new("tunnel").many().attributes(&[
    &[row(
        "profile",
        "the id of the profile that a static tunnel goes through",
    )
    .required()
    .read(|it, f| it.profile = f.located_word())],
    TUNNEL,
    FTP,
]);

/// The attributes of every tunnel.
pub(crate) const TUNNEL: &[Attribute<RawTunnel>] = &[
    row(
        "type",
        "`ftp`; `tcp`: any protocol, its bytes untouched; `socks` (*later*, local \
             only): the clients choose the destination",
    )
    .usual("tcp")
    .read(read_kind),
    row("listen-address", "an address, `localhost`, or `*` for all")
        .otherwise("127.0.0.1; with `allow-relay=\"yes\"` all addresses")
        .read(|it, f| it.listen_address = listen_address(f)),
    row("listen-port", "the port to listen on; 0: a free one")
        .required()
        .read(|it, f| {
            let port = f.port(0);
            it.listen_port = f.located(port);
        }),
    row("dst-host", "where the tunnel leads")
        .otherwise("`localhost`")
        .read(|it, f| {
            it.dst_host = destination(f);
        }),
    row("dst-port", "the port there; required for `tcp`")
        .otherwise("21 for `ftp`")
        .read(|it, f| {
            let port = f.port(1);
            it.dst_port = f.located(port);
        }),
    row("allow-relay", "`yes`: other hosts may connect")
        .usual("no")
        .read(|it, f| {
            set(&mut it.allow_relay, f.choice());
        }),
    row(
        "allow-from",
        "the networks other hosts may come from: `192.0.2.0/24, 2001:db8::/32`",
    )
    .otherwise("any")
    .read(|it, f| it.allow_from = networks(f)),
];

/// The attributes of a tunnel that only mean something to FTP.
pub(crate) const FTP: &[Attribute<RawTunnel>] = &[
    row(
        "data-address",
        "where passive data channels lead. `reply`: to the address the FTP server \
             names. `control`: to the host the control channel leads to. `auto`: as \
             `reply`, unless that address cannot be meant or the FTP server runs on the \
             SSH server itself; where it does not answer within a quarter of a second, \
             the control channel's host is dialled as well, and what worked is kept for \
             the session",
    )
    .usual("auto")
    .read(|it, f| set(&mut it.ftp.data_address, f.choice())),
    row(
        "data-open",
        "when the way to the FTP server is opened. `eager`: before the client learns \
             its port, so that failures are reported properly. `lazy`: only when the \
             client connects. `auto`: the session's first eagerly, the others while the \
             client is being told",
    )
    .usual("auto")
    .read(|it, f| set(&mut it.ftp.data_open, f.choice())),
    row(
        "tls",
        "what happens when the client wants to encrypt the control channel. `refuse`: \
             it is told not to, since SSH encrypts it already. `pass`: it may, but then \
             data channels no longer pass through the tunnel",
    )
    .usual("refuse")
    .read(|it, f| set(&mut it.ftp.tls, f.choice())),
    row("active", "whether active mode is offered: `yes` or `no`")
        .usual("yes")
        .read(|it, f| {
            set(&mut it.ftp.active, f.choice());
        }),
    row(
        "active-address",
        "the address announced to the FTP server in active mode",
    )
    .otherwise("chosen by the broker")
    .read(|it, f| it.ftp.active_address = f.address()),
    row(
        "foreign-port",
        "what happens when a client asks the server to send data to another host, or \
             to a port below 1024. A client on the broker's own host may name every \
             address that its interfaces have: some name the first one's, whichever way \
             they came, and who listens there must be the client's own user anyway. The \
             system must tell users apart for that (Linux), else the control connection's \
             address alone is the client's own. `refuse`: an error reply. `pass`: the \
             server gets the command in its plainest spelling, and the data does not pass \
             through the tunnel",
    )
    .usual("refuse")
    .read(|it, f| set(&mut it.ftp.foreign_port, f.choice())),
    row(
        "passive-ports",
        "the local ports used for passive data channels: `50000-50255`. For firewalls",
    )
    .otherwise("any free one")
    .read(|it, f| it.ftp.passive_ports = ports(f)),
    row(
        "active-ports",
        "the ports on which the SSH server listens for active data channels: \
             `40000-40099`. For keys with `permitlisten`, and for firewalls between SSH \
             server and FTP server",
    )
    .otherwise("those the SSH server chooses")
    .read(|it, f| it.ftp.active_ports = ports(f)),
    row(
        "advertise-address",
        "the address announced to clients in passive mode. For address translation \
             between them and the broker",
    )
    .otherwise("the one the client connected to")
    .read(|it, f| it.ftp.advertise_address = f.address()),
    row(
        "data-timeout",
        "how long a data channel waits for its connection; in active mode, for a \
             transfer to be asked for",
    )
    .usual("60")
    .read(|it, f| set(&mut it.ftp.data_timeout, f.seconds(1))),
    row("max-sessions", "how many clients at one time")
        .usual("256")
        .read(|it, f| {
            set(&mut it.ftp.max_sessions, f.count(1..=MAX_SESSIONS));
        }),
];

pub(super) fn read_remote(element: &Element, values: &mut Values<'_>) -> RawTunnel {
    values
        .findings
        .unsupported(element.span, "remote tunnels are not supported yet");
    read_any(&REMOTE_TUNNEL, element, values)
}

pub(crate) fn read_local(element: &Element, values: &mut Values<'_>) -> RawTunnel {
    read(&LOCAL_TUNNEL, element, values)
}

/// A tunnel that listens on this host.
fn read(rule: &Rule<RawTunnel>, element: &Element, values: &mut Values<'_>) -> RawTunnel {
    let tunnel = read_any(rule, element, values);
    if tunnel.kind.value == TunnelType::Socks {
        values
            .findings
            .unsupported(tunnel.kind.span, "SOCKS tunnels are not supported yet");
    }
    tunnel
}

fn read_any(rule: &Rule<RawTunnel>, element: &Element, values: &mut Values<'_>) -> RawTunnel {
    let mut tunnel = RawTunnel::at(element.span);
    let is_ftp = |name: &str| FTP.iter().any(|it| it.row.name == name);
    let mut attributes = element.attributes.iter();
    let ftp_attribute = attributes.find(|attribute| is_ftp(&attribute.name));
    tunnel.ftp_attribute = ftp_attribute.map(|it| Located {
        value: it.name.clone(),
        span: it.name_span,
    });
    rule.apply(&mut tunnel, element, values);
    tunnel
}

impl RawTunnel {
    /// A tunnel that says nothing.
    pub(super) fn at(span: Span) -> Self {
        Self {
            span,
            profile: None,
            kind: Located {
                value: TunnelType::Tcp,
                span,
            },
            listen_address: None,
            listen_port: None,
            dst_host: None,
            dst_port: None,
            allow_relay: false,
            allow_from: None,
            ftp: FtpOptions::default(),
            ftp_attribute: None,
        }
    }

    /// Whether two static tunnels stand at one place, so that the later one replaces the earlier.
    pub(super) fn listens_like(&self, other: &Self) -> bool {
        let place = |tunnel: &Self| {
            let port = tunnel.listen_port.as_ref().map(|port| port.value);
            let address = tunnel.listen_address.as_ref().map(|it| it.value);
            port.filter(|port| *port > 0).map(|port| (address, port))
        };
        place(self).is_some() && place(self) == place(other)
    }
}

/// The type; where it is misspelt, the one that makes no complaints follow.
fn read_kind(tunnel: &mut RawTunnel, field: &mut Field<'_, '_>) {
    tunnel.kind = Located {
        value: field.choice().unwrap_or(TunnelType::Ftp),
        span: field.span(),
    };
}

fn listen_address(field: &mut Field<'_, '_>) -> Option<Located<ListenAddress>> {
    let text = field.word()?;
    let address = text.parse().ok();
    if address.is_none() {
        field
            .error(format!("cannot listen on `{}`", clip(&text)))
            .help("write an IP address, `localhost`, or `*` for all addresses");
    }
    field.located(address)
}

fn destination(field: &mut Field<'_, '_>) -> Option<Located<String>> {
    let host = field.located_word()?;
    if is_host(&host.value) {
        return Some(host);
    }
    field
        .error("`dst-host` is not a host name or address")
        .help("write the host alone; the port has an attribute of its own");
    None
}

/// Networks or single addresses, with commas or spaces between.
fn networks(field: &mut Field<'_, '_>) -> Option<Located<Vec<IpNet>>> {
    let text = field.word()?;
    let mut networks = Vec::new();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let single = || part.parse::<IpAddr>().map(IpNet::from);
        let Ok(network) = part.parse().or_else(|_| single()) else {
            field
                .error(format!("`{}` is not a network", clip(part)))
                .help("write networks with commas between: `10.0.0.0/8, 2001:db8::/32`");
            return None;
        };
        networks.push(network);
    }
    field.located(Some(networks))
}

fn ports(field: &mut Field<'_, '_>) -> Option<RangeInclusive<u16>> {
    let text = field.word()?;
    let ports = parse_ports(&text).ok();
    if ports.is_none() {
        field
            .error(format!("`{}` is not a range of ports", clip(&text)))
            .help("write the lowest and the highest port: `50000-50099`");
    }
    ports
}
