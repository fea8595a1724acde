//! The next active data connection, announced to the server before the client asks for it: what the server is sent, and
//! what the client never sees.
// tidy: long because it is one list of short scripts about one subject

mod script;

use script::check;

/// A transfer with an endpoint for the next one, which the server is sent behind it.
const FIRST: &str = r"
    config ahead=yes
    s>c 220 (vsFTPd 3.0.3)
    c> PORT 127,0,0,1,4,5
    -> offer 0 active 127.0.0.1 1029
    offered 0 127.0.0.1:20000
    -> server PORT 127,0,0,1,78,32
    s> 200 ok
    -> client 200 ok
    -> offer 1 active nowhere ahead
    offered 1 127.0.0.1:20001
    c> RETR a
    -> server RETR a\r\nPORT 127,0,0,1,78,33
    -> half-close 0
    data 0 joined
    s>c 150 here
";

/// The same, with the end of the transfer.
const OVER: &str = r"
    data 0 server-done
    data 0 complete
    s> 226 done
    -> client 226 done
";

/// The reply to the command that was sent ahead.
const READY: &str = r"
    s> 200 PORT is fine
";

fn first(rest: &str) {
    check(&format!("{FIRST}\n{rest}"));
}

fn over(rest: &str) {
    check(&format!("{FIRST}\n{OVER}\n{rest}"));
}

fn ready(rest: &str) {
    check(&format!("{FIRST}\n{OVER}\n{READY}\n{rest}"));
}

#[test]
fn another_port_of_the_client_has_its_reply_at_once() {
    ready(
        r"
        c> PORT 127,0,0,1,4,6
        -> announce 1 127.0.0.1 1030
        -> offer 2 active nowhere ahead
        offered 2 127.0.0.1:20002
        offered 1 127.0.0.1:20001
        -> client 200 PORT is fine
        c> RETR b
        -> server RETR b\r\nPORT 127,0,0,1,78,34
        -> half-close 1
        data 1 joined
        s>c 150 here
        data 1 server-done
        data 1 complete
        s> 226 done
        -> client 226 done
        s> 200 fine again
        c> port 127,0,0,1,4,7
        -> announce 2 127.0.0.1 1031
        -> offer 3 active nowhere ahead
        offered 2 127.0.0.1:20002
        -> client 200 fine again
        ",
    );
}

#[test]
fn an_endpoint_that_is_not_ready_serves_the_transfer_after_the_next() {
    check(
        r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s> 200 ok
        -> client 200 ok
        -> offer 1 active nowhere ahead
        c>s RETR a
        offered 1 127.0.0.1:20001
        data 0 joined
        s>c 150 here
        data 0 server-done
        data 0 complete
        s> 226 done
        -> client 226 done
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        s>c 200 ok
        c> RETR b
        -> server RETR b\r\nPORT 127,0,0,1,78,33
        -> half-close 2
        ",
    );
}

#[test]
fn commands_about_files_do_not_disturb_it() {
    ready(
        r"
        c>s SIZE b
        s>c 213 5
        c> PORT 127,0,0,1,4,6\r\nRETR b
        -> server RETR b
        -> announce 1 127.0.0.1 1030
        -> offer 2 active nowhere ahead
        offered 1 127.0.0.1:20001
        -> client 200 PORT is fine
        ",
    );
}

#[test]
fn its_reply_keeps_its_place_behind_those_that_the_server_owes() {
    ready(
        r"
        c> TYPE I\r\nPORT 127,0,0,1,4,6\r\nRETR b
        -> server TYPE I
        s> 200 binary
        -> client 200 binary
        -> server RETR b
        -> announce 1 127.0.0.1 1030
        -> offer 2 active nowhere ahead
        offered 1 127.0.0.1:20001
        -> client 200 PORT is fine
        ",
    );
}

#[test]
fn a_command_before_the_reply_waits_for_it() {
    over(
        r"
        c> PORT 127,0,0,1,4,6
        s> 200 PORT is fine
        -> announce 1 127.0.0.1 1030
        -> offer 2 active nowhere ahead
        offered 1 127.0.0.1:20001
        -> client 200 PORT is fine
        ",
    );
    over(
        r"
        c> PORT 127,0,0,1,4,6
        s> 500 Illegal PORT command
        -> withdraw 1
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        s> 500 Illegal PORT command
        -> client 500 Illegal PORT command
        -> withdraw 2
        ",
    );
}

