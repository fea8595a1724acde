//! The next data connection, prepared before the client asks for it: what the server is sent, and what the client never
//! sees.
// tidy: long because it is one list of short scripts about one subject

mod script;

use script::check;

/// One passive transfer, with a connection prepared after each.
const FIRST: &str = r"
    config ahead=yes
    s>c 220 (vsFTPd 3.0.3)
    c>s EPSV
    s> 229 (|||1|)
    -> offer 0 passive * 1 open-first
    offered 0 127.0.0.1:20000
    -> client 229 (|||20000|)
    c> RETR a
    -> server RETR a\r\nEPSV
    -> half-close 0
    data 0 joined
    s>c 150 here
    data 0 server-done
    data 0 complete
    s> 226 done
    -> client 226 done
";

/// The same with the reply and the channel of the next one.
const READY: &str = r"
    s> 229 (|||2|)
    -> offer 1 passive * 2 open-first ahead
    data 1 opened
";

fn after_first(rest: &str) {
    check(&format!("{FIRST}\n{rest}"));
}

fn ready(rest: &str) {
    check(&format!("{FIRST}\n{READY}\n{rest}"));
}

#[test]
fn the_same_command_has_its_reply_at_once() {
    ready(
        r"
        c> EPSV
        -> announce 1 * 2
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        c> RETR b
        -> server RETR b\r\nEPSV
        -> half-close 1
        data 1 joined
        s>c 150 here
        data 1 server-done
        data 1 complete
        s> 226 done
        -> client 226 done
        ",
    );
}

#[test]
fn the_next_one_is_asked_for_while_the_report_of_the_last_is_held() {
    check(
        r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a
        -> server RETR a\r\nEPSV
        -> half-close 0
        data 0 joined
        s>c 150 here
        s> 226 done
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first ahead
        data 1 opened
        data 0 server-done
        -> client 226 done
        c> EPSV
        -> announce 1 * 2
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        ",
    );
}

#[test]
fn whatever_else_the_server_says_waits_behind_the_held_report() {
    check(
        r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a
        -> server RETR a\r\nEPSV
        -> half-close 0
        data 0 joined
        s>c 150 here
        s> 226 done
        s> 500 What?
        data 0 server-done
        -> client 226 done
        c>s EPSV
        ",
    );
}

#[test]
fn a_command_before_the_reply_waits_for_it() {
    after_first(
        r"
        c> EPSV
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first ahead
        data 1 opened
        -> announce 1 * 2
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        ",
    );
}

#[test]
fn other_commands_keep_their_place() {
    after_first(
        r"
        c> TYPE I\r\nepsv\r\nRETR b
        -> server TYPE I
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first ahead
        data 1 opened
        s> 200 binary
        -> client 200 binary
        -> server RETR b
        -> announce 1 * 2
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        data 1 joined
        s>c 150 here
        ",
    );
}

#[test]
fn another_passive_command_drops_it() {
    for (command, reply, address) in [
        ("PASV", "227 (127,0,0,1,0,3)", "127.0.0.1 3"),
        ("EPSV 1", "229 (|||3|)", "* 3"),
    ] {
        ready(&format!(
            r"
            c> {command}
            -> server {command}
            -> withdraw 1
            s> {reply}
            -> offer 2 passive {address}
            "
        ));
    }
}

