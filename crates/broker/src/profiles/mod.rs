//! Profiles, and the pools of SSH connections that lead to their servers.

mod connect_spec;
mod connection_totals;
mod connections;
mod observer;
mod reconnect;
mod totals;
mod way_in;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use broker_config::{Config, ListenWhen, Profile};
use broker_ipc::RpcError;
use broker_ipc::methods::Done;
use broker_ssh::{ConnectSpec, Keyring, OpenError, Pool, PoolSnapshot};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

pub(crate) use connect_spec::unsupported;
pub(crate) use connection_totals::{ConnectionEnd, ConnectionTotals};
pub(crate) use connections::Connections;
pub(crate) use observer::ChangedProfiles;
pub(crate) use way_in::WayIn;

use self::observer::ConnectionEvents;
use self::reconnect::{keep_connected, tell_changes};
pub(crate) use self::reconnect::{retry_pause, while_connected};
use self::totals::ProfileTotals;
use crate::events::Events;
use crate::prompts::PromptQueue;
use crate::shutdown::Shutdown;

/// How many unused pools of targets without a profile are kept until the next check. Each remembers whether its server
/// was unreachable, which saves an attempt. A script may name a new target with each request.
const MAX_UNUSED: usize = 64;

/// Who runs the daemon, as far as connections need to know.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The home directory, with keys and known hosts.
    pub home: PathBuf,
    /// The user to log in as if neither profile nor request names one.
    pub user: String,
}

/// The configured servers, and the connections to those in use.
pub(crate) struct Profiles {
    config: Arc<Config>,
    identity: Identity,
    pools: BTreeMap<String, ProfilePool>,
    /// The pools of former ways in, each of which serves at least one session until the next check.
    former: Vec<ProfilePool>,
    prompts: Arc<PromptQueue>,
    /// Secrets that people typed, for all profiles.
    keyring: Arc<Keyring>,
    events: Events,
    changed: ChangedProfiles,
    totals: ProfileTotals,
    shutdown: Shutdown,
}

/// A profile and its connections. The profile is configured, or made up for a target of a request.
pub(crate) struct ProfilePool {
    pub(crate) profile: Profile,
    /// The user to log in as.
    pub(crate) user: String,
    /// Whether it was made up for a target of a request; no file configures it.
    pub(crate) adhoc: bool,
    pub(crate) connections: Arc<Connections>,
    way_in: WayIn,
    /// What it has been started for.
    started: Option<Started>,
}

/// The tasks that connect a pool and follow its connection. They end when this is dropped.
struct Started {
    follows: bool,
    connects: bool,
    _until: DropGuard,
}

