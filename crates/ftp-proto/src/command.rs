//! Understands a client's line as far as the session needs it.

use std::ops::Range;

use crate::address::announcing_verb;
use crate::event::Direction;
use crate::telnet;
use crate::text::printable;

/// What stands in an event for an argument that may be a secret.
const REDACTED: &str = "****";

/// What a command means to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Transfer(Direction),
    Abort,
    Passive,
    Port,
    /// `MODE`: whether a transfer ends with its data connection from then on (RFC 959, section 3.4).
    Mode {
        ends_with_connection: bool,
    },
    Auth,
    Reinitialize,
    /// `PASS`, `ACCT` and the like: its argument is a secret.
    Secret,
    /// Of no consequence here; 200 confirms it (RFC 959, section 5.4).
    Confirmed,
    /// Works on files and directories; 250 confirms it, with some servers 200.
    File,
    /// Of no consequence here, and answered with other codes.
    Plain,
    /// Not known. Servers accept odd spellings, so it may be anything.
    Unknown,
}

/// One command line, as places in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// In capitals, printable characters only: servers take `PASV` with a NUL for `PASV`.
    pub(crate) verb: String,
    pub(crate) kind: Kind,
    /// Without the blanks around it.
    pub(crate) argument_at: Range<usize>,
}

impl Command {
    /// Reads a whole line. `None` for one that holds no command.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        match announcing_verb(line) {
            Some(verb) => Some(Self::announcing(verb, line)),
            None => Self::read(line),
        }
    }

    /// A line that some server takes for this command. Its argument counts where the line is no riddle.
    fn announcing(verb: &str, line: &[u8]) -> Self {
        let plain = Self::read(line).filter(|command| command.verb == verb);
        plain.unwrap_or_else(|| Self {
            verb: verb.to_owned(),
            kind: Kind::Port,
            argument_at: line.len()..line.len(),
        })
    }

    fn read(line: &[u8]) -> Option<Self> {
        let text = telnet::skip(line).trim_ascii_start();
        let start = line.len() - text.len();
        let text = text.trim_ascii_end();
        let verb_length = text
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t'))
            .unwrap_or(text.len());
        let (verb, rest) = text.split_at_checked(verb_length)?;
        let argument = rest.trim_ascii_start();
        let end = start + text.len();
        let name: String = verb
            .iter()
            .filter(|byte| byte.is_ascii_graphic())
            .map(|&byte| char::from(byte))
            .collect();
        let name = printable(name.to_ascii_uppercase().as_bytes());
        (!verb.is_empty()).then(|| Self {
            kind: kind(&name, argument),
            verb: name,
            argument_at: end - argument.len()..end,
        })
    }

    /// The argument's bytes; `line` is the line that was parsed.
    pub(crate) fn argument<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.argument_at.clone()).unwrap_or_default()
    }

    /// The argument as an event may show it. What is not known to be harmless is not shown: with vsftpd and others a
    /// password can follow a verb spelled oddly.
    pub(crate) fn shown_argument(&self, line: &[u8]) -> String {
        let argument = self.argument(line);
        match self.kind {
            _ if argument.is_empty() => String::new(),
            Kind::Secret | Kind::Unknown => REDACTED.to_owned(),
            Kind::Transfer(_)
            | Kind::Abort
            | Kind::Passive
            | Kind::Port
            | Kind::Mode { .. }
            | Kind::Auth
            | Kind::Reinitialize
            | Kind::Confirmed
            | Kind::File
            | Kind::Plain => printable(argument),
        }
    }
}

fn kind(verb: &str, argument: &[u8]) -> Kind {
    match verb {
        "RETR" | "LIST" | "NLST" | "MLSD" => Kind::Transfer(Direction::Download),
        "STOR" | "STOU" | "APPE" => Kind::Transfer(Direction::Upload),
        "ABOR" => Kind::Abort,
        "PASV" | "EPSV" | "LPSV" | "SPSV" => Kind::Passive,
        "PORT" | "EPRT" | "LPRT" => Kind::Port,
        "MODE" => Kind::Mode {
            ends_with_connection: !matches!(argument, [b'B' | b'b' | b'C' | b'c', ..]),
        },
        "AUTH" => Kind::Auth,
        "REIN" => Kind::Reinitialize,
        "PASS" | "ACCT" | "ADAT" | "CONF" | "ENC" | "MIC" | "SITE" => Kind::Secret,
        "ALLO" | "CCC" | "CLNT" | "CSID" | "HASH" | "LANG" | "NOOP" | "OPTS" | "PBSZ" | "PROT"
        | "STRU" | "TYPE" => Kind::Confirmed,
        "CDUP" | "CWD" | "DELE" | "MKD" | "MLST" | "RMD" | "RNTO" | "SMNT" | "XCUP" | "XCWD"
        | "XMKD" | "XRMD" => Kind::File,
        "AVBL" | "FEAT" | "HELP" | "HOST" | "MDTM" | "MFCT" | "MFF" | "MFMT" | "PWD" | "QUIT"
        | "REST" | "RNFR" | "SIZE" | "STAT" | "SYST" | "USER" | "XPWD" => Kind::Plain,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8]) -> (String, String) {
        let command = Command::parse(line).unwrap();
        let argument = command.shown_argument(line);
        (command.verb, argument)
    }

    #[test]
    fn a_command_is_found_behind_telnet_bytes_and_blanks() {
        let line = b"\xff\xf4\xff\xf2  port   1,2,3,4,5,6 \r\n";
        let command = Command::parse(line).unwrap();
        assert_eq!((command.verb.as_str(), command.kind), ("PORT", Kind::Port));
        assert_eq!(command.argument(line), b"1,2,3,4,5,6");
    }

    #[test]
    fn a_blank_line_is_no_command() {
        for line in [&b"\r\n"[..], b"\n", b"  \r\n", b"\xff\xf1\r\n", b""] {
            assert_eq!(Command::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn only_arguments_known_to_be_harmless_are_shown() {
        for (line, verb, argument) in [
            (&b"PASS secret\r\n"[..], "PASS", "****"),
            (b"pass  secret\r\n", "PASS", "****"),
            (b"ACCT secret\r\n", "ACCT", "****"),
            (b"P@SS secret\r\n", "P@SS", "****"),
            (b"PA\0SS secret\r\n", "PASS", "****"),
            (b"SITE CHPASS secret\r\n", "SITE", "****"),
            (b"PASS\r\n", "PASS", ""),
            (b"CWD a b\r\n", "CWD", "a b"),
            (b"RETR \xff\x1b\r\n", "RETR", "\u{fffd}\\u{1b}"),
        ] {
            assert_eq!(
                shown(line),
                (verb.to_owned(), argument.to_owned()),
                "{line:?}"
            );
        }
    }

    #[test]
    fn spellings_that_servers_accept_are_recognised_or_left_open() {
        assert_eq!(Command::parse(b"PASV\0\r\n").unwrap().kind, Kind::Passive);
        assert_eq!(Command::parse(b"P@SW\r\n").unwrap().kind, Kind::Unknown);
        assert_eq!(
            Command::parse(b"mode b\n").unwrap().kind,
            Kind::Mode {
                ends_with_connection: false
            }
        );
        assert_eq!(
            Command::parse(b"MODE Z\n").unwrap().kind,
            Kind::Mode {
                ends_with_connection: true
            }
        );
    }
}
