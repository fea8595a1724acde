//! How files are represented (`TYPE`, RFC 959, section 4.1.2).

use crate::sent::Sent;

/// The representation that the server has accepted. A session begins with text.
#[derive(Debug)]
pub(super) struct Representation {
    text: bool,
}

impl Default for Representation {
    fn default() -> Self {
        Self { text: true }
    }
}

impl Representation {
    /// The server answered this command, which is not a transfer.
    pub(super) fn answered(&mut self, sent: &Sent, code: u16) {
        match (sent.words(), code) {
            (("TYPE", argument), 200..=299) => self.text = is_text(argument),
            (("REIN", _), 200..=299) => *self = Self::default(),
            _ => {}
        }
    }

    /// Whether the transfer of this command is text, whose line ends the two ends may write differently. Listings always
    /// are.
    pub(super) fn is_text(&self, sent: &Sent) -> bool {
        self.text || matches!(sent.words().0, "LIST" | "NLST" | "MLSD")
    }
}

/// ASCII and EBCDIC are text; image and local bytes are not.
fn is_text(argument: &str) -> bool {
    let first = argument.chars().next();
    first.is_some_and(|it| matches!(it.to_ascii_uppercase(), 'A' | 'E'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    fn sent(line: &str) -> Sent {
        let command = Command::parse(line.as_bytes()).unwrap();
        Sent::new(command.shown(line.as_bytes()), command.kind)
    }

    #[test]
    fn a_file_is_text_until_the_server_accepts_another_type() {
        for (exchange, transfer, text) in [
            (&[][..], "RETR f", true),
            (&[("TYPE I", 200)], "RETR f", false),
            (&[("type i", 200)], "STOR f", false),
            (&[("TYPE I", 200)], "LIST", true),
            (&[("TYPE I", 504)], "RETR f", true),
            (&[("TYPE L 8", 200)], "RETR f", false),
            (&[("TYPE I", 200), ("TYPE A N", 200)], "RETR f", true),
            (&[("TYPE I", 200), ("REIN", 220)], "RETR f", true),
        ] {
            let mut representation = Representation::default();
            for (command, code) in exchange {
                representation.answered(&sent(command), *code);
            }
            assert_eq!(
                representation.is_text(&sent(transfer)),
                text,
                "{exchange:?} {transfer}"
            );
        }
    }
}
