//! Passive replies that some reader could follow elsewhere: rewritten, or a `425`.

mod script;

use script::check;

#[test]
fn a_reply_without_any_number_passes() {
    check(
        r"
        s>c 220 ready
        c>s QUIT
        s>c 227 Logout.
        s>c 227 Entering Passive Mode ()
        s>c 227-\r\n227 Entering Passive Mode (
        c>s PASV
        s>c 227
        s>c 229 (|||)
        ",
    );
}

#[test]
fn a_reply_that_some_reader_could_follow_elsewhere_becomes_a_425() {
    for (reply, why) in [
        ("227 (10,0,0,1,0,0)", "contains port 0"),
        ("227 (10,0,0,256,4,5)", "contains no readable address"),
        (
            "227 (1216,256,2,127,127,127)",
            "contains no readable address",
        ),
        ("227 (10,0,0,1,4,5,6)", "contains no readable address"),
        ("227 -10,0,0,1,4,5", "contains no readable address"),
        ("227 10;0;0;1;4;5", "contains no readable address"),
        (
            "227 (10,0,0,1,4,5) (10,0,0,2,4,5)",
            "contains more than one address",
        ),
        (
            "227 (10,0,0,1,4,5) (|||1029|)",
            "contains numbers other than the address",
        ),
        ("228 (4,4,10,0,0,1,4,5)", "contains no readable address"),
        ("229 (|||0|)", "contains port 0"),
        ("229 (|||65536|)", "contains no readable address"),
        ("229 (||50000|)", "contains no readable address"),
        ("229 (|||6446)", "contains no readable address"),
        ("229 (|||6446!)", "contains no readable address"),
        ("229 (|||+6446|)", "contains no readable address"),
        ("229 (---6446-)", "contains no readable address"),
        (r"229 x(c\0cc\xb6\xb6\xb6c)", "contains no readable address"),
        ("229 (+++6446+)", "contains no readable address"),
    ] {
        let code = &reply[..3];
        check(&format!(
            r"
            s>c 220 ready
            c>s PASV
            s> {reply}
            -> client 425 The FTP server's {code} reply {why}; try another data mode
            c>s NOOP
            s>c 200 ok
            "
        ));
    }
}

#[test]
fn what_lenient_readers_follow_is_rewritten_too() {
    for reply in [
        "227 Entering Passive Mode (10, 0, 0, 1, 4, 5)",
        "227 Entering Passive Mode( 10,0,0,1,4,5 )",
        r"227\x09Entering Passive Mode (10,0,0,1,4,5)",
        "227Entering Passive Mode (10,0,0,1,4,5)",
        "2270 Entering Passive Mode (10,0,0,1,4,5)",
        r" \0227 Entering Passive Mode (10,0,0,1,4,5)",
        "227 Entering Passive Mode (10,0,0,1,4,5",
        r"227-listening\r\n227 (10,0,0,1,4,5)",
        r"227-one\r\n227-two\r\n227 (10,0,0,1,4,5)",
        r"227-wait\r\n Entering Passive Mode (10,0,0,1,4,5)\r\n227 ok",
        r"227-(10,0,0,1,4,5)\r\n227-(10,0,0,1,4,5)\r\n227 (10,0,0,1,4,5)",
        r"227-wait\r\n227\x09(10,0,0,1,4,5)",
    ] {
        let after = reply
            .replace("10,0,0,1,4,5", "127,0,0,1,78,32")
            .replace("10, 0, 0, 1, 4, 5", "127,0,0,1,78,32");
        check(&format!(
            r"
            s>c 220 ready
            c>s PASV
            s> {reply}
            -> offer 0 passive 10.0.0.1 1029 open-first
            offered 0 127.0.0.1:20000
            -> client {after}
            "
        ));
    }
    for reply in [
        "229 Entering Extended Passive Mode (|||6446|",
        "229 Entering Extended Passive Mode |||6446|",
        "229 Entering Extended Passive Mode (||| 6446 |)",
        r"229-wait\r\n229 (|||6446|)",
    ] {
        let after = reply.replace("6446", "20000");
        check(&format!(
            r"
            s>c 220 ready
            c>s EPSV
            s> {reply}
            -> offer 0 passive * 6446 open-first
            offered 0 127.0.0.1:20000
            -> client {after}
            "
        ));
    }
}

#[test]
fn a_passive_reply_is_held_to_its_end() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-wait
        s> 227-(10,0,0,1,4,5)
        s> 227 ok\r\n200 later
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227-wait\r\n227-(127,0,0,1,78,32)\r\n227 ok\r\n200 later
        ",
    );
}

