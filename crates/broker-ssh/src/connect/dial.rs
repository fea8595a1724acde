//! Making one SSH connection: find a way to the server, exchange keys, verify, authenticate

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use russh::keys::PublicKey;
use tokio::runtime::Handle;
use tokio_util::either::Either;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::gateway::GatewayStream;
use super::handler::HostKeyCheck;
use super::listeners::Listeners;
use crate::auth::authenticate;
use crate::error::OpenError;
use crate::host_key::Trust;
use crate::net::quick_ack::QuickAck;
use crate::net::workers;
use crate::prompt::DialPrompts;
use crate::route::{self, Transport};
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
        let listeners = Arc::<Listeners>::default();
        let check = HostKeyCheck::Verify(Arc::clone(&trust));
        let mut handle = self.handshake(check, Arc::clone(&listeners)).await?;
        trust
            .confirm(self.spec.responder.as_deref(), &self.state, &self.prompts)
            .await?;
        let login = authenticate(&mut handle, &self.spec, &self.state, &self.prompts);
        let in_time = self.prompts.within(AUTH_TIMEOUT, login).await;
        in_time.unwrap_or_else(|| {
            Err(OpenError::Timeout {
                what: format!("authentication at {}", self.spec.server()),
                after: AUTH_TIMEOUT,
            })
        })?;
        Ok(Connection::new(self, listeners, handle))
    }

    /// The same as a part of another dial, which could not name its type.
    pub(super) fn boxed(self) -> BoxFuture<'static, Result<Arc<Connection>, OpenError>> {
        Box::pin(self.run())
    }

    /// Connects for a look at the server's key. Whatever comes of it, the connection ends there.
    ///
    /// # Errors
    /// Why there is no session, which is so in any case.
    pub(super) async fn look(&self, seen: Arc<OnceLock<PublicKey>>) -> Result<(), OpenError> {
        let handshake = self.handshake(HostKeyCheck::Look(seen), Arc::default());
        handshake.await.map(drop)
    }

    /// What carries the connection. A gateway is dialled for it, within a time of its own.
    pub(super) async fn transport(
        &self,
    ) -> Result<Transport<Either<QuickAck, GatewayStream>>, OpenError> {
        match &self.spec.gateway {
            Some(gateway) => Ok(self.through(gateway).await?.map(Either::Right)),
            None => {
                let direct = route::open(&self.spec, &self.state).await?;
                Ok(direct.map(Either::Left))
            }
        }
    }
}
