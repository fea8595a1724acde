//! Text made to fit a number of columns of a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// In the place of what is left out.
const LEFT_OUT: char = '…';

/// The text, without a part in its middle if it is too long. More of its end remains: a file name says there what it is.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else {
        return String::new();
    };
    let end = suffix(text, room - room / 3);
    let begin = prefix(text, room - end.width());
    format!("{begin}{LEFT_OUT}{end}")
}

/// As much of the beginning as fits.
pub(crate) fn prefix(text: &str, width: usize) -> &str {
    let mut seen = 0;
    for (at, c) in text.char_indices() {
        seen += c.width().unwrap_or(0);
        if seen > width {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// As much of the end as fits.
fn suffix(text: &str, width: usize) -> &str {
    let mut seen = 0;
    for (at, c) in text.char_indices().rev() {
        seen += c.width().unwrap_or(0);
        if seen > width {
            return text.get(at + c.len_utf8()..).unwrap_or_default();
        }
    }
    text
}

/// The text in lines of at most this width, broken at spaces. A word that is longer is broken anywhere.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.width() > width {
        let (line, next) = first_line(rest, width);
        lines.push(line);
        rest = next;
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest);
    }
    lines
}

fn first_line(text: &str, width: usize) -> (&str, &str) {
    let fits = prefix(text, width);
    let after = text.get(fits.len()..).unwrap_or_default();
    if let Some(next) = after.strip_prefix(' ') {
        return (fits.trim_end(), next.trim_start());
    }
    match fits
        .trim_start()
        .contains(' ')
        .then(|| fits.rfind(' '))
        .flatten()
    {
        Some(space) => {
            let (line, next) = text.split_at(space);
            (line.trim_end(), next.trim_start())
        }
        // At least one character, so that the end is reached.
        None => text.split_at(
            fits.len()
                .max(text.chars().next().map_or(0, char::len_utf8)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_long_name_is_left_out() {
        assert_eq!(
            shortened("/home/alice/report.txt", 22),
            "/home/alice/report.txt"
        );
        assert_eq!(shortened("/home/alice/report.txt", 16), "/home…report.txt");
        assert_eq!(shortened("日本語日本語.txt", 10), "日…語.txt");
        assert_eq!(shortened("name", 1), "…");
        assert_eq!(shortened("name", 0), "");
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two  three", 9), ["one two", "three"]);
        assert_eq!(wrapped("a abcdefghij b", 4), ["a", "abcd", "efgh", "ij b"]);
        assert_eq!(wrapped("日本", 1), ["日", "本"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
