//! The supervisor: owns the profiles' connection pools and the tunnels, and answers requests.
//!
//! It is one task; everything that changes what exists goes through its queue.

mod host_keys;
mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_config::{Config, ListenWhen, Profile};
use broker_ipc::methods::{Done, OpenTunnelListener};
use broker_ipc::types::{TunnelListener, TunnelOrigin};
use broker_ipc::{ErrorCode, Method, ReplySender, Request, RpcError};
use broker_ssh::{ConnectSpec, Keyring, OpenError, Pool};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::connect_spec;
use crate::listeners::OpenTunnel;
use crate::own_host::Host;
use crate::profiles::Connections;
use crate::profiles::keep_connected;
use crate::prompts::PromptQueue;
use crate::registry::SessionRegistry;
use crate::shutdown::Shutdown;

/// Requests that may wait; each local client has one at a time.
const REQUESTS: usize = 64;
/// How often a listener that could not be bound is tried again, and what nobody uses is looked for.
const TIDY_UP: Duration = Duration::from_secs(15);

/// What the supervisor is asked for.
pub(crate) enum Asked {
    /// A client's request.
    Request(Request),
    /// To close a tunnel whose connection failed, and to drop the sender once that is done.
    CloseFailed(u64, oneshot::Sender<()>),
    /// The id of the profile that a target names.
    ProfileOf(String, oneshot::Sender<Result<String, RpcError>>),
}

/// Who runs the daemon, as far as connections need to know.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The home directory, where keys and known hosts are looked for.
    pub home: PathBuf,
    /// The user to log in as where neither profile nor request names one.
    pub user: String,
}

/// Everything the daemon keeps running.
pub struct Supervisor {
    pub(crate) config: Config,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) started: SystemTime,
    pub(crate) registry: Arc<SessionRegistry>,
    pub(crate) host: Arc<Host>,
    pub(crate) pools: BTreeMap<String, ProfilePool>,
    pub(crate) tunnels: BTreeMap<u64, OpenTunnel>,
    pub(crate) shutdown: Shutdown,
    identity: Identity,
    prompts: Arc<PromptQueue>,
    /// What persons typed, for all profiles.
    keyring: Arc<Keyring>,
    pub(crate) tracker: TaskTracker,
    stop: mpsc::Sender<Option<Duration>>,
    requests: mpsc::Receiver<Asked>,
    requests_sender: mpsc::Sender<Asked>,
    /// Profiles whose connection came or went.
    changes: mpsc::Receiver<String>,
    changes_sender: mpsc::Sender<String>,
}

/// A profile, configured or made up for a target that a request named, and its connections.
pub(crate) struct ProfilePool {
    pub(crate) profile: Profile,
    /// Whom to log in as.
    pub(crate) user: String,
    /// Made up for a target that a request named; no file configures it.
    pub(crate) adhoc: bool,
    pub(crate) connections: Arc<Connections>,
}

impl Supervisor {
    /// Prepares a supervisor of this configuration. `stop` is told when a request asks for the end,
    /// with the grace period it names.
    pub fn new(
        config: Config,
        files: Vec<PathBuf>,
        identity: Identity,
        tracker: TaskTracker,
        shutdown: Shutdown,
        stop: mpsc::Sender<Option<Duration>>,
    ) -> Self {
        let (requests_sender, requests) = mpsc::channel(REQUESTS);
        let (changes_sender, changes) = mpsc::channel(REQUESTS);
        let keyring = Arc::new(Keyring::new(connect_spec::keep_for(&config.key_stores)));
        Self {
            config,
            files,
            keyring,
            started: SystemTime::now(),
            registry: Arc::default(),
            host: Host::new(),
            pools: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            prompts: PromptQueue::new(shutdown.kill.clone()),
            shutdown,
            identity,
            tracker,
            stop,
            requests,
            requests_sender,
            changes,
            changes_sender,
        }
    }

    /// What answers the local socket's requests.
    pub fn api(&self) -> crate::api::Api {
        crate::api::Api::new(self.requests_sender.clone(), self.prompts.clone())
    }

    /// Opens what the configuration asks for.
    pub fn open_configured(&mut self) {
        for unsupported in &self.config.unsupported {
            warn!(at = %unsupported.position, "not supported yet: {}", unsupported.message);
        }
        for profile in self.config.profiles.clone() {
            for spec in profile.local_tunnels.clone() {
                self.open_from_file(&profile, spec, TunnelOrigin::File);
            }
            if profile.listen == ListenWhen::Connected {
                self.watch_connection(&profile);
            }
            if profile.connect_on_startup {
                self.connect_now(&profile);
            }
        }
        for tunnel in self.config.static_tunnels.clone() {
            if let Some(profile) = self.config.profile_by_id(&tunnel.profile).cloned() {
                self.open_from_file(&profile, tunnel.tunnel, TunnelOrigin::Static);
            }
        }
    }

