//! The size of the next file, as far as commands and replies tell it before the transfer.

use crate::event::Direction;
use crate::sent::Sent;

/// What is known about the next transfer.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// A name and its size (`SIZE` and `MLST`, RFC 3659, sections 4 and 7).
    asked: Option<(String, u64)>,
    /// The name whose facts the server lists (`MLST`). Their lines follow.
    listed: Option<String>,
    /// The size that the client announced for an upload (`ALLO`, RFC 959, section 4.1.3).
    announced: Option<u64>,
    /// Where the next transfer begins (`REST`).
    offset: u64,
}

impl Sizes {
    /// The server answered this command, which is not a transfer.
    pub(super) fn answered(&mut self, sent: &Sent, code: u16, line: &[u8]) {
        let (verb, argument) = sent.words();
        match (verb, code) {
            ("SIZE", 213) => {
                let size = line.get(4..).and_then(number);
                self.asked = size.map(|size| (argument.to_owned(), size));
            }
            ("MLST", 250) => self.listed = Some(argument.to_owned()),
            ("ALLO", 200..=299) => self.announced = number(argument.as_bytes()),
            ("REST", 350) => self.offset = number(argument.as_bytes()).unwrap_or_default(),
            // The name can mean another file from now on.
            ("CWD" | "XCWD" | "CDUP" | "XCUP" | "REIN" | "USER", 200..=299) => {
                (self.asked, self.listed) = (None, None);
            }
            _ => {}
        }
    }

    /// The server has listed this size.
    pub(super) fn listed(&mut self, size: u64) {
        if let Some(name) = self.listed.take() {
            self.asked = Some((name, size));
        }
    }

    /// The bytes that the transfer of this command is to move. `start`: the line that announces it.
    pub(super) fn of(&mut self, sent: &Sent, direction: Direction, start: &[u8]) -> Option<u64> {
        let Self {
            asked,
            announced,
            offset,
            ..
        } = std::mem::take(self);
        let (verb, argument) = sent.words();
        match (verb, direction) {
            ("RETR", _) => {
                let asked = asked.filter(|(name, _)| name == argument);
                let rest = asked.and_then(|(_, size)| size.checked_sub(offset));
                // Behind a REST, some servers announce the rest, and others the whole file.
                in_parentheses(start).filter(|_| offset == 0).or(rest)
            }
            (_, Direction::Upload) => announced,
            _ => None,
        }
    }
}

/// The number of bytes that a server announces: `150 Opening BINARY mode data connection for x (1234 bytes)`.
fn in_parentheses(line: &[u8]) -> Option<u64> {
    let line = String::from_utf8_lossy(line);
    let (_, announced) = line.rsplit_once('(')?;
    let (digits, unit) = announced.split_once(' ')?;
    unit.starts_with("byte").then(|| digits.parse().ok())?
}

/// The size in a line of facts: ` type=file;size=1234; /pub/x`. Some servers begin the line with the code.
pub(super) fn fact(line: &[u8]) -> Option<u64> {
    let line = line
        .strip_prefix(b"250-")
        .unwrap_or(line)
        .trim_ascii_start();
    let facts = line.split(|byte| *byte == b' ').next()?;
    let facts = std::str::from_utf8(facts).ok()?;
    let mut facts = facts.split(';').filter_map(|fact| fact.split_once('='));
    let (_, size) = facts.find(|(name, _)| name.eq_ignore_ascii_case("size"))?;
    size.parse().ok()
}

/// The number at the beginning.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    fn sent(line: &str) -> Sent {
        let command = Command::parse(line.as_bytes()).unwrap();
        Sent::new(command.shown(line.as_bytes()), command.kind)
    }

    /// The size of a transfer after commands and the replies to them.
    fn size(exchange: &[(&str, &str)], transfer: &str, start: &str) -> Option<u64> {
        let mut sizes = Sizes::default();
        for (command, reply) in exchange {
            let code = reply[..3].parse().unwrap();
            sizes.answered(&sent(command), code, reply.as_bytes());
        }
        let transfer = sent(transfer);
        let direction = transfer.kind.direction().unwrap();
        sizes.of(&transfer, direction, start.as_bytes())
    }

    #[test]
    fn the_size_is_what_the_server_or_the_client_has_said() {
        let asked = ("SIZE f", "213 700\r\n");
        let rest = ("REST 100", "350 ok\r\n");
        let go = "150 go\r\n";
        let said = "150 Opening f (50 bytes).\r\n";
        for (exchange, transfer, start, expected) in [
            (&[][..], "RETR f", go, None),
            (&[], "RETR f", said, Some(50)),
            (&[], "RETR f", "150 go (x bytes)\r\n", None),
            (&[], "RETR f", "150 f (5 bytes) (9 bytes)\r\n", Some(9)),
            (&[], "RETR f", "150 f (12 MB)\r\n", None),
            (&[], "LIST", said, None),
            (&[asked], "RETR f", go, Some(700)),
            (&[asked], "RETR f", said, Some(50)),
            (&[asked], "RETR g", go, None),
            (&[asked, rest], "RETR f", said, Some(600)),
            (&[rest], "RETR f", said, None),
            (&[("REST 800", "350 ok"), asked], "RETR f", go, None),
            (&[("SIZE f", "550 no")], "RETR f", go, None),
            (&[asked, ("CWD x", "250 ok")], "RETR f", go, None),
            (&[("ALLO 9 R 5", "202 ok")], "STOR f", go, Some(9)),
            (&[("ALLO 9", "500 no")], "STOR f", go, None),
            (&[asked], "STOR f", said, None),
        ] {
            let found = size(exchange, transfer, start);
            assert_eq!(found, expected, "{exchange:?} {transfer} {start}");
        }
    }

    #[test]
    fn the_size_is_one_of_the_facts() {
        for (line, expected) in [
            (" Type=file;Size=1234;Perm=r; f\r\n", Some(1234)),
            ("250-size=5; size=7;\r\n", Some(5)),
            (" type=dir; size=7;\r\n", None),
            (" sized=7;size=x; f\r\n", None),
            (" 12 f\r\n", None),
        ] {
            assert_eq!(fact(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn a_listed_size_is_that_of_the_listed_name() {
        for (commands, expected) in [
            (&[("MLST f", 250)][..], Some(7)),
            (&[("MLST g", 250)], None),
            (&[("MLST f", 550)], None),
            (&[("MLST f", 250), ("CWD x", 250)], None),
        ] {
            let mut sizes = Sizes::default();
            for (command, code) in commands {
                sizes.answered(&sent(command), *code, b"");
            }
            sizes.listed(7);
            let found = sizes.of(&sent("RETR f"), Direction::Download, b"");
            assert_eq!(found, expected, "{commands:?}");
        }
    }

    #[test]
    fn what_was_said_holds_for_one_transfer() {
        let mut sizes = Sizes::default();
        sizes.answered(&sent("ALLO 9"), 200, b"200 ok");
        let upload = sent("STOR f");
        assert_eq!(sizes.of(&upload, Direction::Upload, b""), Some(9));
        assert_eq!(sizes.of(&upload, Direction::Upload, b""), None);
    }
}
