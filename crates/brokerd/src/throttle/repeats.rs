//! Sums up what happens again and again for one cause. The first time is logged at once. What follows is counted, and
//! reported after pauses that grow, so a fault that lasts a night takes a few lines of the log.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::budget::LeftOut;

/// The pauses between the lines about one cause.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// The pause after those.
const LONGEST: Duration = Duration::from_secs(3600);

/// A cause that has been quiet for so long is news when it comes again.
const QUIET: Duration = Duration::from_secs(600);

/// The largest number of causes. Each takes some 400 bytes. One that does not fit is not summed up.
const MAX_CAUSES: usize = 1024;

#[derive(Debug)]
struct Repeat {
    example: String,
    /// When the last line or report was written.
    told: Instant,
    /// How many reports there were.
    reports: usize,
    /// How many lines were left out since then.
    lines: u64,
    /// When the last of them came.
    seen: Instant,
}

impl Repeat {
    fn new(example: String, now: Instant) -> Self {
        Self {
            example,
            told: now,
            reports: 0,
            lines: 0,
            seen: now,
        }
    }

    fn due(&self) -> Instant {
        self.told + PAUSES.get(self.reports).copied().unwrap_or(LONGEST)
    }

    fn is_quiet(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) >= QUIET
    }

    /// Counts the line, or says that it is logged: nothing has happened for a whole pause.
    fn admit(&mut self, now: Instant) -> bool {
        let is_news = self.lines == 0 && now >= self.due();
        self.seen = now;
        if is_news {
            self.told = now;
            self.reports += 1;
        } else {
            self.lines += 1;
        }
        is_news
    }

    fn report<K>(&mut self, key: K, now: Instant) -> LeftOut<K> {
        let since = std::mem::replace(&mut self.told, now);
        self.reports += 1;
        LeftOut {
            key,
            example: self.example.clone(),
            lines: std::mem::take(&mut self.lines),
            within: now.saturating_duration_since(since),
        }
    }
}

/// What has happened lately, by its cause.
#[derive(Debug)]
pub(super) struct Repeats<K> {
    causes: HashMap<K, Repeat>,
    /// The last reports of causes that are over.
    over: Vec<LeftOut<K>>,
}

impl<K> Default for Repeats<K> {
    fn default() -> Self {
        Self {
            causes: HashMap::new(),
            over: Vec::new(),
        }
    }
}

impl<K: Hash + Eq + Clone> Repeats<K> {
    /// Whether a line with this cause is logged. Otherwise a later report counts it.
    pub(super) fn admit(&mut self, key: K, now: Instant, example: impl FnOnce() -> String) -> bool {
        if let Some(repeat) = self.causes.get_mut(&key)
            && (repeat.lines > 0 || !repeat.is_quiet(now))
        {
            return repeat.admit(now);
        }
        if self.causes.len() >= MAX_CAUSES {
            self.causes
                .retain(|_, it| it.lines > 0 || !it.is_quiet(now));
        }
        if self.causes.len() < MAX_CAUSES {
            self.causes.insert(key, Repeat::new(example(), now));
        }
        true
    }

    /// Forgets the causes that are over. They are news when they come again.
    pub(super) fn end(&mut self, now: Instant, is_over: impl Fn(&K) -> bool) {
        let room = MAX_CAUSES.saturating_sub(self.over.len());
        let ended = self.causes.extract_if(|key, _| is_over(key));
        let reports = ended
            .filter(|(_, it)| it.lines > 0)
            .map(|(key, mut it)| it.report(key, now));
        // Consumed to the end, since this is what removes them.
        let reports: Vec<_> = reports.collect();
        self.over.extend(reports.into_iter().take(room));
    }

    /// The reports that are due.
    pub(super) fn report(&mut self, now: Instant) -> Vec<LeftOut<K>> {
        let mut reports = std::mem::take(&mut self.over);
        let causes = self.causes.iter_mut();
        let due = causes.filter(|(_, it)| it.lines > 0 && it.due() <= now);
        reports.extend(due.map(|(key, it)| it.report(key.clone(), now)));
        reports
    }

    /// When the next report is due. `None` if there is nothing to report.
    pub(super) fn next_report(&self, now: Instant) -> Option<Instant> {
        if !self.over.is_empty() {
            return Some(now);
        }
        let counted = self.causes.values().filter(|it| it.lines > 0);
        counted.map(Repeat::due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a cause that comes once in `every` seconds, for `seconds`, has a line or a report in the log.
    fn told(every: u64, seconds: u64) -> Vec<(u64, u64)> {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut told = Vec::new();
        for second in 0..seconds {
            let now = start + Duration::from_secs(second);
            if second % every == 0 && repeats.admit("a", now, String::new) {
                told.push((second, 1));
            }
            let reports = repeats.report(now);
            told.extend(reports.iter().map(|it| (second, it.lines)));
        }
        told
    }

    #[test]
    fn a_cause_that_goes_on_is_told_at_once_and_then_ever_less_often() {
        let told = told(1, 3 * 3600);
        let expected = [
            (0, 1),
            (10, 10),
            (70, 60),
            (670, 600),
            (4270, 3600),
            (7870, 3600),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_rare_cause_is_summed_up_too_unless_it_is_news() {
        assert_eq!(told(20, 700), [(0, 1), (20, 1), (80, 3), (680, 30)]);
        assert_eq!(told(900, 2000), [(0, 1), (900, 1), (1800, 1)]);
    }

    #[test]
    fn what_has_worked_meanwhile_is_news() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let admit = |repeats: &mut Repeats<_>, key| repeats.admit(key, now, || format!("of {key}"));
        let first = ["a", "b", "b"].map(|key| admit(&mut repeats, key));
        assert_eq!(first, [true, true, false]);
        assert_eq!(repeats.next_report(now), Some(now + PAUSES[0]));
        repeats.end(now, |_| true);
        assert_eq!(repeats.next_report(now), Some(now));
        let reports = repeats.report(now);
        assert_eq!((reports[0].key, reports[0].lines), ("b", 1));
        assert_eq!(repeats.next_report(now), None);
        assert!(admit(&mut repeats, "b"));
    }

    #[test]
    fn the_table_of_causes_is_bounded() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for key in 0..2 * MAX_CAUSES {
            assert!(repeats.admit(key, start, String::new));
        }
        assert_eq!(repeats.causes.len(), MAX_CAUSES);
        let later = start + QUIET;
        assert!(repeats.admit(usize::MAX, later, String::new));
        assert_eq!(repeats.causes.len(), 1);
    }
}
