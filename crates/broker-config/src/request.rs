//! A tunnel that a client requests while the daemon runs. The rules are the same as for a tunnel in a file.

use std::path::Path;

use crate::diagnostic::Severity;
use crate::environment::Environment;
use crate::findings::{Findings, Span};
use crate::names;
use crate::raw;
use crate::resolve::resolve_tunnel;
use crate::tree::{Attribute, Element};
use crate::tunnel::{ListenSide, TunnelSpec};
use crate::values::Values;

/// The most faults in one answer. A client with more corrects these first.
const MAX_COMPLAINTS: usize = 5;

/// The tunnel that an element `local-tunnel` or `remote-tunnel` with these attributes defines, and the warnings.
/// Variables in the values are not expanded.
///
/// # Errors
/// The errors that the same element in a file causes, each with its remedy.
pub fn requested_tunnel(
    listens: ListenSide,
    attributes: &[(&str, &str)],
) -> Result<(TunnelSpec, Vec<String>), String> {
    let rule = raw::tunnel_rule(listens);
    let element = element(rule.facts.name, attributes);
    let mut findings = Findings::default();
    names::check_element(&element, &rule.vocabulary(), &mut findings);
    let mut values = Values {
        env: &Environment::default(),
        literal: true,
        open_to_others: false,
        directory: Path::new(""),
        findings: &mut findings,
    };
    let raw = raw::read_tunnel(listens, &element, &mut values);
    let tunnel = resolve_tunnel(&raw, &mut findings);
    let (errors, others): (Vec<_>, Vec<_>) = findings
        .into_sentences()
        .into_iter()
        .partition(|(severity, _)| *severity == Severity::Error);
    let said = |list: Vec<(_, String)>| list.into_iter().map(|(_, sentence)| sentence);
    match tunnel {
        Some(tunnel) if errors.is_empty() => Ok((tunnel, said(others).collect())),
        Some(_) | None => {
            let errors: Vec<_> = said(errors).take(MAX_COMPLAINTS).collect();
            Err(errors.join("; "))
        }
    }
}

