//! Several files made one: later ones override, key stores, profiles and static tunnels add up.

use std::collections::BTreeSet;

use crate::config::KeyStores;
use crate::findings::Located;
use crate::raw::{DeprecatedPolicy, Document, RawGeneral, RawSettings, RawTunnel};

/// What both files say together, where `later` has the last word.
pub(crate) fn merge(earlier: Document, later: Document) -> Document {
    let mut profiles = earlier.profiles;
    let ids = texts(later.profiles.iter().map(|profile| &profile.id));
    let names = texts(later.profiles.iter().map(|profile| &profile.name));
    profiles.retain(|old| !is_among(&old.id, &ids) && !is_among(&old.name, &names));
    profiles.extend(later.profiles);
    let mut static_tunnels = earlier.static_tunnels;
    static_tunnels.retain(|old| {
        !later
            .static_tunnels
            .iter()
            .any(|new| listens_alike(&old.tunnel, &new.tunnel))
    });
    static_tunnels.extend(later.static_tunnels);
    Document {
        general: merge_general(earlier.general, later.general),
        defaults: later.defaults.or(earlier.defaults),
        profiles,
        static_tunnels,
        logging: later.logging.or(earlier.logging),
    }
}

fn texts<'a>(located: impl Iterator<Item = &'a Option<Located<String>>>) -> BTreeSet<String> {
    located.flatten().map(|text| text.value.clone()).collect()
}

fn is_among(text: &Option<Located<String>>, texts: &BTreeSet<String>) -> bool {
    text.as_ref()
        .is_some_and(|text| texts.contains(&text.value))
}

/// Whether two static tunnels stand at one place, so that the later one replaces the earlier.
fn listens_alike(old: &RawTunnel, new: &RawTunnel) -> bool {
    let place = |tunnel: &RawTunnel| {
        let port = tunnel
            .listen_port
            .as_ref()
            .map(|port| port.value)
            .filter(|port| *port > 0)?;
        Some((
            tunnel.listen_address.as_ref().map(|address| address.value),
            port,
        ))
    };
    place(old).is_some() && place(old) == place(new)
}

fn merge_general(earlier: RawGeneral, later: RawGeneral) -> RawGeneral {
    RawGeneral {
        fips: later.fips.or(earlier.fips),
        key_stores: merge_key_stores(earlier.key_stores, later.key_stores),
        user_config_directory: later
            .user_config_directory
            .or(earlier.user_config_directory),
        file_access_control: later.file_access_control.or(earlier.file_access_control),
        known_hosts: later.known_hosts.or(earlier.known_hosts),
        policy: DeprecatedPolicy {
            strict: later.policy.strict.or(earlier.policy.strict),
            always_ask: later.policy.always_ask.or(earlier.policy.always_ask),
            accept_unknown: later
                .policy
                .accept_unknown
                .or(earlier.policy.accept_unknown),
        },
    }
}

fn merge_key_stores(mut earlier: KeyStores, later: KeyStores) -> KeyStores {
    earlier.user_keys.extend(later.user_keys);
    earlier.identification.extend(later.identification);
    earlier.providers.extend(later.providers);
    earlier
}

impl RawSettings {
    /// These settings, and where they are silent the others.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            user: self.user.or(other.user),
            ciphers: self.ciphers.or(other.ciphers),
            macs: self.macs.or(other.macs),
            kexs: self.kexs.or(other.kexs),
            host_keys: self.host_keys.or(other.host_keys),
            rekey_bytes: self.rekey_bytes.or(other.rekey_bytes),
            auth_methods: self.auth_methods.or(other.auth_methods),
            compression: self.compression.or(other.compression),
            proxy: self.proxy.or(other.proxy),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            keepalive_interval: self.keepalive_interval.or(other.keepalive_interval),
            exclusive: self.exclusive.or(other.exclusive),
            server_banners: self.server_banners.or(other.server_banners),
            host_key_policy: self.host_key_policy.or(other.host_key_policy),
            address_family: self.address_family.or(other.address_family),
            max_connections: self.max_connections.or(other.max_connections),
            max_dialing: self.max_dialing.or(other.max_dialing),
            stall_timeout: self.stall_timeout.or(other.stall_timeout),
        }
    }
}
