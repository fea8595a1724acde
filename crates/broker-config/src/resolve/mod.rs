//! Resolves the meaning of the files: applies defaults, follows references, reports conflicts.

mod listeners;
mod profiles;
mod socks;
mod tls;
mod tunnels;

use crate::config::Config;
use crate::environment::Environment;
use crate::findings::Findings;
use crate::raw::{Document, RawTunnel};
use crate::source::Source;
use crate::tunnel::TunnelSpec;
use crate::written::Written;

/// The meaning of all files together. It is valid only if the findings contain no errors.
pub(crate) fn resolve(
    document: Document,
    env: &Environment,
    sources: &[Source],
    findings: &mut Findings,
) -> Config {
    profiles::check(&document.profiles, findings);
    listeners::check(&document, findings);
    let mut resolver = Resolver {
        env,
        sources,
        findings,
    };
    let default_user = resolver.user(document.defaults.user);
    let profiles: Vec<_> = document
        .profiles
        .iter()
        .filter_map(|raw| resolver.profile(raw))
        .collect();
    let static_tunnels = document
        .static_tunnels
        .iter()
        .filter_map(|raw| resolver.static_tunnel(raw, &document.profiles))
        .collect();
    Config {
        profiles,
        static_tunnels,
        defaults: document.defaults.settings,
        default_user,
        default_password: document.defaults.password,
        known_hosts: document.general.known_hosts,
        key_stores: document.general.key_stores,
        file_access_control: document.general.file_access_control,
        fips: document.general.fips,
        user_config_directory: document.general.user_config_directory,
        logging: document.logging,
        hooks: document.general.hooks,
        unsupported: findings.unsupported_list(sources),
        written: Written::default(),
    }
}

/// The meaning of a single tunnel.
pub(crate) fn resolve_tunnel(raw: &RawTunnel, findings: &mut Findings) -> Option<TunnelSpec> {
    let mut resolver = Resolver {
        env: &Environment::default(),
        sources: &[],
        findings,
    };
    resolver.tunnel(raw)
}

/// The input for resolving profiles and tunnels.
struct Resolver<'a> {
    env: &'a Environment,
    sources: &'a [Source],
    findings: &'a mut Findings,
}

impl Resolver<'_> {
    /// The user in the configuration; if none, the user who runs the program.
    fn user(&self, named: Option<String>) -> Option<String> {
        let own = || Some(self.env.user.clone()).filter(|user| !user.is_empty());
        named.or_else(own)
    }
}
