//! Passive mode: replies rewritten, in order, at the right time.
// tidy: long because it is one list of short scripts about one subject

mod script;

use script::check;

#[test]
fn a_227_is_held_until_there_is_an_endpoint_and_only_its_numbers_change() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227 Entering Passive Mode (10,0,0,1,4,5).
        -> offer 0 passive 10.0.0.1 1029 open-first
        s> 200 later
        offered 0 127.0.0.1:20000
        -> client 227 Entering Passive Mode (127,0,0,1,78,32).\r\n200 later
        ",
    );
}

#[test]
fn a_229_changes_in_its_port_only() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 Entering Extended Passive Mode (!!!6446!)\n\c
        -> offer 0 passive * 6446 open-first
        offered 0 [::1]:20000
        -> client 229 Entering Extended Passive Mode (!!!20000!)\n\c
        ",
    );
}

#[test]
fn a_228_is_rewritten_in_numbers() {
    check(
        r"
        s>c 220 ready
        c>s LPSV
        s> 228 Entering Long Passive Mode (4,4,10,0,0,1,2,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 228 Entering Long Passive Mode (4,4,127,0,0,1,2,78,32)
        ",
    );
}

#[test]
fn every_spelling_seen_is_rewritten() {
    for (before, after) in [
        (
            "227 Entering Passive Mode (10,0,0,1,4,5).",
            "227 Entering Passive Mode (127,0,0,1,78,32).",
        ),
        (
            "227 Entering Passive Mode (10,0,0,1,4,5)",
            "227 Entering Passive Mode (127,0,0,1,78,32)",
        ),
        (
            "227 PASV OK (10,0,0,1,4,5)",
            "227 PASV OK (127,0,0,1,78,32)",
        ),
        ("227 =10,0,0,1,4,5", "227 =127,0,0,1,78,32"),
        (
            "227 will passively listen to 10,0,0,1,4,5",
            "227 will passively listen to 127,0,0,1,78,32",
        ),
        (
            "227 Entering passive mode. 10,0,0,1,4,5",
            "227 Entering passive mode. 127,0,0,1,78,32",
        ),
        ("227 Entering 10.0.0.1,4,5", "227 Entering 127.0.0.1,78,32"),
    ] {
        check(&format!(
            r"
            s>c 220 ready
            c>s PASV
            s> {before}
            -> offer 0 passive 10.0.0.1 1029 open-first
            offered 0 127.0.0.1:20000
            -> client {after}
            "
        ));
    }
}

#[test]
fn the_spelling_of_the_command_does_not_matter() {
    for command in ["P@SW", r"PASV\0", "pasv", r"\xff\xf1PASV", "EPSV 1"] {
        check(&format!(
            r"
            s>c 220 ready
            c>s {command}
            s> 227 (10,0,0,1,4,5)
            -> offer 0 passive 10.0.0.1 1029 open-first
            "
        ));
    }
}

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
        ("227 (10,0,0,1,0,0)", "names port 0"),
        ("227 (10,0,0,256,4,5)", "names no address that can be read"),
        (
            "227 (1216,256,2,127,127,127)",
            "names no address that can be read",
        ),
        ("227 (10,0,0,1,4,5,6)", "names no address that can be read"),
        ("227 -10,0,0,1,4,5", "names no address that can be read"),
        ("227 10;0;0;1;4;5", "names no address that can be read"),
        (
            "227 (10,0,0,1,4,5) (10,0,0,2,4,5)",
            "names more than one address",
        ),
        (
            "227 (10,0,0,1,4,5) (|||1029|)",
            "has other numbers beside the address",
        ),
        (
            "228 (4,4,10,0,0,1,4,5)",
            "names no address that can be read",
        ),
        ("229 (|||0|)", "names port 0"),
        ("229 (|||65536|)", "names no address that can be read"),
        ("229 (||50000|)", "names no address that can be read"),
        ("229 (|||6446)", "names no address that can be read"),
        ("229 (|||6446!)", "names no address that can be read"),
        ("229 (|||+6446|)", "names no address that can be read"),
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
fn a_passive_reply_ended_by_another_code_is_over_after_a_silence() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-(10,0,0,1,4,5)\r\n200 ok
        timer 2s
        wait 2s
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227-(127,0,0,1,78,32)\r\n200 ok
        s>c 250 next
        ",
    );
}

