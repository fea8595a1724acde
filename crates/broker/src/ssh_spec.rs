//! From a configured profile to what the SSH side needs to know of its server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_config::{self as config, Config, HostKeySource, KeyStores, Password, Profile};
use broker_ssh::{
    AddressFamily, Algorithms, AuthMethod, ConnectSpec, HostKeyPolicy, HostKeyRules, Identity,
    KeepFor, KeyPlace, PasswordSource, PinnedKey, PoolLimits,
};

use crate::way_spec;

/// What `tcp-connect-timeout time="0"` means: as long as the system itself would try.
const SYSTEM_CONNECT_TIMEOUT: Duration = Duration::from_secs(130);
/// Where OpenSSH keeps keys that hold for every user of the host.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// The list of keys that older programs write, below the home directory.
const USUAL_KEY_LIST: &str = ".ssh2/identification";

/// The broker's own known hosts below the home directory: the only such file that it writes.
const OWN_KNOWN_HOSTS: &str = ".ssh2/known_hosts";

/// What keeps a profile from being used by this version; the person who wrote it must not find it
/// connected in another way than it says.
pub(crate) fn unsupported(profile: &Profile) -> Option<String> {
    if profile
        .settings
        .auth_methods
        .iter()
        .all(|it| method(it).is_none())
    {
        return Some(
            "the profile allows only authentication methods that are not supported; allow publickey, password or \
             keyboard-interactive"
                .to_owned(),
        );
    }
    None
}

/// The specification of a profile's connections; `home` is the user's home directory and `own_name`
/// who is logged in where the profile names nobody.
pub(crate) fn connect_spec(
    config: &Config,
    profile: &Profile,
    home: &Path,
    own_name: &str,
) -> ConnectSpec {
    let settings = &profile.settings;
    let user = profile.user.as_deref().unwrap_or(own_name);
    let mut spec = ConnectSpec::new(&profile.host, profile.port, user);
    spec.proxy = way_spec::proxy_rules(&settings.proxy);
    // Loops of gateways were refused when the file was read.
    let gateway = profile.gateway.as_ref();
    let gateway = gateway.and_then(|id| config.profile_by_id(id));
    spec.gateway = gateway.map(|it| Arc::new(connect_spec(config, it, home, own_name)));
    spec.family = match settings.address_family {
        config::AddressFamily::Any => AddressFamily::Any,
        config::AddressFamily::Inet => AddressFamily::Inet,
        config::AddressFamily::Inet6 => AddressFamily::Inet6,
    };
    spec.connect_timeout = Some(settings.connect_timeout.unwrap_or(SYSTEM_CONNECT_TIMEOUT));
    spec.keepalive = settings.keepalive_interval;
    spec.algorithms = Algorithms {
        ciphers: settings.algorithms.ciphers.clone(),
        macs: settings.algorithms.macs.clone(),
        kexs: settings.algorithms.kexs.clone(),
        host_keys: settings.algorithms.host_keys.clone(),
    };
    spec.rekey_bytes = settings.rekey_bytes;
    spec.compression = settings.compression != config::Compression::None;
    spec.server_banners = settings.server_banners;
    spec.host_key = host_key_rules(config, profile, home);
    spec.methods = settings.auth_methods.iter().filter_map(method).collect();
    spec.identities = profile.identities.iter().map(identity).collect();
    spec.key_places = key_places(&config.key_stores, home);
    spec.password = profile.password.as_ref().map(password);
    spec.pool = PoolLimits {
        max_connections: settings.pool.max_connections,
        max_dialing: settings.pool.max_dialing,
        idle_timeout: settings.idle_timeout,
        stall_timeout: settings.pool.stall_timeout,
        ..PoolLimits::default()
    };
    spec
}

fn host_key_rules(config: &Config, profile: &Profile, home: &Path) -> HostKeyRules {
    let pinned = profile.host_keys.iter().map(|key| match key {
        HostKeySource::File(path) => PinnedKey::File(path.clone()),
        HostKeySource::Inline(text) => PinnedKey::Inline(text.clone()),
    });
    let known = &config.known_hosts;
    let known_hosts = if known.are_the_usual() {
        vec![home.join(".ssh/known_hosts"), SYSTEM_KNOWN_HOSTS.into()]
    } else {
        known.files.clone().unwrap_or_default()
    };
    HostKeyRules {
        policy: match profile.settings.host_key_policy {
            config::HostKeyPolicy::Ask => HostKeyPolicy::Ask,
            config::HostKeyPolicy::Strict => HostKeyPolicy::Strict,
            config::HostKeyPolicy::Tofu => HostKeyPolicy::Tofu,
            config::HostKeyPolicy::Advisory => HostKeyPolicy::Advisory,
        },
        pinned: pinned.collect(),
        known_hosts,
        known_hosts_directories: known.directories.clone(),
        store: Some(home.join(OWN_KNOWN_HOSTS)),
        hash_names: known.hash_names,
    }
}

