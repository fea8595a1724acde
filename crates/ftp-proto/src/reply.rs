//! Finds where a reply begins and which lines belong to it (RFC 959, section 4.2).

use crate::telnet;

/// The role of a server's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyLine {
    /// The first line of a reply.
    First(ReplyHead),
    /// A later line of a reply.
    Rest,
    /// The last line of a multi-line reply.
    Last(ReplyHead),
    /// A later line of a reply that looks like a separate reply with this code. Some readers take any code with a blank
    /// as the end of a reply.
    Within(u16),
    /// Text in the place of a reply.
    Stray,
}

/// The beginning of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyHead {
    /// Its code, 100 to 699.
    pub(crate) code: u16,
    /// Whether more lines follow.
    pub(crate) goes_on: bool,
}

/// The separator after a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A hyphen: more lines follow.
    Hyphen,
    /// A blank, or nothing.
    End,
}

/// A multi-line reply without its last line so far.
#[derive(Debug)]
struct OpenReply {
    code: u16,
    progress: Progress,
}

impl OpenReply {
    /// Whether a line with this code and a blank is its last one. Servers that begin with `150-` also end with `125`.
    fn ends_with(&self, code: u16) -> bool {
        code == self.code || (is_preliminary(code) && is_preliminary(self.code))
    }

    /// Whether such a line is another reply, since no text of this one looks like it: the final reply after a
    /// preliminary one without its last line, or the expected start of a transfer.
    fn gives_way_to(&self, code: u16, expects_start: bool) -> bool {
        let final_reply = is_preliminary(self.code) && !is_preliminary(code);
        final_reply || (expects_start && matches!(code, 125 | 150))
    }
}

/// Whether another reply follows one with this code (RFC 959, section 4.2.1).
fn is_preliminary(code: u16) -> bool {
    (100..200).contains(&code)
}

/// The evidence that an open reply has really ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// No line looked like an end.
    Inside,
    /// A line looked like the last one, except for its code. Inner lines can look so too, so this alone proves nothing.
    MaybeOver,
    /// After such a line the client continued: for the client the reply has ended, and so it has for the server.
    Answered,
}

/// Follows a server's lines.
#[derive(Debug, Default)]
pub(crate) struct ReplyTracker {
    open: Option<OpenReply>,
}

impl ReplyTracker {
    /// Finds the role of the next line. `expects_start`: a `125` or `150` can be the answer to a transfer command.
    pub(crate) fn line(&mut self, line: &[u8], expects_start: bool) -> ReplyLine {
        let head = code_and_mark(line);
        match self.open.take() {
            Some(open) => self.continue_reply(open, head, expects_start),
            None => self.begin(head),
        }
    }

    fn continue_reply(
        &mut self,
        open: OpenReply,
        head: Option<(u16, Mark)>,
        expects_start: bool,
    ) -> ReplyLine {
        match head {
            Some((code, Mark::End)) if open.ends_with(code) => ReplyLine::Last(ReplyHead {
                code: open.code,
                goes_on: false,
            }),
            Some((code, Mark::End)) if open.gives_way_to(code, expects_start) => self.begin(head),
            Some(_) if open.progress == Progress::Answered => self.begin(head),
            Some((code, Mark::End)) => {
                self.open = Some(OpenReply {
                    progress: Progress::MaybeOver,
                    ..open
                });
                ReplyLine::Within(code)
            }
            Some((_, Mark::Hyphen)) | None => {
                self.open = Some(open);
                ReplyLine::Rest
            }
        }
    }

    /// Records that a command went to the server.
    pub(crate) fn command_sent(&mut self) {
        if let Some(open) = &mut self.open
            && open.progress == Progress::MaybeOver
        {
            open.progress = Progress::Answered;
        }
    }

    /// Whether a reply is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends an open reply if a line looked like its end.
    pub(crate) fn settle(&mut self) {
        let over = |open: &mut OpenReply| open.progress != Progress::Inside;
        self.open.take_if(over);
    }

