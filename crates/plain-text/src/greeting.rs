//! Which protocol a peer speaks, by the first thing it sends.

/// How the first bytes of each protocol begin, and how its servers are called.
const GREETINGS: [(&str, &str); 9] = [
    ("SSH-", "an SSH server"),
    ("HTTP/", "an HTTP server"),
    ("<!DOCTYPE", "an HTTP server"),
    ("<html", "an HTTP server"),
    ("+OK", "a POP3 server"),
    ("* OK", "an IMAP server"),
    ("RFB ", "a VNC server"),
    // The first record of TLS is an alert for a peer that does not speak TLS (RFC 8446 section 5.1).
    ("\u{15}\u{3}", "a TLS server"),
    ("\u{16}\u{3}", "a TLS server"),
];

/// Names the protocol of a greeting, such as `an SSH server`. `None` if it has no well-known form.
pub fn named_by_greeting(greeting: &str) -> Option<&'static str> {
    if let Some(rest) = greeting.strip_prefix("220") {
        let is_reply = rest.starts_with([' ', '-']);
        return is_reply.then_some(if rest.contains("SMTP") {
            "a mail server"
        } else {
            "an FTP server"
        });
    }
    let known = GREETINGS.iter();
    let mut known = known.filter(|(start, _)| greeting.starts_with(start));
    known.next().map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_what_they_say_first() {
        for (greeting, expected) in [
            ("220 (vsFTPd 3.0.3)", Some("an FTP server")),
            ("220-FileZilla Server", Some("an FTP server")),
            ("220 mail.example ESMTP Postfix", Some("a mail server")),
            ("2200 bottles", None),
            ("SSH-2.0-OpenSSH_9.2", Some("an SSH server")),
            ("HTTP/1.1 400 Bad Request", Some("an HTTP server")),
            ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F", Some("a TLS server")),
            ("530 Too many connections", None),
            ("", None),
        ] {
            assert_eq!(named_by_greeting(greeting), expected, "{greeting:?}");
        }
    }
}
