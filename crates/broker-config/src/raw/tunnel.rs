//! `local-tunnel`, `remote-tunnel` and static `tunnel`.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use broker_settings::PasswordSource;
use ipnet::IpNet;

use super::socks::{self, RawSocks};
use crate::choices::{TlsWord, TunnelType};
use crate::findings::{Located, Remedy, Span};
use crate::proxy::parse_ports;
use crate::suggest::clip;
use crate::table::{Attribute, Rule, part, rows};
use crate::tree::Element;
use crate::tunnel::{FtpOptions, ListenAddress, ListenSide, TunnelSpec};
use crate::values::{Field, Values, set};

/// The values of a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct RawTunnel {
    /// The place of its name.
    pub(crate) span: Span,
    /// The profile of a static tunnel.
    pub(crate) profile: Option<Located<String>>,
    pub(crate) listens: ListenSide,
    pub(crate) kind: Located<TunnelType>,
    pub(crate) listen_address: Option<Located<ListenAddress>>,
    /// `None` only after an error.
    pub(crate) listen_port: Option<Located<u16>>,
    pub(crate) dst_host: Option<Located<String>>,
    pub(crate) dst_port: Option<Located<u16>>,
    pub(crate) allow_relay: bool,
    pub(crate) allow_from: Option<Located<Vec<IpNet>>>,
    pub(crate) accept_proxy: Option<Located<bool>>,
    pub(crate) allow_clients: Option<Located<Vec<IpNet>>>,
    pub(crate) max_sessions: usize,
    pub(crate) advertise_port_offset: Option<Located<i32>>,
    /// All options but `tls`.
    pub(crate) ftp: FtpOptions,
    pub(crate) tls: RawTls,
    pub(crate) socks: RawSocks,
    /// The attributes that do not apply to every kind of tunnel.
    pub(crate) of_kind: Vec<Located<String>>,
}

/// The values of a tunnel that concern FTP over TLS.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawTls {
    pub(crate) word: TlsWord,
    pub(crate) certificate: Option<Located<PathBuf>>,
    pub(crate) key: Option<Located<PathBuf>>,
    pub(crate) required: bool,
    pub(crate) implicit: bool,
    pub(crate) close_notify: bool,
    pub(crate) session_reuse: bool,
    /// The first attribute that applies only to `terminate`.
    pub(crate) terminate_attribute: Option<Located<String>>,
}

/// The most sessions of one tunnel: each uses several sockets.
const MAX_SESSIONS: u64 = 65_536;

/// How to write a destination.
const DESTINATION: &str = "write the host alone; `dst-port` is a separate attribute";

/// How to write the address to announce.
const ADVERTISED: &str =
    "write an address or a name without a port; `advertise-port-offset` changes the port";

pub(super) static LOCAL_TUNNEL: Rule<RawTunnel> = Rule::new("local-tunnel")
    .many()
    .shared(&[TUNNEL, FTP, SOCKS]);

pub(super) static REMOTE_TUNNEL: Rule<RawTunnel> = Rule::new("remote-tunnel")
    .many()
    .shared(&[TUNNEL, FTP, SOCKS]);

pub(super) static STATIC_TUNNELS: Rule<Vec<RawTunnel>> =
    Rule::new("static-tunnels").children(&[part!(STATIC_TUNNEL, |list, e, v| {
        list.push(read_any(&STATIC_TUNNEL, ListenSide::OwnHost, e, v));
    })]);

static STATIC_TUNNEL: Rule<RawTunnel> = Rule::new("tunnel")
    .many()
    .attributes(rows! { RawTunnel:
        "profile" required: "the id of the profile whose SSH connections carry it", |it, f| it.profile = f.located(Field::text);
    })
    .shared(&[TUNNEL, FTP, SOCKS]);

/// The attributes of every tunnel.
pub(crate) const TUNNEL: &[Attribute<RawTunnel>] = rows! { RawTunnel:
    "type" usual "tcp": "`ftp`; `tcp`: any protocol, unchanged; `socks`: clients name the destination, see [SOCKS tunnels](#socks-tunnels); local only", read_kind;
    "listen-address" otherwise "127.0.0.1; with `allow-relay=\"yes\"` all addresses":
        "an address, `localhost`, or `*` for all", |it, f| it.listen_address = f.located(listen_address);
    "listen-port" required: "the port to listen on; 0: a free one", |it, f| it.listen_port = f.located(|f| f.port(0));
    "dst-host" otherwise "`localhost`": "the destination, as the side that does not listen resolves it", |it, f| it.dst_host = f.located(|f| f.host(DESTINATION));
    "dst-port" otherwise "21 for `ftp`": "the port of the destination; required for `tcp`",
        |it, f| it.dst_port = f.located(|f| f.port(0));
    "allow-relay" usual "no": "`yes`: other hosts may connect", |it, f| set(&mut it.allow_relay, f.choice());
    "allow-from" otherwise "any": "the networks from which other hosts may connect: `192.0.2.0/24, 2001:db8::/32`",
        |it, f| it.allow_from = f.located(networks);
    "accept-proxy" usual "no":
        "`yes`: clients come through proxies that send the PROXY protocol; `allow-from` names the proxies. See [Relays](#relays)",
        |it, f| it.accept_proxy = f.located(Field::choice);
    "allow-clients" otherwise "any":
        "with `accept-proxy`: the networks of the clients that may come through the proxies",
        |it, f| it.allow_clients = f.located(networks);
    "max-sessions" usual "256": "how many clients the tunnel serves at a time",
        |it, f| set(&mut it.max_sessions, f.count(1..=MAX_SESSIONS));
};

