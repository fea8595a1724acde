//! Tells where a reply begins and what belongs to it (RFC 959, section 4.2).

use crate::telnet;

/// What a server's line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyLine {
    /// The first line of a reply.
    First {
        /// Its code, 100 to 699.
        code: u16,
        /// Where its text begins in the line.
        text_at: usize,
    },
    /// A later line of a reply.
    Rest,
    /// Text where a reply should have begun.
    Stray,
}

/// What stands behind a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A hyphen: more lines follow.
    Hyphen,
    /// A blank, or nothing.
    End,
}

/// A multi-line reply whose last line has not come.
#[derive(Debug)]
struct Open {
    code: u16,
    progress: Progress,
}

/// How likely it is that an open reply has in truth ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// No line looked like an end.
    Inside,
    /// A line looked like the last one but for its code. Inner lines may, so this alone proves nothing.
    MaybeOver,
    /// After such a line the client went on: it took the reply as ended, and so will the server.
    Answered,
}

/// Follows a server's lines.
#[derive(Debug, Default)]
pub(crate) struct ReplyTracker {
    open: Option<Open>,
}

impl ReplyTracker {
    /// Places the next line.
    pub(crate) fn line(&mut self, line: &[u8]) -> ReplyLine {
        let head = code_and_mark(line);
        if let Some(open) = &mut self.open {
            match head {
                Some((code, Mark::End, _)) if code == open.code => {
                    self.open = None;
                    return ReplyLine::Rest;
                }
                Some(_) if open.progress == Progress::Answered => self.open = None,
                Some((_, Mark::End, _)) => {
                    open.progress = Progress::MaybeOver;
                    return ReplyLine::Rest;
                }
                Some((_, Mark::Hyphen, _)) | None => return ReplyLine::Rest,
            }
        }
        self.begin(head)
    }

    /// A command went to the server.
    pub(crate) fn command_sent(&mut self) {
        if let Some(open) = &mut self.open
            && open.progress == Progress::MaybeOver
        {
            open.progress = Progress::Answered;
        }
    }

    /// Whether a reply has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes an open reply as ended.
    pub(crate) fn reset(&mut self) {
        self.open = None;
    }

    fn begin(&mut self, head: Option<(u16, Mark, usize)>) -> ReplyLine {
        let Some((code, mark, text_at)) = head else {
            return ReplyLine::Stray;
        };
        if mark == Mark::Hyphen {
            self.open = Some(Open {
                code,
                progress: Progress::Inside,
            });
        }
        ReplyLine::First { code, text_at }
    }
}

/// The code at the beginning of a line, what follows it, and where the text begins.
fn code_and_mark(line: &[u8]) -> Option<(u16, Mark, usize)> {
    let text = telnet::skip(line);
    let start = line.len() - text.len();
    let [
        hundreds @ b'1'..=b'6',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        rest @ ..,
    ] = text
    else {
        return None;
    };
    let mark = match rest {
        [b'-', ..] => Mark::Hyphen,
        [b' ' | b'\r' | b'\n', ..] | [] => Mark::End,
        _ => return None,
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    Some((
        digit(hundreds) * 100 + digit(tens) * 10 + digit(ones),
        mark,
        start + 3,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a line: F for first, r for rest, s for stray, `!` where a command goes to the server between.
    fn trace(lines: &[&str]) -> String {
        let mut tracker = ReplyTracker::default();
        let mut trace = String::new();
        for line in lines {
            if *line == "!" {
                tracker.command_sent();
                trace.push('!');
                continue;
            }
            trace.push(match tracker.line(format!("{line}\r\n").as_bytes()) {
                ReplyLine::First { .. } => 'F',
                ReplyLine::Rest => 'r',
                ReplyLine::Stray => 's',
            });
        }
        trace
    }

    #[test]
    fn a_reply_ends_at_its_own_code_and_a_blank() {
        assert_eq!(
            trace(&["211-Features:", " EPSV", "211-x", "211 End", "200 ok"]),
            "FrrrF"
        );
    }

    #[test]
    fn inner_lines_may_begin_with_any_digits() {
        assert_eq!(
            trace(&[
                "230-Hi",
                "227 no (1,2,3,4,5,6)",
                "150 users",
                "2300",
                "230 ok",
                "227 yes"
            ]),
            "FrrrrF"
        );
    }

    #[test]
    fn a_reply_may_end_with_its_code_alone() {
        assert_eq!(trace(&["220-Hi", "there", "220", "331 go on"]), "FrrF");
        assert_eq!(trace(&["200", "200 ok"]), "FF");
    }

    #[test]
    fn a_reply_ended_by_another_code_is_over_once_the_client_went_on() {
        assert_eq!(
            trace(&["211-Features:", "some text", "214 End", "!", "227 yes"]),
            "Frr!F"
        );
        assert_eq!(
            trace(&[
                "211-Features:",
                "214 End",
                "!",
                "more",
                "230-yes",
                "230 end",
                "200 ok"
            ]),
            "Fr!rFrF"
        );
        assert_eq!(
            trace(&["211-Features:", "214 x", "!", "211 End", "200 ok"]),
            "Fr!rF"
        );
    }

    #[test]
    fn a_pipelined_command_does_not_end_a_reply() {
        assert_eq!(
            trace(&["211-Features:", "!", "214 inner", "215 inner", "211 End"]),
            "F!rrr"
        );
    }

    #[test]
    fn what_is_no_reply_is_stray() {
        assert_eq!(
            trace(&["hello", "2000 x", "099 x", "22x y", "", "12"]),
            "ssssss"
        );
    }

    #[test]
    fn telnet_bytes_hide_no_reply() {
        let first = ReplyTracker::default().line(b"\xff\xfe\x01227 x\r\n");
        assert_eq!(
            first,
            ReplyLine::First {
                code: 227,
                text_at: 6
            }
        );
    }
}
