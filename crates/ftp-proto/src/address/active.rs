//! The address in `PORT`, `EPRT` and `LPRT`: read leniently, as clients write it, and written in the plainest form.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plain_text::canonical;

use super::{Cursor, is_blank, long_form, read_long_form, short_form};

/// A command with the address on which the client listens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PortCommand {
    /// The address in the command.
    pub(crate) host: IpAddr,
    /// The port in the command, which can be 0.
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

/// Why a command has no valid address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAddress {
    /// Its address is unreadable.
    Malformed,
    /// `EPRT` with a network protocol that is neither IPv4 nor IPv6.
    UnknownProtocol,
}

impl PortCommand {
    /// Reads the command's argument. Accepts blanks around numbers, leading zeros, a plus, a missing last delimiter and
    /// text after the address, since clients write them and servers accept them.
    pub(crate) fn parse(verb: &str, argument: &[u8]) -> Result<Self, NoAddress> {
        let read = match verb {
            "PORT" => short(argument).map(|address| (Form::Short, address)),
            "LPRT" => long(argument).map(|address| (Form::Long, address)),
            "EPRT" => return extended(argument),
            _ => None,
        };
        let (form, (host, port)) = read.ok_or(NoAddress::Malformed)?;
        Ok(Self { host, port, form })
    }

    /// Whether the command contains the family of its address.
    pub(crate) fn names_family(&self) -> bool {
        self.form == Form::Extended
    }

    /// The command with its own address.
    pub(crate) fn as_named(&self, line_end: &[u8]) -> Vec<u8> {
        self.write(SocketAddr::new(self.host, self.port), line_end)
    }

    /// The command with another address. If the family is the same, so is the form. Otherwise it is the form that every
    /// server of the new family knows: `PORT` for IPv4, `EPRT` for IPv6.
    pub(crate) fn rewrite(&self, address: SocketAddr, line_end: &[u8]) -> Vec<u8> {
        self.write(canonical(address), line_end)
    }

    fn write(&self, address: SocketAddr, line_end: &[u8]) -> Vec<u8> {
        let command = match (self.form, address.ip()) {
            (Form::Short, IpAddr::V4(ip)) => port_form(ip, address.port()),
            (Form::Extended, IpAddr::V4(ip)) if self.host.to_canonical().is_ipv6() => {
                port_form(ip, address.port())
            }
            (Form::Short, IpAddr::V6(_)) | (Form::Extended, _) => extended_form(address),
            (Form::Long, _) => format!("LPRT {}", long_form(address)),
        };
        [command.as_bytes(), line_end].concat()
    }
}

/// The command with an argument that no server accepts as an address, so that the server itself refuses the command. A
/// server that reads more leniently than this crate never sees the original argument.
pub(crate) fn unreadable(verb: &str, line_end: &[u8]) -> Vec<u8> {
    [verb.as_bytes(), b" ?", line_end].concat()
}

/// The end of a line: the last LF and the CRs before it.
pub(crate) fn line_end(line: &[u8]) -> &[u8] {
    let ends = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let length = line.iter().rev().take_while(ends).count();
    line.get(line.len() - length..).unwrap_or_default()
}

