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

/// How long the server may take to open a channel; this includes its connection to the target.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// How many other connections are tried if one is lost or silent.
const OTHER_TRIES: usize = 2;

impl Pool {
    /// Opens a channel to `target` on the control connection. `originator` is the client's address, which the server may
    /// log. The caller must read the channel, since its backlog is bounded.
    ///
    /// # Errors
    /// See [`OpenError`]; within 30 s of getting a connection.
    pub async fn open_control(
        &self,
        target: &Target,
        originator: SocketAddr,
    ) -> Result<Channel, OpenError> {
        open(self, ConnectionKind::Control, target, originator).await
    }

    /// Opens a channel to `target` on an idle data connection or a new one. At the limit it uses the least loaded
    /// connection.
    ///
    /// # Errors
    /// See [`OpenError`]; within 30 s of getting a connection.
    pub async fn open_data(
        &self,
        target: &Target,
        originator: SocketAddr,
    ) -> Result<Channel, OpenError> {
        open(self, ConnectionKind::Data, target, originator).await
    }

    /// A place for a channel that may not be needed: only on an idle data connection, and only if a transfer that comes
    /// meanwhile finds another one.
    ///
    /// # Errors
    /// See [`OpenError`]; at once if there is no such connection.
    pub async fn place_ahead(&self) -> Result<Place, OpenError> {
        self.lease_ahead().await.map(Place)
    }
}

/// The place of a channel on a connection.
#[derive(Debug)]
pub struct Place(Lease);

impl Place {
    /// Opens a channel to `target` there. `originator` is the client's address.
    ///
    /// # Errors
    /// See [`OpenError`]; within 30 s.
    pub async fn open(self, target: &Target, originator: SocketAddr) -> Result<Channel, OpenError> {
        open_on(self.0, target.clone(), originator).await
    }
}

/// A connection can turn out to be dead only when it is used, so another one is tried.
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

/// Opens a channel with a lease. If the caller does not wait for it, the lease is returned when the attempt has ended or
/// timed out.
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

/// russh keeps half-open channels forever, so this never abandons an attempt: it closes what is confirmed late.
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
        // If the caller has gone, the opened channel is dropped, which closes it.
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
