//! What the files mean: defaults applied, references followed, conflicts found.

mod listeners;
mod profiles;
mod tunnels;

use broker_settings::{Algorithms, HostKeyPolicy, PoolLimits, Settings};

use crate::config::Config;
use crate::environment::Environment;
use crate::findings::Findings;
use crate::raw::{DeprecatedPolicy, Document, RawSettings, RawTunnel};
use crate::source::Source;
use crate::tunnel::LocalTunnel;

/// What all files together mean. It is only good if there are no errors among the findings.
pub(crate) fn resolve(
    document: Document,
    env: &Environment,
    sources: &[Source],
    findings: &mut Findings,
) -> Config {
    let fallback = policy_of(document.general.policy);
    profiles::check(&document.profiles, findings);
    listeners::check(&document, findings);
    let mut resolver = Resolver {
        defaults: &document.defaults,
        fallback,
        env,
        sources,
        findings,
    };
    let default_user = resolver.user(document.defaults.clone());
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
        defaults: settings(document.defaults, fallback),
        default_user,
        known_hosts: document.general.known_hosts.unwrap_or_default(),
        key_stores: document.general.key_stores,
        file_access_control: document.general.file_access_control.unwrap_or(false),
        fips: document.general.fips.unwrap_or(false),
        user_config_directory: document.general.user_config_directory,
        logging: document.logging.unwrap_or_default(),
        unsupported: findings.unsupported_list(sources),
    }
}

/// What a single tunnel means.
pub(crate) fn resolve_tunnel(raw: &RawTunnel, findings: &mut Findings) -> Option<LocalTunnel> {
    let mut resolver = Resolver {
        defaults: &RawSettings::default(),
        fallback: policy_of(DeprecatedPolicy::default()),
        env: &Environment::default(),
        sources: &[],
        findings,
    };
    resolver.local_tunnel(raw)
}

/// What profiles and tunnels are resolved with.
struct Resolver<'a> {
    defaults: &'a RawSettings,
    /// The policy where none is given.
    fallback: HostKeyPolicy,
    env: &'a Environment,
    sources: &'a [Source],
    findings: &'a mut Findings,
}

impl Resolver<'_> {
    /// The user these settings mean: the one they name, else the program's own.
    fn user(&self, settings: RawSettings) -> Option<String> {
        let own = || Some(self.env.user.clone()).filter(|user| !user.is_empty());
        settings.user.map(|user| user.value).or_else(own)
    }
}

/// The settings with the built-in defaults where they are silent.
fn settings(raw: RawSettings, fallback: HostKeyPolicy) -> Settings {
    let usual = Settings::default();
    Settings {
        host_key_policy: raw.host_key_policy.unwrap_or(fallback),
        algorithms: Algorithms {
            ciphers: raw.ciphers.unwrap_or_default(),
            macs: raw.macs.unwrap_or_default(),
            kexs: raw.kexs.unwrap_or_default(),
            host_keys: raw.host_keys.unwrap_or_default(),
        },
        auth_methods: raw.auth_methods.unwrap_or(usual.auth_methods),
        rekey_bytes: raw
            .rekey_bytes
            .map_or(usual.rekey_bytes, |bytes| (bytes > 0).then_some(bytes)),
        compression: raw.compression.unwrap_or(usual.compression),
        proxy: raw.proxy.unwrap_or_default(),
        connect_timeout: raw.connect_timeout.unwrap_or(usual.connect_timeout),
        keepalive_interval: raw.keepalive_interval.unwrap_or(usual.keepalive_interval),
        exclusive: raw.exclusive.unwrap_or(usual.exclusive),
        address_family: raw.address_family.unwrap_or(usual.address_family),
        server_banners: raw.server_banners.unwrap_or(usual.server_banners),
        pool: PoolLimits {
            max_connections: raw.max_connections.unwrap_or(usual.pool.max_connections),
            max_dialing: raw.max_dialing.unwrap_or(usual.pool.max_dialing),
            idle_timeout: raw.idle_timeout.unwrap_or(usual.pool.idle_timeout),
            stall_timeout: raw.stall_timeout.unwrap_or(usual.pool.stall_timeout),
            ..usual.pool
        },
    }
}

/// The policy that the deprecated switches amount to.
fn policy_of(switches: DeprecatedPolicy) -> HostKeyPolicy {
    let on = |switch: Option<bool>| switch.unwrap_or(false);
    match (
        on(switches.strict),
        on(switches.accept_unknown),
        on(switches.always_ask),
    ) {
        (true, _, true) => HostKeyPolicy::Ask,
        (true, _, false) => HostKeyPolicy::Strict,
        (false, true, _) => HostKeyPolicy::Tofu,
        (false, false, _) => HostKeyPolicy::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deprecated_switches_make_a_policy() {
        use HostKeyPolicy::{Ask, Strict, Tofu};
        let policy = |strict, accept_unknown, always_ask| {
            let [strict, accept_unknown, always_ask] =
                [strict, accept_unknown, always_ask].map(|switch| (switch == 1).then_some(true));
            policy_of(DeprecatedPolicy {
                strict,
                always_ask,
                accept_unknown,
            })
        };
        assert_eq!(policy(1, 1, 1), Ask);
        assert_eq!(policy(1, 0, 1), Ask);
        assert_eq!(policy(1, 1, 0), Strict);
        assert_eq!(policy(1, 0, 0), Strict);
        assert_eq!(policy(0, 1, 0), Tofu);
        assert_eq!(policy(0, 1, 1), Tofu);
        assert_eq!(policy(0, 0, 1), Ask);
        assert_eq!(policy(0, 0, 0), Ask);
    }
}