fn short(argument: &[u8]) -> Option<(IpAddr, u16)> {
    match list(argument)?.as_slice() {
        &[a, b, c, d, high, low] => Some(([a, b, c, d].into(), u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

fn long(argument: &[u8]) -> Option<(IpAddr, u16)> {
    read_long_form(&list(argument)?)
}

/// Numbers separated by commas. The list must end after them.
fn list(argument: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(argument, 0);
    let numbers = cursor.lenient_numbers()?;
    let mut behind = Cursor::new(argument, cursor.at);
    behind.skip_blanks();
    let goes_on = behind.eat(b',').is_some() && {
        behind.skip_blanks();
        behind
            .peek()
            .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b','))
    };
    (!goes_on).then_some(numbers)
}

/// Protocol, address and port, each after a delimiter.
fn extended(argument: &[u8]) -> Result<PortCommand, NoAddress> {
    let (&delimiter, rest) = argument.split_first().ok_or(NoAddress::Malformed)?;
    let mut fields = rest.split(|&byte| byte == delimiter);
    let mut field = || fields.next().ok_or(NoAddress::Malformed).map(trim);
    let (protocol, host, port) = (field()?, field()?, field()?);
    if !delimiter.is_ascii_graphic() {
        return Err(NoAddress::Malformed);
    }
    let protocol: u32 = whole_number(protocol).ok_or(NoAddress::Malformed)?;
    let host = match protocol {
        1 => ipv4(host).map(IpAddr::V4),
        2 => ipv6(host),
        _ => return Err(NoAddress::UnknownProtocol),
    };
    Ok(PortCommand {
        host: host.ok_or(NoAddress::Malformed)?,
        port: Cursor::new(port, 0)
            .lenient_number()
            .ok_or(NoAddress::Malformed)?,
        form: Form::Extended,
    })
}

fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let octets: Option<Vec<u8>> = text
        .split(|&byte| byte == b'.')
        .map(super::decimal)
        .collect();
    <[u8; 4]>::try_from(octets?).ok().map(Ipv4Addr::from)
}

fn ipv6(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().map(IpAddr::V6)
}

/// A number with nothing after it.
fn whole_number(text: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(text, 0);
    let number = cursor.lenient_number()?;
    cursor.peek().is_none().then_some(number)
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|byte| is_blank(**byte)).count();
    let text = text.get(start..).unwrap_or_default();
    let behind = text
        .iter()
        .rev()
        .take_while(|byte| is_blank(**byte))
        .count();
    text.get(..text.len() - behind).unwrap_or_default()
}

fn port_form(ip: Ipv4Addr, port: u16) -> String {
    format!("PORT {}", short_form(ip, port, ','))
}