#[test]
fn a_server_that_does_not_answer_is_sent_the_clients_own() {
    over(
        r"
        c> PORT 127,0,0,1,4,6
        timer 2s
        wait 2s
        -> withdraw 1
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        s> 200 PORT is fine
        s> 200 ok
        -> client 200 ok
        -> offer 3 active nowhere ahead
        ",
    );
}

#[test]
fn it_is_heard_while_the_report_of_an_upload_is_held() {
    let held = r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s> 200 ok
        -> client 200 ok
        -> offer 1 active nowhere ahead
        offered 1 127.0.0.1:20001
        c> STOR a
        -> server STOR a\r\nPORT 127,0,0,1,78,33
        data 0 joined
        s>c 150 here
        data 0 client-done
        s> 226 done
        -> check 0 1
    ";
    check(&format!(
        r"
        {held}
        s> 200 PORT is fine
        data 0 alive 1
        -> client 226 done
        -> release 0
        c> PORT 127,0,0,1,4,6
        -> announce 1 127.0.0.1 1030
        -> offer 2 active nowhere ahead
        offered 1 127.0.0.1:20001
        -> client 200 PORT is fine
        c>s STOR b
        data 1 joined
        s>c 150 here
        "
    ));
    // Whatever else the server says waits.
    check(&format!(
        r"
        {held}
        s> 500 What?
        data 0 alive 1
        -> client 226 done
        -> release 0
        -> withdraw 1
        "
    ));
}

#[test]
fn a_port_of_another_form_is_sent() {
    for before in [OVER.to_owned(), format!("{OVER}\n{READY}")] {
        first(&format!(
            r"
            {before}
            c> EPRT |1|127.0.0.1|1030|
            -> withdraw 1
            -> offer 2 active 127.0.0.1 1030
            offered 2 127.0.0.1:20002
            -> server EPRT |1|127.0.0.1|20002|
            "
        ));
    }
}

#[test]
fn the_form_is_the_last_one_that_the_server_knew() {
    check(
        r"
        config ahead=yes client=::1
        s>c 220 (vsFTPd 3.0.3)
        c> EPRT |2|::1|1029|
        -> offer 0 active ::1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s> 200 ok
        -> client 200 ok
        -> offer 1 active nowhere ahead
        offered 1 127.0.0.1:20001
        c> RETR a
        -> server RETR a\r\nPORT 127,0,0,1,78,33
        -> half-close 0
        data 0 joined
        s>c 150 here
        data 0 server-done
        data 0 complete
        s> 226 done
        -> client 226 done
        s> 200 PORT is fine
        c> EPRT |2|::1|1030|
        -> announce 1 ::1 1030
        -> offer 2 active nowhere ahead
        offered 1 127.0.0.1:20001
        -> client 200 PORT is fine
        ",
    );
}

#[test]
fn the_other_family_is_used_again_once_it_is_known() {
    check(
        r"
        config ahead=yes two-families=yes
        s>c 220 (vsFTPd 3.0.3)
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s> 500 not over IPv6
        -> withdraw 0
        -> offer 1 active 127.0.0.1 1029 other-family
        offered 1 [::1]:20001
        -> server EPRT |2|::1|20001|
        s> 200 ok
        -> client 200 ok
        -> offer 2 active nowhere other-family ahead
        offered 2 [::1]:20002
        c> RETR a
        -> server RETR a\r\nEPRT |2|::1|20002|
        -> half-close 1
        data 1 joined
        s>c 150 here
        data 1 server-done
        data 1 complete
        s> 226 done
        -> client 226 done
        s> 200 EPRT is fine
        c> PORT 127,0,0,1,4,6
        -> announce 2 127.0.0.1 1030
        -> offer 3 active nowhere other-family ahead
        offered 2 [::1]:20002
        -> client 200 EPRT is fine
        ",
    );
}