/// The attributes of a tunnel that apply only to FTP.
pub(crate) const FTP: &[Attribute<RawTunnel>] = rows! { RawTunnel:
    "data-address" usual "auto": "the host of passive data connections: `auto`, `reply` or `control`, see below",
        |it, f| set(&mut it.ftp.data_address, f.choice());
    "data-open" usual "auto": "when the broker opens a passive data connection to the FTP server: `auto`, `eager` or `lazy`, see below",
        |it, f| set(&mut it.ftp.data_open, f.choice());
    "data-ahead" usual "auto": "when the broker prepares the next data connection before the client asks for it: `auto`, `yes` or `no`, see below",
        |it, f| set(&mut it.ftp.data_ahead, f.choice());
    "tls" usual "refuse": "FTP over TLS: `refuse`, `pass` or `terminate`, see below",
        |it, f| set(&mut it.tls.word, f.choice());
    "tls-certificate" otherwise "none; `tls=\"terminate\"` needs one":
        "the PEM file with the certificate that the broker shows to clients, and those between it and the authority",
        |it, f| it.tls.certificate = f.located(Field::path);
    "tls-key" otherwise "the file of `tls-certificate`": "the PEM file with the private key of the certificate",
        |it, f| it.tls.key = f.located(Field::path);
    "tls-required" usual "yes": "`yes`: clients must use TLS, for data too; `no`: they can",
        |it, f| set(&mut it.tls.required, f.choice());
    "tls-implicit" usual "no": "`yes`: TLS begins when the client connects (`ftps://`); `no`: with `AUTH TLS`",
        |it, f| set(&mut it.tls.implicit, f.choice());
    "tls-close-notify" usual "yes": "`yes`: an upload without TLS's closing message counts as cut, see below",
        |it, f| set(&mut it.tls.close_notify, f.choice());
    "tls-session-reuse" usual "no": "`yes`: data connections must resume the TLS session of the control connection, see below",
        |it, f| set(&mut it.tls.session_reuse, f.choice());
    "active" usual "yes": "whether the broker supports active mode: `yes` or `no`",
        |it, f| set(&mut it.ftp.active, f.choice());
    "active-address" otherwise "chosen by the broker": "the address to announce to the FTP server in active mode",
        |it, f| it.ftp.active_address = f.address();
    "foreign-port" usual "refuse": "what happens when a client names a port that is not its own: `refuse` or `pass`, see below",
        |it, f| set(&mut it.ftp.foreign_port, f.choice());
    "pasv-over-ipv6" usual "refuse": "what a client on IPv6 that sends `PASV` receives: `refuse` or `any`, see below",
        |it, f| set(&mut it.ftp.pasv_over_ipv6, f.choice());
    "passive-ports" otherwise "any free one": "the ports for passive data connections, on the side that listens: `50000-50255`. For firewalls",
        |it, f| it.ftp.passive_ports = ports(f);
    "active-ports" otherwise "any free one":
        "the ports for active data connections, on the other side: `40000-40099`, see below",
        |it, f| it.ftp.active_ports = ports(f);
    "advertise-address" otherwise "the one the client connected to":
        "the address to announce to clients in passive mode, or a name that has it. For address translation between them and the broker",
        |it, f| it.ftp.advertise_address = f.host(ADVERTISED);
    "advertise-port-offset" usual "0":
        "what to add to a passive port before it is announced, such as `-10000`. For address translation that changes ports",
        |it, f| it.advertise_port_offset = f.located(Field::offset);
    "data-timeout" usual "60": "how long a data listener waits for its connection; in active mode, for a transfer command",
        |it, f| set(&mut it.ftp.data_timeout, f.seconds(1));
};

/// The attributes of a tunnel that apply only to SOCKS.
pub(crate) const SOCKS: &[Attribute<RawTunnel>] = rows! { RawTunnel:
    "ftp-ports" usual "21": "the ports of FTP servers: connections to them are FTP sessions. Ports and ranges: `21, 8021-8029`; \
        empty: none", |it, f| set(&mut it.socks.ftp_ports, socks::port_list(f));
    "socks-user" otherwise "no login": "the user that clients have to give; required with `allow-relay`",
        |it, f| it.socks.user = f.located(socks::user);
    "socks-password": "the password that they have to give with it",
        |it, f| it.socks.password = f.located(socks::inline_password);
    "socks-password-file": "or: a file with the password in its first line",
        |it, f| it.socks.password_file = f.located(|f| f.path().map(PasswordSource::File));
};

