//! Making the server listen, on a connection of the pool

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{ListenRequest, RemoteForward};
use crate::connect::{ChannelError, OpenError, silence};
use crate::pool::{Lease, Pool};
use crate::state::info::ConnectionKind;

/// How long a server may take for all the requested ports.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

impl Pool {
    /// Makes the server listen on `bind`, with a port of this range, or with a port of its choice if there is no range.
    /// The data connection stays open until the forward and its channels are gone.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn forward(
        &self,
        bind: &str,
        ports: Option<RangeInclusive<u16>>,
    ) -> Result<RemoteForward, OpenError> {
        let bind = bind.to_owned();
        let request = ListenRequest { bind, ports };
        listen(self, ConnectionKind::Data, request, RemoteForward::listen).await
    }
}

/// A server may have reached its limit of listeners per connection, or the connection may be lost. Then this uses another
/// one.
pub(super) async fn listen<Forward, Start>(
    pool: &Pool,
    kind: ConnectionKind,
    request: ListenRequest,
    start: impl Fn(ListenRequest, Lease) -> Start,
) -> Result<Forward, OpenError>
where
    Forward: Send + 'static,
    Start: Future<Output = Result<Forward, ChannelError>> + Send + 'static,
{
    let lease = pool.lease(kind).await?;
    let connection = Arc::clone(lease.connection());
    let (state, liveness) = (&connection.state, connection.liveness());
    let first = tokio::select! {
        first = answer(&connection.tracker, &request, start(request.clone(), lease)) => first,
        () = silence(&liveness), if state.kind == ConnectionKind::Data => {
            Err(pool.gone_silent(&liveness).await.into())
        }
    };
    let refused = first.as_ref().is_err_and(OpenError::is_forward_refused);
    let exhausted = refused
        && state.kind == ConnectionKind::Data
        // A single port may be in use instead.
        && request.has_choice()
        && connection.listeners.has_granted(&request.bind);
    if exhausted {
        state.retire();
    }
    if !exhausted && !first.as_ref().is_err_and(OpenError::is_lost) {
        return first;
    }
    let other = pool.lease(kind).await?;
    answer(
        &other.connection().tracker.clone(),
        &request,
        start(request.clone(), other),
    )
    .await
}

/// The same for a listener that may not be needed: only on a connection that no transfer will lack.
pub(super) async fn listen_ahead(
    pool: &Pool,
    request: ListenRequest,
) -> Result<RemoteForward, OpenError> {
    let lease = pool.lease_ahead().await?;
    let tracker = lease.connection().tracker.clone();
    let start = RemoteForward::listen(request.clone(), lease);
    answer(&tracker, &request, start).await
}

/// Sends the request in its own task so that it is never abandoned. If the caller has gone or the time is over, a late
/// listener is dropped, which cancels it.
async fn answer<Forward: Send + 'static>(
    tracker: &TaskTracker,
    request: &ListenRequest,
    start: impl Future<Output = Result<Forward, ChannelError>> + Send + 'static,
) -> Result<Forward, OpenError> {
    let late = ChannelError::Late {
        what: format!("the request to listen on {request}"),
        after: OPEN_TIMEOUT,
    };
    let (sender, receiver) = oneshot::channel();
    tracker.spawn(async move {
        let _ = sender.send(start.await);
    });
    match timeout(OPEN_TIMEOUT, receiver).await {
        Ok(Ok(opened)) => Ok(opened?),
        Ok(Err(_)) | Err(_) => Err(late.into()),
    }
}
