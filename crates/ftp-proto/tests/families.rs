//! Clients and servers of different address families: commands about data connections translated.

mod script;

use script::check;

/// A session whose client uses IPv6, before its first command.
const V6: &str = r"
    config client=::1
    s>c 220 ready
";

#[test]
fn an_epsv_that_an_old_server_refuses_becomes_a_pasv_for_an_ipv6_client() {
    for refusal in [
        "500 Unknown command.",
        "501 no",
        "502 no",
        "504 no",
        "522 no",
    ] {
        check(&format!(
            r"
            {V6}
            c>s EPSV
            s> {refusal}
            -> server PASV
            s> 227 Entering Passive Mode (10,0,0,1,4,5)
            -> offer 0 passive 10.0.0.1 1029 open-first
            offered 0 [::1]:20000
            -> client 229 Entering Extended Passive Mode (|||20000|)
            "
        ));
    }
}

#[test]
fn a_pasv_that_a_server_refuses_over_ipv6_becomes_an_epsv_for_an_ipv4_client() {
    for refusal in [
        "425 You cannot use PASV on IPv6 connections. Use EPSV instead.",
        "501 no",
        "522 no",
    ] {
        check(&format!(
            r"
            s>c 220 ready
            c>s PASV
            s> {refusal}
            -> server EPSV
            s> 229 Extended Passive mode OK (|||1029|)
            -> offer 0 passive * 1029 open-first
            offered 0 127.0.0.1:20000
            -> client 227 Entering Passive Mode (127,0,0,1,78,32).
            "
        ));
    }
}

#[test]
fn an_unknown_address_is_not_announced_where_the_server_sent_none() {
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 425 You cannot use PASV on IPv6 connections. Use EPSV instead.
        -> server EPSV
        s> 229 Extended Passive mode OK (|||1029|)
        -> offer 0 passive * 1029 open-first
        offered 0 0.0.0.0:20000
        -> client 425 The address to announce is not known; use EPSV
        -> withdraw 0
        ",
    );
}

#[test]
fn a_227_with_an_ipv6_address_or_its_end_becomes_an_epsv_too() {
    for address in ["1", "c0de", "::1", "2001:db8::c0de"] {
        check(&format!(
            r"
            s>c 220 ready
            c>s PASV
            s> 227 Entering Passive Mode ({address},171,137).
            -> server EPSV
            s> 229 Entering Extended Passive Mode (|||1029|)
            -> offer 0 passive * 1029 open-first
            offered 0 127.0.0.1:20000
            -> client 227 Entering Passive Mode (127,0,0,1,78,32).
            "
        ));
    }
    for other in [
        "127,0,0,1,4",
        "12345,171,137",
        "::g,171,137",
        "1,256,137",
        "1,171",
    ] {
        check(&format!(
            r"
            s>c 220 ready
            c>s PASV
            s> 227 Entering Passive Mode ({other}).
            -> client 425 The FTP server's 227 reply contains no readable address; try another data mode
            "
        ));
    }
}

#[test]
fn an_lpsv_becomes_a_pasv_and_keeps_its_own_reply() {
    check(&format!(
        r"
        {V6}
        c>s LPSV
        s> 500 Unknown command.
        -> server PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 [::1]:20000
        -> client 228 Entering Long Passive Mode (6,16,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,78,32)
        "
    ));
}

#[test]
fn the_server_is_asked_once_in_a_session() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 500 no
        -> server PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 [::1]:20000
        -> client 229 Entering Extended Passive Mode (|||20000|)
        c> epsv 2\n\c
        -> server PASV\n\c
        s> 227 (10,0,0,1,4,6)
        -> withdraw 0
        -> offer 1 passive 10.0.0.1 1030
        offered 1 [::1]:20001
        -> client 229 Entering Extended Passive Mode (|||20001|)
        c> EPSV
        -> server PASV
        s>c 421 enough
        "
    ));
}

