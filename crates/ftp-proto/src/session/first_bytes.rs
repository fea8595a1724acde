//! Decides from the client's first bytes whether it speaks FTP at all.
//!
//! A web page can make a browser send FTP commands to a port on the browser's machine, in the body of an HTTP request:
//! FTP servers refuse each line of the header and carry out the body. So no byte of such a client reaches the server.

use crate::event::Protocol;
use crate::line::MAX_LINE;

/// The record type and the major version at the start of every TLS client's bytes (RFC 8446, section 5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// The start of every SSH client's bytes (RFC 4253, section 4.2).
const SSH_GREETING: &[u8] = b"SSH-";

/// The HTTP methods that browsers and tools use (RFC 9110, section 9; RFC 5789). None of them is an FTP command.
const HTTP_METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
];

/// The meaning of a client's first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FirstBytes {
    Other(Protocol),
    /// The client speaks FTP.
    Ftp,
    /// Too few bytes to decide.
    Undecided,
}

/// The meaning of these first bytes of a client.
pub(super) fn find(bytes: &[u8]) -> FirstBytes {
    let text = bytes.trim_ascii_start();
    if text.starts_with(TLS_HANDSHAKE) {
        return FirstBytes::Other(Protocol::Tls);
    }
    if text.starts_with(SSH_GREETING) {
        return FirstBytes::Other(Protocol::Ssh);
    }
    let end = memchr::memchr(b'\n', text);
    let line = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    if names_method_and_target(line) || (end.is_some() && names_http_version(line)) {
        return FirstBytes::Other(Protocol::Http);
    }
    if end.is_some() || bytes.len() >= MAX_LINE {
        FirstBytes::Ftp
    } else {
        FirstBytes::Undecided
    }
}

/// `GET /…`, or a whole URL in the place of the path. The line can be incomplete.
fn names_method_and_target(line: &[u8]) -> bool {
    let mut words = line.splitn(2, |&byte| byte == b' ');
    let known = words
        .next()
        .is_some_and(|method| HTTP_METHODS.contains(&method));
    known && words.next().is_some_and(|target| !target.is_empty())
}

/// A whole request line, whatever its method.
fn names_http_version(line: &[u8]) -> bool {
    let last = line.trim_ascii_end().rsplit(|&byte| byte == b' ').next();
    line.contains(&b' ') && last.is_some_and(|word| word.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_told_by_their_first_bytes() {
        for (bytes, protocol) in [
            (&b"GET / HTTP/1.1\r\n"[..], Protocol::Http),
            (b"POST /x", Protocol::Http),
            (b"\r\nPOST /x", Protocol::Http),
            (b"GET http://host/ HTTP/1.0\n", Protocol::Http),
            (b"CONNECT host:443 HTTP/1.1\r\n", Protocol::Http),
            (b"PRI * HTTP/2.0\r\n", Protocol::Http),
            (b"brew /pot HTTP/1.1\r\n", Protocol::Http),
            (b"GET /\r\n", Protocol::Http),
            (b"\x16\x03", Protocol::Tls),
            (b"\x16\x03\x01\x02\0", Protocol::Tls),
            (b"SSH-2.0-x\r\n", Protocol::Ssh),
        ] {
            assert_eq!(find(bytes), FirstBytes::Other(protocol), "{bytes:?}");
        }
    }

    #[test]
    fn ftp_is_left_alone() {
        for line in [
            &b"USER joe\r\n"[..],
            b"AUTH TLS\r\n",
            b"HELP\r\n",
            b"HOST a\r\n",
            b"GET\r\n",
            b"GETX /\r\n",
            b"CWD HTTP/1.1x y\r\n",
            b"\xff\xf4\xff\xf2ABOR\r\n",
            b"\x16\n",
        ] {
            assert_eq!(find(line), FirstBytes::Ftp, "{line:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_too_little() {
        for bytes in [
            &b""[..],
            b"\r\n",
            b"G",
            b"GET",
            b"GET ",
            b"\x16",
            b"SSH",
            b"brew /pot HTTP/1.1",
        ] {
            assert_eq!(find(bytes), FirstBytes::Undecided, "{bytes:?}");
        }
        assert_eq!(find(&[b'x'; MAX_LINE]), FirstBytes::Ftp);
    }
}
