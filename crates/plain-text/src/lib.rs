//! Text of strangers, made fit for a terminal and for one line of a log.
//!
//! Clients and servers choose names, banners and replies. Where such a text is shown, nothing in it may steer the
//! terminal, begin a line of its own, or read as something else than it is.

/// The text in one line, with what is not printable escaped as in Rust: `\n`, `\u{202e}`.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) {
            safe.push(c);
        } else {
            safe.extend(c.escape_default());
        }
    }
    safe
}

/// Whether a character can be shown as it is: it does not control the terminal, can be seen, and does not turn the
/// direction of writing.
pub fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// What Unicode calls format characters, bidirectional marks (UAX #9) among them, separators of lines, and letters that
/// are drawn as nothing. The variation selectors of emoji are not among them: they change how a sign looks.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_escaped_and_the_rest_is_kept() {
        for (text, expected) in [
            ("Grüße, 世界 🙂 ❤\u{fe0f}", "Grüße, 世界 🙂 ❤\u{fe0f}"),
            ("a\u{1b}[2Jb\r\n", "a\\u{1b}[2Jb\\r\\n"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("exe.\u{202e}fdp", "exe.\\u{202e}fdp"),
            ("\u{2066}isolated\u{2069}", "\\u{2066}isolated\\u{2069}"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("soft\u{ad}hyphen", "soft\\u{ad}hyphen"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }
}