#[test]
fn a_server_that_supports_neither_form_is_heard_in_the_clients_own() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 500 no EPSV
        -> server PASV
        s> 550 passive mode is switched off
        -> client 500 no EPSV
        c>s EPSV
        s>c 500 no EPSV
        c>s NOOP
        "
    ));
}

#[test]
fn a_substitute_that_announces_nothing_readable_is_the_first_refusal() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 500 no EPSV
        -> server PASV
        s> 227 Entering Passive Mode (1,2,3)
        -> client 500 no EPSV
        "
    ));
}

#[test]
fn a_failed_endpoint_of_a_substitute_is_a_425() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 500 no EPSV
        -> server PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 failed no route
        -> client 425 no route
        "
    ));
}

#[test]
fn a_server_that_ends_the_session_has_the_last_word() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 500 no EPSV
        -> server PASV
        s>c 421 going down
        s end
        -> end client
        "
    ));
}

#[test]
fn a_client_that_can_continue_hears_the_refusal() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s>c 500 no EPSV
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        ",
    );
    check(
        r"
        s>c 220 ready
        c>s LPSV
        s>c 500 no LPSV
        ",
    );
}

#[test]
fn refusals_for_other_reasons_pass() {
    for refusal in ["530 Please login", "550 no", "421 no", "500-no\r\n500 no"] {
        check(&format!(
            r"
            s>c 220 ready
            c>s PASV
            s>c {}
            c>s NOOP
            ",
            refusal.escape_default()
        ));
    }
}

#[test]
fn what_a_client_sends_ahead_waits_until_the_form_is_known() {
    check(
        r"
        s>c 220 ready
        c> PASV\r\nRETR a\r\nQUIT
        -> server PASV
        s> 425 use EPSV
        -> server EPSV
        s> 229 (|||1029|)
        -> server RETR a\r\nQUIT
        -> offer 0 passive * 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227 Entering Passive Mode (127,0,0,1,78,32).
        ",
    );
    // From then on nothing waits.
    check(
        r"
        s>c 220 ready
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227 (127,0,0,1,78,32)
        c>s PASV\r\nRETR a\r\nQUIT
        ",
    );
}

#[test]
fn a_silent_server_does_not_stop_the_client() {
    check(
        r"
        s>c 220 ready
        c> PASV\r\nABOR
        -> server PASV
        timer 2s
        wait 2s
        -> server ABOR
        s>c 500 no PASV
        timer none
        ",
    );
}

#[test]
fn a_client_that_leaves_is_followed_after_the_answer() {
    check(
        r"
        s>c 220 ready
        c> PASV
        -> server PASV
        c end
        s> 500 no
        -> server EPSV
        s> 500 no EPSV either
        -> client 500 no
        -> end server
        ",
    );
}

#[test]
fn nothing_is_tried_during_a_transfer() {
    check(&script::transfer(
        "RETR a",
        r"
        c>s PASV\r\nABOR
        -> abort 0 the client aborted the transfer
        s>c 500 not now
        ",
    ));
}

#[test]
fn epsv_all_forbids_the_substitute_of_a_pasv() {
    check(
        r"
        s>c 220 ready
        c>s EPSV ALL
        s>c 200 EPSV ALL ok.
        c>s PASV
        s>c 500 Illegal PASV command, EPSV ALL in effect
        ",
    );
}

#[test]
fn an_ipv6_client_hears_that_pasv_cannot_announce_its_address() {
    check(&format!(
        r"
        {V6}
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 [::1]:20000
        -> client 425 PASV cannot announce an IPv6 address; use EPSV
        -> withdraw 0
        c>s PASV
        s>c 500 no PASV over IPv6
        "
    ));
}

