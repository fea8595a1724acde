//! Active mode and the other commands answered by the broker.
// tidy: long because it is one list of short scripts about one subject

mod script;

use script::check;

#[test]
fn a_port_is_rewritten_and_what_follows_waits_in_order() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5\r\nRETR a\r\nNO\c
        -> offer 0 active 127.0.0.1 1029
        c> OP
        offered 0 10.0.0.9:20000
        -> server PORT 10,0,0,9,78,32\r\nRETR a\r\nNOOP
        ",
    );
}

#[test]
fn the_form_is_kept_where_the_family_fits() {
    for (before, address, after) in [
        (
            "PORT 127,0,0,1,4,5",
            "127.0.0.1:20000",
            "PORT 127,0,0,1,78,32",
        ),
        ("PORT 127,0,0,1,4,5", "[::1]:20000", "EPRT |2|::1|20000|"),
        (
            "EPRT |1|127.0.0.1|1029|",
            "127.0.0.1:20000",
            "EPRT |1|127.0.0.1|20000|",
        ),
        (
            "EPRT !1!127.0.0.1!1029!",
            "[::1]:20000",
            "EPRT |2|::1|20000|",
        ),
        (
            "LPRT 4,4,127,0,0,1,2,4,5",
            "127.0.0.1:20000",
            "LPRT 4,4,127,0,0,1,2,78,32",
        ),
        (
            r"\xff\xf4\xff\xf2port  127,0,0,1,4,5\r",
            "127.0.0.1:20000",
            r"PORT 127,0,0,1,78,32\r",
        ),
        (
            r"PORT 127,0,0,1,4,5\n\c",
            "[::1]:20000",
            r"EPRT |2|::1|20000|\n\c",
        ),
    ] {
        check(&format!(
            r"
            s>c 220 ready
            c> {before}
            -> offer 0 active 127.0.0.1 1029
            offered 0 {address}
            -> server {after}
            "
        ));
    }
}

#[test]
fn an_ipv6_clients_eprt_becomes_what_fits_the_server() {
    check(
        r"
        config client=::1
        s>c 220 ready
        c> EPRT |2|::1|1029|
        -> offer 0 active ::1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        ",
    );
}

#[test]
fn a_mapped_client_may_name_itself_either_way() {
    check(
        r"
        config client=::ffff:10.0.0.7
        s>c 220 ready
        c> PORT 10,0,0,7,4,5
        -> offer 0 active 10.0.0.7 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s>c 200 ok
        c> EPRT |2|::ffff:10.0.0.7|1029|
        -> offer 1 active ::ffff:10.0.0.7 1029
        ",
    );
}

#[test]
fn a_malformed_port_is_the_servers_to_refuse_and_its_argument_stays_here() {
    for (line, verb) in [
        ("PORT", "PORT"),
        ("PORT 127,0,0,1,4", "PORT"),
        ("PORT 127,0,0,1,4,256", "PORT"),
        ("PORT 383,0,0,1,31,144", "PORT"),
        ("PORT 127,0,0,1,31,144,5", "PORT"),
        ("PORT 127.0.0.1,31,144", "PORT"),
        (r"PORT 127,0,0,1,\xff\xf131,144", "PORT"),
        ("PORT127,0,0,1,31,144", "PORT"),
        ("PORTS 127,0,0,1,31,144", "PORT"),
        ("p@rt 127,0,0,1,31,144", "PORT"),
        (r"PORT\x0b127,0,0,1,31,144", "PORT"),
        (r"\xff\xfaPORT 127,0,0,1,31,144\xff\xf0", "PORT"),
        (r"\xff\xfaPORT 127,0,0,1,31,144\xff\xf0NOOP", "PORT"),
        (r"NOOP\rPORT 127,0,0,1,31,144", "PORT"),
        (r"\0 PORT 127,0,0,1,31,144", "PORT"),
        ("EPRT |1|127.0.0.1|65558|", "EPRT"),
        ("EPRT |1|127.0.0.1|-5|", "EPRT"),
        ("LPRT 6,4,127,0,0,1,2,4,5", "LPRT"),
    ] {
        for setting in ["", "config foreign=pass"] {
            check(&format!(
                r"
                {setting}
                s>c 220 ready
                c> {line}
                -> server {verb} ?
                s>c 501 what?
                c>s NOOP
                "
            ));
        }
    }
}

