//! The address in a passive reply: found, and replaced without touching anything else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use super::{Cursor, canonical, long_form, read_long_form, short_form};
use crate::event::Announced;

/// A 227, 228 or 229 with a usable address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PassiveReply {
    /// What the server said.
    pub(crate) announced: Announced,
    form: Form,
    /// The bytes of the line that give way to a new address.
    numbers_at: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// 227: six numbers, the first four with this between them.
    Short { separator: char },
    /// 228: family, length, address, length, port.
    Long,
    /// 229: the port alone.
    Extended,
}

impl PassiveReply {
    /// Finds the address in the first line of a reply; its text begins at `text_at`. `None` where there is none that can
    /// be used, or the code announces none.
    pub(crate) fn find(code: u16, line: &[u8], text_at: usize) -> Option<Self> {
        let found = match code {
            227 => number_starts(line, text_at).find_map(|at| short(line, at)),
            228 => number_starts(line, text_at).find_map(|at| long(line, at)),
            229 => extended(line, text_at),
            _ => None,
        };
        found.filter(|reply| reply.announced.port != 0)
    }

    /// The line with another address. `None` where the form cannot carry it: a 227 knows IPv4 only.
    pub(crate) fn rewrite(&self, line: &[u8], address: SocketAddr) -> Option<Vec<u8>> {
        let address = canonical(address);
        let numbers = match (&self.form, address.ip()) {
            (Form::Short { separator }, IpAddr::V4(ip)) => {
                short_form(ip, address.port(), *separator)
            }
            (Form::Short { .. }, IpAddr::V6(_)) => return None,
            (Form::Long, _) => long_form(address),
            (Form::Extended, _) => address.port().to_string(),
        };
        let before = line.get(..self.numbers_at.start)?;
        let behind = line.get(self.numbers_at.end..)?;
        Some([before, numbers.as_bytes(), behind].concat())
    }
}

/// Where a run of digits begins that is not itself the continuation of a list of numbers, nor signed.
fn number_starts(line: &[u8], from: usize) -> impl Iterator<Item = usize> {
    let starts_here = |at: usize| {
        let before = line.get(..at).unwrap_or_default();
        let continues = match before {
            [.., b'+' | b'-'] => true,
            [.., digit, b',' | b'.'] | [.., digit] => digit.is_ascii_digit(),
            [] => false,
        };
        line.get(at).is_some_and(u8::is_ascii_digit) && !continues
    };
    (from..line.len()).filter(move |&at| starts_here(at))
}

/// Six numbers (RFC 959, section 4.2; RFC 1123, section 4.1.2.6).
fn short(line: &[u8], at: usize) -> Option<PassiveReply> {
    let mut cursor = Cursor::new(line, at);
    let first = cursor.number()?;
    let separator = cursor.peek().filter(|byte| matches!(byte, b',' | b'.'))?;
    let mut address = [first, 0, 0, 0];
    for octet in address.iter_mut().skip(1) {
        cursor.eat(separator)?;
        *octet = cursor.number()?;
    }
    let mut port = [0; 2];
    for octet in &mut port {
        cursor.eat(b',')?;
        *octet = cursor.number()?;
    }
    let host = Ipv4Addr::from(address).into();
    found(
        cursor,
        at,
        Form::Short {
            separator: separator.into(),
        },
        host,
        u16::from_be_bytes(port),
    )
}

/// Family, length, address, length, port (RFC 1639).
fn long(line: &[u8], at: usize) -> Option<PassiveReply> {
    let mut cursor = Cursor::new(line, at);
    let (host, port) = read_long_form(&cursor.numbers()?)?;
    found(cursor, at, Form::Long, host, port)
}

