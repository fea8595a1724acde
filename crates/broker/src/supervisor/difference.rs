//! What differs between what runs and a new configuration. It reads and changes nothing.
//!
//! A tunnel is known by where it listens: if another tunnel has that place in the new configuration, the listener stays, and
//! leads there for the next client. So tunnels can change places, and no client is refused.

use std::collections::BTreeMap;

use broker_config::{Config, ListenSide, Profile, TunnelKind};

use crate::listeners::{Configured, TunnelStep};
use crate::profiles::WayIn;

/// Everything that a reload has to do.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// The profiles of both configurations, by their ids.
    pub(super) profiles: BTreeMap<String, ProfileStep>,
    /// What becomes of each tunnel of the old configuration, and the new tunnels.
    pub(super) tunnels: Vec<TunnelStep>,
}

/// What becomes of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProfileStep {
    /// It is new.
    Add,
    /// It is gone, and no other profile has its way in. Its sessions end.
    Remove,
    /// Another profile has its way in: it has only a new id. Its sessions continue.
    Rename,
    /// Its way in has changed: it needs new connections.
    Reconnect,
    /// Something else has changed, such as its name.
    Change,
    /// It has not changed.
    Keep,
}

impl Difference {
    /// What to do if these tunnels of the old configuration are open. Those that a command has opened do not count.
    pub(super) fn between(old: &Config, new: &Config, open: &[(u64, Configured)]) -> Self {
        let profiles = profiles(old, new);
        let tunnels = tunnels(&profiles, new, open);
        Self { profiles, tunnels }
    }
}

fn profiles(old: &Config, new: &Config) -> BTreeMap<String, ProfileStep> {
    let ids = old.profiles.iter().chain(&new.profiles).map(|it| &it.id);
    ids.map(|id| (id.clone(), profile(id, old, new))).collect()
}

fn profile(id: &str, old: &Config, new: &Config) -> ProfileStep {
    let Some(before) = old.profile_by_id(id) else {
        return ProfileStep::Add;
    };
    let way_in = WayIn::of(old, before);
    let leads_there = |after: &Profile| WayIn::of(new, after) == way_in;
    match new.profile_by_id(id) {
        None if new.profiles.iter().any(leads_there) => ProfileStep::Rename,
        None => ProfileStep::Remove,
        Some(after) if !leads_there(after) => ProfileStep::Reconnect,
        Some(after) if without_tunnels(before) != without_tunnels(after) => ProfileStep::Change,
        Some(_) => ProfileStep::Keep,
    }
}

fn without_tunnels(profile: &Profile) -> Profile {
    Profile {
        tunnels: Vec::new(),
        ..profile.clone()
    }
}

fn tunnels(
    profiles: &BTreeMap<String, ProfileStep>,
    new: &Config,
    open: &[(u64, Configured)],
) -> Vec<TunnelStep> {
    let mut at = BTreeMap::<Place<'_>, Vec<&(u64, Configured)>>::new();
    for tunnel in open {
        at.entry(Place::of(&tunnel.1)).or_default().push(tunnel);
    }
    let wanted = Configured::all(new);
    let mut steps = Vec::new();
    let mut different = Vec::new();
    // First those that are there as they are, so that none of them is taken for another one.
    for tunnel in &wanted {
        match take(&mut at, tunnel, |open| open == tunnel) {
            Some(id) if profiles.get(&tunnel.profile) == Some(&ProfileStep::Reconnect) => {
                steps.push(TunnelStep::Change(id, tunnel.clone()));
            }
            Some(id) => steps.push(TunnelStep::Keep(id)),
            None => different.push(tunnel),
        }
    }
    for tunnel in different {
        steps.push(match take(&mut at, tunnel, |_| true) {
            Some(id) => TunnelStep::Change(id, tunnel.clone()),
            None => TunnelStep::Open(tunnel.clone()),
        });
    }
    let left = at.into_values().flatten();
    steps.extend(left.map(|(id, _)| TunnelStep::Close(*id)));
    steps
}