#[test]
fn a_refused_address_has_the_usual_refusal() {
    ready(
        r"
        c> PORT 10,0,0,9,4,5
        -> client 504 10.0.0.9 is not your own address 127.0.0.1; use that, or passive mode
        -> withdraw 1
        c> PORT 127,0,0,1,3,255
        -> client 504 Port 1023 is below 1024; use a higher one, or passive mode
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        ",
    );
    ready(
        r"
        c> PORT ?
        -> server PORT ?
        -> withdraw 1
        ",
    );
}

#[test]
fn an_address_that_bypasses_the_broker_is_never_sent_ahead() {
    check(
        r"
        config ahead=yes foreign=pass
        s>c 220 (vsFTPd 3.0.3)
        c>s PORT 10,0,0,9,4,5
        s>c 200 ok
        c>s RETR a
        s>c 150 here
        s>c 226 done
        ",
    );
}

#[test]
fn whatever_ends_an_offer_drops_it() {
    for command in [
        "ABOR",
        "REIN",
        "USER x",
        "QUIT",
        "MODE B",
        "XFOO",
        "EPSV",
        "EPSV ALL",
        r"\xff\xf4\xff\xf2ABOR",
    ] {
        for before in [OVER.to_owned(), format!("{OVER}\n{READY}")] {
            first(&format!(
                r"
                {before}
                c> {command}
                -> server {command}
                -> withdraw 1
                "
            ));
        }
    }
    ready(
        r"
        c end
        -> withdraw 1
        -> end server
        ",
    );
    ready(
        r"
        s lost cable cut
        -> client 421 cable cut
        -> withdraw 1
        -> end client
        ",
    );
}

/// A client before its transfer, with an endpoint for the next one that the server has not been sent.
const WAITING: &str = r"
    config ahead=yes
    s>c 220 (vsFTPd 3.0.3)
    c> PORT 127,0,0,1,4,5
    -> offer 0 active 127.0.0.1 1029
    offered 0 127.0.0.1:20000
    -> server PORT 127,0,0,1,78,32
    s> 200 ok
    -> client 200 ok
    -> offer 1 active nowhere ahead
";

#[test]
fn an_endpoint_that_was_not_sent_ends_with_the_mode_and_after_a_pause() {
    for before in ["", "offered 1 127.0.0.1:20001"] {
        for command in ["ABOR", "REIN", "QUIT", "MODE B", "EPSV"] {
            check(&format!(
                r"
                {WAITING}
                {before}
                c> {command}
                -> server {command}
                -> withdraw 1
                "
            ));
        }
        check(&format!(
            r"
            {WAITING}
            {before}
            timer 3s
            wait 3s
            -> withdraw 1
            timer none
            c>s RETR a
            "
        ));
    }
}

#[test]
fn an_endpoint_that_was_lost_before_it_was_sent_is_requested_again() {
    check(&format!(
        r"
        {WAITING}
        offered 1 127.0.0.1:20001
        data 1 unused
        c>s RETR a
        data 0 joined
        s>c 150 here
        data 0 server-done
        data 0 complete
        s>c 226 done
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        s> 200 ok
        -> client 200 ok
        -> offer 3 active nowhere ahead
        "
    ));
}

#[test]
fn no_endpoint_is_requested_once_one_could_not_be_made() {
    check(&format!(
        r"
        {WAITING}
        offered 1 failed administratively prohibited
        c>s RETR a
        data 0 joined
        s>c 150 here
        data 0 server-done
        data 0 complete
        s>c 226 done
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        s>c 200 ok
        c>s RETR b
        "
    ));
}

#[test]
fn nothing_is_sent_while_the_client_has_commands_under_way() {
    check(&format!(
        r"
        {WAITING}
        offered 1 127.0.0.1:20001
        c>s NOOP\r\nRETR a
        "
    ));
}

#[test]
fn a_passive_transfer_follows_and_the_reverse() {
    ready(
        r"
        c> EPSV
        -> server EPSV
        -> withdraw 1
        s> 229 (|||1|)
        -> offer 2 passive * 1 open-first
        offered 2 127.0.0.1:20002
        -> client 229 (|||20002|)
        c> RETR b
        -> server RETR b\r\nEPSV
        -> half-close 2
        data 2 joined
        s>c 150 here
        data 2 server-done
        data 2 complete
        s> 226 done
        -> client 226 done
        s> 229 (|||2|)
        -> offer 3 passive * 2 open-first ahead
        data 3 opened
        c> PORT 127,0,0,1,4,6
        -> withdraw 3
        -> offer 4 active 127.0.0.1 1030
        offered 4 127.0.0.1:20004
        -> server PORT 127,0,0,1,78,36
        s> 200 ok
        -> client 200 ok
        -> offer 5 active nowhere ahead
        ",
    );
}

