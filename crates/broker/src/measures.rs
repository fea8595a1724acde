//! What is counted by kind while things happen: how often, and how long it took.
//!
//! The kinds are the values of small types, so a table stays small however long the daemon runs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::sync::lock;

/// The upper bounds of the buckets of [`Durations`], in seconds: from a login in the same network to a transfer of hours.
const BOUNDS: [f64; 13] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0,
];

/// How often each kind of thing has happened.
#[derive(Debug)]
pub(crate) struct Tally<K>(Mutex<BTreeMap<K, u64>>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Copy> Tally<K> {
    /// Counts one.
    pub(crate) fn count(&self, kind: K) {
        *lock(&self.0).entry(kind).or_default() += 1;
    }

    /// Those that have happened.
    pub(crate) fn counts(&self) -> BTreeMap<K, u64> {
        lock(&self.0).clone()
    }

    /// How often the kinds that `wanted` chooses have happened.
    pub(crate) fn total(&self, wanted: impl Fn(K) -> bool) -> u64 {
        let counts = lock(&self.0);
        let chosen = counts.iter().filter(|(kind, _)| wanted(**kind));
        chosen.map(|(_, count)| count).sum()
    }

    /// Adds what another tally has counted.
    pub(crate) fn take_over(&self, other: &Self) {
        for (kind, count) in other.counts() {
            *lock(&self.0).entry(kind).or_default() += count;
        }
    }
}

/// How long each kind of thing has taken.
#[derive(Debug)]
pub(crate) struct Durations<K>(Mutex<BTreeMap<K, Spread>>);

/// How some durations are spread over the buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spread {
    /// The sum of all, in seconds.
    pub(crate) sum: f64,
    /// How many are in each bucket; the last one has no upper bound.
    counts: [u64; BOUNDS.len() + 1],
}

impl<K> Default for Durations<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Copy> Durations<K> {
    /// Adds one.
    pub(crate) fn observe(&self, kind: K, took: Duration) {
        let mut kinds = lock(&self.0);
        kinds.entry(kind).or_default().add(took.as_secs_f64());
    }

    /// The spread of each kind.
    pub(crate) fn spreads(&self) -> BTreeMap<K, Spread> {
        lock(&self.0).clone()
    }

    /// Adds the durations of another table.
    pub(crate) fn take_over(&self, other: &Self) {
        for (kind, spread) in other.spreads() {
            lock(&self.0).entry(kind).or_default().merge(&spread);
        }
    }
}

impl Spread {
    fn add(&mut self, seconds: f64) {
        self.sum += seconds;
        let bounds = BOUNDS.iter().chain([&f64::INFINITY]);
        let mut buckets = bounds.zip(&mut self.counts);
        if let Some((_, count)) = buckets.find(|(bound, _)| seconds <= **bound) {
            *count += 1;
        }
    }

    /// Adds another spread.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        let counts = self.counts.iter_mut().zip(&other.counts);
        counts.for_each(|(own, more)| *own += more);
    }

    /// The upper bound of each bucket, and how many are in it.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().chain([&f64::INFINITY]);
        bounds.copied().zip(self.counts).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_each_kind() {
        let (tally, more) = (Tally::default(), Tally::default());
        for kind in ["a", "b", "a"] {
            tally.count(kind);
        }
        more.count("c");
        tally.take_over(&more);
        assert_eq!(
            tally.counts(),
            BTreeMap::from([("a", 2), ("b", 1), ("c", 1)])
        );
        assert_eq!(tally.total(|kind| kind != "b"), 3);
    }

    #[test]
    fn a_duration_is_in_the_first_bucket_that_has_room_for_it() {
        let (durations, more) = (Durations::default(), Durations::default());
        for milliseconds in [50, 51, 86_400_000] {
            durations.observe((), Duration::from_millis(milliseconds));
        }
        more.observe((), Duration::from_millis(100));
        durations.take_over(&more);
        let spread = durations.spreads().remove(&()).unwrap();
        let filled: Vec<_> = spread.buckets().into_iter().filter(|it| it.1 > 0).collect();
        assert_eq!(filled, [(0.05, 1), (0.1, 2), (f64::INFINITY, 1)]);
        assert_eq!(spread.count(), 4);
        assert!((spread.sum - 86_400.201).abs() < 1e-6, "{}", spread.sum);
    }
}
