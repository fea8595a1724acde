//! Converts a configured profile into the specification for its SSH connections.

use std::path::Path;
use std::sync::Arc;

use broker_config::{Config, KeyStores, Profile};
use broker_ssh::{ConnectSpec, HostKeyRules, KeepFor, KeyPlace};

/// OpenSSH's known host keys for all users of the host.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// The directories of host keys from older programs: the user's, below the home directory, and that of the host.
const USER_HOST_KEYS: &str = ".ssh2/hostkeys";
const SYSTEM_HOST_KEYS: &str = "/etc/ssh2/hostkeys";

/// The list of keys from older programs, below the home directory.
const USUAL_KEY_LIST: &str = ".ssh2/identification";

/// The broker's own known_hosts file below the home directory: the only such file that it writes.
const OWN_KNOWN_HOSTS: &str = ".ssh2/known_hosts";

/// Why this version cannot use a profile. The broker must not connect it in another way than it says.
pub(crate) fn unsupported(profile: &Profile) -> Option<String> {
    let mut methods = profile.settings.auth_methods.iter();
    let none = !methods.any(|method| method.is_supported());
    none.then(|| {
        "the profile allows only authentication methods that are not supported; allow publickey, password or \
         keyboard-interactive"
            .to_owned()
    })
}

/// The specification for a profile's connections. `home` is the user's home directory, and `own_name` the user to log in
/// as if the profile names none.
pub(crate) fn connect_spec(
    config: &Config,
    profile: &Profile,
    home: &Path,
    own_name: &str,
) -> ConnectSpec {
    let user = profile.user.as_deref().unwrap_or(own_name);
    let mut spec = ConnectSpec::new(&profile.host, profile.port, user);
    // The configuration reader has refused loops of gateways.
    let gateway = profile.gateway.as_ref();
    let gateway = gateway.and_then(|id| config.profile_by_id(id));
    spec.gateway = gateway.map(|it| Arc::new(connect_spec(config, it, home, own_name)));
    spec.settings = profile.settings.clone();
    spec.host_key = host_key_rules(config, profile, home);
    spec.identities = profile.identities.clone();
    spec.key_places = key_places(&config.key_stores, home);
    spec.password = profile.password.clone();
    spec
}

fn host_key_rules(config: &Config, profile: &Profile, home: &Path) -> HostKeyRules {
    let known = &config.known_hosts;
    let known_hosts = if known.are_the_usual() {
        vec![
            home.join(".ssh/known_hosts"),
            SYSTEM_KNOWN_HOSTS.into(),
            home.join(USER_HOST_KEYS),
            SYSTEM_HOST_KEYS.into(),
        ]
    } else {
        known.files.clone().unwrap_or_default()
    };
    HostKeyRules {
        pinned: profile.host_keys.clone(),
        known_hosts,
        known_hosts_directories: known.directories.clone(),
        store: Some(home.join(OWN_KNOWN_HOSTS)),
        hash_names: known.hash_names,
    }
}

/// The directories and lists of the key stores; if there are none, the usual files.
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
    let files = stores.key_files.iter().cloned().map(KeyPlace::File);
    let places: Vec<_> = directories.chain(files).chain(lists).collect();
    if places.is_empty() {
        vec![KeyPlace::Usual]
    } else {
        places
    }
}

/// How long to keep what a person typed: the shortest of the times in the key stores.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        stores.key_files = vec!["/one".into()];
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
        let expected = [
            KeyPlace::Directory("/keys".into()),
            KeyPlace::Usual,
            KeyPlace::File("/one".into()),
            list,
        ];
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
