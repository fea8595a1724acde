//! Finds the address in a passive reply, and replaces it without changing anything else.
//!
//! Clients read these replies in many ways, and most of them more leniently than any grammar. So this module does not
//! only look for the address. It also refuses a reply with another number that some reader could take for an address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use plain_text::canonical;

use super::leftover::all_stand_alone;

use super::{Cursor, is_blank, long_form, names_ipv6, read_long_form, short_form, trim_end};
use crate::event::Announced;
use crate::telnet;

/// A 229 can have a protocol and an address between its first delimiters. No address is longer.
const MAX_EXTENDED_FIELD: usize = 64;

/// How often an address may occur in a reply. Once is usual. The bound limits the work on a malicious reply.
const MAX_SPOTS: usize = 16;

/// Why a reply has no address: the server has an IPv6 address, and writes it or its end before the port.
pub(crate) const IPV6_ADDRESS: &str = "contains an IPv6 address";

/// The beginning of a line that looks like a passive reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassiveHead {
    /// 227, 228 or 229.
    pub(crate) code: u16,
    /// The place of the code in the line.
    pub(crate) code_at: usize,
}

impl PassiveHead {
    /// Finds the code wherever any reader would: after Telnet commands, blanks and control characters, whatever follows
    /// it.
    pub(crate) fn find(line: &[u8]) -> Option<Self> {
        let text = telnet::skip(line);
        let skipped = text.iter().take_while(|byte| !byte.is_ascii_graphic());
        let code_at = line.len() - text.len() + skipped.count();
        let code = match line.get(code_at..)? {
            [b'2', b'2', b'7', ..] => 227,
            [b'2', b'2', b'8', ..] => 228,
            [b'2', b'2', b'9', ..] => 229,
            _ => return None,
        };
        Some(Self { code, code_at })
    }

    /// The start of the text after the code.
    pub(crate) fn text_at(self) -> usize {
        self.code_at + 3
    }

    /// Whether more lines follow, for readers that look for a hyphen.
    pub(crate) fn goes_on(self, line: &[u8]) -> bool {
        line.get(self.text_at()) == Some(&b'-')
    }
}

/// Whether anything in a reply with this code, except the codes of its lines, could be a number.
pub(crate) fn says_a_number(code: u16, text: &[u8]) -> bool {
    let says = |line: Line| {
        text.get(line.body)
            .is_some_and(|body| body.iter().any(u8::is_ascii_digit))
    };
    // Some readers accept digits of any script as a port, between delimiters of any kind after a parenthesis.
    let behind = memchr::memchr(b'(', text).and_then(|at| text.get(at..));
    let other_script = behind.is_some_and(|inner| !inner.is_ascii());
    let wide =
        code == 229 && (other_script || !all_stand_alone(text, &[], &codes(code, text), true));
    wide || lines(code, text).any(says)
}

/// A 227, 228 or 229 with a usable address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PassiveReply {
    /// The address of the server.
    pub(crate) announced: Announced,
    /// Each occurrence of it.
    spots: Vec<Spot>,
}

/// One address in a reply.
#[derive(Debug, PartialEq, Eq)]
struct Spot {
    announced: Announced,
    form: Form,
    /// The bytes to replace with a new address.
    numbers_at: Range<usize>,
    /// The bytes that a reader of the address examines.
    whole: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// 227: six numbers, the first four separated by this byte.
    Short { separator: char },
    /// 228: family, length, address, length, port.
    Long,
    /// 229: the port alone.
    Extended,
}

impl PassiveReply {
    /// Finds the address anywhere in a whole reply of one or more lines. An error says why the client must not see the
    /// reply.
    pub(crate) fn read(code: u16, text: &[u8]) -> Result<Self, &'static str> {
        let spots: Vec<Spot> = lines(code, text)
            .flat_map(|line| spots(code, text, line.body))
            .collect();
        let first = spots.first().ok_or_else(|| no_address(code, text))?;
        if spots.len() > MAX_SPOTS {
            return Err("contains the address too often");
        }
        let announced = first.announced;
        if spots.iter().any(|spot| spot.announced != announced) {
            return Err("contains more than one address");
        }
        if announced.port == 0 {
            return Err("contains port 0");
        }
        if code == 229 && opens_elsewhere(text, &spots) {
            return Err("contains a number in other parentheses");
        }
        let known: Vec<Range<usize>> = spots.iter().map(|spot| spot.whole.clone()).collect();
        if !all_stand_alone(text, &known, &codes(code, text), code == 229) {
            return Err("contains numbers other than the address");
        }
        Ok(Self { announced, spots })
    }

    /// The reply with another address. `None` if the form does not support it: a 227 supports only IPv4.
    pub(crate) fn rewrite(&self, text: &[u8], address: SocketAddr) -> Option<Vec<u8>> {
        let address = canonical(address);
        let mut rewritten = Vec::new();
        let mut done = 0;
        for spot in &self.spots {
            rewritten.extend(text.get(done..spot.numbers_at.start)?);
            rewritten.extend(spot.form.write(address)?.bytes());
            done = spot.numbers_at.end;
        }
        rewritten.extend(text.get(done..)?);
        Some(rewritten)
    }
}

