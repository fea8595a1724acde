//! One subscriber: what was published before it came, and what follows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Numbered;

/// What a subscriber receives.
#[derive(Debug)]
pub(crate) enum Received {
    /// The next event.
    Event(Numbered),
    /// Events that it has missed.
    Lost {
        /// How many.
        count: u64,
        /// The number of the last one.
        last: u64,
    },
}

#[cfg(test)]
impl Received {
    /// The number of the event, or of the last one that is lost.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Event(event) => event.number,
            Self::Lost { last, .. } => *last,
        }
    }
}

/// A subscriber of the stream.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// The number of the last event before it came.
    last: u64,
    /// The number of the last event that it has received or lost.
    seen: u64,
    /// What was published before it came: at most what the stream keeps.
    earlier: VecDeque<Numbered>,
    later: broadcast::Receiver<Numbered>,
    /// What all subscribers have lost.
    lost: Arc<AtomicU64>,
}

impl Subscriber {
    /// A subscriber that has received everything up to the event `after`, and otherwise everything up to `last`.
    pub(super) fn new(
        last: u64,
        after: Option<u64>,
        kept: &VecDeque<Numbered>,
        later: broadcast::Receiver<Numbered>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        let seen = match after {
            // The number comes from another daemon, so this one's events are all new.
            Some(after) if after > last => 0,
            Some(after) => after,
            None => last,
        };
        let missed = kept.iter().filter(|event| event.number > seen);
        Self {
            last,
            seen,
            earlier: missed.cloned().collect(),
            later,
            lost,
        }
    }

    /// The number of the last event before it came.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The next event, or how many are lost. `None` at the end of the daemon. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        let event = match self.earlier.pop_front() {
            Some(event) => event,
            None => match self.later.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(count)) => return Some(self.lose(count)),
                Err(RecvError::Closed) => return None,
            },
        };
        let lost = event.number - self.seen - 1;
        if lost > 0 {
            self.earlier.push_front(event);
            return Some(self.lose(lost));
        }
        self.seen = event.number;
        Some(Received::Event(event))
    }

    fn lose(&mut self, count: u64) -> Received {
        self.seen += count;
        self.lost.fetch_add(count, Ordering::Relaxed);
        Received::Lost {
            count,
            last: self.seen,
        }
    }
}