fn found(
    end: Cursor<'_>,
    start: usize,
    form: Form,
    host: IpAddr,
    port: u16,
) -> Option<PassiveReply> {
    let behind = end.text.get(end.at..).unwrap_or_default();
    let goes_on = matches!(behind, [b',' | b'.', digit, ..] if digit.is_ascii_digit());
    let announced = Announced {
        host: Some(host),
        port,
    };
    (!goes_on).then_some(PassiveReply {
        announced,
        form,
        numbers_at: start..end.at,
    })
}

/// Between parentheses, a port behind three equal delimiters and before a fourth (RFC 2428).
fn extended(line: &[u8], from: usize) -> Option<PassiveReply> {
    let text = line.get(from..)?;
    memchr::memchr_iter(b'(', text).find_map(|at| extended_at(line, from + at + 1))
}

/// What is between the first delimiters (a protocol, an address) occurs in the wild and means nothing.
fn extended_at(line: &[u8], at: usize) -> Option<PassiveReply> {
    let delimiter = *line.get(at)?;
    // A digit could not be told from the port.
    if !delimiter.is_ascii_graphic() || delimiter.is_ascii_digit() {
        return None;
    }
    let third = memchr::memchr_iter(delimiter, line.get(at..)?).nth(2)?;
    let start = at + third + 1;
    let mut cursor = Cursor::new(line, start);
    let port = cursor.number()?;
    let numbers_at = start..cursor.at;
    cursor.eat(delimiter)?;
    cursor.eat(b')')?;
    Some(PassiveReply {
        announced: Announced { host: None, port },
        form: Form::Extended,
        numbers_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str, address: &str) -> Option<String> {
        let code = line[..3].parse().unwrap();
        let reply = PassiveReply::find(code, line.as_bytes(), 3)?;
        let line = reply.rewrite(line.as_bytes(), address.parse().unwrap())?;
        Some(String::from_utf8(line).unwrap())
    }

    #[test]
    fn a_227_is_edited_in_its_numbers_only() {
        for (before, after) in [
            (
                "227 Entering Passive Mode (10,0,0,1,4,5).",
                "227 Entering Passive Mode (127,0,0,1,78,32).",
            ),
            (
                "227 Entering Passive Mode (10,0,0,1,4,5)",
                "227 Entering Passive Mode (127,0,0,1,78,32)",
            ),
            (
                "227 PASV OK (10,0,0,1,4,5)",
                "227 PASV OK (127,0,0,1,78,32)",
            ),
            ("227 =10,0,0,1,4,5", "227 =127,0,0,1,78,32"),
            (
                "227 Data transfer will passively listen to 10,0,0,1,4,5",
                "227 Data transfer will passively listen to 127,0,0,1,78,32",
            ),
            (
                "227 Entering passive mode. 10,0,0,1,4,5\r\n",
                "227 Entering passive mode. 127,0,0,1,78,32\r\n",
            ),
            ("227 x 10.0.0.1,4,5.", "227 x 127.0.0.1,78,32."),
            (
                "227 for user42 (010,0,0,1,4,5)",
                "227 for user42 (127,0,0,1,78,32)",
            ),
            (
                "227-Passive (10,0,0,1,4,5)",
                "227-Passive (127,0,0,1,78,32)",
            ),
        ] {
            assert_eq!(rewritten(before, "127.0.0.1:20000").as_deref(), Some(after));
        }
    }

    #[test]
    fn a_227_without_a_usable_address_is_left_alone() {
        for line in [
            "227 Logout.",
            "227 Entering Passive Mode ()",
            "227 (10,0,0,1,4)",
            "227 (10,0,0,1,4,)",
            "227 (10,0,0,1,,5)",
            "227 (256,0,0,1,4,5)",
            "227 (10,0,0,1,4,256)",
            "227 (10,0,0,1,0,0)",
            "227 (-10,0,0,1,4,5)",
            "227 (+10,0,0,1,4,5)",
            "227 (10,0,0,-1,4,5)",
            "227 (10,0,0,1,4,5,6)",
            "227 (1,10,0,0,1,4,5)",
            "227 (10.0,0.1,4,5)",
            "227 (10.0.0.1.4.5)",
            "227 (99999999999,0,0,1,4,5)",
        ] {
            assert_eq!(rewritten(line, "127.0.0.1:20000"), None, "{line}");
        }
    }

    #[test]
    fn a_227_carries_no_ipv6_address_but_a_mapped_one() {
        assert_eq!(rewritten("227 (10,0,0,1,4,5)", "[::1]:20000"), None);
        let mapped = rewritten("227 (10,0,0,1,4,5)", "[::ffff:127.0.0.1]:20000");
        assert_eq!(mapped.as_deref(), Some("227 (127,0,0,1,78,32)"));
    }

    #[test]
    fn a_229_is_edited_in_its_port_only() {
        for (before, after) in [
            (
                "229 Entering Extended Passive Mode (|||6446|)",
                "229 Entering Extended Passive Mode (|||20000|)",
            ),
            (
                "229 Extended Passive mode OK (|||6446|)",
                "229 Extended Passive mode OK (|||20000|)",
            ),
            ("229 x (|||6446|).\r\n", "229 x (|||20000|).\r\n"),
            ("229 x (!!!6446!)", "229 x (!!!20000!)"),
            ("229 x (|1|10.0.0.1|6446|)", "229 x (|1|10.0.0.1|20000|)"),
            ("229 really (ok) (|||6446|)", "229 really (ok) (|||20000|)"),
        ] {
            assert_eq!(rewritten(before, "[::1]:20000").as_deref(), Some(after));
        }
    }

    #[test]
    fn a_229_without_a_usable_port_is_left_alone() {
        for line in [
            "229 ok",
            "229 ()",
            "229 (|||)",
            "229 (||||)",
            "229 (|||0|)",
            "229 (|||65536|)",
            "229 (|||+6446|)",
            "229 (|||6446)",
            "229 (|||6446!)",
            "229 |||6446|",
            "229 (   6446 )",
            "229 (|||6446|",
        ] {
            assert_eq!(rewritten(line, "127.0.0.1:20000"), None, "{line}");
        }
    }

    #[test]
    fn a_228_is_rewritten_in_the_family_of_the_new_address() {
        let line = "228 Entering Long Passive Mode (4,4,10,0,0,1,2,4,5)";
        let v4 = "228 Entering Long Passive Mode (4,4,127,0,0,1,2,78,32)";
        let v6 = "228 Entering Long Passive Mode (6,16,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,78,32)";
        assert_eq!(rewritten(line, "127.0.0.1:20000").as_deref(), Some(v4));
        assert_eq!(rewritten(line, "[::1]:20000").as_deref(), Some(v6));
        assert_eq!(rewritten(v6, "127.0.0.1:20000").as_deref(), Some(v4));
        for line in [
            "228 (4,4,10,0,0,1,4,5)",
            "228 (5,4,10,0,0,1,2,4,5)",
            "228 (4,4,10,0,0,1,2,4,5,6)",
            "228 ok",
        ] {
            assert_eq!(rewritten(line, "127.0.0.1:20000"), None, "{line}");
        }
    }

    #[test]
    fn what_the_server_announced_is_told() {
        let found = |code, line: &str| {
            PassiveReply::find(code, line.as_bytes(), 3).map(|reply| reply.announced)
        };
        let host = Some("10.0.0.1".parse().unwrap());
        assert_eq!(
            found(227, "227 (10,0,0,1,4,5)"),
            Some(Announced { host, port: 1029 })
        );
        assert_eq!(
            found(228, "228 (4,4,10,0,0,1,2,4,5)"),
            Some(Announced { host, port: 1029 })
        );
        assert_eq!(
            found(229, "229 (|||1029|)"),
            Some(Announced {
                host: None,
                port: 1029
            })
        );
        assert_eq!(found(230, "230 (10,0,0,1,4,5)"), None);
    }
}
