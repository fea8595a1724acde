//! Profiles, and the pools of SSH connections that lead to their servers.

mod connect_spec;
mod connections;
mod reconnect;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use broker_config::{Config, ListenWhen, Profile};
use broker_ipc::methods::Done;
use broker_ipc::{ErrorCode, RpcError};
use broker_ssh::{ConnectSpec, Keyring, OpenError, Pool, PoolSnapshot};
use tokio::sync::mpsc;
use tracing::warn;

pub(crate) use connect_spec::unsupported;
pub(crate) use connections::Connections;

use self::reconnect::{keep_connected, tell_changes};
pub(crate) use self::reconnect::{retry_pause, while_connected};
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
    prompts: Arc<PromptQueue>,
    /// Secrets that people typed, for all profiles.
    keyring: Arc<Keyring>,
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
}

impl Profiles {
    pub(crate) fn new(
        config: Config,
        identity: Identity,
        prompts: Arc<PromptQueue>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            keyring: Arc::new(Keyring::new(connect_spec::keep_for(&config.key_stores))),
            config: Arc::new(config),
            identity,
            pools: BTreeMap::new(),
            prompts,
            shutdown,
        }
    }

    /// The current configuration.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The profiles in use.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &ProfilePool> {
        self.pools.values()
    }

    /// A profile in use.
    pub(crate) fn pool(&self, profile: &str) -> Option<&ProfilePool> {
        self.pools.get(profile)
    }

    /// The connections of a profile, which are created on first use.
    pub(crate) fn connections(&mut self, profile: &Profile) -> Arc<Connections> {
        if let Some(known) = self.pools.get(&profile.id) {
            return known.connections.clone();
        }
        self.make_room();
        let spec = self.connect_spec(profile);
        let user = spec.user.clone();
        let pool = Pool::new(
            spec,
            self.shutdown.tasks.clone(),
            self.shutdown.kill.clone(),
        );
        let connections = Arc::new(Connections::new(pool, profile.settings.exclusive));
        self.pools.insert(
            profile.id.clone(),
            ProfilePool {
                user,
                adhoc: self.config.profile_by_id(&profile.id).is_none(),
                profile: profile.clone(),
                connections: connections.clone(),
            },
        );
        connections
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
        spec
    }

    /// Connects a profile that should be connected from the start, and follows one that listens only while it is
    /// connected: `changes` receives its id whenever its control connection opens or closes.
    pub(crate) fn start(&mut self, profile: &Profile, changes: &mpsc::Sender<String>) {
        let follows = profile.listen == ListenWhen::Connected;
        let connects = profile.connect_on_startup && connect_spec::unsupported(profile).is_none();
        if !follows && !connects {
            return;
        }
        let pool = self.connections(profile).shared().clone();
        let id = profile.id.clone();
        if follows {
            let telling = tell_changes(pool.clone(), id.clone(), changes.clone());
            self.shutdown.spawn_until_killed(telling);
        }
        if follows && connects {
            let drain = self.shutdown.drain.clone();
            let keeping = async move { drain.run_until_cancelled(keep_connected(pool, &id)).await };
            self.shutdown.tasks.spawn(keeping);
        } else if connects {
            self.shutdown.tasks.spawn(async move {
                if let Err(error) = pool.connect().await {
                    warn!(profile = %id, "not connected at startup: {error}; the first client will try again");
                }
            });
        }
    }

    /// Closes one connection with its channels.
    ///
    /// # Errors
    /// There is none of that number.
    pub(crate) async fn close_connection(&self, id: u64) -> Result<Done, RpcError> {
        for pool in self.pools.values() {
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

    /// Gives up unused pools of targets whose server need not be left alone any longer.
    pub(crate) fn give_up_unused(&mut self) {
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
    pub(crate) fn trouble(&self) -> Option<String> {
        self.snapshot().trouble().map(|error| error.to_string())
    }

    /// Whether it is for a target that no tunnel, session or request uses, and has no open connection.
    fn is_unused(&self) -> bool {
        let is_used = Arc::strong_count(&self.connections) > 1;
        self.adhoc && !is_used && self.connections.list().is_empty()
    }
}

/// The reply to a request for a connection that does not exist.
pub(crate) fn no_connection(id: u64) -> RpcError {
    RpcError::not_found(format!("there is no connection {id}; see list-connections"))
}

/// Why the broker could not connect to a command's target, with a code for programs.
pub(crate) fn connect_failed(error: &OpenError) -> RpcError {
    let code = if error.wants_person() {
        ErrorCode::Unanswered
    } else {
        ErrorCode::ConnectFailed
    };
    RpcError::new(code, error)
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
        let prompts = PromptQueue::new(shutdown.kill.clone());
        Profiles::new(Config::default(), identity, prompts, shutdown)
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