/// The element of a tunnel that listens on this side. Also used for a tunnel that does not come from a file.
pub(crate) fn tunnel_rule(listens: ListenSide) -> &'static Rule<RawTunnel> {
    match listens {
        ListenSide::OwnHost => &LOCAL_TUNNEL,
        ListenSide::SshServer => &REMOTE_TUNNEL,
    }
}

/// A tunnel that is not static.
pub(crate) fn read_tunnel(
    listens: ListenSide,
    element: &Element,
    values: &mut Values<'_>,
) -> RawTunnel {
    read_any(tunnel_rule(listens), listens, element, values)
}

fn read_any(
    rule: &Rule<RawTunnel>,
    listens: ListenSide,
    element: &Element,
    values: &mut Values<'_>,
) -> RawTunnel {
    let mut tunnel = RawTunnel::at(element.span, listens);
    let is_of_kind = |name: &str| is_in(FTP, name) || is_in(SOCKS, name);
    tunnel.of_kind = named(element, is_of_kind).collect();
    tunnel.tls.terminate_attribute = named(element, |name| name.starts_with("tls-")).next();
    rule.apply(&mut tunnel, element, values);
    check_profile(&mut tunnel, values);
    tunnel
}

/// The attributes with such names.
fn named(
    element: &Element,
    wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = Located<String>> {
    let attributes = element.attributes.iter();
    let found = attributes.filter(move |attribute| wanted(&attribute.name));
    found.map(|it| Located {
        value: it.name.clone(),
        span: it.name_span,
    })
}

/// Whether a group of attributes has this name.
pub(crate) fn is_in(group: &[Attribute<RawTunnel>], name: &str) -> bool {
    group.iter().any(|it| it.row.name == name)
}

/// Only a SOCKS listener can have an empty profile: its clients name the server.
fn check_profile(tunnel: &mut RawTunnel, values: &mut Values<'_>) {
    let empty = |profile: &Located<String>| profile.value.trim().is_empty();
    let Some(profile) = tunnel.profile.take_if(|profile| empty(profile)) else {
        return;
    };
    if tunnel.kind.value == TunnelType::Socks {
        let message = "a SOCKS tunnel without a profile is not supported yet";
        values
            .findings
            .unsupported(profile.span, message)
            .remedy(Remedy::RemoveElement);
    } else {
        values
            .findings
            .error(profile.span, "`profile` of `<tunnel>` is empty")
            .help("write the id of a profile");
    }
}

impl Default for RawTls {
    fn default() -> Self {
        Self {
            word: TlsWord::Refuse,
            certificate: None,
            key: None,
            required: true,
            implicit: false,
            close_notify: true,
            session_reuse: false,
            terminate_attribute: None,
        }
    }
}

impl RawTunnel {
    /// A tunnel without values.
    pub(super) fn at(span: Span, listens: ListenSide) -> Self {
        Self {
            span,
            profile: None,
            listens,
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
            accept_proxy: None,
            allow_clients: None,
            max_sessions: TunnelSpec::MAX_SESSIONS,
            advertise_port_offset: None,
            ftp: FtpOptions::default(),
            tls: RawTls::default(),
            socks: RawSocks::default(),
            of_kind: Vec::new(),
        }
    }

    /// Whether two static tunnels have the same address and port, so that the later one replaces the earlier.
    pub(super) fn listens_like(&self, other: &Self) -> bool {
        let place = |tunnel: &Self| {
            let port = tunnel.listen_port.as_ref().map(|port| port.value);
            let address = tunnel.listen_address.as_ref().map(|it| it.value);
            port.filter(|port| *port > 0).map(|port| (address, port))
        };
        place(self).is_some() && place(self) == place(other)
    }
}

/// The type. For a misspelt type, the one that causes no further errors.
fn read_kind(tunnel: &mut RawTunnel, field: &mut Field<'_, '_>) {
    tunnel.kind = Located {
        value: field.choice().unwrap_or(TunnelType::Ftp),
        span: field.span(),
    };
}

fn listen_address(field: &mut Field<'_, '_>) -> Option<ListenAddress> {
    let text = field.word()?;
    let address = text.parse().ok();
    if address.is_none() {
        field
            .error(format!("cannot listen on `{}`", clip(&text)))
            .help("write an IP address, `localhost`, or `*` for all addresses");
    }
    address
}

/// Networks or single addresses, separated by commas or spaces.
fn networks(field: &mut Field<'_, '_>) -> Option<Vec<IpNet>> {
    let text = field.word()?;
    let mut networks = Vec::new();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let single = || part.parse::<IpAddr>().map(IpNet::from);
        let Ok(network) = part.parse().or_else(|_| single()) else {
            field
                .error(format!("`{}` is not a network", clip(part)))
                .help("write networks separated by commas: `10.0.0.0/8, 2001:db8::/32`");
            return None;
        };
        networks.push(network);
    }
    Some(networks)
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
