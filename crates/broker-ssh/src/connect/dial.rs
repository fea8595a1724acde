//! Making one SSH connection: open a route to the server, exchange keys, verify, authenticate

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use russh::keys::PublicKey;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::either::Either;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::connection::Connection;
use super::error::OpenError;
use super::gateway::{ClosedOnDrop, GatewayStream};
use super::handler::{ConnectionHandler, HostKeyCheck, SshHandle};
use super::handshake;
use super::listeners::ForwardListeners;
use crate::auth::{AuthError, authenticate};
use crate::host_key::Trust;
use crate::net::workers;
use crate::prompt::DialPrompts;
use crate::route::{self, RouteStream, TimeLimit, Transport};
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;
use crate::state::observer::Passed;

/// Bound on authentication, not counting the time in which a person is asked. It exceeds the bound on connecting, since
/// servers delay authentication on purpose and resolve names during it.
const AUTH_TIMEOUT: Duration = Duration::from_secs(30);

/// The runtime for a new connection; this is the only place that chooses it. Control channels are many and quiet, so they
/// stay with their FTP sessions on the caller's runtime.
pub(crate) fn runtime(kind: ConnectionKind) -> Handle {
    match kind {
        ConnectionKind::Control => Handle::current(),
        ConnectionKind::Data => workers::next(),
    }
}

/// One connection attempt: the server, and the state that others see.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    pub(crate) spec: Arc<ConnectSpec>,
    pub(crate) state: Arc<ConnectionState>,
    pub(crate) prompts: Arc<DialPrompts>,
    /// Where the connection's tasks are spawned.
    pub(crate) tracker: TaskTracker,
}

impl Dial {
    /// Connects to the server and authenticates.
    pub(crate) async fn run(self) -> Result<Arc<Connection>, OpenError> {
        let trust = Arc::new(Trust::load(&self.spec).await?);
        let listeners = Arc::<ForwardListeners>::default();
        let check = HostKeyCheck::Verify(Arc::clone(&trust));
        let mut handle = self.connect(check, Arc::clone(&listeners)).await?;
        trust
            .confirm(self.spec.responder.as_deref(), &self.state, &self.prompts)
            .await?;
        if let Some(negotiated) = self.state.negotiated.get() {
            self.spec.tell(Passed::KeyExchange {
                negotiated: negotiated.clone(),
                known_at: trust.known_at().map(str::to_owned),
            });
        }
        let login = authenticate(&mut handle, &self.spec, &self.state, &self.prompts);
        let in_time = self.prompts.within(AUTH_TIMEOUT, login).await;
        let with = in_time.unwrap_or_else(|| {
            Err(AuthError::Late {
                server: self.spec.server(),
                after: AUTH_TIMEOUT,
            })
        })?;
        if let Some(with) = &with {
            self.state.note_login(with.clone());
        }
        let user = self.spec.user.clone();
        self.spec.tell(Passed::Login { user, with });
        Ok(Connection::new(
            self.state,
            listeners,
            handle,
            self.tracker,
            &self.spec.settings,
        ))
    }

    /// The same as part of another attempt, which could not name its type.
    fn boxed(self) -> BoxFuture<'static, Result<Arc<Connection>, OpenError>> {
        Box::pin(self.run())
    }

    /// Connects only to see the server's host key. The connection always ends afterwards.
    ///
    /// # Errors
    /// Why there is no session, which is always the case.
    pub(super) async fn look(&self, seen: Arc<OnceLock<PublicKey>>) -> Result<(), OpenError> {
        let connecting = self.connect(HostKeyCheck::Look(seen), Arc::default());
        connecting.await.map(drop)
    }

    /// Connects and exchanges keys.
    async fn connect(
        &self,
        check: HostKeyCheck,
        listeners: Arc<ForwardListeners>,
    ) -> Result<SshHandle, OpenError> {
        let config = handshake::config(&self.spec, &check.known_keys())?;
        let transport = self.transport().await?;
        let handler = ConnectionHandler::new(
            Arc::clone(&self.state),
            check,
            listeners,
            transport.peer,
            self.spec.settings.server_banners,
            self.tracker.token(),
        );
        let opened = Instant::now();
        let session = handshake::run(config, transport, handler, &self.state).await;
        self.tell_greeting(opened);
        session
    }

    /// Tells the observer about the server's version, if it has come.
    fn tell_greeting(&self, opened: Instant) {
        let wire = &self.state.wire;
        if let (Some(version), Some(at)) = (wire.identification.get(), wire.identified.get()) {
            self.spec.tell(Passed::Greeting {
                version: version.clone(),
                after: at.saturating_duration_since(opened),
            });
        }
    }

    /// Opens the byte stream for the connection. A gateway connection has its own timeouts.
    async fn transport(&self) -> Result<Transport<Either<RouteStream, GatewayStream>>, OpenError> {
        match &self.spec.gateway {
            Some(gateway) => Ok(self.through(gateway).await?.map(Either::Right)),
            None => {
                let direct = route::open(&self.spec, &self.state).await?;
                Ok(direct.map(Either::Left))
            }
        }
    }

    /// Connects to the gateway with its own timeouts, and through it to the server.
    ///
    /// # Errors
    /// What failed at the gateway, or what the gateway reports about the server.
    async fn through(
        &self,
        gateway: &Arc<ConnectSpec>,
    ) -> Result<Transport<GatewayStream>, OpenError> {
        let failed = |reason: OpenError| OpenError::Gateway {
            server: self.state.server.clone(),
            reason: Box::new(reason),
        };
        let connection = self.gateway_connection(gateway).await.map_err(failed)?;
        let limit = TimeLimit::starts_now(self.spec.settings.connect_timeout);
        let began = Instant::now();
        let opening = GatewayStream::open(connection, &self.spec, limit);
        let stream = opening.await.map_err(|error| failed(error.into()))?;
        Ok(Transport {
            stream,
            peer: None,
            round_trip: began.elapsed(),
            limit,
        })
    }

    async fn gateway_connection(
        &self,
        gateway: &Arc<ConnectSpec>,
    ) -> Result<ClosedOnDrop, OpenError> {
        let state = self.state.gateway(gateway.server());
        let dial = Self {
            spec: Arc::clone(gateway),
            state: Arc::clone(&state),
            ..self.clone()
        };
        // If the attempt ends for any reason, the gateway's session ends with it.
        let severed = state.severed.clone().drop_guard();
        // A separate task, since a gateway may itself have a gateway: nested attempts should not share one stack.
        let dialling = AbortOnDropHandle::new(self.tracker.spawn_on(dial.boxed(), &state.runtime));
        let dialled = self.state.severed.run_until_cancelled(dialling).await;
        let dialled = dialled.ok_or_else(|| OpenError::ShuttingDown {
            server: self.state.server.clone(),
        })?;
        let connection = dialled.unwrap_or(Err(OpenError::Internal))?;
        let own_route = state
            .route()
            .map_or(String::new(), |route| format!("{route}, "));
        let route = format!("{own_route}gateway {}", state.server);
        self.state.note_route(route);
        severed.disarm();
        Ok(ClosedOnDrop(connection))
    }
}