/// Why a reply contains no address.
fn no_address(code: u16, text: &[u8]) -> &'static str {
    if code == 227 && names_ipv6(text) {
        IPV6_ADDRESS
    } else {
        "contains no readable address"
    }
}

impl Form {
    fn write(&self, address: SocketAddr) -> Option<String> {
        match (self, address.ip()) {
            (Self::Short { separator }, IpAddr::V4(ip)) => {
                Some(short_form(ip, address.port(), *separator))
            }
            (Self::Short { .. }, IpAddr::V6(_)) => None,
            (Self::Long, _) => Some(long_form(address)),
            (Self::Extended, _) => Some(address.port().to_string()),
        }
    }
}

/// One line of a reply, as places in the reply.
struct Line {
    /// The reply's code, if the line begins with it.
    code: Option<Range<usize>>,
    /// The rest of the line.
    body: Range<usize>,
}

/// The lines of a reply. A hyphen after the code, which announces more lines, does not belong to the text.
fn lines(code: u16, text: &[u8]) -> impl Iterator<Item = Line> {
    let mut end = 0;
    text.split_inclusive(|&byte| byte == b'\n')
        .map(move |line| {
            let start = end;
            end += line.len();
            let head = PassiveHead::find(line).filter(|head| head.code == code);
            let hyphen = head.is_some_and(|head| head.goes_on(line));
            let body = head.map_or(0, |head| head.text_at() + usize::from(hyphen));
            Line {
                code: head.map(|head| start + head.code_at..start + head.text_at()),
                body: start + body..end,
            }
        })
}

/// Whether a parenthesis other than the address's has a number after it on its line. Most readers of a 229 start at the
/// first parenthesis, whatever is in it.
fn opens_elsewhere(text: &[u8], spots: &[Spot]) -> bool {
    let own = |at: usize| spots.iter().any(|spot| spot.whole.start == at + 1);
    memchr::memchr_iter(b'(', text).any(|at| {
        let behind = text.get(at..).unwrap_or_default();
        let mut line = behind.iter().take_while(|byte| **byte != b'\n');
        !own(at) && line.any(u8::is_ascii_digit)
    })
}

/// The places of the reply's code.
fn codes(code: u16, text: &[u8]) -> Vec<Range<usize>> {
    lines(code, text).filter_map(|line| line.code).collect()
}

/// The addresses in one line.
fn spots(code: u16, text: &[u8], body: Range<usize>) -> Vec<Spot> {
    let line = text.get(..body.end).unwrap_or_default();
    let read: fn(&[u8], usize, usize) -> Option<Spot> = match code {
        227 => short,
        228 => long,
        _ => extended,
    };
    let mut spots = Vec::new();
    let mut at = body.start;
    while at < body.end {
        match read(line, body.start, at) {
            Some(spot) => {
                at = spot.whole.end;
                spots.push(spot);
            }
            None => at += 1,
        }
    }
    spots
}

/// Six numbers (RFC 959, section 4.2; RFC 1123, section 4.1.2.6).
fn short(line: &[u8], from: usize, at: usize) -> Option<Spot> {
    let mut cursor = list_start(line, from, at)?;
    let first = cursor.number()?;
    let separator = [b',', b'.']
        .into_iter()
        .find(|&separator| cursor.separator(separator).is_some())?;
    let mut address = [first, cursor.number()?, 0, 0];
    for octet in address.iter_mut().skip(2) {
        cursor.separator(separator)?;
        *octet = cursor.number()?;
    }
    let mut port = [0; 2];
    for octet in &mut port {
        cursor.separator(b',')?;
        *octet = cursor.number()?;
    }
    let host = Ipv4Addr::from(address).into();
    let separator = separator.into();
    list_end(
        cursor,
        at,
        Form::Short { separator },
        host,
        u16::from_be_bytes(port),
    )
}

/// Family, length, address, length, port (RFC 1639).
fn long(line: &[u8], from: usize, at: usize) -> Option<Spot> {
    let mut cursor = list_start(line, from, at)?;
    let (host, port) = read_long_form(&cursor.numbers()?)?;
    list_end(cursor, at, Form::Long, host, port)
}