#[test]
fn a_reply_that_comes_after_the_drop_is_swallowed() {
    for reply in [
        "200 PORT is fine",
        "500 What?",
        r"200-PORT\r\n 226 x\r\n200 is fine",
        r"500-What?\r\n 226 x\r\n500 End",
    ] {
        over(&format!(
            r"
            c> EPSV
            -> server EPSV
            -> withdraw 1
            s> {reply}
            s> 229 (|||1|)
            -> offer 2 passive * 1 open-first
            "
        ));
    }
}

#[test]
fn a_refusal_is_never_shown_and_ends_the_habit() {
    for refusal in [
        "500 What?",
        "425 No",
        r"500-What?\r\n 226 x\r\n500 End",
        r"200-PORT\r\n226 x\r\n200 is fine",
    ] {
        over(&format!(
            r"
            s> {refusal}
            -> withdraw 1
            c> PORT 127,0,0,1,4,6
            -> offer 2 active 127.0.0.1 1030
            offered 2 127.0.0.1:20002
            -> server PORT 127,0,0,1,78,34
            s>c 200 ok
            c>s RETR b
            data 2 joined
            s>c 150 here
            data 2 server-done
            data 2 complete
            s>c 226 done
            "
        ));
    }
}

#[test]
fn a_closing_server_is_heard() {
    over(
        r"
        s> 421 Too idle
        -> client 421 Too idle
        -> withdraw 1
        ",
    );
}

#[test]
fn an_endpoint_that_was_lost_is_asked_for_with_the_clients_own_command() {
    for before in [OVER.to_owned(), format!("{OVER}\n{READY}")] {
        first(&format!(
            r"
            {before}
            data 1 unused
            c> PORT 127,0,0,1,4,6
            -> offer 2 active 127.0.0.1 1030
            offered 2 127.0.0.1:20002
            -> server PORT 127,0,0,1,78,34
            "
        ));
    }
    over(
        r"
        c> PORT 127,0,0,1,4,6\r\nRETR b
        data 1 unused
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34\r\nRETR b
        s> 200 PORT is fine
        s> 200 ok
        -> client 200 ok
        -> offer 3 active nowhere ahead
        data 2 joined
        s>c 150 here
        ",
    );
}

#[test]
fn an_endpoint_that_is_lost_when_the_client_asks_for_it_is_refused() {
    ready(
        r"
        c> PORT 127,0,0,1,4,6
        -> announce 1 127.0.0.1 1030
        -> offer 2 active nowhere ahead
        data 1 unused
        -> client 425 The data connection was closed; ask for another one
        ",
    );
}

#[test]
fn a_pause_gives_the_endpoint_up() {
    ready(
        r"
        timer 3s
        wait 3s
        -> withdraw 1
        timer none
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        ",
    );
}

#[test]
fn a_transfer_cannot_use_what_the_client_has_not_asked_for() {
    for before in [OVER.to_owned(), format!("{OVER}\n{READY}")] {
        first(&format!(
            r"
            {before}
            c> NOOP\r\nRETR b
            -> server NOOP
            -> withdraw 1
            "
        ));
    }
    ready(
        r"
        c> RETR b
        -> client 425 There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer
        -> withdraw 1
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        s> 200 ok
        -> client 200 ok
        -> offer 3 active nowhere ahead
        c>s RETR b
        ",
    );
}

