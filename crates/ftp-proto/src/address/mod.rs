//! Addresses in the forms of the control connection.

mod active;
mod leftover;
mod passive;
mod verb;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use plain_text::canonical;

use crate::kind::PassiveForm;
use crate::text::reply;
pub(crate) use active::{NoAddress, PortCommand, line_end, unreadable};
pub(crate) use passive::{IPV6_ADDRESS, PassiveHead, PassiveReply, says_a_number};
pub(crate) use verb::{Verb, announcing_verb, verb};

/// The most numbers in an address: `LPRT` with IPv6 (RFC 1639).
const MAX_NUMBERS: usize = 21;

/// Reads a text from left to right.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Skips this byte, if it comes next.
    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// Skips a decimal number of at least one digit.
    fn number<T: TryFrom<u32>>(&mut self) -> Option<T> {
        let rest = self.text.get(self.at..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = decimal(rest.get(..length)?)?;
        self.at += length;
        Some(value)
    }

    /// Skips blanks.
    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// Skips blanks and line ends.
    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Skips this byte and the blanks around it, if it comes next.
    fn separator(&mut self, byte: u8) -> Option<()> {
        let start = self.at;
        self.skip_blanks();
        let found = self.eat(byte);
        match found {
            Some(()) => self.skip_blanks(),
            None => self.at = start,
        }
        found
    }

    /// Skips all numbers separated by commas, and the blanks around the commas.
    fn numbers(&mut self) -> Option<Vec<u8>> {
        self.list(Self::number)
    }

    /// Skips blanks, a plus and a number.
    fn lenient_number<T: TryFrom<u32>>(&mut self) -> Option<T> {
        self.skip_blanks();
        let _ = self.eat(b'+');
        self.number()
    }

    /// Like [`numbers`](Self::numbers), but each number can have a plus. Other text after a comma stays.
    fn lenient_numbers(&mut self) -> Option<Vec<u8>> {
        self.list(Self::lenient_number)
    }

    fn list(&mut self, number: impl Fn(&mut Self) -> Option<u8>) -> Option<Vec<u8>> {
        let mut numbers = vec![number(self)?];
        while numbers.len() < MAX_NUMBERS {
            let start = self.at;
            let next = self.separator(b',').and_then(|()| number(self));
            match next {
                Some(next) => numbers.push(next),
                None => {
                    self.at = start;
                    break;
                }
            }
        }
        Some(numbers)
    }
}

/// Separates words on one line.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The white space that `scanf` skips before a number.
fn is_space(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'\r' | b'\n' | 0x0b | 0x0c)
}

/// The text without trailing blanks and line ends.
fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| !is_space(byte));
    end.and_then(|end| text.get(..=end)).unwrap_or_default()
}

/// A number that consists only of digits, at least one, and fits.
fn decimal<T: TryFrom<u32>>(digits: &[u8]) -> Option<T> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    text.parse::<u32>().ok()?.try_into().ok()
}

/// The six numbers of `PORT` and `227`.
fn short_form(address: Ipv4Addr, port: u16, separator: char) -> String {
    let [a, b, c, d] = address.octets();
    let [high, low] = port.to_be_bytes();
    let s = separator;
    format!("{a}{s}{b}{s}{c}{s}{d},{high},{low}")
}

/// Reads the numbers of `LPRT` and `228`: family, length, address, length, port (RFC 1639).
fn read_long_form(numbers: &[u8]) -> Option<(IpAddr, u16)> {
    let (address, port) = match numbers {
        [4, 4, rest @ ..] => {
            let (address, port) = rest.split_first_chunk::<4>()?;
            (IpAddr::from(*address), port)
        }
        [6, 16, rest @ ..] => {
            let (address, port) = rest.split_first_chunk::<16>()?;
            (IpAddr::from(*address), port)
        }
        _ => return None,
    };
    match port {
        [2, high, low] => Some((address, u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Writes the numbers of `LPRT` and `228`.
fn long_form(address: SocketAddr) -> String {
    let (family, octets) = match address.ip() {
        IpAddr::V4(ip) => (4, ip.octets().to_vec()),
        IpAddr::V6(ip) => (6, ip.octets().to_vec()),
    };
    let [high, low] = address.port().to_be_bytes();
    let listed: Vec<String> = octets.iter().map(u8::to_string).collect();
    format!(
        "{family},{},{},2,{high},{low}",
        octets.len(),
        listed.join(",")
    )
}

/// A passive reply of the broker's own. `None` if the form does not support the address.
pub(crate) fn passive_reply(form: PassiveForm, address: SocketAddr) -> Option<Vec<u8>> {
    let address = canonical(address);
    let port = address.port();
    match (form, address.ip()) {
        (PassiveForm::Short, IpAddr::V4(ip)) => {
            let numbers = short_form(ip, port, ',');
            Some(reply(227, &format!("Entering Passive Mode ({numbers}).")))
        }
        (PassiveForm::Short, IpAddr::V6(_)) | (PassiveForm::All | PassiveForm::Other, _) => None,
        (PassiveForm::Long, _) => {
            let numbers = long_form(address);
            Some(reply(
                228,
                &format!("Entering Long Passive Mode ({numbers})"),
            ))
        }
        (PassiveForm::Extended, _) => {
            let text = format!("Entering Extended Passive Mode (|||{port}|)");
            Some(reply(229, &text))
        }
    }
}

/// Whether there are three fields in parentheses: an IPv6 address and the port. pyftpdlib writes that, and ProFTPD only the
/// last group of the address.
fn names_ipv6(text: &[u8]) -> bool {
    let behind = memchr::memchr(b'(', text).and_then(|at| text.get(at + 1..));
    let inner = behind.and_then(|text| text.get(..memchr::memchr(b')', text)?));
    let fields: Option<Vec<&[u8]>> = inner.map(|text| text.split(|&byte| byte == b',').collect());
    let Some([group, high, low]) = fields.as_deref() else {
        return false;
    };
    let last_group = (1..=4).contains(&group.len()) && group.iter().all(u8::is_ascii_hexdigit);
    let whole = || std::str::from_utf8(group).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    (last_group || whole()) && decimal::<u8>(high).is_some() && decimal::<u8>(low).is_some()
}