#[test]
fn whatever_ends_a_passive_offer_drops_it() {
    for command in [
        "ABOR",
        "REIN",
        "USER x",
        "QUIT",
        "MODE B",
        "XFOO",
        r"\xff\xf4\xff\xf2ABOR",
    ] {
        ready(&format!(
            r"
            c> {command}
            -> server {command}
            -> withdraw 1
            "
        ));
    }
    ready(
        r"
        c> PORT 127,0,0,1,4,5
        -> withdraw 1
        -> offer 2 active 127.0.0.1 1029
        ",
    );
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

/// The client tells the server the file before it asks for the data connection: a server may choose the host by it.
#[test]
fn nothing_is_asked_for_once_the_client_announces_its_files() {
    ready(
        r"
        c>s PRET RETR b
        -> withdraw 1
        s>c 200 known
        c>s EPSV
        s> 229 (|||3|)
        -> offer 2 passive * 3
        offered 2 127.0.0.1:20002
        -> client 229 (|||20002|)
        c>s RETR b
        data 2 joined
        s>c 150 here
        data 2 server-done
        data 2 complete
        s>c 226 done
        ",
    );
}

#[test]
fn a_reply_that_comes_after_the_drop_is_swallowed() {
    for reply in [
        "229 (|||2|)",
        "500 What?",
        r"500-What?\r\n 226 x\r\n500 End",
    ] {
        after_first(&format!(
            r"
            c>s PASV
            s> {reply}
            s> 227 (127,0,0,1,0,3)
            -> offer 1 passive 127.0.0.1 3
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
        "229 (|||0|)",
    ] {
        after_first(&format!(
            r"
            s> {refusal}
            c>s EPSV
            s> 229 (|||2|)
            -> offer 1 passive * 2
            offered 1 127.0.0.1:20001
            -> client 229 (|||20001|)
            c>s RETR b
            data 1 joined
            s>c 150 here
            data 1 server-done
            s>c 226 done
            "
        ));
        after_first(&format!(
            r"
            c> EPSV
            s> {refusal}
            -> server EPSV
            s>c 502 not today
            "
        ));
    }
}

#[test]
fn a_closing_server_is_heard() {
    after_first("s>c 421 Too idle");
}

#[test]
fn a_connection_that_was_not_made_is_asked_for_again() {
    for failure in ["offered 1 failed no route", "data 1 unused"] {
        after_first(&format!(
            r"
            s> 229 (|||2|)
            -> offer 1 passive * 2 open-first ahead
            {failure}
            c>s EPSV
            s> 229 (|||3|)
            -> offer 2 passive * 3
            "
        ));
        after_first(&format!(
            r"
            c> EPSV
            s> 229 (|||2|)
            -> offer 1 passive * 2 open-first ahead
            {failure}
            -> server EPSV
            s> 229 (|||3|)
            -> offer 2 passive * 3
            "
        ));
    }
}

#[test]
fn a_connection_that_ends_when_the_client_asks_for_it_is_refused() {
    ready(
        r"
        c> EPSV
        -> announce 1 * 2
        data 1 unused
        -> client 425 The data connection was closed; ask for another one
        ",
    );
}

#[test]
fn a_server_that_does_not_answer_is_asked_again() {
    after_first(
        r"
        c> EPSV
        timer 2s
        wait 2s
        -> server EPSV
        s> 229 (|||2|)
        s> 229 (|||3|)
        -> offer 1 passive * 3
        ",
    );
    after_first(
        r"
        c> NOOP\r\nEPSV
        -> server NOOP
        s> 200 ok
        -> client 200 ok
        -> server EPSV
        ",
    );
}

#[test]
fn a_pause_gives_the_connection_up() {
    ready(
        r"
        timer 3s
        wait 3s
        -> withdraw 1
        timer none
        c>s EPSV
        s> 229 (|||3|)
        -> offer 2 passive * 3
        ",
    );
}

#[test]
fn a_transfer_cannot_use_what_the_client_has_not_asked_for() {
    ready(
        r"
        c> RETR b
        -> client 425 There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer
        -> withdraw 1
        c>s EPSV
        s> 229 (|||3|)
        -> offer 2 passive * 3
        offered 2 127.0.0.1:20002
        -> client 229 (|||20002|)
        c> RETR b
        -> server RETR b\r\nEPSV
        -> half-close 2
        ",
    );
    after_first(
        r"
        c> NOOP\r\nSTOR b
        -> server NOOP
        s> 229 (|||2|)
        s> 200 ok
        -> client 200 ok\r\n425 There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer
        ",
    );
    ready(
        r"
        c> EPSV 1\r\nSTOR b
        -> server EPSV 1\r\nSTOR b
        -> withdraw 1
        ",
    );
}

#[test]
fn what_a_server_says_of_the_dropped_connection_is_swallowed() {
    for code in ["226", "426"] {
        ready(&format!(
            r"
            c> NOOP
            -> server NOOP
            wait 3s
            -> withdraw 1
            s> {code} Transfer complete.
            s> 200 ok
            -> client 200 ok
            "
        ));
    }
}

#[test]
fn it_is_swallowed_too_if_the_client_has_sent_its_next_transfer() {
    ready(
        r"
        c> EPSV 1\r\nSTOR b
        -> server EPSV 1\r\nSTOR b
        -> withdraw 1
        s> 226 Transfer complete.
        s> 229 (|||3|)
        -> offer 2 passive * 3
        ",
    );
}

#[test]
fn it_is_swallowed_too_if_the_client_aborts_that_transfer_before_its_turn() {
    ready(
        r"
        c> EPSV 1\r\nSTOR b
        -> server EPSV 1\r\nSTOR b
        -> withdraw 1
        c>s ABOR
        s> 226 Transfer complete.
        s> 229 (|||3|)
        -> offer 2 passive * 3
        ",
    );
}

#[test]
fn its_reply_is_swallowed_although_another_came_first() {
    after_first(
        r"
        c> STAT
        -> server STAT
        s>c 250 surplus
        s> 229 (|||2|)
        s>c 213 all is well
        ",
    );
}

#[test]
fn the_reply_to_an_abort_whose_turn_has_come_passes() {
    ready(
        r"
        c> ABOR
        -> server ABOR
        -> withdraw 1
        s>c 226 nothing to abort
        ",
    );
}

#[test]
fn a_refused_transfer_waits_for_the_reply_before_it_however_late_that_is() {
    ready(
        r"
        c> STAT
        -> server STAT
        c> STOR b
        -> withdraw 1
        timer none
        wait 9s
        s> 213 all is well
        -> client 213 all is well\r\n425 There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer
        ",
    );
}

#[test]
fn a_failure_of_the_transfer_changes_nothing() {
    for (start, reply, first) in [
        ("s>c 150 here", "451 disk error", ""),
        ("s>c 150 here", "426 aborted", ""),
        ("s>c 150 here", "550 the file is gone", ""),
        ("", "550 no such file", "-> withdraw 0"),
        ("", "425 cannot connect", "-> withdraw 0"),
        ("", "426 cannot connect", "-> withdraw 0"),
    ] {
        check(&format!(
            r"
            config ahead=yes
            s>c 220 (vsFTPd 3.0.3)
            c>s EPSV
            s> 229 (|||1|)
            -> offer 0 passive * 1 open-first
            offered 0 127.0.0.1:20000
            -> client 229 (|||20000|)
            c> RETR a
            -> server RETR a\r\nEPSV
            -> half-close 0
            data 0 joined
            {start}
            data 0 server-done
            s>c {reply}
            s> 229 (|||2|)
            -> offer 1 passive * 2 open-first ahead
            data 1 opened
            c> EPSV
            {first}
            -> announce 1 * 2
            "
        ));
    }
}

#[test]
fn after_a_refused_transfer_the_former_connection_is_of_no_use() {
    check(
        r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a
        -> server RETR a\r\nEPSV
        -> half-close 0
        s>c 550 no such file
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first ahead
        data 1 opened
        c> RETR b
        -> client 425 There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer
        -> withdraw 1
        ",
    );
}

#[test]
fn a_server_that_may_read_commands_during_a_transfer_is_asked_nothing() {
    for greeting in ["ready", "ProFTPD Server ready.", "pyftpdlib 2.2.0 ready."] {
        check(&format!(
            r"
            config ahead=yes
            s>c 220 {greeting}
            c>s EPSV
            s> 229 (|||1|)
            -> offer 0 passive * 1 open-first
            offered 0 127.0.0.1:20000
            -> client 229 (|||20000|)
            c>s RETR a
            data 0 joined
            s>c 150 here
            data 0 server-done
            s>c 226 done
            c>s EPSV
            "
        ));
    }
}

#[test]
fn a_server_that_answers_during_the_transfer_is_asked_no_more() {
    check(
        r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a
        -> server RETR a\r\nEPSV
        -> half-close 0
        data 0 joined
        s>c 150 here
        s> 229 (|||2|)
        data 0 server-done
        s>c 226 done
        c>s EPSV
        s> 229 (|||3|)
        -> offer 1 passive * 3
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        c>s RETR b
        ",
    );
}

#[test]
fn a_client_that_aborts_receives_the_replies_that_are_its_own() {
    check(
        r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a
        -> server RETR a\r\nEPSV
        -> half-close 0
        data 0 joined
        s>c 150 here
        c> ABOR
        -> server ABOR
        -> abort 0 the client aborted the transfer
        data 0 cut aborted
        s>c 426 aborted
        s> 229 (|||2|)
        s>c 225 nothing to abort
        ",
    );
}

#[test]
fn the_reply_is_there_before_the_connection_is_open() {
    after_first(
        r"
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first ahead
        c> EPSV
        data 1 opening
        -> announce 1 * 2
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        data 1 opened
        ",
    );
}

#[test]
fn a_connection_that_has_to_be_open_first_is() {
    let eager = FIRST.replace("ahead=yes", "ahead=yes data=eager");
    check(&format!(
        r"{eager}
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first ahead
        c> EPSV
        data 1 opening
        data 1 opened
        -> announce 1 * 2
        "
    ));
}

#[test]
fn nothing_is_asked_for_while_the_client_has_commands_under_way() {
    check(
        r"
        config ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a\r\nEPSV
        -> server RETR a\r\nEPSV
        data 0 joined
        s>c 150 here
        data 0 server-done
        s>c 226 done
        s> 229 (|||2|)
        -> offer 1 passive * 2
        ",
    );
}

#[test]
fn a_connection_that_was_given_up_is_prepared_again_after_the_next_transfer_only() {
    ready(
        r"
        wait 3s
        -> withdraw 1
        c>s NOOP
        s>c 200 ok
        wait 9s
        ",
    );
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
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first protected
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a
        -> server RETR a\r\nEPSV
        -> half-close 0
        data 0 joined
        s>c 150 here
        data 0 server-done
        s> 226 done
        -> client 226 done
        s> 229 (|||2|)
        -> offer 1 passive * 2 open-first protected ahead
        ",
    );
}

#[test]
fn the_command_goes_in_the_form_that_the_server_knows() {
    check(
        r"
        config client=::1 ahead=yes
        s>c 220 (vsFTPd 3.0.3)
        c>s EPSV
        s> 500 What?
        -> server PASV
        s> 227 (127,0,0,1,0,1)
        -> offer 0 passive 127.0.0.1 1 open-first
        offered 0 [::1]:20000
        -> client 229 Entering Extended Passive Mode (|||20000|)
        c> RETR a
        -> server RETR a\r\nPASV
        -> half-close 0
        data 0 joined
        s>c 150 here
        data 0 server-done
        s> 226 done
        -> client 226 done
        s> 227 (127,0,0,1,0,2)
        -> offer 1 passive 127.0.0.1 2 open-first ahead
        data 1 opened
        c> EPSV
        -> announce 1 127.0.0.1 2
        offered 1 [::1]:20001
        -> client 229 Entering Extended Passive Mode (|||20001|)
        ",
    );
}

/// Transfers one after the other with this pause before each, over a path with this round trip. What the
/// server is sent with the last one is `behind` it.
fn burst(config: &str, transfers: usize, pause: &str, round_trip: &str, behind: &str) {
    let mut text = format!("{config}\ns>c 220 (vsFTPd 3.0.3)\n");
    for at in 0..transfers {
        let first = if at == 0 { " open-first" } else { "" };
        let behind = if at + 1 == transfers { behind } else { "" };
        text += &format!(
            r"
            wait {pause}
            c>s EPSV
            wait {round_trip}
            s> 229 (|||{port}|)
            -> offer {at} passive * {port}{first}
            offered {at} 127.0.0.1:20000
            -> client 229 (|||20000|)
            c> RETR a
            -> server RETR a{behind}
            data {at} joined
            s>c 150 here
            data {at} server-done
            s>c 226 done
            ",
            port = at + 1,
        );
    }
    check(&text);
}

/// What would come from the client of a download does not matter, so the server need not wait for its end.
#[test]
fn only_a_download_that_nothing_can_follow_is_half_closed() {
    let text = |config: &str, command: &str, outputs: &str| {
        check(&format!(
            r"
            config ahead=yes {config}
            s>c 220 (vsFTPd 3.0.3)
            c>s EPSV
            s> 229 (|||1|)
            -> offer 0 passive * 1 open-first
            offered 0 127.0.0.1:20000
            -> client 229 (|||20000|)
            c> {command}
            -> server {command}\r\nEPSV
            {outputs}
            "
        ));
    };
    for download in ["RETR a", "LIST", "NLST", "MLSD"] {
        text("", download, "-> half-close 0");
        text("far=client", download, "");
    }
    for upload in ["STOR a", "APPE a", "STOU"] {
        text("", upload, "");
    }
}

#[test]
fn a_burst_begins_with_the_third_transfer() {
    burst(
        "config ahead=auto",
        3,
        "999ms",
        "5ms",
        "\\r\\nEPSV\n-> half-close 2",
    );
    burst("config ahead=auto", 2, "999ms", "5ms", "");
}

#[test]
fn a_long_transfer_ends_a_burst() {
    let text = |took: &str, behind: &str| {
        let first = r"
            c>s EPSV
            wait 50ms
            s> 229 (|||1|)
        ";
        let rest = format!(
            r"
            c>s RETR a
            data AT joined
            s>c 150 here
            wait {took}
            data AT server-done
            s>c 226 done
            "
        );
        let mut text = "config ahead=auto\ns>c 220 (vsFTPd 3.0.3)\n".to_owned();
        for at in 0..2 {
            let how = if at == 0 { " open-first" } else { "" };
            text += first;
            text += &format!(
                "-> offer {at} passive * 1{how}\noffered {at} 127.0.0.1:20000\n-> client 229 (|||20000|)\n"
            );
            text += &rest.replace("AT", &at.to_string());
        }
        text += first;
        text += "-> offer 2 passive * 1\noffered 2 127.0.0.1:20000\n-> client 229 (|||20000|)\n";
        text + &format!("c> RETR a\n-> server RETR a{behind}\n")
    };
    check(&text("900ms", "\\r\\nEPSV\n-> half-close 2"));
    check(&text("1s", ""));
}

#[test]
fn a_pause_or_a_short_path_makes_no_burst() {
    burst("config ahead=auto", 5, "1001ms", "5ms", "");
    burst("config ahead=auto", 5, "1ms", "4ms", "");
    burst("config data=eager", 1, "1ms", "50ms", "");
}
