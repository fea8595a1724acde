//! Text for people: replies made here, and a peer's bytes made fit for a log.

/// The longest text of a reply made here, in bytes. RFC 959 sets no limit, but clients with 512-byte line buffers exist.
const MAX_REPLY_TEXT: usize = 480;

/// A one-line reply, `421 text` and CRLF, with whatever is not printable ASCII in `text` replaced, cut at 480 bytes.
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