/// A digit that starts a number: it neither continues a number or a list nor has a sign. The text of its line begins at
/// `from`.
fn list_start(line: &[u8], from: usize, at: usize) -> Option<Cursor<'_>> {
    let digit = line.get(at).is_some_and(u8::is_ascii_digit);
    let before = line.get(..at).filter(|_| digit)?;
    let goes_on = match before {
        // Also the end of the reply's code and the hyphen after it, since readers start at different places.
        [.., b'+' | b'-' | b'0'..=b'9'] => true,
        _ => goes_on_with_list(before) || goes_on_with_number(line.get(from..at)?),
    };
    (!goes_on).then(|| Cursor::new(line, at))
}

/// Whether the text ends with a digit and a comma or dot, or with three delimiters, with blanks or line ends around
/// them.
fn goes_on_with_list(before: &[u8]) -> bool {
    match trim_end(before) {
        // As before the port of a 229.
        [.., a, b, c] if a == b && b == c && c.is_ascii_punctuation() => true,
        [list @ .., b',' | b'.'] => trim_end(list).last().is_some_and(u8::is_ascii_digit),
        _ => false,
    }
}

/// Whether the text ends with a digit and blanks: some readers discard blanks first.
fn goes_on_with_number(before: &[u8]) -> bool {
    trim_end(before).last().is_some_and(u8::is_ascii_digit)
}

/// The address, unless the list continues.
fn list_end(cursor: Cursor<'_>, start: usize, form: Form, host: IpAddr, port: u16) -> Option<Spot> {
    let numbers_at = start..cursor.at;
    let goes_on = list_goes_on(cursor);
    let announced = Announced {
        host: Some(host),
        port,
    };
    (!goes_on).then(|| Spot {
        announced,
        form,
        whole: numbers_at.clone(),
        numbers_at,
    })
}

/// Whether another number follows, after a comma, a dot, blanks, or other text that some readers skip.
fn list_goes_on(mut behind: Cursor<'_>) -> bool {
    if behind.separator(b',').is_some() {
        behind.skip_spaces();
        return behind
            .peek()
            .is_none_or(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'+' | b'-'));
    }
    let _ = behind.separator(b'.');
    behind.skip_blanks();
    behind.peek().is_some_and(|byte| byte.is_ascii_digit())
}

/// A port after three equal delimiters and before a fourth (RFC 2428). After a parenthesis, there can be text between
/// the first three; it has no meaning.
fn extended(line: &[u8], from: usize, at: usize) -> Option<Spot> {
    let delimiter = *line.get(at)?;
    // A digit would belong to the number, and a sign would for some readers.
    if !delimiter.is_ascii_graphic()
        || delimiter.is_ascii_digit()
        || matches!(delimiter, b'+' | b'-')
    {
        return None;
    }
    let bare = line.get(at..at + 3)? == [delimiter; 3] && !delimiter.is_ascii_alphabetic();
    let before = line.get(from..at).unwrap_or_default();
    let third = if bare {
        at + 2
    } else if before.ends_with(b"(") {
        third_delimiter(line, at, delimiter)?
    } else {
        return None;
    };
    let mut cursor = Cursor::new(line, third + 1);
    cursor.skip_blanks();
    let start = cursor.at;
    let port = cursor.number()?;
    let numbers_at = start..cursor.at;
    cursor.separator(delimiter)?;
    Some(Spot {
        announced: Announced { host: None, port },
        form: Form::Extended,
        whole: at..numbers_at.end,
        numbers_at,
    })
}

/// The place of the third delimiter, if the text between can be a protocol and an address.
fn third_delimiter(line: &[u8], at: usize, delimiter: u8) -> Option<usize> {
    let second = next_delimiter(line, at, delimiter)?;
    next_delimiter(line, second, delimiter)
}