/// Takes the open tunnel at this place that fits.
fn take<'a>(
    at: &mut BTreeMap<Place<'a>, Vec<&'a (u64, Configured)>>,
    wanted: &'a Configured,
    fits: impl Fn(&Configured) -> bool,
) -> Option<u64> {
    let open = at.get_mut(&Place::of(wanted))?;
    let found = open.iter().position(|(_, open)| fits(open))?;
    Some(open.remove(found).0)
}

/// Where a tunnel listens.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    /// The profile whose SSH server listens; `None`: this host.
    server: Option<&'a str>,
    address: String,
    port: u16,
    /// What it carries, if the port does not tell it from others.
    carries: Option<(&'a str, &'a str, &'a str, u16)>,
}

impl<'a> Place<'a> {
    fn of(tunnel: &'a Configured) -> Self {
        let (profile, spec) = (tunnel.profile.as_str(), &tunnel.spec);
        Self {
            server: (spec.listens == ListenSide::SshServer).then_some(profile),
            address: spec.listen_address.to_string(),
            port: spec.listen_port,
            carries: (spec.listen_port == 0).then(|| {
                let kind = kind(&spec.kind);
                (profile, kind, spec.dst_host.as_str(), spec.dst_port)
            }),
        }
    }
}

fn kind(kind: &TunnelKind) -> &'static str {
    match kind {
        TunnelKind::Tcp => "tcp",
        TunnelKind::Ftp(_) => "ftp",
        TunnelKind::Socks(_) => "socks",
    }
}

#[cfg(test)]
mod tests {
    use broker_config::{ListenAddress, ListenWhen, TunnelSpec};

    use super::ProfileStep::{Add, Change, Keep, Reconnect, Remove, Rename};
    use super::*;

    fn tunnel(port: u16, to: &str) -> TunnelSpec {
        let attributes = [
            ("type", "ftp"),
            ("listen-port", &*port.to_string()),
            ("dst-host", to),
            ("dst-port", "21"),
        ];
        let read = broker_config::requested_tunnel(ListenSide::OwnHost, &attributes);
        read.unwrap().0
    }

    fn profile(id: &str, tunnels: Vec<TunnelSpec>) -> Profile {
        let host = format!("{id}.example");
        let mut profile = Config::default().adhoc(Some("me"), &host, None);
        profile.id = id.into();
        profile.tunnels = tunnels;
        profile
    }

    fn config(profiles: Vec<Profile>) -> Config {
        Config {
            profiles,
            ..Config::default()
        }
    }

    /// Two profiles, of which the first has two tunnels and the second one.
    fn usual() -> Config {
        config(vec![
            profile("a", vec![tunnel(1, "a1"), tunnel(2, "a2")]),
            profile("b", vec![tunnel(3, "b3")]),
        ])
    }

    /// The tunnels of the usual configuration have the numbers 1, 2 and 3.
    fn difference(new: &Config) -> Difference {
        between(&usual(), new)
    }

    fn between(old: &Config, new: &Config) -> Difference {
        let open: Vec<_> = (1..).zip(Configured::all(old)).collect();
        Difference::between(old, new, &open)
    }

