//! A connection of the pool, and the right to use it

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::channel::Channel;
use crate::connect::dial::Session;
use crate::connect::keepalive;
use crate::connect::liveness::Liveness;
use crate::connect::requests::Requests;
use crate::error::{CutReason, OpenError};
use crate::forward::{RemoteForward, Wanted};
use crate::spec::{ConnectSpec, Target};
use crate::state::ConnectionState;
use crate::state::snapshot::ConnectionKind;

/// How long the server may take to open a channel; it connects to the target meanwhile.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Listeners of one connection whose ports clients were told; what comes in by each may hold 8 MiB.
const MAX_PROMISES: usize = 64;

/// How long an orderly goodbye may take before the connection is severed.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// An open connection. `Handle` cannot be cloned, but opening needs only a shared reference.
pub(crate) struct Connection {
    pub(super) state: Arc<ConnectionState>,
    session: Arc<Session>,
    requests: Requests,
    tracker: TaskTracker,
    stall_timeout: Duration,
}

impl Connection {
    pub(crate) fn new(
        state: Arc<ConnectionState>,
        session: Session,
        tracker: TaskTracker,
        spec: &ConnectSpec,
    ) -> Arc<Self> {
        let session = Arc::new(session);
        let requests = Requests::start(Arc::clone(&session), &state, &tracker);
        let connection = Self {
            state,
            session,
            requests,
            tracker,
            stall_timeout: spec.settings.pool.stall_timeout,
        };
        if let Some(interval) = spec.settings.keepalive_interval {
            let watching = keepalive::watch(connection.liveness(), interval);
            let runtime = &connection.state.runtime;
            connection.tracker.spawn_on(watching, runtime);
        }
        Arc::new(connection)
    }

