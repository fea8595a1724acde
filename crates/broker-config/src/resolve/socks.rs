//! The meaning of the attributes of SOCKS tunnels.

use super::Resolver;
use crate::findings::Remedy;
use crate::raw::RawTunnel;
use crate::tunnel::{SocksLogin, SocksOptions};

/// The attributes of FTP tunnels that apply to the FTP sessions of SOCKS tunnels too. The others concern data listeners,
/// of which a SOCKS tunnel has none.
const FTP_ATTRIBUTES: [&str; 7] = [
    "data-address",
    "tls",
    "active",
    "active-address",
    "foreign-port",
    "active-ports",
    "data-timeout",
];

/// Whether this attribute of FTP tunnels has a meaning for SOCKS tunnels.
pub(super) fn shares(attribute: &str) -> bool {
    FTP_ATTRIBUTES.contains(&attribute)
}

impl Resolver<'_> {
    pub(super) fn socks_options(&mut self, raw: &RawTunnel) -> Option<SocksOptions> {
        let login = self.socks_login(raw);
        if raw.allow_relay && login.is_none() {
            self.findings
                .error(
                    raw.span,
                    "a SOCKS tunnel for other hosts (`allow-relay`) needs a login",
                )
                .help("add `socks-user=\"…\"` and `socks-password-file=\"…\"`");
        }
        self.report_destination(raw);
        Some(SocksOptions {
            ftp: self.ftp_options(raw)?,
            ftp_ports: raw.socks.ftp_ports.clone(),
            login,
        })
    }

    fn socks_login(&mut self, raw: &RawTunnel) -> Option<SocksLogin> {
        let socks = &raw.socks;
        if let (Some(_), Some(second)) = (&socks.password, &socks.password_file) {
            self.findings
                .error(second.span, "the SOCKS password is given twice")
                .help("remove `socks-password` or `socks-password-file`");
        }
        let password = socks.password.as_ref().or(socks.password_file.as_ref());
        match (&socks.user, password) {
            (Some(user), Some(password)) => Some(SocksLogin {
                user: user.value.clone(),
                password: password.value.clone(),
            }),
            (Some(user), None) => {
                self.findings
                    .error(user.span, "`socks-user` needs a password")
                    .help("add `socks-password-file=\"…\"`");
                None
            }
            (None, Some(password)) => {
                self.findings
                    .error(password.span, "the SOCKS password needs a `socks-user`")
                    .help("add `socks-user=\"…\"`");
                None
            }
            (None, None) => None,
        }
    }

    fn report_destination(&mut self, raw: &RawTunnel) {
        // Port 0 is no destination either.
        let port = raw.dst_port.as_ref().filter(|port| port.value > 0);
        if let Some(span) = port
            .map(|port| port.span)
            .or(raw.dst_host.as_ref().map(|host| host.span))
        {
            self.findings
                .warning(span, "a SOCKS tunnel has no destination")
                .help("remove it: the clients name the destination")
                .remedy(Remedy::Remove);
        }
    }
}
