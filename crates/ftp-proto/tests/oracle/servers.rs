//! How servers read `PORT`, `EPRT` and `LPRT`.

use super::Found;
use super::scan::{
    atoi, digits, is_space, match_list, scan_list, scan_number, starts, without_telnet,
};

/// What any server finds in what it was sent.
pub fn find(stream: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    for plain in [
        stream.to_vec(),
        without_telnet(stream),
        proftpd_telnet(stream),
    ] {
        let lines = plain.split(|&byte| byte == b'\n');
        for line in lines.clone() {
            found.extend(read_line(line.strip_suffix(b"\r").unwrap_or(line)));
        }
        for line in plain.split(|byte| matches!(byte, b'\r' | b'\n')) {
            found.extend(read_line(line));
        }
    }
    found
}

fn read_line(line: &[u8]) -> Vec<Found> {
    let without_nul: Vec<u8> = line.iter().copied().filter(|byte| *byte != 0).collect();
    let mut found: Vec<Found> = vsftpd(line).into_iter().collect();
    for line in [line, &without_nul] {
        found.extend(by_letters(line));
        found.extend(by_prefix(line));
    }
    found
}

fn of(reader: &'static str, numbers: Vec<i128>) -> Found {
    Found { reader, numbers }
}

/// Telnet commands are left out, but for those that are not known.
fn proftpd_telnet(stream: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = stream;
    loop {
        rest = match rest {
            [] => return plain,
            [255, 251..=254, _, tail @ ..] => tail,
            [255, 242 | 244 | 255, tail @ ..] => tail,
            [byte, tail @ ..] => {
                plain.push(*byte);
                tail
            }
        };
    }
}

/// The verb to the first blank; fields between commas, each through `atoi`, and nothing behind the sixth.
fn vsftpd(line: &[u8]) -> Option<Found> {
    let blank = line.iter().position(|&byte| byte == b' ')?;
    let (verb, argument) = (line[..blank].to_ascii_uppercase(), &line[blank + 1..]);
    match verb.as_slice() {
        b"PORT" => {
            let fields: Vec<&[u8]> = argument.split(|&byte| byte == b',').collect();
            let (six, behind) = fields.split_at_checked(6)?;
            let nothing_behind = behind.is_empty() || behind == [b""];
            let numbers: Vec<i128> = six.iter().map(|field| atoi(field)).collect();
            nothing_behind.then(|| of("vsftpd PORT", numbers))
        }
        b"EPRT" => {
            let mut fields = argument.strip_prefix(b"|")?.split(|&byte| byte == b'|');
            fields
                .next()
                .filter(|family| matches!(atoi(family), 1 | 2))?;
            let host = fields.next()?;
            extended("vsftpd EPRT", host, atoi(fields.next()?))
        }
        _ => None,
    }
}

/// The verb is what letters there are; the rest goes through `sscanf`, and what follows does not matter. So proftpd,
/// pure-ftpd and, but for blanks, inetutils.
fn by_letters(line: &[u8]) -> Vec<Found> {
    let start = line.iter().take_while(|byte| is_space(**byte)).count();
    let line = &line[start..];
    let length = line
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'@')
        .count();
    let argument = &line[length..];
    match line[..length].to_ascii_uppercase().as_slice() {
        b"PORT" => port("sscanf PORT", argument).into_iter().collect(),
        b"LPRT" => lprt(argument).into_iter().collect(),
        b"EPRT" => eprt(argument).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Four letters are compared, and the first six numbers anywhere behind them count: so small servers.
fn by_prefix(line: &[u8]) -> Option<Found> {
    let verb = line.get(..4)?.to_ascii_uppercase();
    let text = line.get(4..).filter(|_| verb == b"PORT")?;
    starts(text)
        .find_map(|at| match_list(at, 6).or_else(|| scan_list(at, 6)))
        .map(|numbers| of("four letters PORT", numbers))
}

fn port(reader: &'static str, argument: &[u8]) -> Option<Found> {
    scan_list(argument, 6).map(|numbers| of(reader, numbers))
}

fn lprt(argument: &[u8]) -> Option<Found> {
    let numbers = scan_list(argument, 9).filter(|numbers| numbers[..2] == [4, 4])?;
    Some(of("LPRT", [&numbers[2..6], &numbers[7..]].concat()))
}

/// Any delimiter; the port ends where its digits do.
fn eprt(argument: &[u8]) -> Option<Found> {
    let blanks = argument.iter().take_while(|byte| is_space(**byte)).count();
    let (&delimiter, rest) = argument[blanks..].split_first()?;
    let mut fields = rest.split(|&byte| byte == delimiter);
    scan_number(fields.next()?).filter(|(family, _)| matches!(family, 1 | 2))?;
    let host = fields.next()?;
    let (port, _) = scan_number(fields.next()?)?;
    extended("EPRT", host, port)
}

/// An address in IPv4's form; of others the port alone can be judged.
fn extended(reader: &'static str, host: &[u8], port: i128) -> Option<Found> {
    let octets: Option<Vec<i128>> = host
        .split(|&byte| byte == b'.')
        .map(|octet| digits(octet.trim_ascii_start()).map(|(number, _)| number))
        .collect();
    let mut numbers = octets
        .filter(|octets| octets.len() == 4)
        .unwrap_or_default();
    numbers.push(port);
    Some(of(reader, numbers))
}
