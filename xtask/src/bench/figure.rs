//! Samples of one figure on both sides, and what they come to

use serde::Serialize;

/// What a figure should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Aim {
    /// So many times the comparison, or more.
    RatioAtLeast(f64),
    /// So many times the comparison, or less.
    RatioAtMost(f64),
    /// So much in the figure's unit, or less.
    AtMost(f64),
    /// So much above the comparison, in the figure's unit, or less.
    AboveAtMost(f64),
}

/// One figure with every sample of it.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) unit: &'static str,
    /// The broker's, in the order they were taken.
    pub(super) broker: Vec<f64>,
    /// What the broker is compared with, and that side's samples, each taken right after the broker's.
    pub(super) comparison: Option<Comparison>,
    pub(super) aim: Option<Aim>,
}

/// The other side.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) name: &'static str,
    pub(super) samples: Vec<f64>,
}

/// What samples come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Figure {
    /// A figure of the broker's alone.
    pub(super) fn alone(what: &str, unit: &'static str, aim: Option<Aim>) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            broker: Vec::new(),
            comparison: None,
            aim,
        }
    }

    /// A figure that is compared with the same of `name`.
    pub(super) fn against(
        name: &'static str,
        what: &str,
        unit: &'static str,
        aim: Option<Aim>,
    ) -> Self {
        let comparison = Comparison {
            name,
            samples: Vec::new(),
        };
        Self {
            comparison: Some(comparison),
            ..Self::alone(what, unit, aim)
        }
    }

    /// Adds one pair.
    pub(super) fn pair(&mut self, broker: f64, other: f64) {
        self.broker.push(broker);
        if let Some(comparison) = &mut self.comparison {
            comparison.samples.push(other);
        }
    }

    pub(super) fn broker_summary(&self) -> Summary {
        summary(&self.broker)
    }

    pub(super) fn comparison_summary(&self) -> Option<Summary> {
        Some(summary(&self.comparison.as_ref()?.samples))
    }

    /// The broker's share of the comparison, pair by pair: what slows the machine for a while slows both of a pair.
    pub(super) fn ratio(&self) -> Option<Summary> {
        self.paired(|broker, other| broker / other)
    }

    fn paired(&self, of: impl Fn(f64, f64) -> f64) -> Option<Summary> {
        let pairs = self.broker.iter().zip(&self.comparison.as_ref()?.samples);
        Some(summary(&pairs.map(|(a, b)| of(*a, *b)).collect::<Vec<_>>()))
    }

    /// Whether the median is as it should be; `None` where nothing is asked of it.
    pub(super) fn is_reached(&self) -> Option<bool> {
        let ratio = || median(self.ratio());
        Some(match self.aim? {
            Aim::RatioAtLeast(least) => ratio() >= least,
            Aim::RatioAtMost(most) => ratio() <= most,
            Aim::AtMost(most) => self.broker_summary().median <= most,
            Aim::AboveAtMost(most) => median(self.paired(|broker, other| broker - other)) <= most,
        })
    }
}

fn median(of: Option<Summary>) -> f64 {
    of.map_or(f64::NAN, |summary| summary.median)
}

/// The median of some samples, and their range; not numbers where there are none.
pub(super) fn summary(samples: &[f64]) -> Summary {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let count = sorted.len();
    let median = match count % 2 {
        1 => at(count / 2),
        _ => f64::midpoint(at((count / 2).wrapping_sub(1)), at(count / 2)),
    };
    Summary {
        median,
        least: at(0),
        most: at(count.wrapping_sub(1)),
    }
}

/// The sample that only a hundredth of all exceed.
pub(super) fn percentile_99(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_middle_and_the_ends() {
        let odd = summary(&[3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.least, odd.most), (2.0, 1.0, 3.0));
        assert_eq!(summary(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert!(summary(&[]).median.is_nan());
    }

    #[test]
    fn the_hundredth_worst_of_a_hundred_is_left_out() {
        let samples: Vec<_> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile_99(&samples), 99.0);
        assert_eq!(percentile_99(&[7.0]), 7.0);
    }

    #[test]
    fn an_aim_looks_at_pairs_and_at_the_broker_alone() {
        let mut figure = Figure::against("ssh", "rate", "MiB/s", Some(Aim::RatioAtLeast(1.5)));
        for (broker, other) in [(2.0, 1.0), (30.0, 20.0), (1.0, 1.0)] {
            figure.pair(broker, other);
        }
        assert_eq!(figure.ratio().unwrap().median, 1.5);
        assert_eq!(figure.is_reached(), Some(true));
        figure.aim = Some(Aim::AtMost(1.9));
        assert_eq!(figure.is_reached(), Some(false));
        figure.aim = Some(Aim::AboveAtMost(1.0));
        assert_eq!(figure.is_reached(), Some(true));
        figure.aim = Some(Aim::AboveAtMost(0.9));
        assert_eq!(figure.is_reached(), Some(false));
        figure.aim = None;
        assert_eq!(figure.is_reached(), None);
    }
}