#[test]
fn a_passive_reply_that_does_not_end_becomes_a_425() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-(10,0,0,1,4,5)
        timer 2s
        wait 1s
        s> text
        timer 2s
        wait 2s
        -> client 425 The FTP server's 227 reply does not end; try another data mode
        timer none
        s> 227-(10,0,0,1,4,5)
        s> 227 (10,0,0,1,4,5)
        s>c 200 ok
        ",
    );
    let line = r"227-wait\r\n".repeat(64);
    check(&format!(
        r"
        s>c 220 ready
        c>s PASV
        s> {line}227-more
        -> client 425 The FTP server's 227 reply is too long; try another data mode
        s> 227 (10,0,0,1,4,5)
        s>c 200 ok
        "
    ));
    let long = "x".repeat(40_000);
    check(&format!(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-{long}\r\n227-{long}
        -> client 425 The FTP server's 227 reply is too long; try another data mode
        s> 227 (10,0,0,1,4,5)
        s>c 200 ok
        "
    ));
    check(&format!(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-wait\r\n{long}{long}(10,0,0,1,4,5)\r\n227 ok
        -> client 425 The FTP server's 227 reply is too long; try another data mode
        s>c 200 ok
        "
    ));
}

#[test]
fn a_passive_reply_ended_by_another_code_becomes_a_425_after_a_silence() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-(10,0,0,1,4,5)\r\n200 ok
        timer 2s
        wait 2s
        -> client 425 The FTP server's 227 reply does not end; try another data mode
        s>c 250 next
        ",
    );
}

#[test]
fn the_reply_behind_a_passive_one_without_an_end_keeps_its_place() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 227-(10,0,0,1,4,5)\r\n200 over
        c>s NOOP
        s> 200 ok
        -> client 425 The FTP server's 227 reply does not end; try another data mode\r\n200 ok
        s>c 250 next
        ",
    );
}

#[test]
fn a_passive_reply_behind_one_without_an_end_is_held_too() {
    check(
        r"
        s>c 220 ready
        c>s EPSV\r\nEPSV
        s> 227-(10,0,0,1,4,5)\r\n200 over
        c>s NOOP
        s> 229 (|||1030|)
        -> client 425 The FTP server's 227 reply does not end; try another data mode
        -> offer 0 passive * 1030 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        ",
    );
}

#[test]
fn a_passive_reply_that_nothing_asked_for_makes_no_offer() {
    check(
        r"
        s>c 220 ready
        s> 227 (10,0,0,1,4,5)
        -> client 425 The FTP server's 227 reply is unsolicited; try another data mode
        c>s NOOP
        s> 229-x (|||1029|)\r\n229 ok
        -> client 425 The FTP server's 229 reply is unsolicited; try another data mode
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227 (127,0,0,1,78,32)
        s> 227 (10,0,0,1,4,6)
        -> client 425 The FTP server's 227 reply is unsolicited; try another data mode
        ",
    );
}

#[test]
fn a_passive_reply_in_the_middle_of_a_transfer_is_no_success() {
    check(
        r"
        events
        s> 220 ready
        -> client 220 ready
        c> STOR a
        -> server STOR a
        -> command STOR a
        s> 150 go
        -> client 150 go
        -> started - Upload STOR a
        s> 227 (10,0,0,1,4,5)
        -> client 425 The FTP server's 227 reply is unsolicited; try another data mode
        -> ended - 425 own STOR a
        ",
    );
}

#[test]
fn a_passive_reply_without_its_line_end_is_held_all_the_same() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227 (10,0,0,1,4,5)\c
        s end
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227 (127,0,0,1,78,32)
        -> withdraw 0
        -> end client
        ",
    );
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-wait\r\n (10,0,0,1,4,5)\c
        s end
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227-wait\r\n (127,0,0,1,78,32)
        -> withdraw 0
        -> end client
        ",
    );
    // In the middle of a transfer more is said behind it.
    check(
        r"
        s>c 220 ready
        c>s RETR a\r\nPASV
        s>c 150 go
        s> 227 (10,0,0,1,4,5)\c
        s end
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227 (127,0,0,1,78,32)\r\n421 The FTP server closed the connection in the middle of the transfer; the file is not complete
        -> withdraw 0
        -> end client
        ",
    );
}

#[test]
fn what_was_held_is_gone_with_the_server() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-(10,0,0,1,4,5)
        s lost the SSH connection broke
        -> client 421 the SSH connection broke
        -> end client
        timer none
        ",
    );
}

#[test]
fn a_torn_telnet_command_hides_no_end_of_a_passive_reply() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-wait\r\n\xf2227\r\n(10,0,0,1,4,5)
        -> client 227-wait\r\n227\r\n(10,0,0,1,4,5)
        c>s NOOP
        s>c 200 ok
        ",
    );
}
