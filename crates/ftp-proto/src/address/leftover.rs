//! Decides whether another number in a passive reply could be a part of an address for a lenient reader.
//!
//! Readers scan for numbers in lists or between delimiters, some across the lines of a reply. An isolated number, as in
//! `user42` or `for 3 users`, is not a part of a list.

use std::ops::Range;

use super::trim_end;

/// Punctuation that ends a sentence if a blank or a new line follows.
const CLOSING: &[u8] = b".:;!?)]";

/// Whether each number outside `known` is isolated. `codes` are the places of the reply's code at the beginnings of its
/// lines. For readers across lines they are numbers as well. `wide`: bytes that are not ASCII count as digits, and any
/// delimiter counts before a code, since some readers accept any text there as a port.
pub(super) fn all_stand_alone(
    text: &[u8],
    known: &[Range<usize>],
    codes: &[Range<usize>],
    wide: bool,
) -> bool {
    let inside =
        |at: usize, places: &[Range<usize>]| places.iter().any(|place| place.contains(&at));
    numbers(text, wide).all(|at| {
        if inside(at, codes) && !wide {
            !before(text, at).ends_with(b",")
        } else {
            inside(at, known) || stands_alone(text, at)
        }
    })
}

/// The starts of the numbers.
fn numbers(text: &[u8], wide: bool) -> impl Iterator<Item = usize> {
    let digit = move |byte: &u8| byte.is_ascii_digit() || (wide && !byte.is_ascii());
    let begins = move |at: usize| {
        let continues = at
            .checked_sub(1)
            .and_then(|at| text.get(at))
            .is_some_and(digit);
        text.get(at).is_some_and(digit) && !continues
    };
    (0..text.len()).filter(move |&at| begins(at))
}

fn stands_alone(text: &[u8], at: usize) -> bool {
    let before = before(text, at);
    let spaces = before.len() < unsigned(text, at).len();
    match before {
        [] => true,
        [.., byte] if byte.is_ascii_alphanumeric() || !byte.is_ascii() => true,
        // The second of two punctuation marks does not end a sentence.
        [.., twice, byte] if twice == byte => false,
        [.., byte] => spaces && CLOSING.contains(byte),
    }
}

/// The text before a number, without its sign, blanks and line ends.
fn before(text: &[u8], at: usize) -> &[u8] {
    trim_end(unsigned(text, at))
}

/// The text before a number and its sign.
fn unsigned(text: &[u8], at: usize) -> &[u8] {
    match text.get(..at).unwrap_or_default() {
        [before @ .., b'+' | b'-'] => before,
        before => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(text: &str) -> bool {
        all_stand_alone(text.as_bytes(), &[], &[], false)
    }

    #[test]
    fn numbers_in_words_and_sentences_stand_alone() {
        for text in [
            "user42",
            "for 3 users",
            "IPv6",
            "Passive. 3 users",
            "x!\r\n3 users",
            "42",
            "-5",
        ] {
            assert!(alone(text), "{text}");
        }
    }

    #[test]
    fn numbers_in_lists_and_between_delimiters_do_not() {
        for text in [
            "1,2",
            "1, 2",
            "1 ,\r\n 2",
            "1,+2",
            "1.2",
            "(1",
            "|1",
            "||| 1",
            "=1",
            "++1",
            "::: 1",
            "\u{1}1",
            ":1",
            "x,\r\n-1",
        ] {
            assert!(!alone(text), "{text}");
        }
    }

    #[test]
    fn digits_of_other_scripts_count_where_asked() {
        let text = "(|||\u{ff16}|)".as_bytes();
        assert!(all_stand_alone(text, &[], &[], false));
        assert!(!all_stand_alone(text, &[], &[], true));
        assert!(all_stand_alone(
            "Mode \u{e9}tendu".as_bytes(),
            &[],
            &[],
            true
        ));
    }

    #[test]
    fn the_address_and_the_codes_are_no_leftover() {
        let text = b"227-(1,2)\r\n227 ok";
        let codes = [0..3, 11..14];
        assert!(all_stand_alone(
            text,
            std::slice::from_ref(&(5..8)),
            &codes,
            false
        ));
        assert!(!all_stand_alone(text, &[], &codes, false));
        let list = b"227-x 1,\r\n227 ok";
        assert!(!all_stand_alone(list, &[], &[0..3, 10..13], false));
    }
}
