//! The meaning of each single tunnel.

use super::Resolver;
use super::profiles::report_unknown;
use crate::choices::TunnelType;
use crate::config::StaticTunnel;
use crate::findings::Span;
use crate::position::Position;
use crate::raw::{RawProfile, RawTunnel};
use crate::tunnel::{ListenAddress, ListenSide, TunnelKind, TunnelSpec};

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
            .filter_map(|profile| Some(profile.id.as_ref()?.value.as_str()));
        if !ids.clone().any(|id| id == reference.value) {
            report_unknown(reference, "profile", ids, self.findings);
            return None;
        }
        Some(StaticTunnel {
            profile: reference.value.clone(),
            tunnel: tunnel?,
        })
    }

    pub(super) fn tunnel(&mut self, raw: &RawTunnel) -> Option<TunnelSpec> {
        self.check_relay(raw);
        self.check_ftp_only(raw);
        let dst_port = self.destination_port(raw);
        Some(TunnelSpec {
            listens: raw.listens,
            kind: self.tunnel_kind(raw)?,
            listen_address: listen_address(raw),
            listen_port: raw.listen_port.as_ref()?.value,
            dst_host: destination_host(raw),
            dst_port: dst_port?,
            allow_relay: raw.allow_relay,
            allow_from: raw
                .allow_from
                .as_ref()
                .map(|it| it.value.clone())
                .unwrap_or_default(),
            position: self.position(raw.span),
        })
    }

    fn tunnel_kind(&mut self, raw: &RawTunnel) -> Option<TunnelKind> {
        match (raw.kind.value, raw.listens) {
            (TunnelType::Tcp, _) => Some(TunnelKind::Tcp),
            (TunnelType::Ftp, _) => Some(TunnelKind::Ftp(raw.ftp.clone())),
            // Reported with the other unsupported settings.
            (TunnelType::Socks, ListenSide::OwnHost) => None,
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

    fn destination_port(&mut self, raw: &RawTunnel) -> Option<u16> {
        let written = raw.dst_port.as_ref().map(|port| port.value);
        match raw.kind.value {
            TunnelType::Ftp => Some(written.unwrap_or(FTP_PORT)),
            TunnelType::Tcp => {
                if written.is_none() {
                    self.findings
                        .error(raw.span, "a tunnel of type `tcp` needs a `dst-port`")
                        .help("add `dst-port=\"…\"`, or `type=\"ftp\"` if it is for FTP");
                }
                written
            }
            TunnelType::Socks => {
                let unused = raw.dst_port.as_ref().map(|port| port.span);
                if let Some(span) = unused.or(raw.dst_host.as_ref().map(|host| host.span)) {
                    self.findings
                        .warning(span, "a SOCKS tunnel has no destination")
                        .help("remove it: the clients name the destination");
                }
                None
            }
        }
    }

    fn check_ftp_only(&mut self, raw: &RawTunnel) {
        if let Some(attribute) = raw
            .ftp_attribute
            .as_ref()
            .filter(|_| raw.kind.value != TunnelType::Ftp)
        {
            self.findings
                .error(
                    attribute.span,
                    format!("`{}` is for FTP tunnels only", attribute.value),
                )
                .help("add `type=\"ftp\"`, or remove the attribute");
        }
    }

    fn check_relay(&mut self, raw: &RawTunnel) {
        if raw.allow_relay {
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
                .warning(
                    address.span,
                    "other hosts can reach this address, but the broker refuses them without `allow-relay`",
                )
                .help("add `allow-relay=\"yes\"` to admit them, or listen on 127.0.0.1");
        }
    }
}

fn destination_host(raw: &RawTunnel) -> String {
    raw.dst_host
        .as_ref()
        .map_or(DST_HOST, |host| host.value.as_str())
        .to_owned()
}