#[test]
fn what_servers_would_take_all_the_same_is_read_and_written_anew() {
    for line in [
        "PORT 127,0,0,1,31,144,",
        "PORT 127,0,0,1,31,144.",
        "PORT 127,0,0,1,31,144 x",
        r"PORT 127,0,0,1,31,144\0",
        r"PORT 127,0,0,1,31,144\rPORT 10,0,0,9,0,22",
        "PORT 127, 0, 0, 1, 31, 144",
        r"PORT\x09127 ,0 ,0 ,1 ,31 ,144",
        "PORT +127,0,0,1,031,00144",
        r"PO\0RT 127,0,0,1,31,144",
        "EPRT |1|127.0.0.1|8080",
        "EPRT |1|127.0.0.1|8080|x",
        "EPRT | 1 | 127.0.0.1 | +8080 |",
        "LPRT 4,4,127,0,0,1,2,31,144,",
    ] {
        let after = match &line[..4] {
            "EPRT" => "EPRT |1|127.0.0.1|20000|",
            "LPRT" => "LPRT 4,4,127,0,0,1,2,78,32",
            _ => "PORT 127,0,0,1,78,32",
        };
        check(&format!(
            r"
            s>c 220 ready
            c> {line}
            -> offer 0 active 127.0.0.1 8080
            offered 0 127.0.0.1:20000
            -> server {after}
            "
        ));
    }
}

#[test]
fn a_lenient_reading_does_not_escape_the_rules() {
    check(
        r"
        s>c 220 ready
        c> PORT 10, 0, 0, 9, 31, 144,
        -> client 504 10.0.0.9 is not your own address 127.0.0.1; use that, or passive mode
        c> EPRT |1|127.0.0.1|22
        -> client 504 Port 22 is below 1024; use a higher one, or passive mode
        ",
    );
    check(
        r"
        config foreign=pass
        s>c 220 ready
        c> port 10, 0,0,9,31,144, x
        -> server PORT 10,0,0,9,31,144
        s>c 200 ok
        c> EPRT !2!::ffff:10.0.0.9!8080
        -> server EPRT |2|::ffff:10.0.0.9|8080|
        ",
    );
}

#[test]
fn an_eprt_of_the_wrong_family_is_told_the_right_one() {
    check(
        r"
        s>c 220 ready
        c> EPRT |3|127.0.0.1|1029|
        -> client 522 Network protocol not supported, use (1,2)
        c> EPRT |2|::1|1029|
        -> client 522 Network protocol not supported, use (1)
        ",
    );
    check(
        r"
        config client=::1
        s>c 220 ready
        c> EPRT |1|127.0.0.1|1029|
        -> client 522 Network protocol not supported, use (2)
        ",
    );
}

#[test]
fn a_port_in_a_line_too_long_to_be_understood_does_not_pass() {
    let blanks = " ".repeat(66_000);
    for line in [
        format!("PORT 127,0,0,1,31,144{blanks}x"),
        format!("{blanks}PORT 127,0,0,1,31,144"),
        format!("{blanks}NOOP"),
        format!(r"\xff\xfaxxxx{blanks}\xff\xf0PORT 127,0,0,1,31,144"),
        format!("port{blanks}127,0,0,1,31,144"),
        format!(r"NOOP\rPORT 127,0,0,1,31,144{blanks}x"),
    ] {
        check(&format!(
            r"
            s>c 220 ready
            c> {line}
            -> server PORT ?
            s>c 500 what?
            c>s NOOP
            "
        ));
    }
}

#[test]
fn a_port_without_its_line_end_does_not_pass() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,31,144\c
        c end
        -> end server
        ",
    );
}

#[test]
fn a_foreign_address_is_answered_504() {
    check(
        r"
        s>c 220 ready
        c> PORT 10,0,0,9,4,5
        -> client 504 10.0.0.9 is not your own address 127.0.0.1; use that, or passive mode
        c> PORT 127,0,0,1,3,255
        -> client 504 Port 1023 is below 1024; use a higher one, or passive mode
        c> LPRT 4,4,127,0,0,1,2,0,0
        -> client 504 Port 0 is below 1024; use a higher one, or passive mode
        ",
    );
}

#[test]
fn another_address_of_the_clients_host_is_as_good() {
    check(
        r"
        config also=10.0.0.9 also=::ffff:10.0.0.8
        s>c 220 ready
        c> PORT 10,0,0,9,4,5
        -> offer 0 active 10.0.0.9 1029
        offered 0 127.0.0.1:4000
        -> server PORT 127,0,0,1,15,160
        s>c 200 ok
        c> PORT 10,0,0,7,4,5
        -> client 504 10.0.0.7 is not your own address 127.0.0.1; use that, or passive mode
        c> PORT 10,0,0,9,3,255
        -> client 504 Port 1023 is below 1024; use a higher one, or passive mode
        c> PORT 10,0,0,8,4,5
        -> offer 1 active 10.0.0.8 1029
        ",
    );
}

#[test]
fn the_unspecified_address_is_the_clients_own() {
    check(
        r"
        config client=::1
        s>c 220 ready
        c> EPRT |2|::|1029|
        -> offer 0 active ::1 1029
        offered 0 [::1]:4000
        -> server EPRT |2|::1|4000|
        ",
    );
    check(
        r"
        s>c 220 ready
        c> PORT 0,0,0,0,4,5
        -> offer 0 active 127.0.0.1 1029
        ",
    );
}

