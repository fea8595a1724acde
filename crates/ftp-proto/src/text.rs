//! Text for people: replies made here, and a peer's bytes made fit for a log.

use plain_text::printable_start;

/// The longest text of a reply made here, in bytes. RFC 959 sets no limit, but clients with 512-byte line buffers exist.
const MAX_REPLY_TEXT: usize = 480;

/// The longest text taken from a peer into an event, in bytes. Longer than any sane path, short enough for a log line.
const MAX_EVENT_TEXT: usize = 1024;

/// A one-line reply such as `421 text` and CRLF. What is not printable ASCII in `text` is replaced; the text is cut at
/// 480 bytes.
///
/// For refusals made in a session and for those made where there is no session yet.
pub fn reply(code: u16, text: &str) -> Vec<u8> {
    let printable = text.chars().map(|c| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    });
    let text: String = printable.take(MAX_REPLY_TEXT).collect();
    format!("{code:03} {text}\r\n").into_bytes()
}

/// A peer's bytes as text of at most 1 KiB: what is not UTF-8 is replaced, what steers a terminal or cannot be seen
/// is escaped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    // What is cut needs no decoding, which keeps a 64 KiB line cheap. The longest character is four bytes.
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
