//! The packets of one direction on their way. Knows no clock: its caller says what time it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::LineOptions;

/// Which packets are lost is the same in each run.
const SEED: u64 = 1;

/// Packets on their way, oldest first.
pub(super) struct Queue {
    options: LineOptions,
    random: SmallRng,
    /// When the last packet has left the sender.
    free: Instant,
    /// Packets, each with the time of its arrival.
    travelling: VecDeque<(Instant, Box<[u8]>)>,
}

impl Queue {
    pub(super) fn new(options: LineOptions, now: Instant) -> Self {
        Self {
            options,
            random: SmallRng::seed_from_u64(SEED),
            free: now,
            travelling: VecDeque::new(),
        }
    }

    /// Takes a packet, or loses it.
    pub(super) fn accept(&mut self, packet: &[u8], now: Instant) {
        if self.options.loss > 0.0 && self.random.random_bool(self.options.loss) {
            return;
        }
        let begins = self.free.max(now);
        if begins.duration_since(now) > self.time_of(self.options.queue) {
            return;
        }
        self.free = begins + self.time_of(packet.len() as u64);
        let arrives = self.free + self.options.delay;
        self.travelling.push_back((arrives, packet.into()));
    }

    /// The next packet that has arrived.
    pub(super) fn due(&mut self, now: Instant) -> Option<Box<[u8]>> {
        let (arrives, _) = self.travelling.front()?;
        if *arrives > now {
            return None;
        }
        self.travelling.pop_front().map(|(_, packet)| packet)
    }

    /// When the next packet arrives.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.travelling.front().map(|(arrives, _)| *arrives)
    }

    /// How long the line needs to send so many bytes.
    fn time_of(&self, bytes: u64) -> Duration {
        self.options.rate.map_or(Duration::ZERO, |rate| {
            let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(queue: &mut Queue) -> Vec<Instant> {
        let mut arrivals = Vec::new();
        while let Some(arrives) = queue.next_due() {
            assert!(queue.due(arrives).is_some());
            arrivals.push(arrives);
        }
        arrivals
    }

    #[test]
    fn packets_arrive_after_the_delay_one_behind_the_other() {
        let now = Instant::now();
        let options = LineOptions {
            delay: Duration::from_millis(25),
            rate: Some(8_000_000),
            ..LineOptions::default()
        };
        let mut queue = Queue::new(options, now);
        // A thousand bytes take a millisecond.
        queue.accept(&[0; 1000], now);
        queue.accept(&[0; 2000], now);
        assert!(queue.due(now + Duration::from_millis(25)).is_none());
        let expected = [26, 28].map(|millis| now + Duration::from_millis(millis));
        assert_eq!(arrivals(&mut queue), expected);
    }

    #[test]
    fn what_the_queue_does_not_hold_is_lost() {
        let now = Instant::now();
        let options = LineOptions {
            rate: Some(8_000_000),
            queue: 5000,
            ..LineOptions::default()
        };
        let mut queue = Queue::new(options, now);
        (0..100).for_each(|_| queue.accept(&[0; 1000], now));
        assert_eq!(arrivals(&mut queue).len(), 6);
    }

    #[test]
    fn about_the_part_that_is_asked_for_is_lost() {
        let now = Instant::now();
        let options = LineOptions {
            loss: 0.1,
            ..LineOptions::default()
        };
        let mut queue = Queue::new(options, now);
        (0..1000).for_each(|_| queue.accept(&[0; 100], now));
        let arrived = arrivals(&mut queue).len();
        assert!((850..950).contains(&arrived), "{arrived}");
    }
}
