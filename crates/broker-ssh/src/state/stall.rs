//! Stalled transfers: since when, whose they are, and how one is evicted
//!
//! A channel that nobody reads fills its connection. If it is alone, it may stay there as long as its client likes, but a
//! new transfer must not wait for it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::net::lock::lock;

/// After this time a transfer has stalled; a client that is only slower than the network reads something sooner.
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(1);

/// The channels of one connection whose readers are slow, so they hold up the connection or soon would.
#[derive(Debug, Default)]
pub(crate) struct Stalls(Mutex<Vec<Arc<Stall>>>);

/// One channel that waits for its reader.
#[derive(Debug)]
pub(crate) struct Stall {
    since: Instant,
    /// Whose transfer it is, if that is known.
    client: Option<IpAddr>,
    evicted: CancellationToken,
}

/// While one exists, its channel waits for its reader.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    stalls: &'a Stalls,
    stall: Arc<Stall>,
}

impl Stalls {
    /// Records that a channel begins to wait.
    pub(crate) fn enter(&self, client: Option<IpAddr>) -> Waiting<'_> {
        let stall = Arc::new(Stall {
            since: Instant::now(),
            client,
            evicted: CancellationToken::new(),
        });
        lock(&self.0).push(Arc::clone(&stall));
        Waiting {
            stalls: self,
            stall,
        }
    }

    /// The stalled channels.
    pub(crate) fn stalled(&self) -> Vec<Arc<Stall>> {
        let now = Instant::now();
        let waiting = lock(&self.0);
        let stalled = waiting.iter().filter(|stall| stall.is_stalled(now));
        stalled.cloned().collect()
    }

    /// Whether a channel has stalled.
    pub(crate) fn any(&self) -> bool {
        let now = Instant::now();
        lock(&self.0).iter().any(|stall| stall.is_stalled(now))
    }

    /// Whether a reader is slow at this moment: it may be slower than the network, or about to stall.
    pub(crate) fn any_behind(&self) -> bool {
        !lock(&self.0).is_empty()
    }
}

impl Stall {
    fn is_stalled(&self, now: Instant) -> bool {
        now >= self.since + STALL_AFTER
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Cuts the transfer so that another can have its connection.
    pub(crate) fn evict(&self) {
        self.evicted.cancel();
    }

    /// Whether it is evicted, and has not ended yet.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }
}

impl Waiting<'_> {
    /// Waits until the transfer is evicted; returns how long it has stalled.
    pub(crate) async fn eviction(&self) -> Duration {
        self.stall.evicted.cancelled().await;
        self.stall.since.elapsed()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.stalls.0).retain(|stall| !Arc::ptr_eq(stall, &self.stall));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_transfer_that_waits_for_a_while_is_stalled() {
        let stalls = Stalls::default();
        let waiting = stalls.enter(None);
        assert!(!stalls.any());
        tokio::time::advance(STALL_AFTER).await;
        let later = stalls.enter(None);
        assert_eq!(stalls.stalled().len(), 1);
        drop(waiting);
        assert!(!stalls.any());
        drop(later);
        assert!(lock(&stalls.0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_evicted_transfer_learns_how_long_it_stalled() {
        let stalls = Stalls::default();
        let waiting = stalls.enter(None);
        tokio::time::advance(STALL_AFTER * 3).await;
        let stalled = stalls.stalled();
        stalled.first().unwrap().evict();
        assert_eq!(waiting.eviction().await, STALL_AFTER * 3);
    }
}
