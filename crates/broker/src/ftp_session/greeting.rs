//! What the server says before the client may speak: whether it is a greeting of FTP, and what it is otherwise.

use std::time::Duration;

use broker_ssh::Target;
use plain_text::{named_by_greeting, printable_start};

/// How long the server may take for its greeting. Some look up the client's name first, and wait for two or three DNS
/// servers in turn.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of the first line a message shows.
const MAX_SHOWN: usize = 160;

/// How much of a line is kept: the code, and what a message shows.
const MAX_KEPT: usize = 256;

/// A greeting in any number of pieces.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    first_line: String,
    line: Vec<u8>,
    /// Whether `line` is the first one.
    in_later_line: bool,
    is_complete: bool,
}

impl Greeting {
    /// Takes the server's bytes until the greeting is complete.
    ///
    /// # Errors
    /// The server speaks another protocol, which the text names.
    pub(crate) fn take(&mut self, bytes: &[u8], server: &Target) -> Result<(), String> {
        for byte in bytes {
            if self.is_complete {
                break;
            }
            if *byte == b'\n' {
                self.is_complete = ends_greeting(&self.line);
                self.in_later_line = true;
                self.line.clear();
            } else if self.line.len() < MAX_KEPT {
                self.line.push(*byte);
                if !self.in_later_line {
                    self.first_line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                }
            }
        }
        match named_by_greeting(&self.first_line) {
            Some(named) if self.is_foreign() => Err(format!(
                "{server} is {named}, not an FTP server: it greeted with: {}; check dst-port",
                self.shown()
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it is that of another protocol.
    pub(super) fn is_foreign(&self) -> bool {
        let named = named_by_greeting(&self.first_line);
        !matches!(named, None | Some("an FTP server" | "a mail server"))
    }

    /// Whether the server has said all that a client waits for.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether the server has sent anything.
    fn has_begun(&self) -> bool {
        self.in_later_line || !self.line.is_empty()
    }

    /// What the server refuses the session with, if it does (RFC 959 section 5.4).
    pub(crate) fn refusal(&self) -> Option<String> {
        let refuses = self.is_complete && self.first_line.starts_with(['4', '5']);
        refuses.then(|| self.shown())
    }

    /// Why there is no complete greeting after so long.
    pub(crate) fn missing(&self, server: &Target, after: Duration) -> String {
        let after = after.as_secs();
        if self.has_begun() {
            let sent = self.shown();
            return format!(
                "the FTP server {server} began its greeting but has not completed it within {after} s: it sent: {sent}; \
                 it is too slow, or no FTP server: check dst-port"
            );
        }
        format!(
            "the connection to the FTP server {server} opened, but no greeting came from there for {after} s; the server \
             hangs, or waits for another protocol: check dst-port"
        )
    }

    /// Why there is no complete greeting, after the server has closed the connection.
    pub(super) fn cut_short(&self, server: &Target) -> String {
        if self.has_begun() {
            let sent = self.shown();
            return format!(
                "the FTP server {server} closed the connection within its greeting: it sent: {sent}; it is overloaded, or no \
                 FTP server: check dst-port"
            );
        }
        format!(
            "the FTP server {server} closed the connection without a greeting; it may refuse the SSH server's address or \
             have too many clients"
        )
    }

    /// Its first line, for a message.
    pub(crate) fn shown(&self) -> String {
        printable_start(&self.first_line, MAX_SHOWN)
    }
}

/// Whether this line is the last of a reply: three digits, and then no `-` (RFC 959 section 4.2).
fn ends_greeting(line: &[u8]) -> bool {
    let is_code = line.len() >= 3 && line.iter().take(3).all(u8::is_ascii_digit);
    is_code && line.get(3) != Some(&b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Target {
        Target::new("ftp.example", 21)
    }

    /// The greeting after these bytes, which are the same in pieces of any size.
    fn after(bytes: &[u8]) -> Result<Greeting, String> {
        let mut whole = Greeting::default();
        let outcome = whole.take(bytes, &server());
        for size in [1, 3] {
            let mut greeting = Greeting::default();
            let taken = bytes
                .chunks(size)
                .try_for_each(|piece| greeting.take(piece, &server()));
            assert_eq!(taken.is_ok(), outcome.is_ok());
            assert_eq!(greeting.is_complete(), whole.is_complete());
        }
        outcome.map(|()| whole)
    }

    #[test]
    fn a_greeting_is_complete_with_its_last_line() {
        for (bytes, complete) in [
            (&b"220 ready\r\n"[..], true),
            (b"220\n", true),
            (b"220-Hello\r\n", false),
            (b"220-Hello\r\n and\r\n220 bye\r\n", true),
            (b"a line of a wrapper\r\n220 ready\r\n", true),
            (b"220 ready", false),
            (b"", false),
        ] {
            assert_eq!(after(bytes).unwrap().is_complete(), complete, "{bytes:?}");
        }
    }

    #[test]
    fn another_protocol_is_named_with_what_it_said() {
        let error = after(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap_err();
        assert_eq!(
            error,
            "ftp.example:21 is an SSH server, not an FTP server: it greeted with: SSH-2.0-OpenSSH_9.2; check dst-port"
        );
        assert!(
            after(b"HTTP/1.1 400 Bad\x1b[2J")
                .unwrap_err()
                .contains("Bad\\u{1b}[2J")
        );
        assert!(
            after(&[0x15, 3, 1, 0, 2, 2, 70])
                .unwrap_err()
                .contains("a TLS server")
        );
    }

    #[test]
    fn a_server_that_hangs_and_one_that_is_slow_have_two_texts() {
        let limit = Duration::from_secs(60);
        let silent = after(b"").unwrap().missing(&server(), limit);
        assert!(
            silent.contains("no greeting came from there for 60 s"),
            "{silent}"
        );
        let slow = after(b"220-We\x07lcome\r\n")
            .unwrap()
            .missing(&server(), limit);
        assert!(
            slow.contains("it sent: 220-We\\u{7}lcome; it is too slow"),
            "{slow}"
        );
    }

    #[test]
    fn the_servers_own_refusal_is_known() {
        let refused = after(b"421 Too many users\r\n").unwrap();
        assert_eq!(refused.refusal().as_deref(), Some("421 Too many users"));
        assert_eq!(after(b"220 ready\r\n").unwrap().refusal(), None);
        assert_eq!(after(&[b'x'; 9999]).unwrap().refusal(), None);
    }
}
