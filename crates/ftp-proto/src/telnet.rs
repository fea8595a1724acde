//! Finds the start of text after Telnet commands (RFC 854; RFC 959, section 3.3, sends ABOR after them).

const IAC: u8 = 255;
const DONT: u8 = 254;
const WILL: u8 = 251;
const SUBNEGOTIATION: u8 = 250;
const SUBNEGOTIATION_END: u8 = 240;
const DATA_MARK: u8 = 242;

/// The rest of `bytes` after the Telnet commands at its beginning.
///
/// A data mark counts even without its IAC, since urgent data can separate the two.
pub(crate) fn skip(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    // If one subnegotiation has no end, none after it has. A search for each would take long on a line full of them.
    let mut may_end = true;
    loop {
        rest = match rest {
            [IAC, SUBNEGOTIATION, tail @ ..] if may_end => {
                let behind = behind_subnegotiation(tail);
                may_end = behind.is_some();
                behind.unwrap_or(tail)
            }
            [IAC, SUBNEGOTIATION, tail @ ..] => tail,
            [IAC, WILL..=DONT, _, tail @ ..] => tail,
            [IAC, SUBNEGOTIATION_END..SUBNEGOTIATION, tail @ ..] => tail,
            [DATA_MARK, tail @ ..] => tail,
            _ => return rest,
        };
    }
}

/// The bytes without any Telnet commands, for readers that do not know subnegotiations. Also removes an escaped 255:
/// alone, it would begin a command.
pub(crate) fn strip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return plain,
            [IAC, WILL..=DONT, _, tail @ ..] | [IAC, _, tail @ ..] | [IAC, tail @ ..] => tail,
            [byte, tail @ ..] => {
                plain.push(*byte);
                tail
            }
        };
    }
}

/// The line without a Telnet command at its end that would include the LF: for readers that look for such commands
/// first, the line would continue with the next one.
pub(crate) fn closed(mut line: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(start) = line.get(at..).and_then(|rest| memchr::memchr(IAC, rest)) {
        at += start;
        let length = match line.get(at + 1) {
            Some(WILL..=DONT) => 3,
            _ => 2,
        };
        if line.get(at + length - 1) == Some(&b'\n') {
            line.drain(at..at + length - 1);
            break;
        }
        at += length;
    }
    line
}

/// The bytes after IAC SE. `None` if there is none: an open subnegotiation hides no command.
fn behind_subnegotiation(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes
        .windows(2)
        .position(|pair| pair == [IAC, SUBNEGOTIATION_END]);
    end.and_then(|at| bytes.get(at + 2..))
}

#[cfg(test)]
mod tests {
    use super::{closed, skip, strip};

    #[test]
    fn no_telnet_command_goes_on_behind_a_line() {
        for (line, expected) in [
            (&b"a\xff\n"[..], &b"a\n"[..]),
            (b"a\xff\xfb\n", b"a\n"),
            (b"a\xff\xff\n", b"a\xff\xff\n"),
            (b"a\xff\xff\xff\n", b"a\xff\xff\n"),
            (b"a\xff\xfb\r\n", b"a\xff\xfb\r\n"),
            (b"\xff\xf1a\n", b"\xff\xf1a\n"),
            (b"a\n", b"a\n"),
        ] {
            assert_eq!(closed(line.to_vec()), expected, "{line:?}");
        }
    }

    #[test]
    fn telnet_commands_anywhere_are_stripped() {
        assert_eq!(strip(b"2\xff\xf12\xff\xfbx7\xff\xff\xff"), b"227");
    }

    #[test]
    fn telnet_commands_before_text_are_skipped() {
        for (bytes, expected) in [
            (&b"ABOR"[..], &b"ABOR"[..]),
            (b"\xff\xf4\xff\xf2ABOR", b"ABOR"),
            (b"\xff\xf4\xf2ABOR", b"ABOR"),
            (b"\xff\xfb\x01\xff\xfe\x03ABOR", b"ABOR"),
            (b"\xff\xfa\x18\x00vt100\xff\xf0ABOR", b"ABOR"),
            (b"\xff\xfa\x18ABOR", b"\x18ABOR"),
            (b"\xff\xffABOR", b"\xff\xffABOR"),
            (b"\xff", b"\xff"),
            (b"\xff\xfb", b"\xff\xfb"),
            (b"", b""),
        ] {
            assert_eq!(skip(bytes), expected, "{bytes:?}");
        }
    }
}
