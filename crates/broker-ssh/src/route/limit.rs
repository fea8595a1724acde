//! The time to connect, which all steps of the way share

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// About as long as the operating system itself would try.
const SYSTEM_CONNECT_TIMEOUT: Duration = Duration::from_secs(130);

/// A time that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimit {
    pub(crate) whole: Duration,
    pub(crate) ends: Instant,
}

impl TimeLimit {
    /// `None`: as long as the operating system would try.
    pub(crate) fn starts_now(length: Option<Duration>) -> Self {
        let whole = length.unwrap_or(SYSTEM_CONNECT_TIMEOUT);
        Self {
            whole,
            ends: Instant::now() + whole,
        }
    }

    /// What the future gives, or `None` once the time is over.
    pub(crate) async fn run<T>(self, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.ends, future).await.ok()
    }
}