    /// Ends an open reply.
    pub(crate) fn reset(&mut self) {
        self.open = None;
    }

    fn begin(&mut self, head: Option<(u16, Mark)>) -> ReplyLine {
        let Some((code, mark)) = head else {
            return ReplyLine::Stray;
        };
        if mark == Mark::Hyphen {
            self.open = Some(OpenReply {
                code,
                progress: Progress::Inside,
            });
        }
        ReplyLine::First(ReplyHead {
            code,
            goes_on: mark == Mark::Hyphen,
        })
    }
}

/// The code at the beginning of a line, and its separator.
fn code_and_mark(line: &[u8]) -> Option<(u16, Mark)> {
    let [
        hundreds @ b'1'..=b'6',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        rest @ ..,
    ] = telnet::skip(line)
    else {
        return None;
    };
    let mark = match rest {
        [b'-', ..] => Mark::Hyphen,
        [b' ' | b'\r' | b'\n', ..] | [] => Mark::End,
        _ => return None,
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    Some((digit(hundreds) * 100 + digit(tens) * 10 + digit(ones), mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a line: F for first, r for rest, l for the last one, w for one within that looks like a reply, s for stray, `!` where a command goes to the server between.
    fn trace(lines: &[&str]) -> String {
        let mut tracker = ReplyTracker::default();
        let mut trace = String::new();
        for line in lines {
            if *line == "!" {
                tracker.command_sent();
                trace.push('!');
                continue;
            }
            let waited_for = line.starts_with("150 Opening");
            trace.push(
                match tracker.line(format!("{line}\r\n").as_bytes(), waited_for) {
                    ReplyLine::First(_) => 'F',
                    ReplyLine::Rest => 'r',
                    ReplyLine::Last(_) => 'l',
                    ReplyLine::Within(_) => 'w',
                    ReplyLine::Stray => 's',
                },
            );
        }
        trace
    }

    #[test]
    fn a_reply_ends_at_its_own_code_and_a_blank() {
        assert_eq!(
            trace(&["211-Features:", " EPSV", "211-x", "211 End", "200 ok"]),
            "FrrlF"
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
            "FwwrlF"
        );
    }

    #[test]
    fn a_reply_may_end_with_its_code_alone() {
        assert_eq!(trace(&["220-Hi", "there", "220", "331 go on"]), "FrlF");
        assert_eq!(trace(&["200", "200 ok"]), "FF");
    }

    #[test]
    fn a_reply_ended_by_another_code_is_over_once_the_client_went_on() {
        assert_eq!(
            trace(&["211-Features:", "some text", "214 End", "!", "227 yes"]),
            "Frw!F"
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
            "Fw!rFlF"
        );
        assert_eq!(
            trace(&["211-Features:", "214 x", "!", "211 End", "200 ok"]),
            "Fw!lF"
        );
    }

    #[test]
    fn a_pipelined_command_does_not_end_a_reply() {
        assert_eq!(
            trace(&["211-Features:", "!", "214 inner", "215 inner", "211 End"]),
            "F!wwl"
        );
    }

    #[test]
    fn a_preliminary_reply_ends_with_another_one_or_before_the_final_one() {
        assert_eq!(trace(&["150-Note", "125 Opening", "226 done"]), "FlF");
        assert_eq!(trace(&["150-Opening", "150-more", "226 done"]), "FrF");
    }

    #[test]
    fn the_start_of_a_transfer_that_is_waited_for_ends_any_other_reply() {
        let lines = ["553-", "553- excluded", "150 Opening", "226 done"];
        assert_eq!(trace(&lines), "FrFF");
        assert_eq!(trace(&["200-Note", "150 users", "200 ok"]), "Fwl");
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
        let first = ReplyTracker::default().line(b"\xff\xfe\x01227 x\r\n", false);
        let head = ReplyHead {
            code: 227,
            goes_on: false,
        };
        assert_eq!(first, ReplyLine::First(head));
    }
}
