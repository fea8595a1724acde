//! A stranger's text, made fit for messages and logs

/// The text with control characters escaped, so that it stays on its line and steers no terminal, and cut after `longest`
/// characters.
pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut safe = String::new();
    for (number, character) in text.chars().enumerate() {
        if number == longest {
            safe.push('…');
            break;
        }
        if character.is_control() {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_and_nothing_is_long() {
        assert_eq!(printable("a\x1b[2J\r\nb", 99), "a\\u{1b}[2J\\r\\nb");
        assert_eq!(printable("\u{9b}2J", 99), "\\u{9b}2J");
        assert_eq!(printable("äöü", 2), "äö…");
        assert_eq!(printable("äö", 2), "äö");
    }
}