    /// What becomes of a profile, and of the tunnels: `=` kept, `~` changed, `+` opened at this port, `-` closed.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Config), profiles: &[(&str, ProfileStep)], tunnels: &str) {
        let mut new = usual();
        change(&mut new);
        let found = difference(&new);
        for (id, step) in profiles {
            assert_eq!(found.profiles.get(*id), Some(step), "{id}");
        }
        assert_eq!(shown(&found), tunnels);
    }

    fn shown(difference: &Difference) -> String {
        let steps = difference.tunnels.iter().map(|step| match step {
            TunnelStep::Keep(id) => format!("={id}"),
            TunnelStep::Change(id, _) => format!("~{id}"),
            TunnelStep::Open(tunnel) => format!("+{}", tunnel.spec.listen_port),
            TunnelStep::Close(id) => format!("-{id}"),
        });
        steps.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_the_same_is_kept() {
        check(|_| {}, &[("a", Keep), ("b", Keep)], "=1 =2 =3");
        let moved = |it: &mut Config| it.profiles.reverse();
        check(moved, &[("a", Keep), ("b", Keep)], "=3 =1 =2");
    }

    #[test]
    fn an_option_changes_its_tunnel_alone() {
        let option = |it: &mut Config| it.profiles[0].tunnels[1].max_sessions = 7;
        check(option, &[("a", Keep)], "=1 =3 ~2");
        let kind = |it: &mut Config| it.profiles[0].tunnels[0].kind = TunnelKind::Tcp;
        check(kind, &[("a", Keep)], "=2 =3 ~1");
    }

    #[test]
    fn another_port_is_another_tunnel() {
        let port = |it: &mut Config| it.profiles[0].tunnels[0].listen_port = 9;
        check(port, &[("a", Keep)], "=2 =3 +9 -1");
        let address = |it: &mut Config| {
            it.profiles[0].tunnels[0].listen_address = ListenAddress::All;
        };
        check(address, &[("a", Keep)], "=2 =3 +1 -1");
    }

    #[test]
    fn tunnels_can_change_places() {
        let swap = |it: &mut Config| {
            it.profiles[0].tunnels[0].listen_port = 3;
            it.profiles[1].tunnels[0].listen_port = 1;
        };
        check(swap, &[("a", Keep), ("b", Keep)], "=2 ~3 ~1");
        let hand_on = |it: &mut Config| {
            it.profiles[0].tunnels[0].listen_port = 9;
            it.profiles[1].tunnels[0].listen_port = 1;
        };
        check(hand_on, &[], "=2 +9 ~1 -3");
    }

    #[test]
    fn a_new_way_in_concerns_all_tunnels_of_the_profile() {
        let host = |it: &mut Config| it.profiles[0].host = "other".into();
        check(host, &[("a", Reconnect), ("b", Keep)], "~1 ~2 =3");
        let name = |it: &mut Config| it.profiles[0].name = Some("other".into());
        check(name, &[("a", Change), ("b", Keep)], "=1 =2 =3");
        let when = |it: &mut Config| it.profiles[1].listen = ListenWhen::Connected;
        check(when, &[("a", Keep), ("b", Change)], "=1 =2 ~3");
    }

    #[test]
    fn a_profile_comes_and_goes_with_its_tunnels() {
        let gone = |it: &mut Config| drop(it.profiles.remove(0));
        check(gone, &[("a", Remove), ("b", Keep)], "=3 -1 -2");
        let new = |it: &mut Config| it.profiles.push(profile("c", vec![tunnel(4, "c")]));
        check(new, &[("a", Keep), ("c", Add)], "=1 =2 =3 +4");
    }

    #[test]
    fn a_profile_with_a_new_id_keeps_its_listeners() {
        let renamed = |it: &mut Config| it.profiles[1].id = "c".into();
        check(renamed, &[("b", Rename), ("c", Add)], "=1 =2 ~3");
    }

    #[test]
    fn free_ports_are_told_apart_by_what_they_carry() {
        let old = config(vec![profile(
            "a",
            vec![tunnel(0, "x"), tunnel(0, "x"), tunnel(0, "y")],
        )]);
        let mut new = old.clone();
        assert_eq!(shown(&between(&old, &new)), "=1 =2 =3");
        new.profiles[0].tunnels[0].max_sessions = 7;
        assert_eq!(shown(&between(&old, &new)), "=1 =3 ~2");
        new.profiles[0].tunnels.remove(1);
        assert_eq!(shown(&between(&old, &new)), "=3 ~1 -2");
    }

    #[test]
    fn a_remote_tunnel_belongs_to_its_server() {
        let mut old = usual();
        old.profiles[0].tunnels[0].listens = ListenSide::SshServer;
        let mut new = old.clone();
        let moved = new.profiles[0].tunnels.remove(0);
        new.profiles[1].tunnels.push(moved);
        assert_eq!(shown(&between(&old, &new)), "=2 =3 +1 -1");
    }
}