#[test]
fn a_client_that_ignores_the_address_may_use_pasv_over_ipv6() {
    check(
        r"
        config client=::1 pasv-over-ipv6=any
        s>c 220 ready
        c>s PASV
        s> 227 Entering Passive Mode (10,0,0,1,4,5).
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 [::1]:20000
        -> client 227 Entering Passive Mode (0,0,0,0,78,32).
        ",
    );
    check(
        r"
        config client=::1 pasv-over-ipv6=any
        s>c 220 ready
        c>s PASV
        s> 425 use EPSV
        -> server EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first
        offered 0 [::1]:20000
        -> client 227 Entering Passive Mode (0,0,0,0,78,32).
        ",
    );
}

#[test]
fn a_227_to_an_ipv6_clients_epsv_becomes_a_229() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 [::1]:20000
        -> client 229 Entering Extended Passive Mode (|||20000|)
        "
    ));
}

#[test]
fn a_server_that_ends_the_session_meanwhile_has_refused() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 500 no EPSV
        -> server PASV
        s end
        -> client 500 no EPSV
        -> end client
        "
    ));
}

#[test]
fn a_server_that_skips_the_substitute_has_refused() {
    check(&format!(
        r"
        {V6}
        c>s EPSV
        s> 500 no EPSV
        -> server PASV
        wait 2s
        c>s CWD a
        s> 250 ok
        -> client 500 no EPSV\r\n250 ok
        "
    ));
}

/// A session with a server whose address family is not known.
const EITHER: &str = r"
    config two-families=yes
    s>c 220 ready
    c> PORT 127,0,0,1,4,5
    -> offer 0 active 127.0.0.1 1029
    offered 0 127.0.0.1:20000
    -> server PORT 127,0,0,1,78,32
";

#[test]
fn a_port_that_a_server_refuses_over_ipv6_becomes_an_eprt() {
    check(&format!(
        r"
        {EITHER}
        s> 500 Illegal PORT command.
        -> withdraw 0
        -> offer 1 active 127.0.0.1 1029 other-family
        c> RETR a
        offered 1 [::1]:20001
        -> server EPRT |2|::1|20001|
        s> 200 EPRT command successful.
        -> client 200 EPRT command successful.
        -> server RETR a
        data 1 joined
        s>c 150 here
        data 1 server-done
        s>c 226 done
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030 other-family
        offered 2 [::1]:20002
        -> server EPRT |2|::1|20002|
        c>s RETR b
        "
    ));
}

#[test]
fn a_port_that_a_server_accepts_is_tried_once() {
    check(&format!(
        r"
        {EITHER}
        c> RETR a
        s> 200 ok
        -> client 200 ok
        -> server RETR a
        s>c 425 no
        c> PORT 127,0,0,1,4,6
        -> offer 1 active 127.0.0.1 1030
        offered 1 127.0.0.1:20001
        -> server PORT 127,0,0,1,78,33
        c>s RETR a
        "
    ));
}

#[test]
fn a_server_that_refuses_both_families_is_heard_once() {
    check(&format!(
        r"
        {EITHER}
        s> 500 Illegal PORT command.
        -> withdraw 0
        -> offer 1 active 127.0.0.1 1029 other-family
        offered 1 [::1]:20001
        -> server EPRT |2|::1|20001|
        s> 500 Illegal EPRT command.
        -> client 500 Illegal PORT command.
        -> withdraw 1
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        "
    ));
}

#[test]
fn without_an_endpoint_of_the_other_family_the_refusal_passes() {
    check(&format!(
        r"
        {EITHER}
        s> 500 Illegal PORT command.
        -> withdraw 0
        -> offer 1 active 127.0.0.1 1029 other-family
        offered 1 failed the SSH server does not listen on ::1
        -> client 500 Illegal PORT command.
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        c>s NOOP
        "
    ));
}

#[test]
fn a_session_that_ends_while_another_family_is_tried_leaves_no_endpoint() {
    check(&format!(
        r"
        {EITHER}
        s> 500 Illegal PORT command.
        -> withdraw 0
        -> offer 1 active 127.0.0.1 1029 other-family
        s lost the SSH connection broke
        -> client 421 the SSH connection broke
        -> withdraw 1
        -> end client
        "
    ));
}
