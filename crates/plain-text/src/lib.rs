//! Makes untrusted text safe for a terminal and for one line of a log.
//!
//! Clients and servers choose names, banners and replies. When such a text is shown, it must not control the terminal,
//! begin a new line, or look like something else. This crate also writes hosts and ports, so that they look the same
//! everywhere.

mod closest;
mod greeting;

use std::net::SocketAddr;

pub use closest::closest;
pub use greeting::named_by_greeting;

/// Replaces the rest of a shortened text.
const CUT: char = '…';

/// The text in one line. Unprintable characters are escaped as in Rust: `\n`, `\u{202e}`.
pub fn printable(text: &str) -> String {
    printable_start(text, usize::MAX)
}

/// The same in at most `most` bytes. `…` replaces the rest.
pub fn printable_start(text: &str, most: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(most));
    let mut kept = 0;
    for c in text.chars() {
        if is_printable(c) {
            safe.push(c);
        } else {
            safe.extend(c.escape_default());
        }
        if safe.len() > most {
            safe.truncate(kept);
            safe.push(CUT);
            break;
        }
        if safe.len() <= most.saturating_sub(CUT.len_utf8()) {
            kept = safe.len();
        }
    }
    safe
}

/// `host:port`, with an IPv6 address in brackets.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// An IPv6 address without its brackets, if it has any. Other text in brackets keeps them, and so is not a valid host.
pub fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .filter(|inside| inside.contains(':'))
        .unwrap_or(host)
}

/// The same address and port, as IPv4 if the address is an IPv4-mapped IPv6 address.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether a character can be shown unchanged: it does not control the terminal, is visible, and does not change the
/// direction of writing.
pub fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// Whether the character is a Unicode format character, such as a bidirectional mark (UAX #9), a line separator, or an
/// invisible letter. The variation selectors of emoji do not count: they change how a sign looks.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_escaped_and_the_rest_is_kept() {
        for (text, expected) in [
            ("Grüße, 世界 🙂 ❤\u{fe0f}", "Grüße, 世界 🙂 ❤\u{fe0f}"),
            ("a\u{1b}[2Jb\r\n", "a\\u{1b}[2Jb\\r\\n"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("exe.\u{202e}fdp", "exe.\\u{202e}fdp"),
            ("\u{2066}isolated\u{2069}", "\\u{2066}isolated\\u{2069}"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("soft\u{ad}hyphen", "soft\\u{ad}hyphen"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_its_characters_and_shows_it() {
        for (text, most, expected) in [
            ("äöü", 6, "äöü"),
            ("äöüß", 7, "äö…"),
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc…"),
            ("ab\u{1b}", 8, "ab\\u{1b}"),
            ("ab\u{1b}cd", 8, "ab…"),
        ] {
            let shown = printable_start(text, most);
            assert!(shown.len() <= most, "{shown}");
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn brackets_belong_to_ipv6_addresses() {
        assert_eq!(host_port("::1", 21), "[::1]:21");
        assert_eq!(host_port("ftp.example", 21), "ftp.example:21");
        for (host, bare) in [
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("[ftp.example]", "[ftp.example]"),
            ("[]", "[]"),
            ("[::1", "[::1"),
        ] {
            assert_eq!(without_brackets(host), bare);
        }
    }
}