fn extended_form(address: SocketAddr) -> String {
    let family = if address.is_ipv4() { 1 } else { 2 };
    format!("EPRT |{family}|{}|{}|", address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<PortCommand, NoAddress> {
        let line = line.trim();
        let (verb, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        PortCommand::parse(
            &verb.trim_matches('\0').to_uppercase(),
            argument.trim().as_bytes(),
        )
    }

    fn parse(line: &str) -> Option<String> {
        let port = read(line).ok()?;
        Some(SocketAddr::new(port.host, port.port).to_string())
    }

    fn rewritten(line: &str, address: &str) -> String {
        let line = read(line)
            .unwrap()
            .rewrite(address.parse().unwrap(), line_end(line.as_bytes()));
        String::from_utf8(line).unwrap()
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
    fn what_clients_write_and_servers_take_is_read() {
        for line in [
            "PORT 127,0,0,1,4,5,\r\n",
            "PORT 127,0,0,1,4,5.\r\n",
            "PORT 127,0,0,1,4,5 x\r\n",
            "PORT 127,0,0,1,4,5x\r\n",
            "PORT 127,0,0,1,4,5,x\r\n",
            "PORT 127,0,0,1,4,5\0\r\n",
            "PORT 127,0,0,1,4,5\rPORT 10,0,0,9,0,22\r\n",
            "PORT 127, 0, 0, 1, 4, 5\r\n",
            "PORT 127 ,0 ,0 ,1 ,4 ,5\r\n",
            "PORT\t+127,0,0,1,+4,5\r\n",
            "PORT 127,0,0,1,0000004,00005\r\n",
            "LPRT 4, 4, 127, 0, 0, 1, 2, 4, 5 x\r\n",
            "EPRT |1|127.0.0.1|1029\r\n",
            "EPRT |1|127.0.0.1|1029|x\r\n",
            "EPRT |1|127.0.0.1|1029||\r\n",
            "EPRT |1|127.0.0.1|01029x\r\n",
            "EPRT | 1 | 127.0.0.1 | +1029 |\r\n",
            "EPRT |1|127.000.000.001|1029|\r\n",
        ] {
            assert_eq!(parse(line).as_deref(), Some("127.0.0.1:1029"), "{line}");
        }
    }

    #[test]
    fn malformed_addresses_are_not_read() {
        for line in [
            "PORT\r\n",
            "PORT ?\r\n",
            "PORT 127,0,0,1,4\r\n",
            "PORT 127,0,0,1,4,5,6\r\n",
            "PORT 127,0,0,1,4,5, +6\r\n",
            "PORT 127,0,0,1,4,256\r\n",
            "PORT 383,0,0,1,4,5\r\n",
            "PORT 127,0,0,1,4,4294967301\r\n",
            "PORT 127,0,0,1,,5\r\n",
            "PORT 127,0,0,1,4,-5\r\n",
            "PORT 127.0.0.1,4,5\r\n",
            "PORT 127,0,0,1,\u{ff}4,5\r\n",
            "PORT x,0,0,1,4,5\r\n",
            "PORT127,0,0,1,4,5\r\n",
            "PORTS 127,0,0,1,4,5\r\n",
            "P@RT 127,0,0,1,4,5\r\n",
            "NOOP\rPORT 127,0,0,1,4,5\r\n",
            "EPRT |1|127.0.0.1|65536|\r\n",
            "EPRT |1|127.0.0.1|-5|\r\n",
            "EPRT |1|127.0.0.1|\r\n",
            "EPRT |1|::1|5|\r\n",
            "EPRT |1|383.0.0.1|5|\r\n",
            "EPRT |2|127.0.0.1|5|\r\n",
            "EPRT |2|fe80::1%eth0|5|\r\n",
            "EPRT ||127.0.0.1|5|\r\n",
            "EPRT |1x|127.0.0.1|5|\r\n",
            "EPRT |1||5|\r\n",
            "EPRT |1|127.0.0.1||\r\n",
            "EPRT \u{ff}\r\n",
            "LPRT 4,4,127,0,0,1,3,4,5\r\n",
            "LPRT 6,4,127,0,0,1,2,4,5\r\n",
        ] {
            assert_eq!(read(line), Err(NoAddress::Malformed), "{line}");
        }
        assert_eq!(
            read("EPRT |3|127.0.0.1|5|\r\n"),
            Err(NoAddress::UnknownProtocol)
        );
    }

    #[test]
    fn the_form_stays_where_it_fits() {
        assert_eq!(
            rewritten("PORT 10,0,0,1,4,5\r\n", "127.0.0.1:20000"),
            "PORT 127,0,0,1,78,32\r\n"
        );
        assert_eq!(
            rewritten("EPRT |2|::1|1029|\n", "[::2]:20000"),
            "EPRT |2|::2|20000|\n"
        );
        assert_eq!(
            rewritten("LPRT 4,4,10,0,0,1,2,4,5\r\n", "127.0.0.1:20000"),
            "LPRT 4,4,127,0,0,1,2,78,32\r\n"
        );
    }

    #[test]
    fn an_eprt_becomes_a_port_where_ipv6_becomes_ipv4() {
        assert_eq!(
            rewritten("EPRT |2|::1|1029|\n", "127.0.0.1:20000"),
            "PORT 127,0,0,1,78,32\n"
        );
        assert_eq!(
            rewritten("EPRT |1|10.0.0.1|1029|\n", "127.0.0.1:20000"),
            "EPRT |1|127.0.0.1|20000|\n"
        );
    }

    #[test]
    fn a_port_becomes_an_eprt_for_ipv6() {
        assert_eq!(
            rewritten("PORT 10,0,0,1,4,5\r\n", "[::1]:20000"),
            "EPRT |2|::1|20000|\r\n"
        );
    }

    #[test]
    fn nothing_but_the_line_end_stands_around_the_new_address() {
        assert_eq!(
            rewritten("\0port\t10, 0,0,1,4,5, x\0 \r\r\n", "127.0.0.1:20000"),
            "PORT 127,0,0,1,78,32\r\r\n"
        );
        assert_eq!(unreadable("PORT", line_end(b"PORT x\n")), b"PORT ?\n");
    }
}
