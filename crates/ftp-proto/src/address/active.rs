//! The address in `PORT`, `EPRT` and `LPRT`: read strictly, and written anew for the server.

use std::net::{IpAddr, SocketAddr};

use super::{Cursor, canonical, extended_address, long_form, read_long_form, short_form};
use crate::command::Command;

/// A well-formed command that names where the client listens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PortCommand {
    /// The address as named.
    pub(crate) host: IpAddr,
    /// The port as named; it may be 0.
    pub(crate) port: u16,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `PORT` (RFC 959).
    Short,
    /// `EPRT` (RFC 2428).
    Extended,
    /// `LPRT` (RFC 1639).
    Long,
}

impl PortCommand {
    /// Reads the command's argument. `None` where it is malformed or of an unknown family.
    pub(crate) fn parse(command: &Command, line: &[u8]) -> Option<Self> {
        let argument = command.argument(line);
        let (form, (host, port)) = match command.verb.as_str() {
            "PORT" => (Form::Short, short(argument)?),
            "EPRT" => (Form::Extended, extended(argument)?),
            "LPRT" => (Form::Long, read_long_form(&whole_list(argument)?)?),
            _ => return None,
        };
        Some(Self { host, port, form })
    }

    /// The line with another address. The form stays where the family does. Where the family changes it becomes the form
    /// that every server of the new one knows: `PORT` for IPv4, `EPRT` for IPv6. What stands before the command and
    /// behind it stays.
    pub(crate) fn rewrite(
        &self,
        command: &Command,
        line: &[u8],
        address: SocketAddr,
    ) -> Option<Vec<u8>> {
        let address = canonical(address);
        let argument = command.argument_at.start;
        let (start, text) = match (self.form, address.ip()) {
            (Form::Short, IpAddr::V4(ip)) => (argument, short_form(ip, address.port(), ',')),
            (Form::Short, IpAddr::V6(_)) => (
                command.verb_at.start,
                format!("EPRT {}", extended_form(address)),
            ),
            (Form::Extended, IpAddr::V4(ip)) if self.host.to_canonical().is_ipv6() => (
                command.verb_at.start,
                format!("PORT {}", short_form(ip, address.port(), ',')),
            ),
            (Form::Extended, _) => (argument, extended_form(address)),
            (Form::Long, _) => (argument, long_form(address)),
        };
        let before = line.get(..start)?;
        let behind = line.get(command.argument_at.end..)?;
        Some([before, text.as_bytes(), behind].concat())
    }
}

