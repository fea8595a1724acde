//! Clients that do not speak FTP.

mod script;

use script::check;

#[test]
fn another_protocol_ends_the_session_before_the_server_hears_of_it() {
    for (first, protocol) in [
        (
            r"POST / HTTP/1.1\r\nHost: x\r\n\r\nUSER anonymous\r\nDELE a",
            "HTTP",
        ),
        (r"GET /\c", "HTTP"),
        (r"OPTIONS * HTTP/1.1", "HTTP"),
        (r"brew /pot HTTP/1.1", "HTTP"),
        (r"\x16\x03\c", "TLS"),
        (r"SSH-2.0-x", "SSH"),
    ] {
        check(&format!(
            r"
            events
            s> 220 ready
            -> client 220 ready
            c> {first}
            -> client 421 This is an FTP server, but the client sent {protocol}; use an FTP client
            -> not FTP but {protocol}
            -> end client
            c> USER joe
            s> 200 late
            c end
            -> end server
            "
        ));
    }
}

#[test]
fn the_first_bytes_may_come_in_pieces_and_before_the_greeting() {
    check(
        r"
        c> PO\c
        c> ST /\c
        -> client 421 This is an FTP server, but the client sent HTTP; use an FTP client
        -> end client
        ",
    );
    check(
        r"
        c> \x16\c
        c> \x03\x01\c
        -> client 421 This is an FTP server, but the client sent TLS; use an FTP client
        -> end client
        ",
    );
}

#[test]
fn only_the_first_line_is_looked_at() {
    check(
        r"
        s>c 220 ready
        c>s
        c>s USER joe
        c>s GET / HTTP/1.1
        c>s SSH-2.0-x
        ",
    );
}
