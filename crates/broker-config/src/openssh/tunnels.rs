//! Forwards of OpenSSH as tunnels.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::OpenSshHost;
use crate::tree::Element;

/// The control port of FTP. A forward to it can only carry FTP's data connections as an FTP tunnel.
const FTP: u16 = 21;

/// An address and port; no address: the usual one.
type Place = (Option<String>, u16);

/// The tunnels of a host. What cannot become one is noted.
pub(super) fn tunnels(
    host: &OpenSshHost,
    taken: &mut BTreeSet<u16>,
    notes: &mut Vec<String>,
) -> Option<Element> {
    let open = host.options.value("gatewayports") == Some("yes");
    let kinds = [
        ("localforward", "local-tunnel"),
        ("dynamicforward", "local-tunnel"),
        ("remoteforward", "remote-tunnel"),
    ];
    let mut tunnels = Element::new("tunnels");
    for (option, name) in kinds {
        for value in host.options.set(option) {
            let is_local = name == "local-tunnel";
            match tunnel(name, option, value, open && is_local) {
                Some((port, _)) if is_local && port > 0 && !taken.insert(port) => {
                    notes.push(format!(
                        "{option} {value}: another tunnel listens on port {port}"
                    ));
                }
                Some((_, element)) => {
                    if option == "dynamicforward" && is_for_others(value, open) {
                        let why =
                            "other hosts would need a login here, so it is for this host alone";
                        notes.push(format!("{option} {value}: {why}"));
                    }
                    tunnels.children.push(element);
                }
                None => notes.push(format!(
                    "{option} {value}: only forwards between TCP ports are possible"
                )),
            }
        }
    }
    (!tunnels.children.is_empty()).then_some(tunnels)
}

/// The port on which a forward listens, and its tunnel.
fn tunnel(name: &str, option: &str, value: &str, open: bool) -> Option<(u16, Element)> {
    let mut words = value.split_whitespace();
    let (address, port) = place(words.next()?)?;
    let destination = match (words.next(), option) {
        (None, "dynamicforward") => None,
        (destination, _) => Some(place(destination?)?),
    };
    let kind = match &destination {
        None => "socks",
        Some((_, FTP)) => "ftp",
        Some(_) => "tcp",
    };
    // A SOCKS tunnel for other hosts needs a login, which OpenSSH's does not have.
    let relays = is_for_others(value, open) && destination.is_some();
    let mut element = Element::new(name).with("type", kind);
    if let Some(address) = address
        .as_ref()
        .filter(|it| kind != "socks" || is_loopback(it))
    {
        element = element.with("listen-address", address);
    }
    element = element.with("listen-port", &port.to_string());
    if let Some((host, port)) = destination {
        let host = host.unwrap_or("localhost".to_owned());
        element = element
            .with("dst-host", &host)
            .with("dst-port", &port.to_string());
    }
    if name == "local-tunnel" && relays {
        element = element.with("allow-relay", "yes");
    }
    Some((port, element))
}

/// `port`, `host:port` or `[host]:port`. A path is no place.
fn place(text: &str) -> Option<Place> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Some((None, text.parse().ok()?));
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = if bare.is_empty() { "*" } else { bare };
    Some((Some(host.to_owned()), port.parse().ok()?))
}

/// Whether a forward listens for other hosts too.
fn is_for_others(value: &str, open: bool) -> bool {
    let listen = value.split_whitespace().next().and_then(place);
    let address = listen.and_then(|(address, _)| address);
    address.map_or(open, |address| !is_loopback(&address))
}

fn is_loopback(address: &str) -> bool {
    let ip = address.parse::<IpAddr>();
    address == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}