    /// Answers requests until the daemon drains.
    pub async fn run(mut self) {
        self.wipe_secrets_in_time();
        let drain = self.shutdown.drain.clone();
        let mut retry = tokio::time::interval(TIDY_UP);
        loop {
            tokio::select! {
                Some(asked) = self.requests.recv() => self.handle(asked).await,
                Some(profile) = self.changes.recv() => self.follow_connection(&profile),
                _ = retry.tick() => {
                    self.retry_failed_listeners();
                    self.give_up_unused_pools();
                }
                () = drain.cancelled() => break,
            }
        }
        self.answer_while_draining().await;
    }

    fn wipe_secrets_in_time(&self) {
        let (keyring, kill) = (Arc::clone(&self.keyring), self.shutdown.kill.clone());
        let wipe = async move { kill.run_until_cancelled(keyring.wipe_in_time()).await };
        self.tracker.spawn(wipe);
    }

    /// Status can be asked for until the very end; new work is refused.
    async fn answer_while_draining(mut self) {
        let kill = self.shutdown.kill.clone();
        for tunnel in self.tunnels.values_mut() {
            tunnel.wait("the broker is stopping");
        }
        loop {
            tokio::select! {
                Some(asked) = self.requests.recv() => self.handle(asked).await,
                () = kill.cancelled() => break,
            }
        }
    }

    async fn handle(&mut self, asked: Asked) {
        match asked {
            Asked::Request(request) => self.carry_out(request).await,
            Asked::CloseFailed(id, _closed) => drop(self.close_tunnel(id)),
            Asked::ProfileOf(target, answer) => {
                let profile = target::profile(&self.config, &target);
                let _ = answer.send(profile.map(|profile| profile.id));
            }
        }
    }

    async fn carry_out(&mut self, request: Request) {
        match request {
            Request::Status(_, reply) => reply.send(Ok(self.status())),
            Request::Stop(asked, reply) => reply.send(Ok(self.stop(asked.grace).await)),
            Request::Reload(_, reply) => reply.send(Err(RpcError::not_supported(
                "reload is not supported yet: stop the daemon and start it again",
            ))),
            Request::ListProfiles(_, reply) => reply.send(Ok(self.list_profiles())),
            Request::ListConnections(_, reply) => reply.send(Ok(self.list_connections())),
            Request::ConnectionStatus(asked, reply) => {
                reply.send(self.connection_status(asked.id));
            }
            Request::CloseConnection(asked, reply) => {
                reply.send(self.close_connection(asked.id).await);
            }
            Request::ListChannels(_, reply) => reply.send(Ok(self.list_channels())),
            Request::CloseChannel(asked, reply) => reply.send(self.close_channel(asked.id)),
            Request::ListTunnelListeners(_, reply) => reply.send(Ok(self.list_listeners())),
            Request::OpenTunnelListener(asked, reply) => match self.open_requested(&asked) {
                Ok((id, used)) => self.reply_when_connected(id, used, reply),
                Err(error) => reply.send(Err(error)),
            },
            Request::CloseTunnelListener(asked, reply) => reply.send(self.close_tunnel(asked.id)),
            Request::ProbeKey(asked, reply) => self.probe_key(&asked, reply),
            Request::TrustHost(asked, reply) => self.trust_host(asked, reply),
        }
    }

