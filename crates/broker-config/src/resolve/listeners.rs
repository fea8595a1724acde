//! Conflicts between listeners.

use std::collections::BTreeMap;

use super::tunnels::listen_address;
use crate::config::ListenWhen;
use crate::findings::{Findings, Span};
use crate::raw::{Document, RawProfile, RawTunnel};
use crate::tunnel::{ListenAddress, ListenSide};

/// The most listeners of one port that are compared with each other. The time grows with the square of their number.
const MAX_COMPARED: usize = 256;

/// A configured listener.
#[derive(Clone, Copy)]
struct Listener {
    address: ListenAddress,
    /// The place of its port.
    span: Span,
    /// Whether it is always open.
    always: bool,
}

/// Reports listeners at the same address and port of one host.
pub(super) fn check(document: &Document, findings: &mut Findings) {
    check_host(local_tunnels(document), findings);
    for profile in &document.profiles {
        check_host(remote_tunnels(profile), findings);
    }
}

fn check_host<'a>(tunnels: impl Iterator<Item = (&'a RawTunnel, bool)>, findings: &mut Findings) {
    let mut ports: BTreeMap<u16, Vec<Listener>> = BTreeMap::new();
    for (tunnel, always) in tunnels {
        let Some(port) = tunnel.listen_port.as_ref().filter(|port| port.value > 0) else {
            continue;
        };
        let new = Listener {
            address: listen_address(tunnel),
            span: port.span,
            always,
        };
        let others = ports.entry(port.value).or_default();
        let clash = others
            .iter()
            .take(MAX_COMPARED)
            .find(|old| old.address.overlaps(new.address));
        if let Some(old) = clash {
            report(old, &new, port.value, findings);
        }
        others.push(new);
    }
}

/// All tunnels that listen on this host, each with whether it is always open.
fn local_tunnels(document: &Document) -> impl Iterator<Item = (&RawTunnel, bool)> {
    let of_profiles = document.profiles.iter().flat_map(|profile| {
        let always = profile.listen != ListenWhen::Connected;
        profile
            .tunnels
            .iter()
            .filter(|tunnel| tunnel.listens == ListenSide::OwnHost)
            .map(move |tunnel| (tunnel, always))
    });
    of_profiles.chain(document.static_tunnels.iter().map(|it| (it, true)))
}

/// The tunnels of a profile that listen on its server. They are open while the profile is connected, all at once.
fn remote_tunnels(profile: &RawProfile) -> impl Iterator<Item = (&RawTunnel, bool)> {
    let tunnels = profile.tunnels.iter();
    let remote = tunnels.filter(|tunnel| tunnel.listens == ListenSide::SshServer);
    remote.map(|tunnel| (tunnel, true))
}

fn report(old: &Listener, new: &Listener, port: u16, findings: &mut Findings) {
    let help = "give one of them another port or address";
    if old.always && new.always {
        findings
            .error(
                new.span,
                format!("two tunnels listen on port {port} of the same address"),
            )
            .related(old.span, "the other one")
            .help(help);
    } else {
        findings
            .warning(
                new.span,
                format!("two tunnels may listen on port {port} at the same time"),
            )
            .related(old.span, "the other one")
            .help(help);
    }
}