#[test]
fn a_foreign_address_may_be_allowed() {
    check(
        r"
        config foreign=pass
        s>c 220 ready
        c>s PORT 10,0,0,9,4,5
        s>c 200 ok
        c>s PORT 127,0,0,1,3,255
        s>c 200 ok
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        ",
    );
}

#[test]
fn active_mode_may_be_switched_off() {
    check(
        r"
        config active=no
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> client 502 Active mode is switched off here; use passive mode (PASV or EPSV)
        c> PORT 10,0,0,9,4,5
        -> client 502 Active mode is switched off here; use passive mode (PASV or EPSV)
        c> EPRT |3|x|
        -> client 502 Active mode is switched off here; use passive mode (PASV or EPSV)
        c> PORT 127,0,0,1,31,144,
        -> client 502 Active mode is switched off here; use passive mode (PASV or EPSV)
        c> PORT x
        -> client 502 Active mode is switched off here; use passive mode (PASV or EPSV)
        ",
    );
}

#[test]
fn a_failed_endpoint_becomes_a_425_in_turn() {
    check(
        r"
        s>c 220 ready
        c> TYPE I\r\nPORT 127,0,0,1,4,5\r\nNOOP
        -> server TYPE I
        -> offer 0 active 127.0.0.1 1029
        offered 0 failed sshd must allow AllowTcpForwarding remote
        s> 200 type is I
        -> client 200 type is I\r\n425 sshd must allow AllowTcpForwarding remote
        -> server NOOP
        ",
    );
}

#[test]
fn a_port_that_the_server_refuses_is_withdrawn() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s> 500 Illegal PORT command
        -> client 500 Illegal PORT command
        -> withdraw 0
        ",
    );
}

#[test]
fn the_next_accepted_port_withdraws_the_offer_before() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s>c 200 ok
        c> PORT 127,0,0,1,4,6
        -> offer 1 active 127.0.0.1 1030
        offered 1 127.0.0.1:20001
        -> server PORT 127,0,0,1,78,33
        s> 200 ok
        -> client 200 ok
        -> withdraw 0
        c>s EPSV
        s> 229 (|||1|)
        -> withdraw 1
        -> offer 2 passive * 1 open-first
        ",
    );
}

#[test]
fn an_offer_stays_while_its_transfer_runs() {
    check(
        r"
        events
        s> 220 ready
        -> client 220 ready
        c> PORT 127,0,0,1,4,5\r\nRETR a\r\nPORT 127,0,0,1,4,6\r\nRETR b
        -> command PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32\r\nRETR a
        -> command RETR a
        -> command PORT 127,0,0,1,4,6
        -> offer 1 active 127.0.0.1 1030
        offered 1 127.0.0.1:20001
        -> server PORT 127,0,0,1,78,33\r\nRETR b
        -> command RETR b
        s> 200 ok\r\n150 a
        -> client 200 ok
        -> started 0 Download RETR a
        data 0 joined
        -> client 150 a
        data 0 complete
        s> 226 done\r\n200 ok\r\n150 b
        -> client 226 done\r\n200 ok
        -> ended 0 226 RETR a
        -> started 1 Download RETR b
        wait 1s
        -> client 150 b
        s> 425 cannot connect
        -> client 425 cannot connect
        -> ended 1 425 RETR b
        s end
        -> withdraw 1
        -> end client
        ",
    );
}

#[test]
fn an_offer_replaced_while_its_transfer_ran_is_withdrawn_if_nobody_used_it() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s>c 200 ok
        c>s RETR a
        s> 150 go
        wait 1s
        -> client 150 go
        c> PORT 127,0,0,1,4,6
        -> offer 1 active 127.0.0.1 1030
        offered 1 127.0.0.1:20001
        -> server PORT 127,0,0,1,78,33
        s>c 200 ok
        s> 425 cannot connect
        -> client 425 cannot connect
        -> withdraw 0
        ",
    );
}

#[test]
fn a_port_whose_answer_never_came_counts_as_accepted() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        c>s STOR a
        data 0 joined
        s>c 150 go
        s> 226 done
        -> check 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    );
}

#[test]
fn an_active_channel_that_worked_says_nothing_of_passive_ones() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s>c 200 ok
        data 0 opened
        data 0 joined
        data 0 complete
        c>s EPSV
        s> 229 (|||1|)
        -> offer 1 passive * 1 open-first
        ",
    );
}

#[test]
fn ports_are_withdrawn_at_the_end_of_the_session() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        c> PORT 127,0,0,1,4,6
        -> offer 1 active 127.0.0.1 1030
        s end
        -> withdraw 0
        -> withdraw 1
        -> end client
        ",
    );
}
