//! Profiles: their ids and names, their gateways, and the meaning of each.

use std::collections::BTreeMap;

use broker_settings::{AuthMethod, PasswordSource};

use super::Resolver;
use crate::config::Profile;
use crate::findings::{Findings, Located, Remedy};
use crate::raw::RawProfile;
use crate::suggest::{clip, did_you_mean};

/// Checks that involve several profiles.
pub(super) fn check(profiles: &[RawProfile], findings: &mut Findings) {
    check_ids(profiles, findings);
    check_names(profiles, findings);
    check_gateways(profiles, findings);
    check_depth(profiles, findings);
}

fn check_ids(profiles: &[RawProfile], findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for id in profiles.iter().filter_map(|profile| profile.id.as_ref()) {
        if let Some(first) = seen.insert(id.value.as_str(), id.span) {
            findings
                .error(
                    id.span,
                    format!("two profiles have the id `{}`", clip(&id.value)),
                )
                .related(first, "the other one")
                .help("give each profile its own id");
        }
    }
}

fn check_names(profiles: &[RawProfile], findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for name in profiles.iter().filter_map(|profile| profile.name.as_ref()) {
        if let Some(first) = seen.get(name.value.as_str()) {
            findings
                .warning(
                    name.span,
                    format!("two profiles are named `{}`", clip(&name.value)),
                )
                .related(*first, "the name means this one")
                .help("give each profile its own name, or use the ids")
                .remedy(Remedy::Remove);
        } else {
            seen.insert(name.value.as_str(), name.span);
        }
    }
}

/// Follows each profile's gateways, visiting each profile once, until they end or form a cycle.
fn check_gateways(profiles: &[RawProfile], findings: &mut Findings) {
    let ids: BTreeMap<&str, usize> = profiles
        .iter()
        .enumerate()
        .filter_map(|(index, profile)| Some((profile.id.as_ref()?.value.as_str(), index)))
        .collect();
    let mut visited_from = BTreeMap::new();
    for start in 0..profiles.len() {
        let mut current = start;
        while let Some(gateway) = profiles.get(current).and_then(|it| it.gateway.as_ref()) {
            if let Some(earlier) = visited_from.insert(current, start) {
                if earlier == start {
                    report_loop(gateway, findings);
                }
                break;
            }
            let Some(next) = ids.get(gateway.value.as_str()) else {
                report_unknown(gateway, "gateway-profile", ids.keys().copied(), findings);
                break;
            };
            current = *next;
            if profiles.get(current).is_some_and(|it| it.for_any_host) {
                findings
                    .error(gateway.span, "the gateway's profile has no host")
                    .help("write the gateway's name into the `host` of its profile");
            }
        }
    }
}

/// The most gateways in a row. Each is an SSH connection inside the one before it, and costs memory and a part of the
/// time for connecting. Real routes have one or two.
const MAX_GATEWAYS: usize = 16;

/// Reports each profile with one gateway too many. Profiles behind it have even more.
fn check_depth(profiles: &[RawProfile], findings: &mut Findings) {
    let by_id: BTreeMap<&str, &RawProfile> = profiles
        .iter()
        .filter_map(|profile| Some((profile.id.as_ref()?.value.as_str(), profile)))
        .collect();
    let gateway_of = |profile: &&RawProfile| {
        let gateway = profile.gateway.as_ref()?;
        by_id.get(gateway.value.as_str()).copied()
    };
    for profile in profiles {
        let hops = std::iter::successors(Some(profile), gateway_of)
            .skip(1)
            .take(MAX_GATEWAYS + 2)
            .count();
        let gateway = profile.gateway.as_ref();
        if let Some(gateway) = gateway.filter(|_| hops == MAX_GATEWAYS + 1) {
            findings
                .error(
                    gateway.span,
                    format!(
                        "more than {MAX_GATEWAYS} gateways in a row lead to this profile's server"
                    ),
                )
                .help("name a gateway that is closer to the server");
        }
    }
}

fn report_loop(gateway: &Located<String>, findings: &mut Findings) {
    findings
        .error(
            gateway.span,
            "this gateway is reached through the profile itself",
        )
        .help("remove `gateway-profile` from one profile of the cycle");
}

/// Reports a reference to a profile that does not exist.
pub(super) fn report_unknown<'a>(
    reference: &Located<String>,
    attribute: &str,
    ids: impl Iterator<Item = &'a str> + Clone,
    findings: &mut Findings,
) {
    let message = format!(
        "`{attribute}` names no profile: `{}`",
        clip(&reference.value)
    );
    let finding = findings.error(reference.span, message);
    if ids.clone().next().is_some() {
        finding.help(did_you_mean(&reference.value, ids.take(MAX_LISTED)));
    } else {
        finding.help("no profile has an id: give the profile an `id`");
    }
}

/// The most ids that a message lists, and the most that are compared with an unknown one.
const MAX_LISTED: usize = 20;

impl Resolver<'_> {
    /// The profile, unless a required part is missing.
    pub(super) fn profile(&mut self, raw: &RawProfile) -> Option<Profile> {
        self.check_startup(raw);
        self.check_shadowed_proxy(raw);
        let tunnels = raw.tunnels.iter();
        let tunnels = tunnels.filter_map(|it| self.tunnel(it)).collect();
        Some(Profile {
            id: raw.id.as_ref()?.value.clone(),
            name: raw.name.as_ref().map(|name| name.value.clone()),
            host: raw.host.clone()?,
            port: raw.port,
            user: self.user(raw.user.clone()),
            connect_on_startup: raw.connect_on_startup.as_ref().is_some_and(|it| it.value),
            gateway: raw.gateway.as_ref().map(|gateway| gateway.value.clone()),
            settings: raw.settings.clone(),
            host_keys: raw.host_keys.clone(),
            identities: raw.identities.clone(),
            password: raw.password.clone(),
            listen: raw.listen,
            tunnels,
            hooks: raw.hooks.clone(),
            position: self.position(raw.span),
        })
    }

    /// A connection made at the daemon's start has no person to ask.
    fn check_startup(&mut self, raw: &RawProfile) {
        let Some(startup) = raw.connect_on_startup.as_ref().filter(|it| it.value) else {
            return;
        };
        if raw.user.is_none() {
            self.findings
                .error(
                    startup.span,
                    "a profile that connects on startup needs a user",
                )
                .help("add `user=\"…\"` to the profile or to `<default-settings>`");
        }
        if !raw
            .settings
            .auth_methods
            .iter()
            .any(|method| asks_nobody(*method, raw.password.as_ref()))
        {
            self.findings
                .error(
                    startup.span,
                    "every authentication method of this profile needs a person",
                )
                .help("allow `<auth-publickey/>`, or give a `<password>`");
        }
    }

    fn check_shadowed_proxy(&mut self, raw: &RawProfile) {
        if let (Some(gateway), Some(proxy)) = (&raw.gateway, raw.proxy) {
            self.findings
                .warning(
                    gateway.span,
                    "the profile's `<proxy>` is ignored, since it has a gateway",
                )
                .help("remove one of the two")
                .remedy(Remedy::RemoveAt(proxy));
        }
    }
}

/// Whether the method can work without a person.
fn asks_nobody(method: AuthMethod, password: Option<&PasswordSource>) -> bool {
    match method {
        AuthMethod::PublicKey => true,
        // Servers use either method to ask for the password.
        AuthMethod::Password | AuthMethod::KeyboardInteractive => password.is_some(),
        // Not supported.
        AuthMethod::Gssapi | AuthMethod::HostBased => false,
    }
}