    pub(crate) fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What its server is asked for a sign of life with.
    pub(crate) fn liveness(&self) -> Liveness {
        Liveness::new(
            Arc::clone(&self.state),
            Arc::clone(&self.session),
            self.requests.clone(),
            self.tracker.clone(),
        )
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Opens a channel to `target` (direct-tcpip, RFC 4254 section 7.2).
    pub(crate) async fn open(
        &self,
        target: &Target,
        from: (String, u32),
    ) -> Result<russh::Channel<Msg>, OpenError> {
        let (host, port) = (target.host.clone(), u32::from(target.port));
        let opened = tokio::select! {
            opened = self.session.channel_open_direct_tcpip(host, port, from.0, from.1) => opened,
            () = self.state.closed.cancelled() => Err(russh::Error::Disconnect),
        };
        let server = self.state.server.clone();
        match opened {
            Ok(channel) => Ok(channel),
            Err(russh::Error::ChannelOpenFailure(failure)) => Err(OpenError::ChannelRefused {
                server,
                reason: refusal(&failure),
                prohibited: matches!(
                    failure,
                    russh::ChannelOpenFailure::AdministrativelyProhibited
                ),
                target: target.clone(),
            }),
            Err(_) => Err(OpenError::Lost {
                server,
                reason: self.state.end(),
            }),
        }
    }

    /// Says goodbye, then severs whatever is left.
    pub(crate) async fn close(&self, reason: String) {
        self.state
            .set_end(CutReason::ConnectionClosed(reason.clone()));
        let goodbye = async {
            let _ = self
                .session
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

/// One use of a connection; dropping it returns the connection to the pool.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Arc<Connection>,
    kind: ConnectionKind,
}

impl Lease {
    /// For what a connection of this kind carries, whichever kind this one is.
    pub(super) fn new(connection: &Arc<Connection>, kind: ConnectionKind) -> Self {
        connection.state.add_lease();
        Self {
            connection: Arc::clone(connection),
            kind,
        }
    }

    /// What it is for. Where a person would have to be asked for a data connection, the control connection carries data.
    pub(crate) fn kind(&self) -> ConnectionKind {
        self.kind
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn state(&self) -> &Arc<ConnectionState> {
        &self.connection.state
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.connection.tracker
    }

    /// How long a channel may hold up those it shares the connection with.
    pub(crate) fn stall_timeout(&self) -> Duration {
        self.connection.stall_timeout
    }

    /// Opens a channel to `target` (direct-tcpip, RFC 4254 section 7.2). Where the caller does not wait for it, the place is
    /// returned when the opening has ended or its time is over.
    pub(super) async fn open(
        self,
        target: Target,
        originator: SocketAddr,
    ) -> Result<Channel, OpenError> {
        let (sender, receiver) = oneshot::channel();
        self.tracker().clone().spawn(async move {
            open_channel(self, target, originator, sender).await;
        });
        receiver.await.unwrap_or(Err(OpenError::Internal))
    }

    /// Makes the server listen.
    pub(super) async fn forward(self, wanted: Wanted) -> Result<RemoteForward, OpenError> {
        let late = OpenError::Timeout {
            what: format!("the request to listen on {wanted}"),
            after: OPEN_TIMEOUT,
        };
        let tracker = self.tracker().clone();
        detached(&tracker, late, RemoteForward::listen(wanted, self)).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.state.return_lease();
    }
}

/// A connection is kept open for a listener whose port somebody was told. It takes no place: nobody shares the connection
/// with it, since it carries nothing.
#[derive(Debug)]
pub(crate) struct Promise(Arc<Connection>);

impl Promise {
    /// # Errors
    /// `TooManyChannels` where the connection has as many listeners as it may.
    pub(crate) fn new(connection: &Arc<Connection>) -> Result<Self, OpenError> {
        let state = &connection.state;
        if state.promise_count() >= MAX_PROMISES {
            return Err(OpenError::TooManyChannels {
                server: state.server.clone(),
                limit: MAX_PROMISES,
            });
        }
        state.add_promise();
        Ok(Self(Arc::clone(connection)))
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }

    /// A place for the connection that has come.
    pub(crate) fn lease(&self) -> Lease {
        Lease::new(&self.0, ConnectionKind::Data)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.state.end_promise();
    }
}

/// Runs an opening in a task of its own, so that it is never abandoned. Where the caller has gone or its time is over, what
/// was opened late is dropped, and so closed.
async fn detached<T: Send + 'static>(
    tracker: &TaskTracker,
    late: OpenError,
    opening: impl Future<Output = Result<T, OpenError>> + Send + 'static,
) -> Result<T, OpenError> {
    let (sender, receiver) = oneshot::channel();
    tracker.spawn(async move {
        let _ = sender.send(opening.await);
    });
    match timeout(OPEN_TIMEOUT, receiver).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(_)) | Err(_) => Err(late),
    }
}

/// russh keeps half-open channels for ever, so an opening is never abandoned: what is confirmed late is closed.
async fn open_channel(
    lease: Lease,
    target: Target,
    originator: SocketAddr,
    opened: oneshot::Sender<Result<Channel, OpenError>>,
) {
    let connection = Arc::clone(&lease.connection);
    let from = (originator.ip().to_string(), u32::from(originator.port()));
    let mut opening = pin!(connection.open(&target, from));
    if let Ok(answer) = timeout(OPEN_TIMEOUT, &mut opening).await {
        let client = Some(originator.ip());
        let channel = answer
            .map(|channel| Channel::start(channel, target.to_string(), client, Arc::new(lease)));
        // Where the caller has gone, what was opened is dropped, and so closed.
        let _ = opened.send(channel);
        return;
    }
    connection.state.count_unanswered();
    drop(lease);
    let _ = opened.send(Err(OpenError::Timeout {
        what: format!("opening a channel to {target}"),
        after: OPEN_TIMEOUT,
    }));
    if let Ok(channel) = opening.await {
        let _ = channel.close().await;
    }
}

/// The server's reason and what to do about it (RFC 4254 section 5.1).
fn refusal(failure: &russh::ChannelOpenFailure) -> String {
    use russh::ChannelOpenFailure::{
        AdministrativelyProhibited, ConnectFailed, Other, ResourceShortage, UnknownChannelType,
    };
    match failure {
        AdministrativelyProhibited => {
            "administratively prohibited; set AllowTcpForwarding yes (and look at PermitOpen) in its sshd_config, and look \
             for restrict, no-port-forwarding and permitopen at the key in authorized_keys"
                .into()
        }
        ConnectFailed => "it could not connect; is the server running there and reachable from it?".into(),
        UnknownChannelType => "it does not support port forwarding".into(),
        ResourceShortage => "it is short of resources; try again later".into(),
        Other { code, .. } => format!("its reason has the unknown code {code}"),
    }
}
