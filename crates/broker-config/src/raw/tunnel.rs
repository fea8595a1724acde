//! `local-tunnel`, `remote-tunnel` and static `tunnel`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::choices::TunnelType;
use crate::findings::{Located, Span};
use crate::proxy::parse_ports;
use crate::suggest::clip;
use crate::tree::Element;
use crate::tunnel::{FtpOptions, ListenAddress, is_host};
use crate::values::Values;
use crate::vocabulary::FTP_ATTRIBUTES;

/// What a tunnel says.
#[derive(Clone, Debug)]
pub(crate) struct RawTunnel {
    /// Where its name stands.
    pub(crate) span: Span,
    pub(crate) kind: Located<TunnelType>,
    pub(crate) listen_address: Option<Located<ListenAddress>>,
    /// `None` only after a complaint.
    pub(crate) listen_port: Option<Located<u16>>,
    pub(crate) dst_host: Option<Located<String>>,
    pub(crate) dst_port: Option<Located<u16>>,
    pub(crate) allow_relay: Option<bool>,
    pub(crate) allow_from: Option<Located<Vec<IpNet>>>,
    pub(crate) ftp: FtpOptions,
    /// The first attribute that only means something to FTP.
    pub(crate) ftp_attribute: Option<Located<String>>,
}

/// What a static tunnel says.
#[derive(Clone, Debug)]
pub(crate) struct RawStaticTunnel {
    pub(crate) profile: Option<Located<String>>,
    pub(crate) tunnel: RawTunnel,
}

/// The most sessions one tunnel may be given: each holds several sockets.
const MAX_SESSIONS: u64 = 65_536;

pub(super) fn read_static(element: &Element, values: &mut Values<'_>) -> RawStaticTunnel {
    RawStaticTunnel {
        profile: values.word(element, "profile"),
        tunnel: read_local(element, values),
    }
}

pub(super) fn read_remote(element: &Element, values: &mut Values<'_>) -> RawTunnel {
    values
        .findings
        .unsupported(element.span, "remote tunnels are not supported yet");
    read(element, values)
}

pub(crate) fn read_local(element: &Element, values: &mut Values<'_>) -> RawTunnel {
    let tunnel = read(element, values);
    if tunnel.kind.value == TunnelType::Socks {
        values
            .findings
            .unsupported(tunnel.kind.span, "SOCKS tunnels are not supported yet");
    }
    tunnel
}

fn read(element: &Element, values: &mut Values<'_>) -> RawTunnel {
    let is_ftp = |name: &str| FTP_ATTRIBUTES.contains(&name);
    RawTunnel {
        span: element.span,
        kind: read_kind(element, values),
        listen_address: read_listen_address(element, values),
        listen_port: values.port(element, "listen-port", 0),
        dst_host: read_destination(element, values),
        dst_port: values.port(element, "dst-port", 1),
        allow_relay: values.flag(element, "allow-relay"),
        allow_from: read_networks(element, values),
        ftp: read_ftp(element, values),
        ftp_attribute: element
            .attributes
            .iter()
            .find(|attribute| is_ftp(&attribute.name))
            .map(|it| Located {
                value: it.name.clone(),
                span: it.name_span,
            }),
    }
}

/// The type; where it is misspelt, the one that makes no complaints follow.
fn read_kind(element: &Element, values: &mut Values<'_>) -> Located<TunnelType> {
    let usual = match element.attribute("type") {
        None => TunnelType::Tcp,
        Some(_) => TunnelType::Ftp,
    };
    let unsaid = Located {
        value: usual,
        span: element.span,
    };
    values.choice(element, "type").unwrap_or(unsaid)
}

fn read_listen_address(
    element: &Element,
    values: &mut Values<'_>,
) -> Option<Located<ListenAddress>> {
    let text = values.word(element, "listen-address")?;
    match text.value.parse() {
        Ok(value) => Some(Located {
            value,
            span: text.span,
        }),
        Err(_) => {
            values
                .findings
                .error(
                    text.span,
                    format!("cannot listen on `{}`", clip(&text.value)),
                )
                .help("write an IP address, `localhost`, or `*` for all addresses");
            None
        }
    }
}

fn read_destination(element: &Element, values: &mut Values<'_>) -> Option<Located<String>> {
    let host = values.word(element, "dst-host")?;
    if is_host(&host.value) {
        return Some(host);
    }
    values
        .findings
        .error(host.span, "`dst-host` is not a host name or address")
        .help("write the host alone; the port has an attribute of its own");
    None
}

/// Networks or single addresses, with commas or spaces between.
fn read_networks(element: &Element, values: &mut Values<'_>) -> Option<Located<Vec<IpNet>>> {
    let text = values.word(element, "allow-from")?;
    let mut networks = Vec::new();
    let parts = text.value.split([',', ' ']).filter(|part| !part.is_empty());
    for part in parts {
        let single = || part.parse::<IpAddr>().map(IpNet::from);
        match part.parse().or_else(|_| single()) {
            Ok(network) => networks.push(network),
            Err(_) => {
                let message = format!("`{}` is not a network", clip(part));
                values
                    .findings
                    .error(text.span, message)
                    .help("write networks with commas between: `10.0.0.0/8, 2001:db8::/32`");
                return None;
            }
        }
    }
    Some(Located {
        value: networks,
        span: text.span,
    })
}

fn read_ftp(element: &Element, values: &mut Values<'_>) -> FtpOptions {
    let usual = FtpOptions::default();
    FtpOptions {
        data_address: values
            .choice(element, "data-address")
            .map_or(usual.data_address, |it| it.value),
        tls: values
            .choice(element, "tls")
            .map_or(usual.tls, |it| it.value),
        data_open: values
            .choice(element, "data-open")
            .map_or(usual.data_open, |it| it.value),
        foreign_port: values
            .choice(element, "foreign-port")
            .map_or(usual.foreign_port, |it| it.value),
        active: values.flag(element, "active").unwrap_or(usual.active),
        active_address: values.address(element, "active-address"),
        passive_ports: read_ports(element, "passive-ports", values),
        active_ports: read_ports(element, "active-ports", values),
        advertise_address: values.address(element, "advertise-address"),
        data_timeout: values
            .seconds(element, "data-timeout", 1)
            .unwrap_or(usual.data_timeout),
        max_sessions: values
            .count(element, "max-sessions", 1..=MAX_SESSIONS)
            .unwrap_or(usual.max_sessions),
    }
}

fn read_ports(
    element: &Element,
    name: &str,
    values: &mut Values<'_>,
) -> Option<RangeInclusive<u16>> {
    let text = values.word(element, name)?;
    let ports = parse_ports(&text.value).ok();
    if ports.is_none() {
        values
            .findings
            .error(
                text.span,
                format!("`{}` is not a range of ports", clip(&text.value)),
            )
            .help("write the lowest and the highest port: `50000-50099`");
    }
    ports
}
