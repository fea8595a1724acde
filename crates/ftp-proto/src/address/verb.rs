//! Finds the commands that contain an address, however a client spells them.
//!
//! Servers differ in what they ignore before and inside a command: Telnet commands, control characters, blanks, the
//! rest of a verb if they compare only four letters. A line counts as such a command if any server could read it as
//! one.

use std::iter::Peekable;

const IAC: u8 = 255;
const DONT: u8 = 254;
const WILL: u8 = 251;
const SUBNEGOTIATION: u8 = 250;
const SUBNEGOTIATION_END: u8 = 240;

/// The commands with the address on which the client listens. No other command begins with these letters.
const VERBS: [&str; 3] = ["PORT", "EPRT", "LPRT"];

/// The number of letters that distinguish commands.
const LETTERS: usize = 4;

/// The possible meaning of the beginning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// One of the commands with an address.
    Announcing(&'static str),
    /// Another command for all readers.
    Other,
    /// Too few letters to decide.
    Incomplete,
}

impl Verb {
    fn is_announcing(&self) -> bool {
        matches!(self, Self::Announcing(_))
    }
}

/// The command with an address in this line, if any reader could find one.
pub(crate) fn announcing_verb(line: &[u8]) -> Option<&'static str> {
    match verb(line) {
        Verb::Announcing(verb) => Some(verb),
        Verb::Other | Verb::Incomplete => None,
    }
}

/// The possible meanings of a line, or of its beginning: unchanged, without Telnet commands of two and three bytes, and
/// also without the contents of subnegotiations.
pub(crate) fn verb(line: &[u8]) -> Verb {
    let without = |subnegotiations| {
        let plain = WithoutTelnet::new(line.iter().copied(), subnegotiations);
        reading(&plain.collect::<Vec<u8>>())
    };
    let readings = if line.contains(&IAC) {
        vec![reading(line), without(false), without(true)]
    } else {
        vec![reading(line)]
    };
    let incomplete = readings.contains(&Verb::Incomplete);
    let announcing = readings.into_iter().find(Verb::is_announcing);
    announcing.unwrap_or(if incomplete {
        Verb::Incomplete
    } else {
        Verb::Other
    })
}

/// The meaning for one reader. Some readers end a line at a lone CR.
fn reading(bytes: &[u8]) -> Verb {
    let mut lines = bytes.split(|&byte| byte == b'\r').map(first_letters);
    let first = lines.next().unwrap_or(Verb::Incomplete);
    if first.is_announcing() {
        return first;
    }
    lines.find(Verb::is_announcing).unwrap_or(first)
}

/// The meaning of the first letters.
fn first_letters(bytes: &[u8]) -> Verb {
    let letters: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| byte.is_ascii_alphabetic() || *byte == b'@')
        .take(LETTERS)
        .collect();
    let found = VERBS.iter().find(|verb| matches(&letters, verb.as_bytes()));
    match found {
        Some(verb) => Verb::Announcing(verb),
        None if letters.len() < LETTERS => Verb::Incomplete,
        None => Verb::Other,
    }
}

/// Some servers accept an `@` as a letter of a verb, to get past firewalls that know `PASV`.
fn matches(letters: &[u8], verb: &[u8]) -> bool {
    let same =
        |(&letter, &of_verb): (&u8, &u8)| letter == b'@' || letter.to_ascii_uppercase() == of_verb;
    letters.len() == LETTERS && letters.iter().zip(verb).all(same)
}

/// Removes Telnet commands.
struct WithoutTelnet<I: Iterator<Item = u8>> {
    bytes: Peekable<I>,
    subnegotiations: bool,
}

impl<I: Iterator<Item = u8>> WithoutTelnet<I> {
    fn new(bytes: I, subnegotiations: bool) -> Self {
        Self {
            bytes: bytes.peekable(),
            subnegotiations,
        }
    }

    fn skip_command(&mut self) {
        match self.bytes.next() {
            Some(WILL..=DONT) => drop(self.bytes.next()),
            Some(SUBNEGOTIATION) if self.subnegotiations => self.skip_subnegotiation(),
            Some(_) | None => {}
        }
    }

    fn skip_subnegotiation(&mut self) {
        while let Some(byte) = self.bytes.next() {
            if byte == IAC && self.bytes.next_if_eq(&SUBNEGOTIATION_END).is_some() {
                return;
            }
        }
    }
}

impl<I: Iterator<Item = u8>> Iterator for WithoutTelnet<I> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        while self.bytes.next_if_eq(&IAC).is_some() {
            self.skip_command();
        }
        self.bytes.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_some_server_takes_is_found() {
        for line in [
            &b"PORT 1"[..],
            b"port\t1",
            b"  PoRt 1",
            b"\tPORT",
            b"\0PORT 1",
            b"PO\0RT 1",
            b"PO\x08RT 1",
            b"PORT\x0b1",
            b"PORT127,0,0,1,4,5",
            b"PORTS 127,0,0,1,4,5",
            b"P@RT 1",
            b"\xff\xf4\xff\xf2PORT 1",
            b"PO\xff\xf1RT 1",
            b"PO\xff\xfbXRT 1",
            b"\xff\xfbPPORT 1",
            b"\xff\xfaPORT 1\xff\xf0NOOP",
            b"\xff\xfaNOOP\xff\xf0PORT 1",
            b"\xff\xfaPORT 1",
            b"\xf2PORT 1",
            b"\xef\xbb\xbfPORT 1",
            b"NOOP\rPORT 1",
            b"NOOP\r\0PORT 1",
            b"\rPORT 1",
            b"PO\xff\xfb\rRT 1",
        ] {
            assert_eq!(announcing_verb(line), Some("PORT"), "{line:?}");
        }
        assert_eq!(announcing_verb(b"eprt |"), Some("EPRT"));
        assert_eq!(announcing_verb(b"LPRT\n"), Some("LPRT"));
    }

    #[test]
    fn other_commands_are_other() {
        for line in [
            &b"PASV"[..],
            b"P@SW",
            b"REPORT x",
            b"RETR PORT 1",
            b"SITE PORT 1,2,3,4,5,6",
            b"STOR a",
            b"CWD PORT",
            b"EPSV",
            b"PROT P",
        ] {
            assert_eq!(announcing_verb(line), None, "{line:?}");
            assert_eq!(verb(line), Verb::Other, "{line:?}");
        }
    }

    #[test]
    fn too_few_letters_tell_nothing() {
        for line in [&b""[..], b"    ", b"POR", b"\xff\xfaxxxxxx"] {
            assert_eq!(verb(line), Verb::Incomplete, "{line:?}");
        }
    }
}