fn next_delimiter(line: &[u8], at: usize, delimiter: u8) -> Option<usize> {
    let rest = line.get(at + 1..)?;
    let length = rest
        .iter()
        .take(MAX_EXTENDED_FIELD)
        .position(|&byte| byte == delimiter)?;
    let harmless =
        |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':') || is_blank(*byte);
    let field = rest.get(..length)?;
    let delimiters = |three: &[u8]| three == b"..." || three == b":::";
    let clear = field.iter().all(harmless) && !field.windows(3).any(delimiters);
    clear.then_some(at + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str, address: &str) -> Result<Option<String>, &'static str> {
        let head = PassiveHead::find(text.as_bytes()).unwrap();
        let reply = PassiveReply::read(head.code, text.as_bytes())?;
        let text = reply.rewrite(text.as_bytes(), address.parse().unwrap());
        Ok(text.map(|text| String::from_utf8(text).unwrap()))
    }

    #[track_caller]
    fn check(before: &str, address: &str, after: &str) {
        assert_eq!(
            rewritten(before, address),
            Ok(Some(after.to_owned())),
            "{before}"
        );
    }

    #[test]
    fn a_227_is_edited_in_its_numbers_only() {
        for text in [
            "227 Entering Passive Mode (10,0,0,1,4,5).",
            "227 Entering Passive Mode (10,0,0,1,4,5)",
            "227 Entering Passive Mode (10,0,0,1,4,5",
            "227 PASV OK (10,0,0,1,4,5)",
            "227 =10,0,0,1,4,5",
            "227 Data transfer will passively listen to 10,0,0,1,4,5",
            "227 Entering passive mode. 10,0,0,1,4,5\r\n",
            "227 for user42 (10,0,0,1,4,5)",
            "227-Passive (10,0,0,1,4,5)\r\n227 ok",
            "227\tEntering Passive Mode (10,0,0,1,4,5)",
            "227Entering Passive Mode (10,0,0,1,4,5)",
            " \x01227 Entering Passive Mode (10,0,0,1,4,5)",
            "227-please wait\r\n227 (10,0,0,1,4,5)\r\n",
            "227-please wait\r\n Entering (10,0,0,1,4,5)\r\n227 ok\r\n",
            "227-(10,0,0,1,4,5)\r\n227-again (10,0,0,1,4,5)\r\n227 ok\r\n",
            "227 \u{e9} (10,0,0,1,4,5)",
            "227 (10,0,0,1,4,5). 3 users",
        ] {
            check(
                text,
                "127.0.0.1:20000",
                &text.replace("10,0,0,1,4,5", "127,0,0,1,78,32"),
            );
        }
        for (before, after) in [
            ("227 x 10.0.0.1,4,5.", "227 x 127.0.0.1,78,32."),
            ("227 (010,000,0,1,04,5)", "227 (127,0,0,1,78,32)"),
            ("227 ( 10, 0,0 ,1, 4,\t5 )", "227 ( 127,0,0,1,78,32 )"),
        ] {
            check(before, "127.0.0.1:20000", after);
        }
    }

    #[test]
    fn a_227_that_readers_could_take_otherwise_is_not_understood() {
        for text in [
            "227 42",
            "227 (10,0,0,1,4)",
            "227 (10,0,0,1,4,)",
            "227 (10,0,0,1,,5)",
            "227 (256,0,0,1,4,5)",
            "227 (10,0,0,1,4,256)",
            "227 (1216,256,2,127,127,127)",
            "227 (10,0,0,1,0,0)",
            "227 (-10,0,0,1,4,5)",
            "227 (+10,0,0,1,4,5)",
            "227 (10,0,0,-1,4,5)",
            "227 (10,0,0,1,4,5,6)",
            "227 (10,0,0,1,4,5, 6)",
            "227 (10,0,0,1,4,5 6)",
            "227 (1 10,0,0,1,4,5)",
            "227 10,0,0,1,4,5,\r\n",
            "227 (1,10,0,0,1,4,5)",
            "227 (1, 10,0,0,1,4,5)",
            "227 (10.0,0.1,4,5)",
            "227 (10.0.0.1.4.5)",
            "227 (10;0;0;1;4;5)",
            "227 (99999999999,0,0,1,4,5)",
            "227,10,0,0,1,4,5",
            "227 ,,,10,0,0,1,4,5",
            "22710,0,0,1,4,5",
            "227-10,0,0,1,4,5\r\n227 ok",
            "227 (10,0,0,1,4,5) (10,0,0,1,4,6)",
            "227 (10,0,0,1,4,5) or 10,0,0,1,4",
            "227 (10,0,0,1,4,5) or (|||1029|)",
            "227-(10,0,0,1,4,5)\r\n227 (10,0,0,2,4,5)\r\n",
            "227-10,0,0,\r\n 1,4,5\r\n227 (10,0,0,1,4,5)\r\n",
            "227-x 9,\r\n10,0,0,1,4,5\r\n227 end\r\n",
            "227-x 10,0,0,1,4,\r\n227 (10,0,0,1,4,5)\r\n",
            "227-10,0,0,1,\r\n4,5\r\n227 end\r\n",
        ] {
            assert!(rewritten(text, "127.0.0.1:20000").is_err(), "{text}");
        }
    }

    #[test]
    fn a_227_carries_no_ipv6_address_but_a_mapped_one() {
        assert_eq!(rewritten("227 (10,0,0,1,4,5)", "[::1]:20000"), Ok(None));
        check(
            "227 (10,0,0,1,4,5)",
            "[::ffff:127.0.0.1]:20000",
            "227 (127,0,0,1,78,32)",
        );
    }

    #[test]
    fn a_229_is_edited_in_its_port_only() {
        for text in [
            "229 Entering Extended Passive Mode (|||6446|)",
            "229 Extended Passive mode OK (|||6446|)",
            "229 Entering Extended Passive Mode (|||6446|",
            "229 Entering Extended Passive Mode |||6446|",
            "229 Entering Extended Passive Mode (||| 6446 |)",
            "229 x (|||6446|).\r\n",
            "229 x (!!!6446!)",
            "229 x (xxx6446x)",
            "229 x (|1|10.0.0.1|6446|)",
            "229 x (|2|::1|6446|)",
            "229 for user42, IPv6 (|||6446|)",
            "229-wait\r\n229 (|||6446|)\r\n",
            "229\u{2014}(|||6446|)",
            "229 Mode \u{e9}tendu (|||6446|)",
        ] {
            check(text, "[::1]:20000", &text.replace("6446", "20000"));
        }
    }

    #[test]
    fn a_229_that_readers_could_take_otherwise_is_not_understood() {
        for text in [
            "229 6446",
            "229 (|||0|)",
            "229 (|||65536|)",
            "229 (|||123456|)",
            "229 (|||4294973742|)",
            "229 (|||+6446|)",
            "229 (|||-6446|)",
            "229 (|||6446)",
            "229 (|||6446!)",
            "229 (||6446|)",
            "229 (   6446 )",
            "229 (|||6446",
            "229 (|||6_446|)",
            "229 (|1|1...0.1|6446|)",
            "229 (|||6446|77|)",
            "229 (42) (|||6446|)",
            "229 really (ok) (|||6446|)",
            "229-(cc c9c\r\n229 (|||6446|)",
            "229 (|||6446|) (|||6447|)",
            "229 (|||6446|) (10,0,0,1,4,5)",
            "229 (|||\u{ff16}\u{ff14}|) (|||6446|)",
            "229-(|\r\n229-||6446|)\r\n229 ok\r\n",
        ] {
            assert!(rewritten(text, "127.0.0.1:20000").is_err(), "{text}");
        }
    }

    #[test]
    fn a_228_is_rewritten_in_the_family_of_the_new_address() {
        let line = "228 Entering Long Passive Mode (4,4,10,0,0,1,2,4,5)";
        let v4 = "228 Entering Long Passive Mode (4,4,127,0,0,1,2,78,32)";
        let v6 = "228 Entering Long Passive Mode (6,16,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,78,32)";
        check(line, "127.0.0.1:20000", v4);
        check(line, "[::1]:20000", v6);
        check(v6, "127.0.0.1:20000", v4);
        for line in [
            "228 (4,4,10,0,0,1,4,5)",
            "228 (5,4,10,0,0,1,2,4,5)",
            "2284,4,10,0,0,1,2,4,5",
            "228 (4,4,10,0,0,1,2,4,5,6)",
            "228 9",
        ] {
            assert!(rewritten(line, "127.0.0.1:20000").is_err(), "{line}");
        }
    }

    #[test]
    fn numbers_are_seen_behind_the_codes_only() {
        for (text, number) in [
            ("227 Logout.", false),
            ("227-a\r\n227 b\r\n", false),
            ("227 Entering Passive Mode ()", false),
            ("227-a\r\n228 b\r\n", true),
            ("2270", true),
            ("227 \u{ff16}", false),
            ("229 \u{e9}t\u{e9}", false),
            ("229 (|||\u{ff16}|)", true),
            ("229-(|||\r\n229 |)", true),
        ] {
            let head = PassiveHead::find(text.as_bytes()).unwrap();
            assert_eq!(says_a_number(head.code, text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn what_the_server_announced_is_told() {
        let found = |code, line: &str| {
            PassiveReply::read(code, line.as_bytes()).map(|reply| reply.announced)
        };
        let host = Some("10.0.0.1".parse().unwrap());
        let port = 1029;
        assert_eq!(
            found(227, "227 (10,0,0,1,4,5)"),
            Ok(Announced { host, port })
        );
        assert_eq!(
            found(228, "228 (4,4,10,0,0,1,2,4,5)"),
            Ok(Announced { host, port })
        );
        assert_eq!(
            found(229, "229 (|||1029|)"),
            Ok(Announced { host: None, port })
        );
    }
}
