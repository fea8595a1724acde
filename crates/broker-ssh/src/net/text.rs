//! Durations for people

use std::time::Duration;

/// A duration in whole seconds, for people.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_millis().div_ceil(1000))
}

/// A duration in its largest fitting unit: seconds do not matter for something that is months away.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];
    let unit = UNITS.iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or_else(
        || format!("{seconds} seconds"),
        |(length, unit)| format!("{} {unit}", seconds / length),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_told_in_the_largest_fitting_unit() {
        let cases = [
            (1, "1 seconds"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7199, "119 minutes"),
            (7200, "2 hours"),
            (86400, "24 hours"),
            (3 * 86400, "3 days"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(span(seconds), expected);
        }
    }
}
