//! When to try again to listen.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause. Whoever has the port may only be about to end.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause. Nobody who frees a port waits longer for the tunnel than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The next try of a listener that failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pause: Duration,
    /// When it is due.
    pub(super) at: Instant,
}

impl Retry {
    /// After one more failure, of which this was the try. The pause doubles each time.
    pub(super) fn after(last: Option<Self>) -> Self {
        let pause = last.map_or(FIRST_PAUSE, |last| LONGEST_PAUSE.min(2 * last.pause));
        Self {
            pause,
            at: Instant::now() + pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit() {
        let mut last = None;
        let pauses = std::iter::repeat_with(|| {
            let retry = Retry::after(last);
            last = Some(retry);
            (retry.at - Instant::now()).as_secs()
        });
        assert_eq!(pauses.take(7).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30]);
    }
}
