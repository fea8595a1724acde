//! From a configured profile to what the SSH side needs to know of its server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_config::{self as config, Config, HostKeySource, Identity, Password, Profile, ProxyHop};
use broker_ssh::{
    AddressFamily, Algorithms, AuthMethod, ConnectSpec, HostKeyPolicy, HostKeyRules,
    PasswordSource, PinnedKey, PoolLimits,
};

/// What `tcp-connect-timeout time="0"` means: as long as the system itself would try.
const SYSTEM_CONNECT_TIMEOUT: Duration = Duration::from_secs(130);
/// Where OpenSSH keeps keys that hold for every user of the host.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// The broker's own known hosts below the home folder: the only such file it writes.
const OWN_KNOWN_HOSTS: &str = ".ssh2/known_hosts";

/// What keeps a profile from being used by this version; the person who wrote it must not find it
/// connected in another way than it says.
pub(crate) fn unsupported(profile: &Profile) -> Option<String> {
    if let Some(gateway) = &profile.gateway {
        return Some(format!(
            "the profile connects through gateway-profile {gateway}, which is not supported yet"
        ));
    }
    let proxied = |rule: &config::ProxyRule| !matches!(rule.hop, ProxyHop::Direct);
    if profile.settings.proxy.iter().any(proxied) {
        return Some("the profile connects through a proxy, which is not supported yet".to_owned());
    }
    let hashed = |identity: &Identity| matches!(identity, Identity::Hash(_));
    if !profile.identities.is_empty() && profile.identities.iter().all(hashed) {
        return Some(
            "the profile names its identity by hash, which is not supported yet; name its file"
                .to_owned(),
        );
    }
    None
}

/// The specification of a profile's connections; `home` is the user's home folder and `user` who is
/// logged in where the profile names nobody.
pub(crate) fn connect_spec(
    config: &Config,
    profile: &Profile,
    home: &Path,
    user: &str,
) -> ConnectSpec {
    let settings = &profile.settings;
    let user = profile.user.as_deref().unwrap_or(user);
    let mut spec = ConnectSpec::new(&profile.host, profile.port, user);
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
    spec.host_key = host_key_rules(config, profile, home);
    spec.methods = settings.auth_methods.iter().filter_map(method).collect();
    spec.identities = profile.identities.iter().filter_map(identity).collect();
    spec.password = profile.password.as_ref().map(password);
    spec.pool = PoolLimits {
        max_connections: settings.pool.max_connections,
        max_dialing: settings.pool.max_dialing,
        idle_timeout: settings.idle_timeout,
        stall_timeout: settings.pool.stall_timeout,
    };
    spec
}

fn host_key_rules(config: &Config, profile: &Profile, home: &Path) -> HostKeyRules {
    let pinned = profile.host_keys.iter().map(|key| match key {
        HostKeySource::File(path) => PinnedKey::File(path.clone()),
        HostKeySource::Inline(text) => PinnedKey::Inline(text.clone()),
    });
    let usual = || vec![home.join(".ssh/known_hosts"), SYSTEM_KNOWN_HOSTS.into()];
    HostKeyRules {
        policy: match profile.settings.host_key_policy {
            config::HostKeyPolicy::Ask => HostKeyPolicy::Ask,
            config::HostKeyPolicy::Strict => HostKeyPolicy::Strict,
            config::HostKeyPolicy::Tofu => HostKeyPolicy::Tofu,
            config::HostKeyPolicy::Advisory => HostKeyPolicy::Advisory,
        },
        pinned: pinned.collect(),
        known_hosts: config.known_hosts.files.clone().unwrap_or_else(usual),
        store: Some(home.join(OWN_KNOWN_HOSTS)),
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

fn identity(identity: &Identity) -> Option<PathBuf> {
    match identity {
        Identity::File(path) => Some(path.clone()),
        Identity::Hash(_) => None,
    }
}

fn password(password: &Password) -> PasswordSource {
    match password {
        Password::String(text) => PasswordSource::Inline(text.clone()),
        Password::File(path) => PasswordSource::File(path.clone()),
        Password::Command(line) => PasswordSource::Command(line.clone()),
    }
}