impl Profiles {
    pub(crate) fn new(
        config: Config,
        identity: Identity,
        prompts: Arc<PromptQueue>,
        events: Events,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            keyring: Arc::new(Keyring::new(connect_spec::keep_for(&config.key_stores))),
            config: Arc::new(config),
            identity,
            pools: BTreeMap::new(),
            former: Vec::new(),
            prompts,
            events,
            changed: ChangedProfiles::default(),
            totals: ProfileTotals::default(),
            shutdown,
        }
    }

    /// The profiles whose connections can have changed.
    pub(crate) fn changed(&self) -> ChangedProfiles {
        self.changed.clone()
    }

    /// The current configuration.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The ids of all profiles: those of the configuration, and the targets that requests named.
    pub(crate) fn ids(&self) -> Vec<String> {
        let configured = self.config.profiles.iter().map(|it| &it.id);
        let adhoc = self.pools.iter().filter(|(_, pool)| pool.adhoc);
        let ids = configured.chain(adhoc.map(|(id, _)| id));
        ids.cloned().collect()
    }

    /// The profiles in use, also those of sessions that began before their profile changed.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &ProfilePool> {
        self.pools.values().chain(&self.former)
    }

    /// A profile in use.
    pub(crate) fn pool(&self, profile: &str) -> Option<&ProfilePool> {
        self.pools.get(profile)
    }

    /// The connections of a profile, which are created on first use, and anew when its way in has changed. Sessions keep
    /// those that they have.
    pub(crate) fn connections(&mut self, profile: &Profile) -> Arc<Connections> {
        let way_in = WayIn::of(&self.config, profile);
        let known = self.pools.get(&profile.id);
        if let Some(known) = known.filter(|it| it.way_in == way_in) {
            return known.connections.clone();
        }
        self.make_room();
        let pool = match self.take_former(&profile.id, &way_in) {
            Some(former) => ProfilePool {
                profile: profile.clone(),
                ..former
            },
            None => self.new_pool(profile, way_in),
        };
        let connections = pool.connections.clone();
        if let Some(mut replaced) = self.pools.insert(profile.id.clone(), pool) {
            replaced.started = None;
            self.former.push(replaced);
        }
        connections
    }

    fn new_pool(&self, profile: &Profile, way_in: WayIn) -> ProfilePool {
        let spec = self.connect_spec(profile);
        let user = spec.user.clone();
        let Shutdown { tasks, kill, .. } = self.shutdown.clone();
        let pool = Pool::new(spec, tasks, kill);
        ProfilePool {
            user,
            adhoc: self.config.profile_by_id(&profile.id).is_none(),
            profile: profile.clone(),
            connections: Arc::new(Connections::new(pool, profile.settings.exclusive)),
            way_in,
            started: None,
        }
    }

    /// A pool of this way in that is still in use from before.
    fn take_former(&mut self, profile: &str, way_in: &WayIn) -> Option<ProfilePool> {
        let same = |it: &ProfilePool| it.profile.id == profile && it.way_in == *way_in;
        let found = self.former.iter().position(same)?;
        Some(self.former.swap_remove(found))
    }

    /// Uses this configuration from now on. Profiles with another way in get new connections, and those that are gone keep
    /// theirs until nobody uses them.
    pub(crate) fn adopt(&mut self, config: Config, changes: &mpsc::Sender<String>) {
        let config = Arc::new(config);
        self.config = config.clone();
        self.totals.adopt(&config);
        for (id, pool) in &mut self.pools {
            pool.adhoc = config.profile_by_id(id).is_none();
            if pool.adhoc {
                pool.started = None;
            }
        }
        for profile in &config.profiles {
            if self.pools.contains_key(&profile.id) {
                self.connections(profile);
            }
            if let Some(pool) = self.pools.get_mut(&profile.id) {
                pool.profile = profile.clone();
            }
            self.start(profile, changes);
        }
    }

    /// Whether this configuration keeps the secrets that people typed as long as the daemon does since its start.
    pub(crate) fn keeps_secrets_as(&self, config: &Config) -> bool {
        self.keyring.keeps_for() == connect_spec::keep_for(&config.key_stores)
    }

    /// The totals of the connections of the profile with this id. All targets without a profile share theirs.
    pub(crate) fn totals_of(&self, id: &str) -> Arc<ConnectionTotals> {
        self.totals.of(&self.config, id)
    }

    /// The specification for connections to a profile's server.
    pub(crate) fn connect_spec(&self, profile: &Profile) -> ConnectSpec {
        let Identity { home, user } = &self.identity;
        let mut spec = connect_spec::connect_spec(&self.config, profile, home, user);
        let responder = self.prompts.responder(&profile.id);
        spec.for_each_hop(&|hop| {
            hop.responder = Some(Arc::clone(&responder));
            hop.keyring = Arc::clone(&self.keyring);
        });
        spec.observer = Some(Arc::new(ConnectionEvents {
            events: self.events.clone(),
            profile: profile.id.clone(),
            changed: self.changed.clone(),
            totals: self.totals_of(&profile.id),
        }));
        spec
    }

    /// Connects a profile that should be connected from the start, and follows one that listens only while it is
    /// connected: `changes` receives its id whenever its control connection opens or closes.
    pub(crate) fn start(&mut self, profile: &Profile, changes: &mpsc::Sender<String>) {
        let follows = profile.listen == ListenWhen::Connected;
        let connects = profile.connect_on_startup && connect_spec::unsupported(profile).is_none();
        let needed = follows || connects;
        if needed {
            self.connections(profile);
        }
        let Some(pool) = self.pools.get_mut(&profile.id) else {
            return;
        };
        if let Some(it) = &pool.started
            && (it.follows, it.connects) == (follows, connects)
        {
            return;
        }
        pool.started = needed.then(|| {
            let pool = pool.connections.shared();
            start(
                pool,
                &profile.id,
                (follows, connects),
                changes,
                &self.shutdown,
            )
        });
    }

    /// Closes one connection with its channels.
    ///
    /// # Errors
    /// There is none of that number.
    pub(crate) async fn close_connection(&self, id: u64) -> Result<Done, RpcError> {
        for pool in self.pools() {
            if pool.connections.close(id).await {
                return Ok(Done {});
            }
        }
        Err(no_connection(id))
    }

    /// Wipes expired secrets until the daemon ends.
    pub(crate) fn wipe_secrets_in_time(&self) {
        let keyring = Arc::clone(&self.keyring);
        self.shutdown
            .spawn_until_killed(async move { keyring.wipe_in_time().await });
    }

    /// Gives up unused pools: those of former ways in, and those of targets whose server need not be left alone any longer.
    pub(crate) fn give_up_unused(&mut self) {
        self.former.retain(ProfilePool::is_used);
        self.pools
            .retain(|_, pool| !pool.is_unused() || pool.snapshot().retry_in.is_some());
    }

    /// Makes room for one more pool: if there are too many, gives up all unused ones.
    fn make_room(&mut self) {
        if self.pools().filter(|pool| pool.is_unused()).count() >= MAX_UNUSED {
            self.pools.retain(|_, pool| !pool.is_unused());
        }
    }
}

