//! Text for people: the session's own replies, and a peer's bytes for a log.

use plain_text::printable_start;

/// The longest text of the session's own replies, in bytes. RFC 959 sets no limit, but some clients have line buffers
/// of 512 bytes.
const MAX_REPLY_TEXT: usize = 480;

/// The most lines of a reply before its last one: a screen full. Together they have less than 8 KiB, so that they reach a
/// client in one piece.
const MAX_REPLY_LINES: usize = 16;

/// The longest text of a peer in an event, in bytes: longer than any sensible path, short enough for a log line.
pub(crate) const MAX_EVENT_TEXT: usize = 1024;

/// A one-line reply such as `421 text` with CRLF. Characters other than printable ASCII are replaced, and the text is
/// shortened to 480 bytes.
///
/// For refusals both in a session and before there is a session.
pub fn reply(code: u16, text: &str) -> Vec<u8> {
    reply_line(code, ' ', text)
}

/// A reply of several lines, such as `421-first`, `421-second`, `421 last` (RFC 959, section 4.2). Each line has the form of
/// [`reply`]. Every line has the code, so none can look like the end of the reply. If there are more than 16 lines before the
/// last one, a line in place of the rest says how many are missing.
pub fn long_reply(code: u16, before: &[String], last: &str) -> Vec<u8> {
    let (shown, left_out) = match before.split_at_checked(MAX_REPLY_LINES) {
        Some((shown, rest)) => (shown, rest.len()),
        None => (before, 0),
    };
    let more = (left_out > 0).then(|| format!("({left_out} more)"));
    let inner = shown.iter().chain(&more);
    let mut reply: Vec<u8> = inner.flat_map(|text| reply_line(code, '-', text)).collect();
    reply.extend(reply_line(code, ' ', last));
    reply
}

fn reply_line(code: u16, mark: char, text: &str) -> Vec<u8> {
    let printable = text.chars().map(|c| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    });
    let text: String = printable.take(MAX_REPLY_TEXT).collect();
    format!("{code:03}{mark}{text}\r\n").into_bytes()
}

/// A line of a reply as text of at most 1 KiB, without its end.
pub(crate) fn printable_line(line: &[u8]) -> String {
    printable(line.trim_ascii_end())
}

/// A peer's bytes as text of at most 1 KiB. Invalid UTF-8 is replaced, and characters that control a terminal or are
/// invisible are escaped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    // Decode only the part that is shown, to keep a 64 KiB line cheap. The longest character has four bytes.
    let bytes = bytes.get(..MAX_EVENT_TEXT + 4).unwrap_or(bytes);
    printable_start(&String::from_utf8_lossy(bytes), MAX_EVENT_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_of_ascii() {
        assert_eq!(reply(421, "no\r\nway\u{e9}"), b"421 no  way?\r\n");
        assert_eq!(reply(425, &"x".repeat(9000)).len(), 4 + MAX_REPLY_TEXT + 2);
    }

    #[test]
    fn a_long_reply_ends_with_its_only_line_without_a_hyphen() {
        let before = ["first:".to_owned(), "421 not\r\nthe last".to_owned()];
        let expected = b"421-first:\r\n421-421 not  the last\r\n421 last\r\n";
        assert_eq!(long_reply(421, &before, "last"), expected);
        assert_eq!(long_reply(421, &[], "last"), reply(421, "last"));
    }

    #[test]
    fn a_long_reply_is_bounded_and_tells_that() {
        let before = vec!["x".repeat(9000); 1000];
        let reply = String::from_utf8(long_reply(421, &before, "last")).unwrap();
        let lines: Vec<_> = reply.lines().collect();
        assert_eq!(lines.len(), MAX_REPLY_LINES + 2);
        assert!(lines.iter().all(|line| line.len() <= 4 + MAX_REPLY_TEXT));
        let missing = format!("421-({} more)", before.len() - MAX_REPLY_LINES);
        assert_eq!(lines[MAX_REPLY_LINES..], [missing.as_str(), "421 last"]);
        let whole = vec!["x".to_owned(); MAX_REPLY_LINES];
        assert_eq!(
            long_reply(421, &whole, "y").len(),
            7 * (MAX_REPLY_LINES + 1)
        );
    }

    #[test]
    fn a_peers_text_is_printable_and_bounded() {
        assert_eq!(printable(b"a\x07\xffb\x1b"), "a\\u{7}\u{fffd}b\\u{1b}");
        assert_eq!(
            printable("exe.\u{202e}fdp\u{200b}".as_bytes()),
            "exe.\\u{202e}fdp\\u{200b}"
        );
        assert!(printable(&[0xff; 5000]).len() <= MAX_EVENT_TEXT);
        assert!(printable(&[1; 5000]).len() <= MAX_EVENT_TEXT);
    }
}
