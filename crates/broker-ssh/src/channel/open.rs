//! Opening a channel on a connection of the pool

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Channel;
use crate::connect::{ChannelError, OpenError, silence};
use crate::pool::{Lease, Pool};
use crate::spec::Target;
use crate::state::info::ConnectionKind;

/// How long the server may take to open a channel; it connects to the target meanwhile.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Other connections that an open is tried on where one is lost or silent.
const OTHER_TRIES: usize = 2;

impl Pool {
    /// Opens a channel to `target` on the control connection. `originator` is who connected to us, which the server may
    /// log. Its backlog is bounded: it must be read.
    ///
    /// # Errors
    /// See [`OpenError`]; within 30 s of having a connection.
    pub async fn open_control(
        &self,
        target: &Target,
        originator: SocketAddr,
    ) -> Result<Channel, OpenError> {
        open(self, ConnectionKind::Control, target, originator).await
    }

    /// Opens a channel to `target` on an idle data connection, a newly dialled one, or past the limit on the least
    /// loaded one.
    ///
    /// # Errors
    /// See [`OpenError`]; within 30 s of having a connection.
    pub async fn open_data(
        &self,
        target: &Target,
        originator: SocketAddr,
    ) -> Result<Channel, OpenError> {
        open(self, ConnectionKind::Data, target, originator).await
    }
}

/// A connection may turn out to be dead only when it is used; that deserves another try on another.
async fn open(
    pool: &Pool,
    kind: ConnectionKind,
    target: &Target,
    originator: SocketAddr,
) -> Result<Channel, OpenError> {
    let mut others = OTHER_TRIES;
    loop {
        let lease = pool.lease(kind).await?;
        let liveness = lease.connection().liveness();
        let may_hang = others > 0 && lease.state().kind == ConnectionKind::Data;
        let opened = tokio::select! {
            opened = open_on(lease, target.clone(), originator) => opened,
            () = silence(&liveness), if may_hang => Err(pool.gone_silent(&liveness).await.into()),
        };
        match opened {
            Err(error) if others > 0 && error.is_lost() => others -= 1,
            opened => return opened,
        }
    }
}

/// Opens a channel with a lease. Where the caller does not wait for it, the lease is returned when the opening has ended
/// or its time is over.
async fn open_on(
    lease: Lease,
    target: Target,
    originator: SocketAddr,
) -> Result<Channel, OpenError> {
    let (sender, receiver) = oneshot::channel();
    let tracker = lease.connection().tracker.clone();
    tracker.spawn(open_to_the_end(lease, target, originator, sender));
    receiver.await.unwrap_or(Err(OpenError::Internal))
}

/// russh keeps half-open channels for ever, so an opening is never abandoned: what is confirmed late is closed.
async fn open_to_the_end(
    lease: Lease,
    target: Target,
    originator: SocketAddr,
    opened: oneshot::Sender<Result<Channel, OpenError>>,
) {
    let connection = Arc::clone(lease.connection());
    let from = (originator.ip().to_string(), u32::from(originator.port()));
    let mut opening = pin!(connection.open_direct_tcpip(&target, from));
    if let Ok(answer) = timeout(OPEN_TIMEOUT, &mut opening).await {
        let client = Some(originator.ip());
        let channel = answer
            .map(|channel| Channel::start(channel, target.to_string(), client, Arc::new(lease)))
            .map_err(OpenError::from);
        // Where the caller has gone, what was opened is dropped, and so closed.
        let _ = opened.send(channel);
        return;
    }
    connection.state.count_unanswered();
    drop(lease);
    let what = format!("opening a channel to {target}");
    let after = OPEN_TIMEOUT;
    let _ = opened.send(Err(ChannelError::Late { what, after }.into()));
    if let Ok(channel) = opening.await {
        let _ = channel.close().await;
    }
}
