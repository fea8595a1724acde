//! When to connect again after failures

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use crate::connect::OpenError;
use crate::net::lock::lock;

/// The pause after the second failure in a row, and the longest pause.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Counts failures in a row. The first retry is immediate, since a lost connection often comes back at once. Clones share
/// the count: not every pool of a server has to find out that it is down.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    failures: Arc<Mutex<Failures>>,
}

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    last: Option<OpenError>,
    failed_at: Option<Instant>,
    until: Option<Instant>,
}

impl Backoff {
    /// An attempt that began at `began` has failed. Overlapping attempts fail for the same reason, so they count as one.
    /// If a person was missing, the pause does not grow: it only keeps a busy client from hammering the server, and must
    /// not delay anybody once a person is there.
    pub(super) fn failed(&self, error: OpenError, began: Instant, now: Instant) {
        let mut failures = lock(&self.failures);
        let overlaps = failures.failed_at.is_some_and(|at| began < at);
        let longest = if error.wants_person() { 2 } else { u32::MAX };
        failures.last = Some(error);
        failures.failed_at = Some(now);
        if !overlaps {
            failures.in_a_row = failures.in_a_row.saturating_add(1).min(longest);
            let doublings = failures.in_a_row.checked_sub(2);
            failures.until = doublings.map(|doublings| now + pause(doublings));
        }
    }

    pub(super) fn succeeded(&self) {
        *lock(&self.failures) = Failures::default();
    }

    /// When the pool connects again, if that is not now.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        lock(&self.failures).until.filter(|until| *until > now)
    }

    /// The error for an open during a pause.
    pub(super) fn error(&self, now: Instant) -> Option<OpenError> {
        let until = self.until(now)?;
        let reason = Box::new(self.last_error()?);
        Some(OpenError::BackingOff {
            reason,
            retry_in: until - now,
        })
    }

    pub(super) fn last_error(&self) -> Option<OpenError> {
        lock(&self.failures).last.clone()
    }
}

/// Doubles up to the longest pause. Up to a quarter is taken off, so that pools do not connect in step.
fn pause(doublings: u32) -> Duration {
    let full = FIRST_PAUSE
        .saturating_mul(1 << doublings.min(6))
        .min(LONGEST_PAUSE);
    full.mul_f64(rand::rng().random_range(0.75..=1.0))
        .max(FIRST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AuthError;
    use crate::prompt::{NoAnswer, PromptError};

    fn error() -> OpenError {
        OpenError::ShuttingDown { server: "s".into() }
    }

    #[test]
    fn the_first_retry_is_immediate_and_later_ones_wait() {
        let backoff = Backoff::default();
        let now = Instant::now();
        backoff.failed(error(), now, now);
        assert!(backoff.error(now).is_none());
        backoff.failed(error(), now, now);
        let Some(OpenError::BackingOff { retry_in, .. }) = backoff.error(now) else {
            panic!("no pause")
        };
        assert_eq!(retry_in, FIRST_PAUSE);
        assert!(backoff.error(now + retry_in).is_none());
    }

    #[test]
    fn the_pause_does_not_grow_for_want_of_a_person() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        let unanswered = AuthError::from(PromptError::Unanswered {
            prompt: "the prompt".into(),
            why: NoAnswer::Nobody,
        });
        for _ in 0..20 {
            backoff.failed(unanswered.clone().into(), now, now);
        }
        assert_eq!(backoff.until(now), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn overlapping_dials_count_once() {
        let backoff = Backoff::default();
        let began = Instant::now();
        let failed = began + Duration::from_millis(5);
        backoff.failed(error(), began, failed);
        backoff.failed(error(), began, failed);
        assert!(backoff.error(failed).is_none());
    }

    #[test]
    fn clones_count_together() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(error(), now, now);
        backoff.clone().failed(error(), now, now);
        assert!(backoff.error(now).is_some());
        backoff.clone().succeeded();
        assert!(backoff.error(now).is_none());
    }

    #[test]
    fn pauses_stay_within_their_bounds() {
        for doublings in 0..40 {
            let pause = pause(doublings);
            assert!(
                (FIRST_PAUSE..=LONGEST_PAUSE).contains(&pause),
                "{doublings}: {pause:?}"
            );
        }
    }

    #[test]
    fn success_forgets_everything() {
        let backoff = Backoff::default();
        let now = Instant::now();
        backoff.failed(error(), now, now);
        backoff.failed(error(), now, now);
        backoff.succeeded();
        assert!(backoff.error(now).is_none() && backoff.last_error().is_none());
    }
}
