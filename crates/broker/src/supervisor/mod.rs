//! The supervisor: passes each request to the owner of what it concerns.
//!
//! It is one task; every change goes through its queue. [`Listeners`] own the tunnels,
//! [`Profiles`] the pools, and the registry knows the sessions. A reload compares the configuration that [`Profiles`] have
//! with the new one, and makes both owners change what differs.

mod config_value;
mod difference;
mod host_keys;
mod opening;
mod profile_states;
mod reload;
mod requested;
pub(crate) mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_config::Config;
use broker_ipc::methods::{Done, HandOver, Method, OpenTunnelListener, Reload, SetLogLevel, Stop};
use broker_ipc::types::{DaemonStatus, Event, EventConfiguration, ReloadReport, TunnelListener};
use broker_ipc::{ReplySender, Request, RpcError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::warn;

use self::opening::Opening;
use self::profile_states::ProfileStates;
pub use self::reload::NewConfig;
use self::requested::RequestedTunnels;
use crate::events::Events;
use crate::hooks::Hooks;
use crate::listeners::{Configured, Listeners};
use crate::metrics::{self, Metrics, Reloads, Sources};
use crate::own_host::TunnelSockets;
use crate::profiles::{Identity, Profiles};
use crate::prompts::PromptQueue;
use crate::reasons::connect_failed;
use crate::registry::SessionRegistry;
use crate::shutdown::{Grace, Shutdown};
use crate::snapshots::{self, Overview};

/// Requests that may wait; further ones wait at their clients.
const REQUESTS: usize = 64;
/// How often to look for unused pools.
const TIDY_UP: Duration = Duration::from_secs(15);

/// A request to the supervisor.
pub(crate) enum SupervisorRequest {
    /// A client's request, and what is cancelled when that client has left.
    OfClient(Request, CancellationToken),
    /// The id of the profile that a target names.
    ProfileOf(String, oneshot::Sender<Result<String, RpcError>>),
    /// The same of a target that should have events.
    WatchedProfile(String, oneshot::Sender<Result<String, RpcError>>),
    /// A new configuration.
    Reload(
        Box<NewConfig>,
        oneshot::Sender<Result<ReloadReport, RpcError>>,
    ),
    /// How the daemon is.
    Overview(oneshot::Sender<Overview>),
    /// What is true now, as events with this number.
    State(u64, oneshot::Sender<Vec<Event>>),
    /// A tunnel; `None` if it is closed.
    Tunnel(u64, oneshot::Sender<Option<TunnelListener>>),
    /// The metrics.
    Metrics(oneshot::Sender<Metrics>),
    /// The tunnels of the configuration that do not listen.
    NotListening(oneshot::Sender<Vec<String>>),
    /// A reload has failed.
    ReloadFailed,
}

/// A request that concerns the process as a whole.
#[derive(Debug)]
pub enum ProcessRequest {
    /// End.
    Stop(Grace),
    /// Read the configuration again, or only say what that would change.
    Reload(Reload, ReplySender<Reload>),
    /// Send the sockets to another process.
    HandOver {
        /// The datagram socket to send them to.
        to: PathBuf,
        /// The tunnels that clients have opened.
        tunnels: Vec<OpenTunnelListener>,
        /// Where the reply goes.
        reply: ReplySender<HandOver>,
    },
    /// Log more or less, or say how much is logged.
    SetLogLevel(SetLogLevel, ReplySender<SetLogLevel>),
    /// End, since another process serves the sockets.
    Retire,
}

/// Everything the daemon keeps running.
pub struct Supervisor {
    configuration: Arc<EventConfiguration>,
    started: SystemTime,
    profiles: Profiles,
    profile_states: ProfileStates,
    listeners: Listeners,
    registry: Arc<SessionRegistry>,
    events: Events,
    hooks: Hooks,
    reloads: Reloads,
    prompts: Arc<PromptQueue>,
    shutdown: Shutdown,
    process: mpsc::Sender<ProcessRequest>,
    requested: RequestedTunnels,
    /// Held unless the daemon was started on demand and nobody has asked to keep it.
    kept: Option<TaskTrackerToken>,
    requests: mpsc::Receiver<SupervisorRequest>,
    requests_sender: mpsc::Sender<SupervisorRequest>,
    opening: FuturesUnordered<Opening>,
    /// When the sessions end of profiles that are gone.
    ending: BTreeMap<String, Instant>,
    /// Profiles whose connection opened or closed.
    changes: mpsc::Receiver<String>,
    changes_sender: mpsc::Sender<String>,
}

impl Supervisor {
    /// Prepares a supervisor for this configuration. Requests that concern the process as a whole go to `process`.
    pub fn new(
        config: Config,
        files: Vec<PathBuf>,
        identity: Identity,
        shutdown: Shutdown,
        process: mpsc::Sender<ProcessRequest>,
    ) -> Self {
        let (requests_sender, requests) = mpsc::channel(REQUESTS);
        let (changes_sender, changes) = mpsc::channel(REQUESTS);
        let registry = Arc::<SessionRegistry>::default();
        let events = Events::default();
        let hooks = Hooks::start(&config, &events, &shutdown);
        let prompts = PromptQueue::new(events.clone(), shutdown.kill.clone());
        let profiles = Profiles::new(
            config,
            identity,
            prompts.clone(),
            events.clone(),
            shutdown.clone(),
        );
        Self {
            configuration: Arc::new(EventConfiguration {
                generation: 1,
                files: names(&files),
                report: None,
            }),
            started: SystemTime::now(),
            profile_states: ProfileStates::new(profiles.changed(), events.clone()),
            profiles,
            listeners: Listeners::new(registry.clone(), events.clone(), shutdown.clone()),
            registry,
            events,
            hooks,
            reloads: Reloads::new(),
            prompts,
            shutdown,
            process,
            requested: RequestedTunnels::default(),
            kept: None,
            requests,
            requests_sender,
            opening: FuturesUnordered::new(),
            ending: BTreeMap::new(),
            changes,
            changes_sender,
        }
    }

    /// Where requests go.
    pub(crate) fn requests(&self) -> mpsc::Sender<SupervisorRequest> {
        self.requests_sender.clone()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The sessions.
    pub(crate) fn registry(&self) -> Arc<SessionRegistry> {
        self.registry.clone()
    }

    /// What ends the daemon.
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Where the prompts of all connections wait.
    pub(crate) fn prompts(&self) -> Arc<PromptQueue> {
        self.prompts.clone()
    }

    /// Keeps the daemon running also when nothing uses it.
    pub fn keep_running(&mut self) {
        self.kept = Some(self.shutdown.using());
    }

    /// The sockets of the tunnels.
    pub fn tunnel_sockets(&self) -> TunnelSockets {
        self.listeners.sockets()
    }

    /// Opens what the configuration asks for.
    pub fn open_configured(&mut self) {
        let config = self.profiles.config().clone();
        warn_of_unsupported(&config);
        for configured in Configured::all(&config) {
            if let Some(profile) = config.profile_by_id(&configured.profile) {
                let connections = self.profiles.connections(profile);
                self.listeners
                    .open_configured(configured, profile, connections);
            }
        }
        for profile in &config.profiles {
            self.profiles.start(profile, &self.changes_sender);
        }
    }

    /// Serves requests until the daemon ends. While it drains, status requests still work.
    pub async fn run(mut self) {
        self.profiles.wipe_secrets_in_time();
        let Shutdown { leave, kill, .. } = self.shutdown.clone();
        let mut tidy_up = tokio::time::interval(TIDY_UP);
        let mut leaving = false;
        loop {
            let next_try = self.listeners.next_try();
            tokio::select! {
                Some(request) = self.requests.recv() => self.carry_out(request).await,
                Some((id, opened, reply)) = self.opening.next() => {
                    reply.send(self.opened(id, opened).await);
                }
                Some(id) = self.requested.next_over() => self.close_bound(id).await,
                Some(profile) = self.changes.recv(), if !leaving => self.follow(&profile),
                _ = tidy_up.tick(), if !leaving => {
                    self.profiles.give_up_unused();
                }
                () = at(next_try), if !leaving => self.listeners.retry_failed(),
                () = at(self.ending.values().min().copied()) => self.end_sessions_in_time(),
                by = self.profile_states.change() => self.profile_states.publish_by(by),
                () = at(self.profile_states.due()) => {
                    self.profile_states.publish(&self.profiles, &self.listeners);
                }
                () = leave.cancelled(), if !leaving => {
                    leaving = true;
                    self.listeners.stop("the broker is stopping");
                }
                () = kill.cancelled() => return,
            }
        }
    }

    /// Follows the connection of a profile, which opened or closed.
    fn follow(&mut self, profile: &str) {
        let pool = self.profiles.pool(profile);
        let connected = pool.is_some_and(|pool| pool.snapshot().is_connected());
        self.listeners.follow_connection(profile, connected);
    }

    async fn carry_out(&mut self, request: SupervisorRequest) {
        match request {
            SupervisorRequest::OfClient(request, gone) => self.route(request, gone).await,
            SupervisorRequest::ProfileOf(target, id) => {
                let profile = target::profile(self.profiles.config(), &target);
                let _ = id.send(profile.map(|profile| profile.id));
            }
            SupervisorRequest::WatchedProfile(target, id) => {
                let _ = id.send(target::watched(&self.profiles, &target));
            }
            SupervisorRequest::Reload(asked, answer) => {
                let _ = answer.send(self.reload(*asked).await);
            }
            SupervisorRequest::Overview(overview) => {
                let _ = overview.send(self.overview());
            }
            SupervisorRequest::State(number, state) => {
                let _ = state.send(self.state(number));
            }
            SupervisorRequest::Tunnel(id, row) => {
                let _ = row.send(self.listener(id).ok());
            }
            SupervisorRequest::Metrics(metrics) => {
                let _ = metrics.send(self.metrics());
            }
            SupervisorRequest::NotListening(tunnels) => {
                let _ = tunnels.send(snapshots::not_listening(&self.listeners));
            }
            SupervisorRequest::ReloadFailed => self.reloads.failed(),
        }
    }

    /// What is true now, as events with this number.
    fn state(&self, number: u64) -> Vec<Event> {
        snapshots::state(&snapshots::State {
            configuration: &self.configuration,
            profiles: &self.profiles,
            listeners: &self.listeners,
            registry: &self.registry,
            prompts: &self.prompts,
            number,
        })
    }

    /// Passes a request to the owner of what it concerns.
    async fn route(&mut self, request: Request, gone: CancellationToken) {
        let (profiles, listeners, registry) = (&self.profiles, &self.listeners, &self.registry);
        match request {
            Request::Status(_, reply) => reply.send(Ok(self.status())),
            Request::Stop(asked, reply) => {
                let _ = self.process.send(ProcessRequest::Stop(grace(&asked))).await;
                reply.send(Ok(Done {}));
            }
            Request::SetLogLevel(asked, reply) => {
                // If the process is ending, the dropped reply says so.
                let asked = ProcessRequest::SetLogLevel(asked, reply);
                let _ = self.process.send(asked).await;
            }
            Request::HandOver(HandOver { to }, reply) => {
                let tunnels = self.requested_tunnels();
                let asked = ProcessRequest::HandOver {
                    to: to.into(),
                    tunnels,
                    reply,
                };
                // If the process is ending, the dropped reply says so.
                let _ = self.process.send(asked).await;
            }
            Request::Retire(_, reply) => {
                let _ = self.process.send(ProcessRequest::Retire).await;
                reply.send(Ok(Done {}));
            }
            Request::KeepRunning(_, reply) => {
                self.keep_running();
                reply.send(Ok(Done {}));
            }
            Request::Reload(asked, reply) => {
                let _ = self
                    .process
                    .send(ProcessRequest::Reload(asked, reply))
                    .await;
            }
            Request::Metrics(_, reply) => {
                self.reply_later(reply, metrics::page(self.metrics()));
            }
            Request::ConfigValue(asked, reply) => {
                reply.send(config_value::values(profiles.config(), &asked.path));
            }
            Request::ListProfiles(_, reply) => {
                reply.send(Ok(snapshots::profiles(profiles, listeners)));
            }
            Request::ListConnections(_, reply) => {
                reply.send(Ok(snapshots::connections(profiles)));
            }
            Request::ConnectionStatus(asked, reply) => {
                reply.send(snapshots::connection(asked.id, profiles, registry));
            }
            Request::CloseConnection(asked, reply) => {
                reply.send(profiles.close_connection(asked.id).await);
            }
            Request::ListChannels(_, reply) => reply.send(Ok(snapshots::channels(registry))),
            Request::CloseChannel(asked, reply) => reply.send(registry.close_channel(asked.id)),
            Request::ListTunnelListeners(_, reply) => {
                reply.send(Ok(snapshots::listeners(listeners, profiles, registry)));
            }
            Request::ListSessions(_, reply) => reply.send(Ok(snapshots::sessions(registry))),
            Request::ListTransfers(_, reply) => reply.send(Ok(snapshots::transfers(registry))),
            Request::OpenTunnelListener(asked, reply) => self.open(&asked, gone, reply),
            Request::CloseTunnelListener(asked, reply) => {
                reply.send(self.listeners.close(asked.id).await);
            }
            Request::Connect(asked, reply) => {
                let connected = self.connect(&asked.target);
                self.reply_later(reply, connected);
            }
            Request::ProbeKey(asked, reply) => {
                let keys = host_keys::probe(profiles, &asked, self.shutdown.tasks.clone());
                self.reply_later(reply, keys);
            }
            Request::TrustHost(asked, reply) => {
                let key = host_keys::trust(profiles, asked, self.shutdown.tasks.clone());
                self.reply_later(reply, key);
            }
        }
    }

    /// How the daemon is.
    pub fn overview(&self) -> Overview {
        let stopping = self.shutdown.drain.is_cancelled();
        snapshots::overview(&self.listeners, &self.registry, stopping)
    }

    fn metrics(&self) -> Metrics {
        metrics::gather(&Sources {
            listeners: &self.listeners,
            profiles: &self.profiles,
            registry: &self.registry,
            events: &self.events,
            hooks: self.hooks.totals(),
            prompts: &self.prompts,
            reloads: &self.reloads,
            started: self.started,
            stopping: self.shutdown.drain.is_cancelled(),
        })
    }

    fn status(&self) -> DaemonStatus {
        let traffic = self.registry.traffic();
        DaemonStatus {
            pid: std::process::id(),
            instance: broker_ipc::instance().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: crate::unix_time::unix(self.started),
            config: self.configuration.files.clone(),
            profiles: self.profiles.config().profiles.len() as u64,
            tunnels: self.listeners.tunnels().len() as u64,
            sessions: traffic.sessions_active,
            connections: snapshots::connections(&self.profiles).len() as u64,
            channels: snapshots::channels(&self.registry).len() as u64,
            transfers: traffic.transfers,
            bytes_up: traffic.bytes_up,
            bytes_down: traffic.bytes_down,
            stopping: self.shutdown.drain.is_cancelled(),
            on_demand: self.kept.is_none(),
            prompts: self.prompts.waiting() as u64,
            failures: self.registry.failures(),
        }
    }

    /// Connects to a target at once, also if an earlier failure still makes the daemon refuse clients.
    fn connect(
        &mut self,
        target: &str,
    ) -> impl Future<Output = Result<Done, RpcError>> + Send + use<> {
        let profile = target::profile(self.profiles.config(), target);
        let connections = profile.map(|profile| self.profiles.connections(&profile));
        async move {
            let connections = connections?;
            connections.shared().retry_now();
            let connected = connections.shared().connect().await;
            connected.map_err(|error| connect_failed(&error))?;
            Ok(Done {})
        }
    }

    /// Replies once `work` is done, without delaying other requests.
    fn reply_later<M: Method + 'static>(
        &self,
        reply: ReplySender<M>,
        work: impl Future<Output = Result<M::Reply, RpcError>> + Send + 'static,
    ) {
        self.shutdown
            .spawn_until_killed(async move { reply.send(work.await) });
    }
}

fn warn_of_unsupported(config: &Config) {
    for unsupported in &config.unsupported {
        warn!(at = %unsupported.position, "not supported yet: {}", unsupported.message);
    }
}

/// The names of files, for a person.
fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|it| it.display().to_string()).collect()
}

/// Waits for this moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn grace(asked: &Stop) -> Grace {
    match asked.grace {
        _ if asked.when_idle => Grace::Unlimited,
        Some(seconds) => Grace::Limited(Duration::from_secs(seconds)),
        None => Grace::Usual,
    }
}