impl ProfilePool {
    /// The state of the shared pool.
    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        self.connections.shared().snapshot()
    }

    /// Why the server is not available.
    pub(crate) fn trouble(&self) -> Option<OpenError> {
        self.snapshot().trouble()
    }

    /// Whether it is for a target that no tunnel, session or request uses, and has no open connection.
    fn is_unused(&self) -> bool {
        self.adhoc && !self.is_used() && self.connections.list().is_empty()
    }

    /// Whether a tunnel, session or request uses it.
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.connections) > 1
    }
}

/// Follows the connection of a pool, and connects it.
fn start(
    pool: &Pool,
    id: &str,
    (follows, connects): (bool, bool),
    changes: &mpsc::Sender<String>,
    shutdown: &Shutdown,
) -> Started {
    let until = CancellationToken::new();
    let spawn = |task: BoxFuture<'static, ()>| {
        let until = until.clone();
        shutdown.spawn_until_killed(async move { until.run_until_cancelled(task).await });
    };
    if follows {
        spawn(tell_changes(pool.clone(), id.to_owned(), changes.clone()).boxed());
    }
    if connects {
        let (pool, id) = (pool.clone(), id.to_owned());
        let drain = shutdown.drain.clone();
        spawn(match follows {
            true => async move {
                drain.run_until_cancelled(keep_connected(pool, &id)).await;
            }
            .boxed(),
            false => connect_once(pool, id).boxed(),
        });
    }
    Started {
        follows,
        connects,
        _until: until.drop_guard(),
    }
}

async fn connect_once(pool: Pool, profile: String) {
    if let Err(error) = pool.connect().await {
        warn!(%profile, "not connected at startup: {error}; the first client will try again");
    }
}

/// The reply to a request for a connection that does not exist.
pub(crate) fn no_connection(id: u64) -> RpcError {
    RpcError::not_found(format!("there is no connection {id}; see list-connections"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles() -> Profiles {
        let identity = Identity {
            home: "/nonexistent".into(),
            user: "user".into(),
        };
        let shutdown = Shutdown::default();
        let prompts = PromptQueue::new(Events::default(), shutdown.kill.clone());
        Profiles::new(
            Config::default(),
            identity,
            prompts,
            Events::default(),
            shutdown,
        )
    }

    fn used(profiles: &mut Profiles, user: &str) -> Arc<Connections> {
        let profile = profiles.config.adhoc(Some(user), "host", None);
        profiles.connections(&profile)
    }

    #[tokio::test]
    async fn what_nobody_uses_is_given_up() {
        let mut profiles = profiles();
        let kept = used(&mut profiles, "kept");
        drop(used(&mut profiles, "left"));
        profiles.give_up_unused();
        let left: Vec<_> = profiles.pools.keys().map(String::as_str).collect();
        assert_eq!(left, ["kept@host#22"]);
        drop(kept);
        profiles.give_up_unused();
        assert!(profiles.pools.is_empty());
    }

    #[tokio::test]
    async fn however_many_targets_are_named_few_are_kept() {
        let mut profiles = profiles();
        let kept = used(&mut profiles, "kept");
        for number in 0..2000 {
            drop(used(&mut profiles, &format!("user{number}")));
            assert!(profiles.pools.len() <= MAX_UNUSED + 1);
        }
        assert!(profiles.pools.contains_key("kept@host#22"));
        drop(kept);
    }
}
