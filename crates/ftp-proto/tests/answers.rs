//! Replies made here to commands of the client, and what `AUTH` does.

mod script;

use script::check;

#[test]
fn an_answer_waits_for_the_reply_to_an_over_long_line() {
    let long = "x".repeat(70_000);
    check(&format!(
        r"
        s>c 220 ready
        c>s CWD {long}
        c> AUTH TLS
        s> 500 too long
        -> client 500 too long\r\n534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        "
    ));
}

#[test]
fn auth_is_refused_in_order_with_other_replies() {
    check(
        r"
        c> AUTH TLS
        s> 220-hello
        -> client 220-hello
        s> 220 ready
        -> client 220 ready\r\n534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        c> FEAT\r\nauth ssl\r\nUSER joe
        -> server FEAT
        s> 211-Features\r\n AUTH TLS\r\n211 End
        -> client 211-Features\r\n AUTH TLS\r\n211 End\r\n534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        -> server USER joe
        timer none
        ",
    );
}

#[test]
fn a_silent_server_does_not_hold_an_answer_forever() {
    check(
        r"
        s>c 220 ready
        c>s XNOREPLY
        c> AUTH TLS\r\nUSER joe
        timer 2s
        wait 1s
        s>c stray text
        timer 2s
        wait 1999ms
        wait 1ms
        -> client 534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        -> server USER joe
        timer none
        ",
    );
}

#[test]
fn a_reply_that_never_ends_does_not_hold_an_answer_forever() {
    check(
        r"
        s>c 220-ready
        c> AUTH TLS
        timer 2s
        wait 2s
        -> client 534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        ",
    );
}

#[test]
fn an_answer_waits_for_a_transfer_however_long() {
    check(
        r"
        s>c 220 ready
        c>s STOR a
        c> AUTH TLS
        timer none
        s>c 150 go
        timer none
        wait 900s
        s> 451 failed
        -> client 451 failed\r\n534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        ",
    );
}

#[test]
fn a_reply_that_an_answer_overtook_still_belongs_to_its_command() {
    check(
        r"
        s>c 220 ready
        c>s CWD slow
        c> AUTH TLS
        wait 2s
        -> client 534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        c>s EPSV
        s>c 250 here at last
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s STOR a
        data 0 joined
        s>c 150 go
        ",
    );
}

#[test]
fn an_answer_is_given_before_the_end() {
    check(
        r"
        s>c 220 ready
        c>s XNOREPLY
        c> AUTH TLS
        s end
        -> client 534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        -> end client
        ",
    );
}

#[test]
fn the_clients_end_waits_behind_its_commands() {
    check(
        r"
        s>c 220 ready
        c>s NOOP
        c> AUTH TLS\r\nQUIT
        c end
        s> 200 ok
        -> client 200 ok\r\n534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        -> server QUIT
        -> end server
        ",
    );
}

#[test]
fn auth_may_be_passed_and_then_nothing_is_understood() {
    check(
        r"
        config tls=pass
        events
        s> 220 ready
        -> client 220 ready
        c> AUTH TLS
        -> server AUTH TLS
        -> command AUTH TLS
        s> 234 go
        -> client 234 go
        -> opaque
        c>s \x16\x03\x01\c
        s>c \x16\x03\x03\c
        s>c 227 (10,0,0,1,4,5)
        c>s PORT 127,0,0,1,4,5
        s lost the SSH connection broke
        -> end client
        ",
    );
}

#[test]
fn a_server_that_refuses_auth_leaves_the_session_understood() {
    check(
        r"
        config tls=pass
        s>c 220 ready
        c>s AUTH TLS
        s>c 502 no
        s>c 234 too late
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        ",
    );
}

#[test]
fn no_answer_is_given_in_an_encrypted_stream() {
    check(
        r"
        config tls=pass
        s>c 220 ready
        c>s AUTH TLS
        c> PORT 10,0,0,1,4,5
        s>c 234 go ahead
        s> \x16\x03\c
        -> client \x16\x03\c
        timer none
        ",
    );
}

#[test]
fn bytes_behind_a_234_are_no_lines() {
    check(
        r"
        config tls=pass
        s>c 220 ready
        c>s AUTH TLS
        c> \x16\c
        s> 234 go\r\n\x15\x03\c
        -> client 234 go\r\n\x15\x03\c
        -> server \x16\c
        c end
        -> end server
        s end
        -> end client
        ",
    );
}
