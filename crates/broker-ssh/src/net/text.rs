//! Text of messages and logs: a stranger's, made fit for them, and lengths of time

use std::time::Duration;

use plain_text::is_printable;

/// The text with control characters escaped, and those that cannot be seen or turn the direction of writing, so that it
/// stays on its line, steers no terminal and reads as it is; cut after `longest` characters.
pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut safe = String::new();
    for (number, character) in text.chars().enumerate() {
        if number == longest {
            safe.push('…');
            break;
        }
        if is_printable(character) {
            safe.push(character);
        } else {
            safe.extend(character.escape_default());
        }
    }
    safe
}

/// A length of time for a person, in whole seconds.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_millis().div_ceil(1000))
}

/// A length of time in its largest fitting unit: nobody needs the seconds of what is months away.
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
    fn nothing_steers_a_terminal_and_nothing_is_long() {
        assert_eq!(printable("a\x1b[2J\r\nb", 99), "a\\u{1b}[2J\\r\\nb");
        assert_eq!(printable("\u{9b}2J", 99), "\\u{9b}2J");
        assert_eq!(printable("exe.\u{202e}fdp", 99), "exe.\\u{202e}fdp");
        assert_eq!(printable("a\u{200b}b", 99), "a\\u{200b}b");
        assert_eq!(printable("äöü", 2), "äö…");
        assert_eq!(printable("äö", 2), "äö");
    }

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
