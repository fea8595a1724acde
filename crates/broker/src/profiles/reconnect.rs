//! Follows the connection of a profile whose listeners need it, and keeps it connected: no client could come for which the
//! broker would connect again.

use std::time::Duration;

use broker_ssh::Pool;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

/// The least time between two attempts; after several failures the pool's own pauses are longer.
const RETRY: Duration = Duration::from_secs(1);

/// Connects, and connects again whenever the connection is lost, until dropped. After a failure that will not pass, it
/// waits until the profile is connected for another reason.
pub(super) async fn keep_connected(mut pool: Pool, profile: &str) {
    let _kept = pool.keep_control();
    loop {
        match pool.connect().await {
            Ok(()) => while_connected(&mut pool, true).await,
            Err(error) if error.may_pass() => {
                sleep(retry_pause(&pool)).await;
            }
            Err(error) => {
                warn!(%profile, "not connected, and the broker does not try again: {error}");
                while_connected(&mut pool, false).await;
            }
        }
    }
}

/// Sends the profile's id whenever its control connection opens or closes.
pub(super) async fn tell_changes(mut pool: Pool, profile: String, changes: mpsc::Sender<String>) {
    let mut was_connected = pool.snapshot().is_connected();
    while pool.changed().await {
        let is_connected = pool.snapshot().is_connected();
        if is_connected != was_connected && changes.send(profile.clone()).await.is_err() {
            return;
        }
        was_connected = is_connected;
    }
}

/// How long to wait after a failure that may pass.
pub(crate) fn retry_pause(pool: &Pool) -> Duration {
    pool.snapshot().retry_in.unwrap_or_default().max(RETRY)
}

/// Waits as long as the pool is connected, or is not.
pub(crate) async fn while_connected(pool: &mut Pool, connected: bool) {
    while pool.snapshot().is_connected() == connected {
        if !pool.changed().await {
            // The pool has ended, and with it the daemon.
            std::future::pending::<()>().await;
        }
    }
}
