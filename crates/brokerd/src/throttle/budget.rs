//! Limits how many lines of one kind one source may log, with a token bucket for each pair.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The largest number of pairs with their own bucket. Each takes some 500 bytes. A full table drops its quiet pairs;
/// pairs that still do not fit share one budget.
const MAX_KEPT: usize = 4096;

/// How often a full table is searched for quiet pairs: a search for each line would cost more than writing the line.
const SWEEP: Duration = Duration::from_secs(1);

/// How much a source may log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Lines in a burst, at first and after a long pause.
    pub(super) burst: f64,
    /// Lines per second after the burst.
    pub(super) rate: f64,
}

/// The lines of one kind and source that were left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LeftOut<K> {
    pub(super) key: K,
    /// One of them.
    pub(super) example: String,
    pub(super) lines: u64,
    pub(super) within: Duration,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
    /// How many lines were left out since the last report, an example, and the time of the first.
    left_out: Option<(u64, String, Instant)>,
}

impl Bucket {
    fn full(allowance: Allowance, now: Instant) -> Self {
        Self {
            tokens: allowance.burst,
            filled: now,
            left_out: None,
        }
    }

    fn fill(&mut self, allowance: Allowance, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * allowance.rate).min(allowance.burst);
        self.filled = now;
    }

    /// Whether the bucket is full again, like a new one.
    fn is_idle(&mut self, allowance: Allowance, now: Instant) -> bool {
        self.fill(allowance, now);
        self.left_out.is_none() && self.tokens >= allowance.burst
    }
}

/// The budgets of all kinds and sources.
#[derive(Debug)]
pub(super) struct Budgets<K> {
    buckets: HashMap<K, (Allowance, Bucket)>,
    /// The shared budget of the pairs that do not fit.
    rest: K,
    /// When the table last dropped its quiet pairs.
    swept: Option<Instant>,
}

impl<K: Hash + Eq + Clone> Budgets<K> {
    pub(super) fn new(rest: K) -> Self {
        Self {
            buckets: HashMap::new(),
            rest,
            swept: None,
        }
    }

    /// Whether a line that costs as much as `cost` usual ones may be logged. Calls `example` for the first line left
    /// out.
    pub(super) fn admit(
        &mut self,
        key: K,
        allowance: Allowance,
        cost: f64,
        now: Instant,
        example: impl FnOnce() -> String,
    ) -> bool {
        let key = self.place_for(key, now);
        let fresh = || (allowance, Bucket::full(allowance, now));
        let (allowance, bucket) = self.buckets.entry(key).or_insert_with(fresh);
        bucket.fill(*allowance, now);
        // Otherwise a line longer than a whole burst would never be logged.
        let cost = cost.min(allowance.burst);
        if bucket.tokens >= cost {
            bucket.tokens -= cost;
            return true;
        }
        let (lines, _, _) = bucket.left_out.get_or_insert_with(|| (0, example(), now));
        *lines += 1;
        false
    }

    /// The lines left out since the last report, in descending order of their number.
    pub(super) fn report(&mut self, now: Instant) -> Vec<LeftOut<K>> {
        let mut report: Vec<_> = self
            .buckets
            .iter_mut()
            .filter_map(|(key, (_, bucket))| {
                let (lines, example, since) = bucket.left_out.take()?;
                Some(LeftOut {
                    key: key.clone(),
                    example,
                    lines,
                    within: now.saturating_duration_since(since),
                })
            })
            .collect();
        report.sort_by_key(|left_out| std::cmp::Reverse(left_out.lines));
        report
    }

    /// The key itself if it has a bucket or there is room for one; otherwise the key of the shared budget.
    fn place_for(&mut self, key: K, now: Instant) -> K {
        if self.buckets.contains_key(&key) || self.buckets.len() < MAX_KEPT {
            return key;
        }
        if self
            .swept
            .is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP)
        {
            self.swept = Some(now);
            self.buckets
                .retain(|_, (allowance, bucket)| !bucket.is_idle(*allowance, now));
        }
        if self.buckets.len() < MAX_KEPT {
            key
        } else {
            self.rest.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Allowance = Allowance {
        burst: 3.0,
        rate: 1.0,
    };

    fn admit(budgets: &mut Budgets<&'static str>, key: &'static str, now: Instant) -> bool {
        budgets.admit(key, FEW, 1.0, now, || format!("line of {key}"))
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let (mut budgets, start) = (Budgets::new("rest"), Instant::now());
        let passed = (0..10).filter(|_| admit(&mut budgets, "a", start)).count();
        assert_eq!(passed, 3);
        let later = start + Duration::from_secs(2);
        let passed = (0..10).filter(|_| admit(&mut budgets, "a", later)).count();
        assert_eq!(passed, 2);
        assert!(
            admit(&mut budgets, "b", later),
            "another source has its own budget"
        );
    }

    #[test]
    fn what_was_left_out_is_counted_once() {
        let (mut budgets, start) = (Budgets::new("rest"), Instant::now());
        for _ in 0..10 {
            admit(&mut budgets, "a", start);
        }
        for _ in 0..20 {
            admit(&mut budgets, "b", start);
        }
        let report = budgets.report(start + Duration::from_secs(5));
        let told: Vec<_> = report.iter().map(|it| (it.key, it.lines)).collect();
        assert_eq!(told, [("b", 17), ("a", 7)]);
        assert_eq!(report[0].example, "line of b");
        assert_eq!(report[0].within, Duration::from_secs(5));
        assert_eq!(budgets.report(start + Duration::from_secs(6)), []);
    }

    #[test]
    fn long_lines_cost_more_and_the_longest_is_not_lost_for_ever() {
        let (mut budgets, start) = (Budgets::new("rest"), Instant::now());
        let mut admit = |cost, now| budgets.admit("a", FEW, cost, now, String::new);
        assert!(admit(99.0, start));
        assert!(!admit(1.0, start));
        assert!(!admit(99.0, start + Duration::from_secs(2)));
        assert!(admit(99.0, start + Duration::from_secs(3)));
    }

    #[test]
    fn however_many_sources_there_are_the_table_stays_small() {
        let (mut budgets, start) = (Budgets::new(usize::MAX), Instant::now());
        let admitted = (0..10 * MAX_KEPT)
            .filter(|key| budgets.admit(*key, FEW, 1.0, start, String::new))
            .count();
        assert_eq!(admitted, MAX_KEPT + 3, "the rest shares one budget");
        assert!(budgets.buckets.len() <= MAX_KEPT + 1);
        // Quiet pairs make room.
        let later = start + Duration::from_secs(60);
        assert!(budgets.admit(usize::MAX - 1, FEW, 1.0, later, String::new));
        assert!(budgets.buckets.contains_key(&(usize::MAX - 1)));
    }
}
