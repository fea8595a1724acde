//! Forwards that follow one another, each next listener opened while the one before is in use
//!
//! To ask the SSH server for a listener takes a round trip, for which whoever needs it would wait. So the next one is
//! asked for as soon as one has served its connection. Until it is needed it is nobody's lease: the pool gives its
//! connection to others and closes it as if there were no listener on it, which then was opened for nothing.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{Instrument, debug, warn};

use super::listener::ForwardListener;
use super::open::listen;
use super::{ListenRequest, RemoteForward};
use crate::connect::OpenError;
use crate::net::lock::lock;
use crate::pool::{Lease, Pool};

/// How people spell the server's own host.
const LOCALHOST: &str = "localhost";

/// The remote forwards that one after the other serve one session: at most one is kept ready ahead. Dropping this gives
/// it up.
#[derive(Debug)]
pub struct Forwards {
    pool: Arc<Pool>,
    /// Where the task that keeps the spare is asked for it.
    spare: Mutex<Option<oneshot::Sender<Claim>>>,
}

/// Where the spare is to be sent.
type Claim = oneshot::Sender<Spare>;

/// A listener that nobody has been told of.
#[derive(Debug)]
struct Spare {
    listener: ForwardListener,
    /// The place on the connection that the transfer before had.
    before: Weak<Lease>,
}

impl Forwards {
    /// None is open yet.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            spare: Mutex::default(),
        }
    }

    /// A listener on `bind` that nobody has been told of and nobody has connected to, with a port of this range, or without
    /// one of the server's choice: the one kept ready, or else a new one.
    ///
    /// # Errors
    /// As [`Pool::forward`].
    pub async fn open(
        &self,
        bind: &str,
        ports: Option<RangeInclusive<u16>>,
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
            let opened = self.open_as(request(bind)).await;
            if !(loopback && opened.as_ref().is_err_and(OpenError::is_forward_refused)) {
                return opened;
            }
            // Servers compare what they permit with the address as it is spelled.
            let Ok(named) = self.open_as(request(LOCALHOST)).await else {
                return opened;
            };
            by_name.store(true, Ordering::Relaxed);
            return Ok(named.with_address(bind));
        }
        let named = self.open_as(request(LOCALHOST)).await?;
        Ok(named.with_address(bind))
    }

    async fn open_as(&self, request: ListenRequest) -> Result<RemoteForward, OpenError> {
        match self.take_spare(&request).await {
            Some(forward) => Ok(forward),
            None => listen(&self.pool, request).await,
        }
    }

    /// Ends the listening of a forward that has served its connection, and has the next one opened in the background.
    /// Must be called within a tokio runtime.
    pub fn follow(&self, used: RemoteForward) {
        let (claims, claimed) = oneshot::channel();
        let tracker = used.promise.connection().tracker.clone();
        let life = self.pool.spec().settings.pool.spare_forward_timeout;
        tracker.spawn(prepare(used, life, claimed).in_current_span());
        *lock(&self.spare) = Some(claims);
    }

    /// Gives up the one kept ready.
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
    /// `None` where others use its connection by now, or somebody has connected.
    async fn put_to_use(self, pool: &Pool) -> Option<RemoteForward> {
        // The transfer before may not have left the connection: its last word takes another round trip.
        let before = self.before.upgrade();
        let places = usize::from(before.is_some());
        let id = self.listener.connection.state.id;
        let promise = pool.rejoin(id, places).await?;
        let untouched = self.listener.is_untouched();
        untouched.then(|| RemoteForward::new(self.listener, promise))
    }
}

/// Ends the used forward, and keeps another one ready.
async fn prepare(used: RemoteForward, life: Duration, claimed: oneshot::Receiver<Claim>) {
    let connection = Arc::clone(used.promise.connection());
    let before = Weak::clone(&used.last);
    let request = used.listener.request.clone();
    // Asked for while the used one listens: so the server can't choose the same port.
    let (opened, ()) =
        tokio::join!(biased; ForwardListener::open(request, connection), used.cancel());
    match opened {
        Ok(listener) => keep(Spare { listener, before }, life, claimed).await,
        Err(error) => debug!(%error, "no forward was opened ahead"),
    }
}

/// Keeps a spare until it is claimed, nobody can claim it any more, it can't be used, or its time is over.
async fn keep(mut spare: Spare, life: Duration, claimed: oneshot::Receiver<Claim>) {
    let port = spare.listener.port;
    debug!(port, "the next forward is ready");
    tokio::select! {
        biased;
        arrival = spare.listener.arrival() => match arrival {
            Ok(stranger) => {
                let from = stranger.originator;
                warn!(port, ?from, "refused a connection to a forward that was only kept ready: nobody had been told of its port");
            }
            Err(reason) => debug!(port, %reason, "the forward kept ready is lost"),
        },
        claim = claimed => if let Ok(claim) = claim {
            // Where nobody waits for it any more it is dropped, and so stopped.
            let _ = claim.send(spare);
            return;
        },
        () = sleep(life) => debug!(port, "the forward kept ready was not needed"),
    }
    spare.listener.stop().await;
}
