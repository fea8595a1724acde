//! Forwards in sequence: the next listener is opened while the current one is in use
//!
//! A request for a listener takes a round trip, and a transfer would have to wait for it. So the broker requests the next
//! listener as soon as one has served its connection. This spare holds no lease until it is needed: the pool gives its
//! connection to others, and closes it as if there were no listener on it.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{Instrument, debug, warn};

use super::listener::ForwardListener;
use super::open::{listen, listen_ahead};
use super::{ListenRequest, RemoteForward};
use crate::connect::OpenError;
use crate::net::lock::lock;
use crate::pool::{Lease, Pool};
use crate::state::info::ConnectionKind;

/// How people write the server's own host.
const LOCALHOST: &str = "localhost";

/// The remote forwards that serve one session, one after the other, with at most one spare. Dropping this gives up the
/// spare.
#[derive(Debug)]
pub struct Forwards {
    pool: Arc<Pool>,
    /// Where the task that keeps the spare receives a claim to it.
    spare: Mutex<Option<oneshot::Sender<Claim>>>,
}

/// Where to send the spare.
type Claim = oneshot::Sender<Spare>;

/// A listener whose port was not announced to anybody.
#[derive(Debug)]
struct Spare {
    listener: ForwardListener,
    /// The place on the connection that the previous transfer had.
    before: Weak<Lease>,
}

impl Forwards {
    /// No forward is open yet.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            spare: Mutex::default(),
        }
    }

    /// A listener on `bind` whose port was not announced and to which nobody has connected, with a port of this range, or
    /// with a port of the server's choice if there is no range. This is the spare, or a new one if there is none.
    ///
    /// # Errors
    /// As [`Pool::forward`].
    pub async fn open(
        &self,
        bind: &str,
        ports: Option<RangeInclusive<u16>>,
    ) -> Result<RemoteForward, OpenError> {
        self.open_for(bind, ports, false).await
    }

    /// The same for a listener that may not be needed: a new one only on an idle data connection, and only if a transfer
    /// that comes meanwhile finds another one.
    ///
    /// # Errors
    /// See [`OpenError`]; at once if there is no such connection.
    pub async fn open_ahead(
        &self,
        bind: &str,
        ports: Option<RangeInclusive<u16>>,
    ) -> Result<RemoteForward, OpenError> {
        self.open_for(bind, ports, true).await
    }

    async fn open_for(
        &self,
        bind: &str,
        ports: Option<RangeInclusive<u16>>,
        ahead: bool,
    ) -> Result<RemoteForward, OpenError> {
        let request = |bind: &str| ListenRequest {
            bind: bind.to_owned(),
            ports: ports.clone(),
        };
        let by_name = &self.pool.facts().listens_by_name;
        let loopback = bind
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
        if !(loopback && by_name.load(Ordering::Relaxed)) {
            let opened = self.open_as(request(bind), ahead).await;
            if !(loopback && opened.as_ref().is_err_and(OpenError::is_forward_refused)) {
                return opened;
            }
            // Servers compare permitted addresses literally.
            let Ok(named) = self.open_as(request(LOCALHOST), ahead).await else {
                return opened;
            };
            by_name.store(true, Ordering::Relaxed);
            return Ok(named.with_address(bind));
        }
        let named = self.open_as(request(LOCALHOST), ahead).await?;
        Ok(named.with_address(bind))
    }

    async fn open_as(
        &self,
        request: ListenRequest,
        ahead: bool,
    ) -> Result<RemoteForward, OpenError> {
        match self.take_spare(&request).await {
            Some(forward) => Ok(forward),
            None if ahead => listen_ahead(&self.pool, request).await,
            None => {
                let kind = ConnectionKind::Data;
                listen(&self.pool, kind, request, RemoteForward::listen).await
            }
        }
    }

    /// Stops the listener of a forward that has served its connection, and opens the next one in the background.
    /// Must be called within a tokio runtime.
    pub fn follow(&self, used: RemoteForward) {
        let (claims, claimed) = oneshot::channel();
        let tracker = used.promise.connection().tracker.clone();
        let life = self.pool.spec().settings.pool.spare_forward_timeout;
        tracker.spawn(prepare(used, life, claimed).in_current_span());
        *lock(&self.spare) = Some(claims);
    }

    /// Gives up the spare.
    pub fn discard(&self) {
        lock(&self.spare).take();
    }

    async fn take_spare(&self, request: &ListenRequest) -> Option<RemoteForward> {
        let claims = lock(&self.spare).take()?;
        let (claim, spare) = oneshot::channel();
        claims.send(claim).ok()?;
        let spare = spare.await.ok()?;
        if spare.listener.request == *request {
            spare.put_to_use(&self.pool).await
        } else {
            None
        }
    }
}

impl Spare {
    /// `None` if others use its connection by now, or if somebody has connected.
    async fn put_to_use(self, pool: &Pool) -> Option<RemoteForward> {
        // The previous transfer may still be on the connection: its last message takes another round trip.
        let before = self.before.upgrade();
        let places = usize::from(before.is_some());
        let id = self.listener.connection.state.id;
        let promise = pool.rejoin(id, places).await?;
        let untouched = self.listener.is_untouched();
        untouched.then(|| RemoteForward::new(self.listener, promise))
    }
}

/// Ends the used forward, and prepares a spare.
async fn prepare(used: RemoteForward, life: Duration, claimed: oneshot::Receiver<Claim>) {
    let connection = Arc::clone(used.promise.connection());
    let before = Weak::clone(&used.last);
    let request = used.listener.request.clone();
    // Requested while the used one listens, so the server cannot choose the same port.
    let (opened, ()) =
        tokio::join!(biased; ForwardListener::open(request, connection), used.cancel());
    match opened {
        Ok(listener) => keep(Spare { listener, before }, life, claimed).await,
        Err(error) => debug!(%error, "cannot open a spare forward"),
    }
}

/// Keeps a spare until it is claimed, nobody can claim it, it fails, or its time is over.
async fn keep(mut spare: Spare, life: Duration, claimed: oneshot::Receiver<Claim>) {
    let port = spare.listener.port;
    debug!(port, "the spare forward is ready");
    tokio::select! {
        biased;
        arrival = spare.listener.arrival() => match arrival {
            Ok(stranger) => {
                let from = stranger.originator;
                warn!(port, ?from, "refused a connection to a spare forward: its port was not announced to anybody");
            }
            Err(reason) => debug!(port, %reason, "the spare forward was lost"),
        },
        claim = claimed => if let Ok(claim) = claim {
            // If nobody waits for it, it is dropped, which cancels it.
            let _ = claim.send(spare);
            return;
        },
        () = sleep(life) => debug!(port, "the spare forward was not needed"),
    }
    spare.listener.stop().await;
}
