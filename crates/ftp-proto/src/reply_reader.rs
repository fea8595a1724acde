//! The replies of a server, for a client of its own: whole replies out of bytes.

use crate::address::PassiveReply;
use crate::line::{LineBuffer, MAX_LINE, Piece};
use crate::reply::{ReplyLine, ReplyTracker};
use crate::text::printable;

/// The longest reply in bytes; a server with more to say says nothing useful.
const MAX_REPLY: usize = 4 * MAX_LINE;

/// Collects the lines of replies.
#[derive(Debug, Default)]
pub struct ReplyReader {
    lines: LineBuffer,
    tracker: ReplyTracker,
    reply: Vec<u8>,
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its code, 100 to 699.
    pub code: u16,
    lines: Vec<u8>,
}

/// What came is no reply; with its text, made fit for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoReply(pub String);

impl ReplyReader {
    /// Takes received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The next whole reply; `None` until more bytes come.
    ///
    /// # Errors
    /// `NoReply` for a line that is none, and for a reply without an end.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, NoReply> {
        while let Some(piece) = self.lines.next() {
            let Piece::Line(line) = piece else {
                return Err(self.no_reply(&[]));
            };
            let role = self.tracker.line(&line, false);
            if self.reply.len() + line.len() > MAX_REPLY || role == ReplyLine::Stray {
                return Err(self.no_reply(&line));
            }
            self.reply.extend(line);
            match role {
                ReplyLine::First(head) | ReplyLine::Last(head) if !head.goes_on => {
                    let lines = std::mem::take(&mut self.reply);
                    let code = head.code;
                    return Ok(Some(Reply { code, lines }));
                }
                ReplyLine::First(_)
                | ReplyLine::Last(_)
                | ReplyLine::Rest
                | ReplyLine::Within(_)
                | ReplyLine::Stray => {}
            }
        }
        Ok(None)
    }

    fn no_reply(&mut self, rest: &[u8]) -> NoReply {
        self.reply.extend(rest);
        let all = std::mem::take(&mut self.reply);
        NoReply(printable(all.trim_ascii()))
    }
}

impl Reply {
    /// Its text with the code, made fit for a log.
    pub fn text(&self) -> String {
        printable(self.lines.trim_ascii_end())
    }

    /// The port that it announces, if it is the reply to a passive command.
    pub fn announced_port(&self) -> Option<u16> {
        let found = PassiveReply::read(self.code, &self.lines);
        Some(found.ok()?.announced.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies in this text, whatever its chunks; the last one may be none.
    fn read(text: &[u8], chunk: usize) -> Vec<Result<Reply, NoReply>> {
        let mut reader = ReplyReader::default();
        let mut found = Vec::new();
        for bytes in text.chunks(chunk) {
            reader.push(bytes);
            while let Some(one) = reader.next_reply().transpose() {
                let ended = one.is_err();
                found.push(one);
                if ended {
                    return found;
                }
            }
        }
        found
    }

    #[test]
    fn replies_come_whole_however_they_arrive() {
        let text = b"220-Welcome\r\n no reply\r\n220 ready\r\n229 at (|||40123|)\r\n";
        for chunk in 1..text.len() {
            let found = read(text, chunk);
            let found: Vec<Reply> = found.into_iter().map(Result::unwrap).collect();
            assert_eq!(found[0].code, 220);
            assert_eq!(found[0].text(), "220-Welcome\\r\\n no reply\\r\\n220 ready");
            assert_eq!(found[0].announced_port(), None);
            assert_eq!(found[1].announced_port(), Some(40123));
        }
    }

    #[test]
    fn what_is_no_reply_is_shown() {
        let found = read(b"SSH-2.0-OpenSSH_9.2\r\n", 5);
        assert_eq!(found, [Err(NoReply("SSH-2.0-OpenSSH_9.2".into()))]);
    }
}