    /// Replies once `work` is done, which does not hold up anybody else.
    pub(crate) fn reply_later<M: Method + 'static>(
        &self,
        reply: ReplySender<M>,
        work: impl Future<Output = Result<M::Reply, RpcError>> + Send + 'static,
    ) {
        let kill = self.shutdown.kill.clone();
        self.tracker.spawn(async move {
            if let Some(outcome) = kill.run_until_cancelled(work).await {
                reply.send(outcome);
            }
        });
    }

    fn list_listeners(&self) -> Vec<TunnelListener> {
        let tunnels = self.tunnels.values();
        tunnels.map(|open| self.listener_view(open)).collect()
    }

    async fn stop(&self, grace: Option<u64>) -> Done {
        let _ = self.stop.send(grace.map(Duration::from_secs)).await;
        Done {}
    }

    async fn close_connection(&self, id: u64) -> Result<Done, RpcError> {
        for owner in self.pools.values() {
            if owner.connections.close(id).await {
                return Ok(Done {});
            }
        }
        Err(RpcError::not_found(format!(
            "there is no connection {id}; see list-connections"
        )))
    }

    fn close_channel(&self, id: u64) -> Result<Done, RpcError> {
        if self.registry.close_channel(id) {
            return Ok(Done {});
        }
        Err(RpcError::not_found(format!(
            "there is no channel {id}; see list-channels"
        )))
    }

    fn close_tunnel(&mut self, id: u64) -> Result<Done, RpcError> {
        let tunnel = self.tunnels.remove(&id).ok_or_else(|| {
            RpcError::not_found(format!(
                "there is no tunnel listener {id}; see list-tunnel-listeners"
            ))
        })?;
        tunnel.stop_listening();
        info!(tunnel = id, "tunnel listener closed");
        Ok(Done {})
    }

    fn open_requested(
        &mut self,
        asked: &OpenTunnelListener,
    ) -> Result<(u64, Arc<Connections>), RpcError> {
        if self.shutdown.drain.is_cancelled() {
            let message = "the broker is stopping and opens no more tunnels";
            return Err(RpcError::new(ErrorCode::ShuttingDown, message));
        }
        let spec = target::tunnel_spec(asked)?;
        let profile = target::profile(&self.config, &asked.target)?;
        let id = self.open_asked(&profile, spec)?;
        Ok((id, self.connections(&profile)))
    }

    fn opened(&self, id: u64) -> Result<TunnelListener, RpcError> {
        let open = self.tunnels.get(&id);
        open.map(|open| self.listener_view(open))
            .ok_or_else(|| RpcError::internal("the tunnel was closed while it was opened"))
    }

    /// A person waits for this tunnel: connecting now tells them at once of a wrong name or key. The
    /// listener of a tunnel that can't work is closed again.
    fn reply_when_connected(
        &self,
        id: u64,
        used: Arc<Connections>,
        reply: ReplySender<OpenTunnelListener>,
    ) {
        let opened = self.opened(id);
        let requests = self.requests_sender.clone();
        self.reply_later(reply, async move {
            let Err(error) = used.shared().connect().await else {
                return opened;
            };
            let (closing, closed) = oneshot::channel();
            if requests.send(Asked::CloseFailed(id, closing)).await.is_ok() {
                let _ = closed.await;
            }
            Err(connect_failed(&error))
        });
    }

    pub(crate) fn connections(&mut self, profile: &Profile) -> Arc<Connections> {
        if let Some(known) = self.pools.get(&profile.id) {
            return known.connections.clone();
        }
        self.make_room_for_pool();
        let spec = self.connect_spec(profile);
        let user = spec.user.clone();
        let pool = Pool::new(spec, self.tracker.clone(), self.shutdown.kill.clone());
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

    /// Tells the supervisor whenever the profile's control connection came or went.
    fn watch_connection(&mut self, profile: &Profile) {
        let mut pool = self.connections(profile).shared().clone();
        let changes = self.changes_sender.clone();
        let kill = self.shutdown.kill.clone();
        let id = profile.id.clone();
        let watching = async move {
            let mut was_connected = false;
            while pool.changed().await {
                let is_connected = pool.snapshot().is_connected();
                if is_connected != was_connected && changes.send(id.clone()).await.is_err() {
                    return;
                }
                was_connected = is_connected;
            }
        };
        self.tracker
            .spawn(async move { kill.run_until_cancelled(watching).await });
    }

    fn connect_now(&mut self, profile: &Profile) {
        if connect_spec::unsupported(profile).is_some() {
            return;
        }
        let pool = self.connections(profile).shared().clone();
        let id = profile.id.clone();
        if profile.listen == ListenWhen::Connected {
            let drain = self.shutdown.drain.clone();
            let keeping = async move { drain.run_until_cancelled(keep_connected(pool, &id)).await };
            self.tracker.spawn(keeping);
            return;
        }
        self.tracker.spawn(async move {
            if let Err(error) = pool.connect().await {
                warn!(profile = %id, "not connected at startup: {error}; the first client will try again");
            }
        });
    }
}

/// Why a command's target could not be connected to, with a code for programs.
pub(crate) fn connect_failed(error: &OpenError) -> RpcError {
    let code = if error.wants_person() {
        ErrorCode::Unanswered
    } else {
        ErrorCode::ConnectFailed
    };
    RpcError::new(code, error)
}