#[test]
fn after_a_refused_transfer_the_former_endpoint_is_of_no_use() {
    check(&format!(
        r"
        {WAITING}
        offered 1 127.0.0.1:20001
        c> RETR a
        -> server RETR a\r\nPORT 127,0,0,1,78,33
        -> half-close 0
        s>c 550 no such file
        s> 200 PORT is fine
        c> RETR b
        -> client 425 There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer
        -> withdraw 1
        "
    ));
    check(&format!(
        r"
        {WAITING}
        offered 1 127.0.0.1:20001
        c> RETR a
        -> server RETR a\r\nPORT 127,0,0,1,78,33
        -> half-close 0
        s>c 550 no such file
        s> 200 PORT is fine
        c> PORT 127,0,0,1,4,6
        -> withdraw 0
        -> announce 1 127.0.0.1 1030
        -> offer 2 active nowhere ahead
        "
    ));
}

#[test]
fn a_failure_during_the_transfer_is_the_transfers() {
    for failure in ["451 disk error", "426 aborted", "550 the file is gone"] {
        first(&format!(
            r"
            data 0 server-done
            data 0 complete
            s>c {failure}
            s> 200 PORT is fine
            c> PORT 127,0,0,1,4,6
            -> announce 1 127.0.0.1 1030
            -> offer 2 active nowhere ahead
            "
        ));
    }
}

#[test]
fn a_server_that_answers_during_the_transfer_is_sent_no_more() {
    first(
        r"
        s> 200 PORT is fine
        -> withdraw 1
        data 0 server-done
        data 0 complete
        s>c 226 done
        c> PORT 127,0,0,1,4,6
        -> offer 2 active 127.0.0.1 1030
        offered 2 127.0.0.1:20002
        -> server PORT 127,0,0,1,78,34
        s>c 200 ok
        c>s RETR b
        ",
    );
}

#[test]
fn a_client_that_aborts_receives_the_replies_that_are_its_own() {
    first(
        r"
        c> ABOR
        -> server ABOR
        -> withdraw 1
        -> abort 0 the client aborted the transfer
        data 0 cut aborted
        s>c 426 aborted
        s> 200 PORT is fine
        s>c 225 nothing to abort
        ",
    );
}

#[test]
fn a_server_that_may_read_commands_during_a_transfer_is_sent_nothing() {
    for greeting in ["ready", "ProFTPD Server ready.", "pyftpdlib 2.2.0 ready."] {
        check(&format!(
            r"
            config ahead=yes
            s>c 220 {greeting}
            c> PORT 127,0,0,1,4,5
            -> offer 0 active 127.0.0.1 1029
            offered 0 127.0.0.1:20000
            -> server PORT 127,0,0,1,78,32
            s>c 200 ok
            c>s RETR a
            "
        ));
    }
}

#[test]
fn a_client_behind_tls_is_served_with_it() {
    check(
        r"
        config tls=implicit ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s USER a
        s>c 331 and
        c>s PASS b
        s>c 230 in
        c> PBSZ 0
        -> client 200 PBSZ=0
        c> PROT P
        -> client 200 Data connections use TLS
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029 protected
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s> 200 ok
        -> client 200 ok
        -> offer 1 active nowhere protected ahead
        ",
    );
}

/// Transfers one after the other with this pause before each, over a path with this round trip. `then` is what follows
/// the reply to the last command for a data connection.
fn burst(transfers: usize, pause: &str, round_trip: &str, then: &str) {
    let mut text = "config ahead=auto\ns>c 220 (vsFTPd 3.0.3)\n".to_owned();
    for at in 0..transfers {
        let then = if at + 1 == transfers { then } else { "" };
        text += &format!(
            r"
            wait {pause}
            c> PORT 127,0,0,1,4,5
            -> offer {at} active 127.0.0.1 1029
            offered {at} 127.0.0.1:20000
            -> server PORT 127,0,0,1,78,32
            wait {round_trip}
            s> 200 ok
            -> client 200 ok
            {then}
            c>s RETR a
            data {at} joined
            s>c 150 here
            data {at} server-done
            data {at} complete
            s>c 226 done
            "
        );
    }
    check(&text);
}

#[test]
fn a_burst_begins_with_the_third_transfer() {
    burst(3, "999ms", "5ms", "-> offer 3 active nowhere ahead");
    burst(2, "999ms", "5ms", "");
}

#[test]
fn a_pause_or_a_short_path_makes_no_burst() {
    burst(5, "1001ms", "5ms", "");
    burst(5, "1ms", "4ms", "");
}
