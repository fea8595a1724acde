//! For how long a server has not answered, although the broker waits for a sign of life

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::lock::lock;

/// A server that answers later than this is worth a word: any network is faster.
pub(crate) const PROMPT: Duration = Duration::from_secs(2);

/// The silence of one connection's server.
#[derive(Debug, Default)]
pub(crate) struct Silence(Mutex<Option<Unanswered>>);

/// A liveness check without an answer.
#[derive(Debug, Clone, Copy)]
struct Unanswered {
    /// The bytes that had come by then: any further one ends the silence.
    received: u64,
    /// The bytes that had gone by then. While no further one has gone, neither has the question: the SSH session waits for
    /// a reader on the broker's own side.
    sent: u64,
    quiet_since: Instant,
    asked: Instant,
}

impl Silence {
    /// The broker asks for a sign of life now. Nothing has come since `quiet_since`, after this many bytes received and
    /// sent.
    pub(crate) fn asked(&self, (received, sent): (u64, u64), quiet_since: Instant) {
        let last = &mut *lock(&self.0);
        if last.is_none_or(|last| last.received != received) {
            *last = Some(Unanswered {
                received,
                sent,
                quiet_since,
                asked: Instant::now(),
            });
        }
    }

    /// For how long the server has been silent, if it owes an answer, after this many bytes received and sent.
    pub(crate) fn lasts(&self, (received, sent): (u64, u64)) -> Option<Duration> {
        let is_open = |last: &Unanswered| last.received == received && last.sent < sent;
        let unanswered = (*lock(&self.0)).filter(is_open)?;
        let is_late = unanswered.asked.elapsed() >= PROMPT;
        is_late.then(|| unanswered.quiet_since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_silent_from_its_last_byte_until_its_next_one() {
        let silence = Silence::default();
        let quiet_since = Instant::now();
        advance(Duration::from_secs(15)).await;
        assert_eq!(silence.lasts((7, 3)), None);
        silence.asked((7, 3), quiet_since);
        assert_eq!(silence.lasts((7, 4)), None, "an answer may be on its way");
        advance(Duration::from_secs(5)).await;
        assert_eq!(silence.lasts((7, 4)), Some(Duration::from_secs(20)));
        silence.asked((7, 4), Instant::now());
        assert_eq!(
            silence.lasts((7, 4)),
            Some(Duration::from_secs(20)),
            "a second question makes the silence no shorter"
        );
        assert_eq!(silence.lasts((8, 4)), None, "a byte has come");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_waits_for_a_reader_on_our_side_proves_nothing() {
        let silence = Silence::default();
        silence.asked((7, 3), Instant::now());
        advance(Duration::from_secs(60)).await;
        assert_eq!(silence.lasts((7, 3)), None);
    }
}
