//! The connect timeout, which all steps of the route share

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// About as long as the operating system itself would try.
const SYSTEM_CONNECT_TIMEOUT: Duration = Duration::from_secs(130);

/// A time limit that is running.
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

    /// The future's result, or `None` once the time is over.
    pub(crate) async fn run<T>(self, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.ends, future).await.ok()
    }
}
