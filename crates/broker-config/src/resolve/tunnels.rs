//! The meaning of each single tunnel.

use std::ops::RangeInclusive;

use super::Resolver;
use super::profiles::report_unknown;
use super::socks;
use crate::choices::{TlsWord, TunnelType};
use crate::config::StaticTunnel;
use crate::findings::{Located, Remedy, Span};
use crate::position::Position;
use crate::raw::{RawProfile, RawTunnel, SOCKS, is_in};
use crate::tunnel::{FtpOptions, ListenAddress, ListenSide, TunnelKind, TunnelSpec};

/// The default destination of a tunnel.
const DST_HOST: &str = "localhost";

/// The default destination port of an FTP tunnel (RFC 959, section 8).
const FTP_PORT: u16 = 21;

/// The listen address of a tunnel: as configured; otherwise loopback, or every address if it admits other hosts.
pub(super) fn listen_address(raw: &RawTunnel) -> ListenAddress {
    let usual = if raw.allow_relay {
        ListenAddress::All
    } else {
        ListenAddress::LOOPBACK
    };
    raw.listen_address
        .as_ref()
        .map_or(usual, |address| address.value)
}

impl Resolver<'_> {
    pub(super) fn static_tunnel(
        &mut self,
        raw: &RawTunnel,
        profiles: &[RawProfile],
    ) -> Option<StaticTunnel> {
        let tunnel = self.tunnel(raw);
        let reference = raw.profile.as_ref()?;
        let ids = profiles
            .iter()
            .filter_map(|profile| Some((profile.id.as_ref()?.value.as_str(), profile)));
        let named = ids.clone().find(|(id, _)| *id == reference.value);
        let Some((_, profile)) = named else {
            report_unknown(reference, "profile", ids.map(|(id, _)| id), self.findings);
            return None;
        };
        if profile.for_any_host {
            self.findings
                .unsupported(
                    reference.span,
                    "this profile is for any host, which is not supported yet, so the tunnel is left out",
                )
                .remedy(Remedy::RemoveElement);
            return None;
        }
        Some(StaticTunnel {
            profile: reference.value.clone(),
            tunnel: tunnel?,
        })
    }

    pub(super) fn tunnel(&mut self, raw: &RawTunnel) -> Option<TunnelSpec> {
        self.check_relay(raw);
        self.check_attributes(raw);
        let kind = self.tunnel_kind(raw);
        let (dst_host, dst_port) = self.destination(raw);
        Some(TunnelSpec {
            listens: raw.listens,
            kind: kind?,
            listen_address: listen_address(raw),
            listen_port: raw.listen_port.as_ref()?.value,
            dst_host,
            dst_port: dst_port?,
            allow_relay: raw.allow_relay,
            allow_from: value_of(&raw.allow_from),
            accept_proxy: value_of(&raw.accept_proxy),
            allow_clients: value_of(&raw.allow_clients),
            max_sessions: raw.max_sessions,
            position: self.position(raw.span),
        })
    }

    fn tunnel_kind(&mut self, raw: &RawTunnel) -> Option<TunnelKind> {
        match (raw.kind.value, raw.listens) {
            (TunnelType::Tcp, _) => Some(TunnelKind::Tcp),
            (TunnelType::Ftp, _) => self.ftp_options(raw).map(TunnelKind::Ftp),
            (TunnelType::Socks, ListenSide::OwnHost) => {
                self.socks_options(raw).map(TunnelKind::Socks)
            }
            (TunnelType::Socks, ListenSide::SshServer) => {
                self.findings
                    .error(raw.kind.span, "a remote tunnel cannot be of type `socks`")
                    .help("write `tcp` or `ftp`");
                None
            }
        }
    }

    pub(super) fn position(&self, span: Span) -> Position {
        self.sources
            .get(span.file)
            .map(|it| it.position(span.start))
            .unwrap_or_default()
    }

    /// The destination. There is no port only after an error.
    fn destination(&mut self, raw: &RawTunnel) -> (String, Option<u16>) {
        let host = raw.dst_host.as_ref();
        let host = host.map_or(DST_HOST, |host| host.value.as_str()).to_owned();
        let written = raw.dst_port.as_ref().map(|port| port.value);
        if written == Some(0) && raw.kind.value != TunnelType::Socks {
            let span = raw.dst_port.as_ref().map_or(raw.span, |port| port.span);
            self.findings
                .error(span, "a destination has no port 0")
                .help("write a number from 1 to 65535");
            return (host, None);
        }
        match raw.kind.value {
            TunnelType::Ftp => (host, Some(written.unwrap_or(FTP_PORT))),
            TunnelType::Tcp => {
                if written.is_none() {
                    self.findings
                        .error(raw.span, "a tunnel of type `tcp` needs a `dst-port`")
                        .help("add `dst-port=\"…\"`, or `type=\"ftp\"` if it is for FTP");
                }
                (host, written)
            }
            TunnelType::Socks => (String::new(), Some(0)),
        }
    }

    /// Reports the first attribute of another kind of tunnel.
    fn check_attributes(&mut self, raw: &RawTunnel) {
        let kind = raw.kind.value;
        let mut attributes = raw.of_kind.iter();
        let Some(attribute) = attributes.find(|it| !applies(&it.value, kind)) else {
            return;
        };
        let (name, word) = match is_in(SOCKS, &attribute.value) {
            true => ("SOCKS", "socks"),
            false => ("FTP", "ftp"),
        };
        let message = format!("`{}` is for {name} tunnels only", attribute.value);
        self.findings
            .error(attribute.span, message)
            .help(format!("add `type=\"{word}\"`, or remove the attribute"));
    }

    /// The options of FTP sessions; `None` after an error.
    pub(super) fn ftp_options(&mut self, raw: &RawTunnel) -> Option<FtpOptions> {
        let mut options = FtpOptions {
            tls: self.tls(raw)?,
            ..raw.ftp.clone()
        };
        if let Some(offset) = &raw.advertise_port_offset {
            self.check_offset(offset, options.passive_ports.as_ref());
            options.advertise_port_offset = offset.value;
        }
        Some(options)
    }

    /// An outside port must exist for each passive port.
    fn check_offset(&mut self, offset: &Located<i32>, ports: Option<&RangeInclusive<u16>>) {
        if offset.value == 0 {
            return;
        }
        let Some(ports) = ports else {
            self.findings
                .error(
                    offset.span,
                    "`advertise-port-offset` needs `passive-ports`",
                )
                .help("add the range that the address translation forwards: `passive-ports=\"50000-50255\"`");
            return;
        };
        let outside = |port: &u16| i32::from(*port) + offset.value;
        let is_port = |port: &u16| u16::try_from(outside(port)).is_ok_and(|port| port > 0);
        if let Some(port) = [ports.start(), ports.end()]
            .into_iter()
            .find(|port| !is_port(port))
        {
            let message = format!(
                "port {port} would be announced as {}, which is not a port",
                outside(port)
            );
            self.findings
                .error(offset.span, message)
                .help("choose an offset with which all `passive-ports` stay between 1 and 65535");
        }
    }

    fn check_relay(&mut self, raw: &RawTunnel) {
        self.check_proxy(raw);
        if raw.allow_relay {
            self.check_clear_text(raw);
            return;
        }
        if let Some(networks) = &raw.allow_from {
            self.findings
                .warning(
                    networks.span,
                    "`allow-from` has no effect without `allow-relay`",
                )
                .help("add `allow-relay=\"yes\"` to admit other hosts");
        }
        let address = raw.listen_address.as_ref();
        if let Some(address) = address.filter(|address| !address.value.is_loopback()) {
            self.findings
                .error(
                    address.span,
                    "other hosts can reach this address, and the tunnel does not allow them (`allow-relay`)",
                )
                .help("add `allow-relay=\"yes\"` to admit them, or listen on 127.0.0.1");
        }
    }

    /// Other hosts send their passwords through the network to the listener. They reach one on loopback through a proxy.
    fn check_clear_text(&mut self, raw: &RawTunnel) {
        let proxied = raw.accept_proxy.as_ref().is_some_and(|it| it.value);
        let only_here = !proxied
            && raw
                .listen_address
                .as_ref()
                .is_some_and(|it| it.value.is_loopback());
        let offered = raw.tls.word == TlsWord::Terminate;
        let (what, help) = match raw.kind.value {
            TunnelType::Ftp if !offered => (
                "FTP passwords and files pass",
                "set `tls=\"terminate\"`, or make sure that you trust the network between them",
            ),
            TunnelType::Ftp if !raw.tls.required => (
                "FTP passwords and files can pass",
                "remove `tls-required=\"no\"`, or make sure that you trust the network between them",
            ),
            TunnelType::Socks => (
                "the SOCKS login and all that clients send pass",
                "make sure that you trust the network between them",
            ),
            TunnelType::Ftp | TunnelType::Tcp => return,
        };
        if !only_here {
            let message =
                format!("{what} in clear text between clients on other hosts and this listener");
            self.findings.warning(raw.span, message).help(help);
        }
    }

    /// Whoever sends the PROXY protocol names the client, so the senders must be known.
    fn check_proxy(&mut self, raw: &RawTunnel) {
        let Some(proxy) = raw.accept_proxy.as_ref().filter(|it| it.value) else {
            if let Some(clients) = &raw.allow_clients {
                self.findings
                    .warning(
                        clients.span,
                        "`allow-clients` has no effect without `accept-proxy`",
                    )
                    .help("name the clients in `allow-from`");
            }
            return;
        };
        if raw.listens == ListenSide::SshServer {
            self.findings
                .error(proxy.span, "`accept-proxy` is for local tunnels only")
                .help("remove the attribute");
        }
        let named = raw
            .allow_from
            .as_ref()
            .is_some_and(|it| !it.value.is_empty());
        if !raw.allow_relay || !named {
            self.findings
                .error(
                    proxy.span,
                    "`accept-proxy` needs `allow-relay=\"yes\"` and `allow-from`: anyone else could claim to be any client",
                )
                .help("name the addresses of the proxies in `allow-from`");
        }
    }
}

/// The value as written, or its default.
fn value_of<T: Clone + Default>(written: &Option<Located<T>>) -> T {
    let value = written.as_ref().map(|it| it.value.clone());
    value.unwrap_or_default()
}

/// Whether an attribute that not every kind of tunnel has applies to this kind.
fn applies(attribute: &str, kind: TunnelType) -> bool {
    match kind {
        TunnelType::Tcp => false,
        TunnelType::Ftp => !is_in(SOCKS, attribute),
        TunnelType::Socks => is_in(SOCKS, attribute) || socks::shares(attribute),
    }
}
