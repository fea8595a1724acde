//! The line one direction takes: how long a byte is under direction, and how many pass in a second.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::lock;

/// What may be under way on a line with a delay: 64 MiB fill 5 Gbit/s at 100 ms.
const LONG_LINE: usize = 64 * 1024 * 1024;
/// What may be under way on a line without one: little, so that a stall is felt at once.
const SHORT_LINE: usize = 64 * 1024;

/// One direction, shared by all connections.
pub(super) struct Line {
    delay: Duration,
    bandwidth: Option<u64>,
    /// When everything that has been put on the line so far has left its near end.
    free_at: Mutex<Instant>,
}

impl Line {
    pub(super) fn new(delay: Duration, bandwidth: Option<u64>) -> Self {
        Self {
            delay,
            bandwidth,
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// How many bytes of one connection may be under direction.
    pub(super) fn capacity(&self) -> usize {
        if self.delay.is_zero() {
            SHORT_LINE
        } else {
            LONG_LINE
        }
    }

    /// When `count` bytes that are put on the line now arrive.
    pub(super) fn arrival(&self, count: usize) -> Instant {
        let takes = self.bandwidth.map_or(Duration::ZERO, |bandwidth| {
            Duration::from_secs_f64(count as f64 / bandwidth.max(1) as f64)
        });
        let mut free_at = lock(&self.free_at);
        *free_at = (*free_at).max(Instant::now()) + takes;
        *free_at + self.delay
    }

    /// Lets nothing more on the line until a connection that is made now would stand: a round trip.
    pub(super) fn hold_for_handshake(&self) {
        let mut free_at = lock(&self.free_at);
        *free_at = (*free_at).max(Instant::now() + self.delay * 2);
    }
}