fn element(name: &str, attributes: &[(&str, &str)]) -> Element {
    let nowhere = Span::default();
    let attribute = |(name, value): &(&str, &str)| Attribute {
        name: (*name).to_owned(),
        name_span: nowhere,
        value: (*value).to_owned(),
        value_span: nowhere,
    };
    Element {
        attributes: attributes.iter().map(attribute).collect(),
        ..Element::new(name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tunnel::{Tls, TunnelKind};

    const TUNNEL: [(&str, &str); 2] = [("type", "ftp"), ("listen-port", "0")];

    fn local(attributes: &[(&str, &str)]) -> Result<(TunnelSpec, Vec<String>), String> {
        requested_tunnel(ListenSide::OwnHost, attributes)
    }

    /// The usual tunnel with one attribute more.
    fn with(name: &str, value: &str) -> Result<(TunnelSpec, Vec<String>), String> {
        local(&[TUNNEL.as_slice(), &[(name, value)]].concat())
    }

    #[test]
    fn every_option_of_the_file_can_be_asked_for() {
        let mut options: Vec<_> = raw::FTP.iter().map(|it| it.row.name).collect();
        options.retain(|name| !name.starts_with("tls-"));
        for (name, value) in [
            ("data-address", "control"),
            ("tls", "pass"),
            ("data-open", "lazy"),
            ("data-ahead", "no"),
            ("foreign-port", "pass"),
            ("pasv-over-ipv6", "any"),
            ("active", "no"),
            ("active-address", "192.0.2.1"),
            ("passive-ports", "50000-50009"),
            ("active-ports", "40000-40009"),
            ("advertise-address", "ftp.example.com"),
            ("data-timeout", "5"),
            ("max-sessions", "7"),
        ] {
            let (tunnel, _) = with(name, value).unwrap();
            let (usual, _) = local(&TUNNEL).unwrap();
            assert_ne!(tunnel, usual, "{name} changes nothing");
            options.retain(|option| *option != name);
        }
        let moved = [
            ("passive-ports", "50000-50009"),
            ("advertise-port-offset", "-1"),
        ];
        let (tunnel, _) = local(&[&TUNNEL[..], &moved].concat()).unwrap();
        assert!(matches!(tunnel.kind, TunnelKind::Ftp(ftp) if ftp.advertise_port_offset == -1));
        options.retain(|option| *option != moved[1].0);
        assert!(options.is_empty(), "{options:?} are not tried");
        let relay = [
            ("allow-relay", "yes"),
            ("allow-from", "192.0.2.0/24"),
            ("accept-proxy", "yes"),
            ("allow-clients", "198.51.100.0/24"),
        ];
        let (tunnel, warnings) = local(&[&TUNNEL[..], &relay].concat()).unwrap();
        assert!(tunnel.allow_relay && tunnel.allow_from.len() == 1);
        assert!(tunnel.accept_proxy && tunnel.allow_clients.len() == 1);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("in clear text"), "{warnings:?}");
    }

    #[test]
    fn a_loopback_listener_warns_of_clear_text_only_behind_a_proxy() {
        let relay = [
            ("listen-address", "127.0.0.1"),
            ("allow-relay", "yes"),
            ("allow-from", "127.0.0.1"),
        ];
        for (accept_proxy, expected) in [("no", 0), ("yes", 1)] {
            let proxy = [("accept-proxy", accept_proxy)];
            let (_, warnings) = local(&[&TUNNEL[..], &relay, &proxy].concat()).unwrap();
            assert_eq!(warnings.len(), expected, "{accept_proxy}: {warnings:?}");
            assert!(warnings.iter().all(|it| it.contains("in clear text")));
        }
    }

    #[test]
    fn tls_can_be_asked_for_with_each_of_its_options() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (both, key) = (path("both.pem"), path("key.pem"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let text = made.cert.pem() + &made.signing_key.serialize_pem();
        for file in [&both, &key] {
            std::fs::write(file, &text).unwrap();
            std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        }
        let usual = [("tls", "terminate"), ("tls-certificate", &*both)];
        let usual = [TUNNEL.as_slice(), &usual].concat();
        let mut options: Vec<_> = raw::FTP.iter().map(|it| it.row.name).collect();
        options.retain(|name| name.starts_with("tls-") && *name != "tls-certificate");
        for (name, value) in [
            ("tls-key", &*key),
            ("tls-required", "no"),
            ("tls-implicit", "yes"),
            ("tls-close-notify", "no"),
            ("tls-session-reuse", "yes"),
        ] {
            let (tunnel, warnings) = local(&[usual.as_slice(), &[(name, value)]].concat()).unwrap();
            assert_ne!(tunnel, local(&usual).unwrap().0, "{name} changes nothing");
            assert!(warnings.is_empty(), "{warnings:?}");
            options.retain(|option| *option != name);
        }
        assert!(options.is_empty(), "{options:?} are not tried");
        let relay = [&usual[..], &[("allow-relay", "yes")]].concat();
        assert_eq!(local(&relay).unwrap().1, Vec::<String>::new());
        let optional = [&relay[..], &[("tls-required", "no")]].concat();
        let (_, warnings) = local(&optional).unwrap();
        assert!(warnings[0].contains("in clear text"), "{warnings:?}");
        let remote = requested_tunnel(ListenSide::SshServer, &usual).unwrap_err();
        assert!(remote.contains("a remote tunnel cannot have"), "{remote}");
    }

    #[test]
    fn tls_without_a_usable_certificate_is_refused() {
        let terminate = |certificate: &str| {
            let options = [("tls", "terminate"), ("tls-certificate", certificate)];
            local(&[TUNNEL.as_slice(), &options].concat()).unwrap_err()
        };
        assert_eq!(
            with("tls", "terminate").unwrap_err(),
            "`tls=\"terminate\"` needs a `tls-certificate`: name the PEM file with the broker's certificate, and with `tls-key` that with its private key"
        );
        assert_eq!(
            terminate("cert.pem"),
            "the path of a certificate or key is not absolute: write the whole path, from `/`"
        );
        let missing = terminate("/nonexistent/cert.pem");
        assert!(
            missing.starts_with("/nonexistent/cert.pem: cannot read the file:"),
            "{missing}"
        );
        let (_, warnings) = with("tls-required", "no").unwrap();
        assert!(
            warnings[0].contains("no effect without `tls=\"terminate\"`"),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_socks_tunnel_can_be_asked_for() {
        let socks = [("type", "socks"), ("listen-port", "0")];
        let options = |attributes: &[(&str, &str)]| {
            let (tunnel, _) = local(&[socks.as_slice(), attributes].concat())?;
            match tunnel.kind {
                TunnelKind::Socks(options) => Ok(options),
                TunnelKind::Tcp | TunnelKind::Ftp(_) => Err("another kind".to_owned()),
            }
        };
        assert_eq!(options(&[]).unwrap().ftp_ports, [21..=21]);
        let several = options(&[("ftp-ports", "21, 2121 8021-8029"), ("active", "no")]).unwrap();
        assert_eq!(several.ftp_ports, [21..=21, 2121..=2121, 8021..=8029]);
        assert!(!several.ftp.active);
        assert!(options(&[("ftp-ports", "")]).unwrap().ftp_ports.is_empty());
        let login = [("socks-user", "me"), ("socks-password-file", "/f")];
        assert!(options(&login).unwrap().login.is_some());
        for (wrong, message) in [
            (("allow-relay", "yes"), "needs a login"),
            (("data-open", "lazy"), "`data-open` is for FTP tunnels only"),
            (("ftp-ports", "0"), "`0` is not a list of ports"),
            (("socks-user", "me"), "needs a password"),
        ] {
            let refused = options(&[wrong]).unwrap_err();
            assert!(refused.contains(message), "{refused}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_of_a_file() {
        for (name, value, message) in [
            (
                "tls",
                "maybe",
                "`tls` cannot be `maybe`: it can be `refuse`, `pass`, `terminate`",
            ),
            (
                "tsl",
                "pass",
                "`<local-tunnel>` has no attribute `tsl`: did you mean `tls`?",
            ),
            (
                "active-ports",
                "9-1",
                "`9-1` is not a range of ports: write the lowest and the highest port: `50000-50099`",
            ),
            (
                "dst-host",
                "a b",
                "`dst-host` is not a host name or address: write the host alone; `dst-port` is a separate attribute",
            ),
        ] {
            assert_eq!(with(name, value).unwrap_err(), message);
        }
        let tcp = [("listen-port", "0"), ("dst-port", "80"), ("tls", "pass")];
        let refused = local(&tcp).unwrap_err();
        assert!(
            refused.contains("`tls` is for FTP tunnels only"),
            "{refused}"
        );
    }

    #[test]
    fn values_are_taken_as_they_are() {
        let (tunnel, _) = with("dst-host", "fe80::1%U").unwrap();
        assert_eq!(tunnel.dst_host, "fe80::1%U");
    }

    #[test]
    fn what_has_no_effect_is_a_warning() {
        let (tunnel, warnings) = with("allow-from", "192.0.2.0/24").unwrap();
        assert!(matches!(&tunnel.kind, TunnelKind::Ftp(ftp) if ftp.tls == Tls::Refuse));
        assert!(
            warnings[0].contains("no effect without `allow-relay`"),
            "{warnings:?}"
        );
    }
}
