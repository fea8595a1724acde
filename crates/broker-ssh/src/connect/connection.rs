//! An open connection and the requests to its server

use std::sync::Arc;
use std::time::Duration;

use broker_settings::Settings;
use russh::client::Msg;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::channel_error::ChannelError;
use super::handler::SshHandle;
use super::keepalive;
use super::listeners::ForwardListeners;
use super::liveness::Liveness;
use super::low_latency;
use super::requests::Requests;
use crate::spec::Target;
use crate::state::ConnectionState;

/// How long an orderly close may take before the connection is severed.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// An open connection. `Handle` cannot be cloned, but opening needs only a shared reference.
pub(crate) struct Connection {
    pub(crate) state: Arc<ConnectionState>,
    pub(crate) listeners: Arc<ForwardListeners>,
    pub(crate) requests: Requests,
    /// Where its tasks are spawned.
    pub(crate) tracker: TaskTracker,
    /// How long a data channel may hold up those it shares the connection with.
    pub(crate) stall_timeout: Duration,
    handle: Arc<SshHandle>,
}

impl Connection {
    /// A connection whose user is logged in.
    pub(super) fn new(
        state: Arc<ConnectionState>,
        listeners: Arc<ForwardListeners>,
        handle: SshHandle,
        tracker: TaskTracker,
        settings: &Settings,
    ) -> Arc<Self> {
        state.mark_up();
        let handle = Arc::new(handle);
        let connection = Self {
            requests: Requests::start(Arc::clone(&handle), &state, &tracker),
            state,
            listeners,
            tracker,
            stall_timeout: settings.pool.stall_timeout,
            handle,
        };
        if let Some(interval) = settings.keepalive_interval {
            let watching = keepalive::watch(connection.liveness(), interval);
            let runtime = &connection.state.runtime;
            connection.tracker.spawn_on(watching, runtime);
        }
        if settings.low_latency && connection.state.delays_small_packets() {
            let handle = Arc::clone(&connection.handle);
            let requesting = low_latency::request(Arc::clone(&connection.state), handle);
            let runtime = &connection.state.runtime;
            connection.tracker.spawn_on(requesting, runtime);
        }
        Arc::new(connection)
    }

    /// Checks whether its server is alive.
    pub(crate) fn liveness(&self) -> Liveness {
        Liveness::new(
            Arc::clone(&self.state),
            Arc::clone(&self.handle),
            self.requests.clone(),
            self.tracker.clone(),
        )
    }

    /// Opens a channel to `target` (direct-tcpip, RFC 4254 section 7.2).
    pub(crate) async fn open_direct_tcpip(
        &self,
        target: &Target,
        from: (String, u32),
    ) -> Result<russh::Channel<Msg>, ChannelError> {
        let (host, port) = (target.host.clone(), u32::from(target.port));
        let refused = &self.state.refused_opens;
        let open = refused.opening(Some(target.to_string()));
        let opened = tokio::select! {
            opened = self.handle.channel_open_direct_tcpip(host, port, from.0, from.1) => opened,
            () = self.state.closed.cancelled() => Err(russh::Error::Disconnect),
        };
        let server = self.state.server.clone();
        match opened {
            Ok(channel) => Ok(channel),
            Err(russh::Error::ChannelOpenFailure(failure)) => Err(ChannelError::Refused {
                server,
                target: target.clone(),
                reason: failure.into(),
                said: self
                    .state
                    .closed
                    .run_until_cancelled(open.text())
                    .await
                    .flatten(),
            }),
            Err(_) => Err(ChannelError::Lost {
                server,
                reason: self.state.end(),
            }),
        }
    }

    /// Disconnects in order, then severs what is left.
    pub(crate) async fn close(&self, reason: String) {
        self.state.set_end(self.state.closed_by_us(reason.as_str()));
        let goodbye = async {
            let _ = self
                .handle
                .disconnect(russh::Disconnect::ByApplication, &reason, "")
                .await;
            self.state.closed.cancelled().await;
        };
        let _ = timeout(CLOSE_GRACE, goodbye).await;
        self.state.severed.cancel();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.state.id)
            .finish_non_exhaustive()
    }
}
