//! What decides how a profile's server is reached, checked and logged in to. While it stays the same, so do the SSH
//! connections.

use broker_config::{Config, KeyStores, KnownHosts, ListenWhen, Position, Profile};

/// A profile's way in. Two that are equal lead to the same server in the same way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WayIn {
    /// The profile without what does not matter for its connections.
    profile: Profile,
    gateway: Option<Box<WayIn>>,
    known_hosts: KnownHosts,
    key_stores: KeyStores,
}

impl WayIn {
    /// The way in of this profile, if the rest of the configuration is this one.
    pub(crate) fn of(config: &Config, profile: &Profile) -> Self {
        // The configuration reader has refused loops of gateways.
        let gateway = profile.gateway.as_ref();
        let gateway = gateway.and_then(|id| config.profile_by_id(id));
        Self {
            profile: bare(profile),
            gateway: gateway.map(|it| Box::new(Self::of(config, it))),
            known_hosts: config.known_hosts.clone(),
            key_stores: config.key_stores.clone(),
        }
    }
}

/// Names each field, so that whoever adds one decides whether connections depend on it.
fn bare(profile: &Profile) -> Profile {
    Profile {
        id: String::new(),
        name: None,
        host: profile.host.clone(),
        port: profile.port,
        user: profile.user.clone(),
        connect_on_startup: false,
        gateway: None,
        settings: profile.settings.clone(),
        host_keys: profile.host_keys.clone(),
        identities: profile.identities.clone(),
        password: profile.password.clone(),
        listen: ListenWhen::Startup,
        tunnels: Vec::new(),
        hooks: Vec::new(),
        position: Position::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        let mut gateway = config.adhoc(Some("me"), "gateway", None);
        gateway.id = "gateway".into();
        let mut work = config.adhoc(Some("me"), "server", None);
        work.id = "work".into();
        work.gateway = Some("gateway".into());
        config.profiles = vec![work, gateway];
        config
    }

    #[track_caller]
    fn check(same: bool, change: impl FnOnce(&mut Config)) {
        let (old, mut new) = (config(), config());
        change(&mut new);
        let [before, after] = [&old, &new].map(|it| WayIn::of(it, &it.profiles[0]));
        assert_eq!(before == after, same);
    }

    #[test]
    fn what_connections_depend_on_makes_another_way_in() {
        check(false, |it| it.profiles[0].host = "other".into());
        check(false, |it| it.profiles[0].port = 2222);
        check(false, |it| it.profiles[0].user = None);
        check(false, |it| it.profiles[0].gateway = None);
        check(false, |it| {
            it.profiles[0].identities = vec![broker_config::Identity::Hash("00".into())]
        });
        check(false, |it| {
            it.profiles[0].settings.pool.idle_timeout = Duration::from_secs(1)
        });
        check(false, |it| it.profiles[1].host = "other".into());
        check(false, |it| it.known_hosts.hash_names = true);
        check(false, |it| it.key_stores.key_files.push("/key".into()));
    }

    #[test]
    fn what_they_do_not_depend_on_makes_none() {
        check(true, |_| {});
        check(true, |it| it.profiles[0].id = "other".into());
        check(true, |it| it.profiles[0].name = Some("other".into()));
        check(true, |it| it.profiles[0].connect_on_startup = true);
        check(true, |it| it.profiles[0].listen = ListenWhen::Connected);
        check(true, |it| it.profiles[1].tunnels.clear());
    }
}
