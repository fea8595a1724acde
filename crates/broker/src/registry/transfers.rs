//! Transfers: those that run, with their pace, and the last ones that are over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::channel::DataEntry;
use crate::events::{TransferRecord, TransferStart};
use crate::sync::lock;

/// Transfers that are over and still listed: those of a busy night. Each takes at most 4 KiB, usually a tenth of that.
const PAST: usize = 1000;

/// How often the bytes of a running transfer are looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Looks over which the pace is averaged: long enough for bursts, short enough to show a change.
const SAMPLES: usize = 5;

/// A transfer that moves no byte for this time counts as stalled. Shorter pauses are normal on slow lines.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// A transfer that runs.
#[derive(Debug)]
pub(crate) struct RunningTransfer {
    pub(crate) start: Arc<TransferStart>,
    /// When it began.
    pub(crate) began: SystemTime,
    data: Option<Arc<DataEntry>>,
    meter: Mutex<Meter>,
}

impl RunningTransfer {
    /// A transfer that begins now, with its data channel if it has one.
    pub(crate) fn new(
        start: Arc<TransferStart>,
        data: Option<Arc<DataEntry>>,
        began: SystemTime,
        now: Instant,
    ) -> Self {
        let bytes = moved(&start, data.as_deref());
        Self {
            start,
            began,
            data,
            meter: Mutex::new(Meter::new(now, bytes)),
        }
    }

    /// The bytes that have gone through in its direction.
    pub(crate) fn bytes(&self) -> u64 {
        moved(&self.start, self.data.as_deref())
    }

    /// When [`sample`](Self::sample) is due.
    pub(crate) fn next_sample(&self) -> Instant {
        lock(&self.meter).next_sample()
    }

    /// Looks at its bytes, if that is due.
    pub(crate) fn sample(&self, now: Instant) {
        let bytes = self.bytes();
        let mut meter = lock(&self.meter);
        if meter.next_sample() <= now {
            meter.sample(now, bytes);
        }
    }

    /// How fast it is.
    pub(crate) fn pace(&self, now: Instant) -> Pace {
        lock(&self.meter).pace(now, self.bytes())
    }
}

fn moved(start: &TransferStart, data: Option<&DataEntry>) -> u64 {
    data.map_or(0, |data| start.kind.bytes(data.channel.traffic()))
}

/// How fast a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Bytes per second over the last seconds.
    pub(crate) rate: u64,
    /// For how long no byte has moved, if that is long.
    pub(crate) stalled: Option<Duration>,
}

/// The bytes of a transfer over the last seconds.
#[derive(Debug)]
struct Meter {
    /// Oldest first.
    samples: VecDeque<(Instant, u64)>,
    /// The latest sample.
    last: (Instant, u64),
    /// When bytes were last seen to have moved.
    moved: Instant,
}

impl Meter {
    fn new(now: Instant, bytes: u64) -> Self {
        Self {
            samples: VecDeque::from([(now, bytes)]),
            last: (now, bytes),
            moved: now,
        }
    }

    fn next_sample(&self) -> Instant {
        self.last.0 + SAMPLE_EVERY
    }

    fn sample(&mut self, now: Instant, bytes: u64) {
        if bytes != self.last.1 {
            self.moved = now;
        }
        self.last = (now, bytes);
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(self.last);
    }

    fn pace(&self, now: Instant, bytes: u64) -> Pace {
        let &(since, before) = self.samples.front().unwrap_or(&self.last);
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        let moved = bytes.saturating_sub(before) as f64;
        let still = now.saturating_duration_since(self.moved);
        let is_stalled = bytes == self.last.1 && still >= STALLED_AFTER;
        Pace {
            rate: if seconds > 0.0 {
                (moved / seconds) as u64
            } else {
                0
            },
            stalled: is_stalled.then_some(still),
        }
    }
}

/// The last transfers that are over, oldest first.
#[derive(Debug, Default)]
pub(crate) struct PastTransfers(Mutex<VecDeque<Arc<TransferRecord>>>);

impl PastTransfers {
    /// Adds one that has just ended.
    pub(crate) fn add(&self, record: Arc<TransferRecord>) {
        let mut past = lock(&self.0);
        if past.len() == PAST {
            past.pop_front();
        }
        past.push_back(record);
    }

    pub(crate) fn list(&self) -> Vec<Arc<TransferRecord>> {
        lock(&self.0).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 0);
        (1..=10).for_each(|n| meter.sample(start + SECOND * n, 1000 * u64::from(n)));
        assert_eq!(meter.pace(start + SECOND * 10, 10_000).rate, 1000);
        // From the sample at six seconds.
        assert_eq!(meter.pace(start + SECOND * 11, 16_000).rate, 2000);
    }

    #[test]
    fn a_transfer_without_bytes_for_some_seconds_is_stalled() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 0);
        (1..=10).for_each(|n| meter.sample(start + SECOND * n, 700));
        let pace = meter.pace(start + SECOND * 10, 700);
        assert_eq!(pace.stalled, Some(SECOND * 9));
        assert_eq!(pace.rate, 0);
        let moving = meter.pace(start + SECOND * 10, 701);
        assert_eq!(moving.stalled, None);
    }

    #[test]
    fn a_short_pause_is_no_stall() {
        let start = Instant::now();
        let meter = Meter::new(start, 5);
        assert_eq!(meter.pace(start + SECOND * 4, 5).stalled, None);
        assert_eq!(
            meter.pace(start, 5),
            Pace {
                rate: 0,
                stalled: None
            }
        );
    }
}