fn method(method: &config::AuthMethod) -> Option<AuthMethod> {
    match method {
        config::AuthMethod::PublicKey => Some(AuthMethod::PublicKey),
        config::AuthMethod::Password => Some(AuthMethod::Password),
        config::AuthMethod::KeyboardInteractive => Some(AuthMethod::KeyboardInteractive),
        config::AuthMethod::Gssapi | config::AuthMethod::HostBased => None,
    }
}

fn identity(identity: &config::Identity) -> Identity {
    match identity {
        config::Identity::File(path) => Identity::File(path.clone()),
        config::Identity::Hash(hash) => Identity::Hash(hash.clone()),
    }
}

/// The directories and lists of the key stores; where there are none, the usual files.
fn key_places(stores: &KeyStores, home: &Path) -> Vec<KeyPlace> {
    let directories = stores.user_keys.iter().map(|keys| {
        let directory = keys.directory.clone();
        directory.map_or(KeyPlace::Usual, KeyPlace::Directory)
    });
    let lists = stores.identification.iter().map(|list| {
        let usual = || home.join(USUAL_KEY_LIST);
        let file = list.file.clone().unwrap_or_else(usual);
        let beside = || file.parent().unwrap_or(home).to_owned();
        let base = list.base_path.clone().unwrap_or_else(beside);
        KeyPlace::List { file, base }
    });
    let places: Vec<_> = directories.chain(lists).collect();
    if places.is_empty() {
        vec![KeyPlace::Usual]
    } else {
        places
    }
}

/// How long what a person typed is kept: of several times that the key stores name, the shortest.
pub(crate) fn keep_for(stores: &KeyStores) -> KeepFor {
    let keys = stores.user_keys.iter();
    let lists = stores.identification.iter();
    let since_typed = keys
        .clone()
        .filter_map(|it| it.passphrase_timeout)
        .chain(lists.clone().filter_map(|it| it.passphrase_timeout));
    let since_used = keys
        .filter_map(|it| it.passphrase_idle_timeout)
        .chain(lists.filter_map(|it| it.passphrase_idle_timeout));
    KeepFor {
        since_typed: since_typed.min(),
        since_used: since_used.min(),
    }
}

fn password(password: &Password) -> PasswordSource {
    match password {
        Password::String(text) => PasswordSource::Inline(text.clone()),
        Password::File(path) => PasswordSource::File(path.clone()),
        Password::Command(line) => PasswordSource::Command(line.clone()),
    }
}

#[cfg(test)]
mod tests {
    use broker_config::{Identification, UserKeys};

    use super::*;

    fn directory(directory: Option<&str>, typed: Option<u64>, used: Option<u64>) -> UserKeys {
        UserKeys {
            directory: directory.map(Into::into),
            passphrase_timeout: typed.map(Duration::from_secs),
            passphrase_idle_timeout: used.map(Duration::from_secs),
        }
    }

    #[test]
    fn key_stores_say_where_keys_are_and_else_the_usual_places_do() {
        let home = Path::new("/home/me");
        let mut stores = KeyStores::default();
        assert_eq!(key_places(&stores, home), [KeyPlace::Usual]);
        stores.user_keys = vec![
            directory(Some("/keys"), None, None),
            directory(None, None, None),
        ];
        stores.identification = vec![Identification {
            file: None,
            base_path: None,
            passphrase_timeout: None,
            passphrase_idle_timeout: None,
        }];
        let list = KeyPlace::List {
            file: "/home/me/.ssh2/identification".into(),
            base: "/home/me/.ssh2".into(),
        };
        let expected = [KeyPlace::Directory("/keys".into()), KeyPlace::Usual, list];
        assert_eq!(key_places(&stores, home), expected);
    }

    #[test]
    fn the_shortest_time_holds() {
        let mut stores = KeyStores::default();
        assert_eq!(keep_for(&stores), KeepFor::default());
        stores.user_keys = vec![
            directory(None, Some(600), None),
            directory(None, Some(300), Some(60)),
        ];
        let expected = KeepFor {
            since_typed: Some(Duration::from_secs(300)),
            since_used: Some(Duration::from_secs(60)),
        };
        assert_eq!(keep_for(&stores), expected);
    }
}
