//! Text for people: the session's own replies, and a peer's bytes for a log.

use plain_text::printable_start;

/// The longest text of the session's own replies, in bytes. RFC 959 sets no limit, but some clients have line buffers
/// of 512 bytes.
const MAX_REPLY_TEXT: usize = 480;

/// The longest text of a peer in an event, in bytes: longer than any sensible path, short enough for a log line.
pub(crate) const MAX_EVENT_TEXT: usize = 1024;

/// A one-line reply such as `421 text` with CRLF. Characters other than printable ASCII are replaced, and the text is
/// shortened to 480 bytes.
///
/// For refusals both in a session and before there is a session.
pub fn reply(code: u16, text: &str) -> Vec<u8> {
    let printable = text.chars().map(|c| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    });
    let text: String = printable.take(MAX_REPLY_TEXT).collect();
    format!("{code:03} {text}\r\n").into_bytes()
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
