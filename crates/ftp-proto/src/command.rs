//! Parses a client's line as far as the session needs it.

use std::ops::Range;

use crate::address::announcing_verb;
use crate::kind::CommandKind;
use crate::telnet;
use crate::text::printable;

/// Replaces an argument that can be a secret in an event.
const REDACTED: &str = "****";

/// One command line, as ranges in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The verb in capitals, printable characters only: servers read `PASV` with a NUL as `PASV`.
    pub(crate) verb: String,
    pub(crate) kind: CommandKind,
    /// The argument without the blanks around it.
    pub(crate) argument_at: Range<usize>,
}

impl Command {
    /// Reads a whole line. `None` if it contains no command.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        match announcing_verb(line) {
            Some(verb) => Some(Self::announcing(verb, line)),
            None => Self::read(line),
        }
    }

    /// A line that some server reads as this command. Its argument counts only if the line is unambiguous.
    fn announcing(verb: &str, line: &[u8]) -> Self {
        let plain = Self::read(line).filter(|command| command.verb == verb);
        plain.unwrap_or_else(|| Self {
            verb: verb.to_owned(),
            kind: CommandKind::Port,
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
            kind: CommandKind::of(&name, argument),
            verb: name,
            argument_at: end - argument.len()..end,
        })
    }

    /// The argument's bytes; `line` is the parsed line.
    pub(crate) fn argument<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.argument_at.clone()).unwrap_or_default()
    }

    /// The argument in a form that an event can show. An argument that is not known to be harmless is hidden: with
    /// vsftpd and others a password can follow an oddly spelled verb.
    pub(crate) fn shown_argument(&self, line: &[u8]) -> String {
        let argument = self.argument(line);
        if argument.is_empty() {
            String::new()
        } else if matches!(self.kind, CommandKind::Secret | CommandKind::Unknown) {
            REDACTED.to_owned()
        } else {
            printable(argument)
        }
    }

    /// The command and its argument in a form that an event can show.
    pub(crate) fn shown(&self, line: &[u8]) -> String {
        match self.shown_argument(line) {
            argument if argument.is_empty() => self.verb.clone(),
            argument => format!("{} {argument}", self.verb),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::PassiveForm;

    fn shown(line: &[u8]) -> (String, String) {
        let command = Command::parse(line).unwrap();
        let argument = command.shown_argument(line);
        (command.verb, argument)
    }

    #[test]
    fn a_command_is_found_behind_telnet_bytes_and_blanks() {
        let line = b"\xff\xf4\xff\xf2  port   1,2,3,4,5,6 \r\n";
        let command = Command::parse(line).unwrap();
        assert_eq!(
            (command.verb.as_str(), command.kind),
            ("PORT", CommandKind::Port)
        );
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
        assert_eq!(
            Command::parse(b"PASV\0\r\n").unwrap().kind,
            CommandKind::Passive(PassiveForm::Short)
        );
        assert_eq!(
            Command::parse(b"P@SW\r\n").unwrap().kind,
            CommandKind::Unknown
        );
        assert_eq!(
            Command::parse(b"mode b\n").unwrap().kind,
            CommandKind::Mode { framed: true }
        );
        assert_eq!(
            Command::parse(b"MODE Z\n").unwrap().kind,
            CommandKind::Mode { framed: false }
        );
    }
}
