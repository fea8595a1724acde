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
        c>s EPSV
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
