//! Making one SSH connection: find a way to the server, exchange keys, verify, authenticate

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
use crate::net::quick_ack::QuickAck;
use crate::net::workers;
use crate::prompt::DialPrompts;
use crate::route::{self, TimeLimit, Transport};
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// Bound on authentication, not counting the time in which a person is asked. It is longer than that on connecting, since
/// servers delay it on purpose and look names up meanwhile.
const AUTH_TIMEOUT: Duration = Duration::from_secs(30);

/// The runtime that a new connection runs on: one place to choose it. Control channels are many and quiet; they stay
/// with their FTP sessions, on the caller's own.
pub(crate) fn runtime(kind: ConnectionKind) -> Handle {
    match kind {
        ConnectionKind::Control => Handle::current(),
        ConnectionKind::Data => workers::next(),
    }
}

/// One dial: where to, and what others see of it.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    pub(crate) spec: Arc<ConnectSpec>,
    pub(crate) state: Arc<ConnectionState>,
    pub(crate) prompts: Arc<DialPrompts>,
    /// Where the connection's tasks are spawned.
    pub(crate) tracker: TaskTracker,
}

impl Dial {
    /// Dials the server and authenticates.
    pub(crate) async fn run(self) -> Result<Arc<Connection>, OpenError> {
        let trust = Arc::new(Trust::load(&self.spec).await?);
        let listeners = Arc::<ForwardListeners>::default();
        let check = HostKeyCheck::Verify(Arc::clone(&trust));
        let mut handle = self.connect(check, Arc::clone(&listeners)).await?;
        trust
            .confirm(self.spec.responder.as_deref(), &self.state, &self.prompts)
            .await?;
        let login = authenticate(&mut handle, &self.spec, &self.state, &self.prompts);
        let in_time = self.prompts.within(AUTH_TIMEOUT, login).await;
        in_time.unwrap_or_else(|| {
            Err(AuthError::Late {
                server: self.spec.server(),
                after: AUTH_TIMEOUT,
            })
        })?;
        Ok(Connection::new(
            self.state,
            listeners,
            handle,
            self.tracker,
            &self.spec.settings,
        ))
    }

    /// The same as a part of another dial, which could not name its type.
    fn boxed(self) -> BoxFuture<'static, Result<Arc<Connection>, OpenError>> {
        Box::pin(self.run())
    }

    /// Connects for a look at the server's key. Whatever comes of it, the connection ends there.
    ///
    /// # Errors
    /// Why there is no session, which is so in any case.
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
        handshake::run(config, transport, handler, &self.state).await
    }

    /// What carries the connection. A gateway is dialled for it, within a time of its own.
    async fn transport(&self) -> Result<Transport<Either<QuickAck, GatewayStream>>, OpenError> {
        match &self.spec.gateway {
            Some(gateway) => Ok(self.through(gateway).await?.map(Either::Right)),
            None => {
                let direct = route::open(&self.spec, &self.state).await?;
                Ok(direct.map(Either::Left))
            }
        }
    }

    /// Dials the gateway, within its own times, and has it connect to the server.
    ///
    /// # Errors
    /// What is wrong with the gateway, or what it says is wrong with the server.
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
        // Whatever ends the attempt ends the gateway's session with it.
        let severed = state.severed.clone().drop_guard();
        // A task of its own, since a gateway may have a gateway: their dials shall not all stand on one stack.
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