#[test]
fn the_reply_behind_a_passive_one_without_an_end_keeps_its_place() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227-(10,0,0,1,4,5)\r\n200 over
        c>s NOOP
        s> 200 ok
        -> offer 0 passive 10.0.0.1 1029 open-first
        s> 250 next
        offered 0 127.0.0.1:20000
        -> client 227-(127,0,0,1,78,32)\r\n200 over\r\n200 ok\r\n250 next
        ",
    );
}

#[test]
fn a_passive_reply_behind_one_without_an_end_is_held_too() {
    check(
        r"
        s>c 220 ready
        c>s PASV\r\nEPSV
        s> 227-(10,0,0,1,4,5)\r\n200 over
        c>s NOOP
        s> 229 (|||1030|)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227-(127,0,0,1,78,32)\r\n200 over
        -> withdraw 0
        -> offer 1 passive * 1030
        ",
    );
}

#[test]
fn a_passive_reply_that_nothing_asked_for_makes_no_offer() {
    check(
        r"
        s>c 220 ready
        s> 227 (10,0,0,1,4,5)
        -> client 425 The FTP server's 227 reply was not asked for; try another data mode
        c>s NOOP
        s> 229-x (|||1029|)\r\n229 ok
        -> client 425 The FTP server's 229 reply was not asked for; try another data mode
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227 (127,0,0,1,78,32)
        s> 227 (10,0,0,1,4,6)
        -> client 425 The FTP server's 227 reply was not asked for; try another data mode
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
        -> client 425 The FTP server's 227 reply was not asked for; try another data mode
        -> ended - 425 STOR a
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
        -> client 227 (127,0,0,1,78,32)\c
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
        -> client 227-wait\r\n (127,0,0,1,78,32)\c
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
fn epsv_all_changes_nothing() {
    check(
        r"
        s>c 220 ready
        c>s EPSV ALL
        s>c 200 ok
        c>s EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        ",
    );
}

#[test]
fn a_failed_endpoint_becomes_a_425() {
    check(
        r"
        s>c 220 ready
        c>s EPSV\r\nNOOP
        s> 229-Extended (|||1029|)\r\n more\r\n229 end\r\n200 ok
        -> offer 0 passive * 1029 open-first
        offered 0 failed no route to the server's port 1029
        -> client 425 no route to the server's port 1029\r\n200 ok
        ",
    );
}

#[test]
fn a_227_cannot_announce_ipv6() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 [::1]:20000
        -> client 425 PASV cannot announce an IPv6 address; use EPSV
        -> withdraw 0
        ",
    );
}

#[test]
fn channels_are_opened_first_until_one_has_worked() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 failed no
        -> client 425 no
        c>s EPSV
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first
        offered 1 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s EPSV
        s> 229 (|||3|)
        -> withdraw 1
        -> offer 2 passive * 3
        ",
    );
}

#[test]
fn data_open_eager_and_lazy_are_obeyed() {
    for (setting, first) in [("eager", " open-first"), ("lazy", "")] {
        check(&format!(
            r"
            config data={setting}
            s>c 220 ready
            c>s EPSV
            s> 229 (|||1|)
            -> offer 0 passive * 1{first}
            offered 0 127.0.0.1:20000
            -> client 229 (|||20000|)
            data 0 opened
            c>s EPSV
            s> 229 (|||2|)
            -> withdraw 0
            -> offer 1 passive * 2{first}
            "
        ));
    }
}

#[test]
fn the_next_passive_reply_withdraws_the_offer_before() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s EPSV
        s> 229 (|||2|)
        -> withdraw 0
        -> offer 1 passive * 2
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        data 0 unused
        s end
        -> withdraw 1
        -> end client
        ",
    );
}

#[test]
fn a_refused_passive_command_leaves_the_offer() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s PASV
        s>c 502 no
        ",
    );
}

#[test]
fn an_offer_that_ended_is_not_withdrawn() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        data 0 unused
        s end
        -> end client
        ",
    );
}

#[test]
fn an_endpoint_that_comes_too_late_is_withdrawn() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        s lost the SSH connection broke
        -> client 421 the SSH connection broke
        -> withdraw 0
        -> end client
        offered 0 127.0.0.1:20000
        -> withdraw 0
        ",
    );
}

#[test]
fn the_servers_end_waits_behind_a_held_reply() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        s end
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        -> withdraw 0
        -> end client
        ",
    );
}

#[test]
fn after_a_channel_failed_the_next_is_opened_before_it_is_told() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        data 0 opened
        c>s EPSV
        s> 229 (|||2|)
        -> withdraw 0
        -> offer 1 passive * 2
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        data 1 cut the server dropped the connection
        c>s EPSV
        s> 229 (|||3|)
        -> offer 2 passive * 3 open-first
        ",
    );
}
