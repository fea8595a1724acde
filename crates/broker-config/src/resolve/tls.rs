//! The meaning of a tunnel's attributes about FTP over TLS.

use std::path::PathBuf;

use tls_certificate::{FileRole, read};

use super::Resolver;
use crate::choices::{TlsWord, TunnelType};
use crate::findings::Located;
use crate::raw::{RawTls, RawTunnel};
use crate::tunnel::{ListenSide, Tls, TlsServer};

impl Resolver<'_> {
    /// What happens if a client of this tunnel requests TLS; `None` after an error.
    pub(super) fn tls(&mut self, raw: &RawTunnel) -> Option<Tls> {
        match raw.tls.word {
            TlsWord::Terminate => self.tls_server(raw).map(Tls::Terminate),
            TlsWord::Refuse => {
                self.report_idle(&raw.tls);
                Some(Tls::Refuse)
            }
            TlsWord::Pass => {
                self.report_idle(&raw.tls);
                Some(Tls::Pass)
            }
        }
    }

    fn tls_server(&mut self, raw: &RawTunnel) -> Option<TlsServer> {
        if raw.kind.value == TunnelType::Socks {
            self.findings
                .error(raw.span, "a SOCKS tunnel cannot have `tls=\"terminate\"`")
                .help("remove it, or use a tunnel of type `ftp`");
            return None;
        }
        if raw.listens == ListenSide::SshServer {
            self.findings
                .error(raw.span, "a remote tunnel cannot have `tls=\"terminate\"`")
                .help("remove it, or use a local tunnel");
            return None;
        }
        let Some(certificate) = &raw.tls.certificate else {
            self.findings
                .error(raw.span, "`tls=\"terminate\"` needs a `tls-certificate`")
                .help("name the PEM file with the broker's certificate, and with `tls-key` that with its private key");
            return None;
        };
        let key = raw.tls.key.as_ref().unwrap_or(certificate);
        self.check_certificate(certificate, key)?;
        Some(TlsServer {
            certificate: certificate.value.clone(),
            key: key.value.clone(),
            required: raw.tls.required,
            implicit: raw.tls.implicit,
            close_notify: raw.tls.close_notify,
            session_reuse: raw.tls.session_reuse,
        })
    }

    /// Reports a certificate or key that the broker cannot use.
    fn check_certificate(
        &mut self,
        certificate: &Located<PathBuf>,
        key: &Located<PathBuf>,
    ) -> Option<()> {
        for file in [certificate, key] {
            if !file.value.is_absolute() {
                self.findings
                    .error(
                        file.span,
                        "the path of a certificate or key is not absolute",
                    )
                    .help("write the whole path, from `/`");
                return None;
            }
        }
        let Err(error) = read(&certificate.value, &key.value) else {
            return Some(());
        };
        let span = match error.role {
            FileRole::Certificate => certificate.span,
            FileRole::Key => key.span,
        };
        self.findings
            .error(span, error.to_string())
            .help(error.remedy());
        None
    }

    fn report_idle(&mut self, tls: &RawTls) {
        if let Some(attribute) = &tls.terminate_attribute {
            self.findings
                .warning(
                    attribute.span,
                    format!(
                        "`{}` has no effect without `tls=\"terminate\"`",
                        attribute.value
                    ),
                )
                .help("add `tls=\"terminate\"` to speak FTP over TLS to clients");
        }
    }
}