fn short(argument: &[u8]) -> Option<(IpAddr, u16)> {
    match whole_list(argument)?.as_slice() {
        &[a, b, c, d, high, low] => Some(([a, b, c, d].into(), u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

fn extended(argument: &[u8]) -> Option<(IpAddr, u16)> {
    let (&delimiter, rest) = argument.split_first()?;
    let parts: Vec<&[u8]> = rest.splitn(5, |&byte| byte == delimiter).collect();
    match parts.as_slice() {
        [family, address, port, []] if delimiter.is_ascii_graphic() => {
            Some((extended_address(family, address)?, super::decimal(port)?))
        }
        _ => None,
    }
}

fn extended_form(address: SocketAddr) -> String {
    let family = if address.is_ipv4() { 1 } else { 2 };
    format!("|{family}|{}|{}|", address.ip(), address.port())
}

/// Numbers with commas between, and nothing else.
fn whole_list(argument: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(argument, 0);
    let numbers = cursor.numbers()?;
    cursor.peek().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<String> {
        let command = Command::parse(line.as_bytes()).unwrap();
        let port = PortCommand::parse(&command, line.as_bytes())?;
        Some(SocketAddr::new(port.host, port.port).to_string())
    }

    fn rewritten(line: &[u8], address: &str) -> String {
        let command = Command::parse(line).unwrap();
        let port = PortCommand::parse(&command, line).unwrap();
        let line = port
            .rewrite(&command, line, address.parse().unwrap())
            .unwrap();
        String::from_utf8_lossy(&line).into_owned()
    }

    #[test]
    fn well_formed_addresses_are_read() {
        for (line, address) in [
            ("PORT 127,0,0,1,4,5\r\n", "127.0.0.1:1029"),
            ("port  127,000,000,001,004,005 \r\n", "127.0.0.1:1029"),
            ("EPRT |1|132.235.1.2|6275|\r\n", "132.235.1.2:6275"),
            (
                "EPRT |2|1080::8:800:200C:417A|5282|\r\n",
                "[1080::8:800:200c:417a]:5282",
            ),
            ("EPRT !2!::ffff:1.2.3.4!5282!\n", "[::ffff:1.2.3.4]:5282"),
            ("LPRT 4,4,127,0,0,1,2,4,5\r\n", "127.0.0.1:1029"),
            (
                "LPRT 6,16,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,4,5\r\n",
                "[::1]:1029",
            ),
        ] {
            assert_eq!(parse(line).as_deref(), Some(address), "{line}");
        }
    }

    #[test]
    fn malformed_addresses_are_not_read() {
        for line in [
            "PORT\r\n",
            "PORT 127,0,0,1,4\r\n",
            "PORT 127,0,0,1,4,5,6\r\n",
            "PORT 127,0,0,1,4,256\r\n",
            "PORT 127,0,0,1,,5\r\n",
            "PORT 127,0,0,1,4,+5\r\n",
            "PORT 127,0,0,1,4,5x\r\n",
            "PORT 127.0.0.1,4,5\r\n",
            "EPRT |1|127.0.0.1|65536|\r\n",
            "EPRT |1|127.0.0.1|+5|\r\n",
            "EPRT |1|127.0.0.1|5\r\n",
            "EPRT |1|127.0.0.1|5|x\r\n",
            "EPRT |1|127.0.0.1|5||\r\n",
            "EPRT |1|::1|5|\r\n",
            "EPRT |2|127.0.0.1|5|\r\n",
            "EPRT |2|fe80::1%eth0|5|\r\n",
            "EPRT |3|127.0.0.1|5|\r\n",
            "EPRT ||127.0.0.1|5|\r\n",
            "EPRT |1||5|\r\n",
            "EPRT |1|127.0.0.1||\r\n",
            "LPRT 4,4,127,0,0,1,3,4,5\r\n",
            "LPRT 6,4,127,0,0,1,2,4,5\r\n",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_form_stays_where_it_fits() {
        assert_eq!(
            rewritten(b"PORT 10,0,0,1,4,5\r\n", "127.0.0.1:20000"),
            "PORT 127,0,0,1,78,32\r\n"
        );
        assert_eq!(
            rewritten(b"EPRT |2|::1|1029|\n", "[::2]:20000"),
            "EPRT |2|::2|20000|\n"
        );
        assert_eq!(
            rewritten(b"LPRT 4,4,10,0,0,1,2,4,5\r\n", "127.0.0.1:20000"),
            "LPRT 4,4,127,0,0,1,2,78,32\r\n"
        );
    }

    #[test]
    fn an_eprt_becomes_a_port_where_ipv6_becomes_ipv4() {
        assert_eq!(
            rewritten(b"EPRT |2|::1|1029|\n", "127.0.0.1:20000"),
            "PORT 127,0,0,1,78,32\n"
        );
        assert_eq!(
            rewritten(b"EPRT |1|10.0.0.1|1029|\n", "127.0.0.1:20000"),
            "EPRT |1|127.0.0.1|20000|\n"
        );
    }

    #[test]
    fn a_port_becomes_an_eprt_for_ipv6() {
        assert_eq!(
            rewritten(b"PORT 10,0,0,1,4,5\r\n", "[::1]:20000"),
            "EPRT |2|::1|20000|\r\n"
        );
    }

    #[test]
    fn what_stands_around_the_address_stays() {
        let line = b"\xff\xf4port  10,0,0,1,4,5  \r\r\n";
        assert_eq!(
            rewritten(line, "127.0.0.1:20000"),
            "\u{fffd}\u{fffd}port  127,0,0,1,78,32  \r\r\n"
        );
        assert_eq!(
            rewritten(line, "[::1]:20000"),
            "\u{fffd}\u{fffd}EPRT |2|::1|20000|  \r\r\n"
        );
    }
}
