//! Truth: which transfer a reply ends, and whether it may be told as it came.
// tidy: long because it is one list of short scripts about one subject

mod script;

use script::check;

/// A session with one passive channel, offered as 0.
const PASSIVE: &str = r"
    s>c 220 ready
    c>s EPSV
    s> 229 (|||1029|)
    -> offer 0 passive * 1029 open-first
    offered 0 127.0.0.1:20000
    -> client 229 (|||20000|)
";

/// A session with one active channel, offered as 0.
const ACTIVE: &str = r"
    s>c 220 ready
    c> PORT 127,0,0,1,4,5
    -> offer 0 active 127.0.0.1 1029
    offered 0 127.0.0.1:20000
    -> server PORT 127,0,0,1,78,32
    s>c 200 ok
";

/// A session with one passive channel, offered as 0, and this command under way on it.
fn transfer(command: &str, rest: &str) -> String {
    format!(
        r"
        {PASSIVE}
        c>s {command}
        data 0 joined
        s>c 150 here
        {rest}
        "
    )
}

#[test]
fn a_start_waits_for_the_clients_connection() {
    for offer in [PASSIVE, ACTIVE] {
        check(&format!(
            r"
            {offer}
            c>s STOR a
            s> 150-go\r\n150 on\r\n350 later
            timer 1s
            data 0 joined
            -> client 150-go\r\n150 on\r\n350 later
            timer none
            "
        ));
    }
}

#[test]
fn a_transfer_whose_client_never_came_has_not_begun() {
    for offer in [PASSIVE, ACTIVE] {
        for (command, end) in [
            (
                "STOR a",
                "client-gone the client's port 127.0.0.1:1029 refused",
            ),
            (
                "RETR a",
                "client-gone the client's port 127.0.0.1:1029 refused",
            ),
            ("LIST", "cut the channel could not be opened"),
            ("APPE a", "unused"),
        ] {
            let reason = match end.split_once(' ') {
                Some((_, reason)) => reason,
                None => "Nobody opened the data connection",
            };
            check(&format!(
                r"
                {offer}
                c>s {command}
                s> 150-go\r\n150 on
                data 0 {end}
                s> 226 done
                -> client 425 {reason}
                c>s NOOP
                s>c 200 ok
                "
            ));
        }
    }
}

#[test]
fn a_client_that_connects_late_is_told_to_begin_all_the_same() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s STOR a
        s> 150 go
        data 0 opened
        wait 999ms
        wait 1ms
        -> client 150 go
        data 0 joined
        data 0 client-done
        data 0 complete
        s>c 226 done
        ",
    );
}

#[test]
fn a_downloads_completion_waits_for_its_last_byte_however_long() {
    for command in ["RETR a", "LIST"] {
        for end in ["server-done", "complete"] {
            check(&transfer(
                command,
                &format!(
                    r"
                    s> 226 done
                    s> 200 later
                    timer none
                    wait 9999s
                    data 0 {end}
                    -> client 226 done\r\n200 later
                    "
                ),
            ));
        }
    }
}

#[test]
fn a_download_is_whole_once_its_end_was_passed_on() {
    for late in ["cut the SSH connection was lost", "client-gone reset"] {
        check(&transfer(
            "RETR a",
            &format!(
                r"
                data 0 server-done
                data 0 {late}
                s>c 226 done
                "
            ),
        ));
    }
}

#[test]
fn an_uploads_completion_passes_once_its_end_was_confirmed() {
    check(&transfer(
        "STOR a",
        r"
        data 0 client-done
        data 0 complete
        s>c 226 done
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        s> 226 done
        -> confirm 0 1
        data 0 client-done
        -> confirm 0 2
        data 0 complete
        -> client 226 done
        ",
    ));
}

#[test]
fn an_upload_whose_server_keeps_its_data_connection_open_is_confirmed_by_a_sign_of_life() {
    for (offer, done) in [(PASSIVE, "226 stored"), (ACTIVE, "250 stored")] {
        check(&format!(
            r"
            {offer}
            c>s STOR a
            data 0 joined
            s>c 150 go
            data 0 client-done
            s> {done}
            -> confirm 0 1
            data 0 alive 1
            -> client {done}
            -> release 0
            "
        ));
    }
}

#[test]
fn a_sign_of_life_from_before_the_end_of_an_upload_confirms_nothing() {
    check(&transfer(
        "STOR a",
        r"
        s> 226 early
        -> confirm 0 1
        data 0 client-done
        -> confirm 0 2
        data 0 alive 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
}

#[test]
fn an_upload_that_the_server_ends_before_its_client_does_is_not_complete() {
    check(&transfer(
        "STOR a",
        r"
        data 0 server-done
        data 0 complete
        s> 226 done
        -> client 426 The server closed the data connection before the client had ended it
        ",
    ));
}

#[test]
fn an_upload_whose_server_half_closed_at_once_is_held_to_the_same() {
    check(&transfer(
        "STOR a",
        r"
        data 0 server-done
        s> 226 done
        -> confirm 0 1
        data 0 client-done
        -> confirm 0 2
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        data 0 server-done
        data 0 client-done
        data 0 complete
        s>c 226 done
        ",
    ));
}

#[test]
fn a_cut_transfer_is_never_reported_complete() {
    for command in ["RETR a", "LIST", "MLSD", "NLST"] {
        check(&transfer(
            command,
            r"
            s> 226 done
            data 0 cut the SSH connection was lost
            -> client 426 the SSH connection was lost
            ",
        ));
    }
    for command in ["STOR a", "APPE a", "STOU", "X@OR a"] {
        check(&transfer(
            command,
            r"
            s> 226 done
            -> confirm 0 1
            data 0 cut the SSH connection was lost
            -> client 426 the SSH connection was lost
            ",
        ));
    }
}

#[test]
fn a_transfer_that_its_client_cut_is_never_reported_complete() {
    for command in ["RETR a", "STOR a", "LIST", "APPE a", "X@TR a"] {
        for offer in [PASSIVE, ACTIVE] {
            check(&format!(
                r"
                {offer}
                c>s {command}
                data 0 joined
                s>c 150 go
                data 0 client-gone the client reset its data connection
                s> 226 done
                -> client 426 the client reset its data connection
                "
            ));
        }
    }
}

#[test]
fn a_cut_known_before_the_reply_is_remembered() {
    check(&transfer(
        "STOR a",
        r"
        data 0 cut the SSH connection was lost
        s> 226 done
        -> client 426 the SSH connection was lost
        c>s CWD x
        s>c 250 ok
        ",
    ));
}

#[test]
fn success_in_general_is_held_to_truth_as_well() {
    for command in ["RETR a", "STOR a", "LIST"] {
        check(&transfer(
            command,
            r"
            data 0 server-done
            data 0 client-done
            data 0 complete
            s>c 200 done
            c>s NOOP
            s>c 200 ok
            ",
        ));
        check(&transfer(
            command,
            r"
            data 0 cut the SSH connection was lost
            s> 200 done
            -> client 426 the SSH connection was lost
            ",
        ));
    }
}

#[test]
fn a_success_behind_one_that_was_not_true_is_not_true_either() {
    check(&transfer(
        "STOR a",
        r"
        data 0 cut the SSH connection was lost
        s> 200 unasked
        -> client 426 the SSH connection was lost
        s> 226 done
        -> client 426 the SSH connection was lost
        s> 250 done
        -> client 426 the SSH connection was lost
        c>s EPSV
        s> 229 (|||1030|)
        -> offer 1 passive * 1030
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        c>s RETR b
        data 1 joined
        s>c 150 go
        data 1 server-done
        s>c 226 done
        s>c 226 twice
        ",
    ));
}

#[test]
fn replies_that_no_transfer_has_do_not_end_the_transfer() {
    for (command, answer) in [
        ("CWD x", "550 no such folder"),
        ("SIZE x", "550 no such file"),
        ("SIZE x", "213 17"),
        ("PWD", "257 here"),
        ("NOOP", "500 not now"),
        ("DELE x", "450 busy"),
    ] {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                c>s {command}
                s>c {answer}
                data 0 cut the SSH connection was lost
                s> 226 done
                -> client 426 the SSH connection was lost
                "
            ),
        ));
    }
}

/// Commands sent in the middle of a transfer, and successes of theirs that a transfer can have, too.
const DOUBTFUL: [(&str, &str); 4] = [
    ("CWD x", "250 changed"),
    ("CWD x", "200 changed"),
    ("NOOP", "200 ok"),
    ("TYPE I", "200 binary"),
];

#[test]
fn a_doubtful_success_in_an_upload_passes_once_its_data_connection_is_alive() {
    for (command, answer) in DOUBTFUL {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                c>s {command}
                s> {answer}
                -> confirm 0 1
                timer none
                data 0 alive 1
                -> client {answer}
                data 0 client-done
                data 0 complete
                s>c 226 done
                "
            ),
        ));
        check(&transfer(
            "STOR a",
            &format!(
                r"
                data 0 client-done
                data 0 complete
                c>s {command}
                s>c {answer}
                s>c 226 done
                "
            ),
        ));
    }
}

#[test]
fn a_doubtful_success_in_a_cut_transfer_is_its_failure() {
    for (command, answer) in DOUBTFUL {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                c>s {command}
                s> {answer}
                -> confirm 0 1
                data 0 cut the SSH connection was lost
                -> client 426 the SSH connection was lost
                s>c {answer}
                s> 226 done
                -> client 426 the SSH connection was lost
                "
            ),
        ));
        check(&transfer(
            "RETR a",
            &format!(
                r"
                data 0 cut the SSH connection was lost
                c>s {command}
                s> {answer}
                -> client 426 the SSH connection was lost
                s> 226 done
                -> client 426 the SSH connection was lost
                "
            ),
        ));
    }
}

#[test]
fn a_doubtful_success_in_a_download_passes_at_once() {
    for (command, answer) in DOUBTFUL {
        check(&transfer(
            "RETR a",
            &format!(
                r"
                c>s {command}
                s>c {answer}
                data 0 server-done
                s>c 226 done
                "
            ),
        ));
    }
}

#[test]
fn what_answers_a_command_before_the_transfer_is_not_doubtful() {
    check(&format!(
        r"
        {PASSIVE}
        data 0 joined
        c>s TYPE I\r\nSTOR a\r\nNOOP
        s>c 200 binary
        s> 200 ok
        -> confirm 0 1
        data 0 alive 1
        -> client 200 ok
        s>c 150 go
        "
    ));
}

#[test]
fn a_success_without_a_150_that_no_command_explains_is_held_to_the_truth() {
    check(&format!(
        r"
        {PASSIVE}
        data 0 joined
        c>s STOR a
        s> 200 stored
        -> confirm 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        "
    ));
}

#[test]
fn replies_of_several_lines_without_their_last_line_hide_no_cut() {
    for lines in [
        r"150-Note\r\n125 Opening",
        r"150-Opening\r\n150-more",
        r"553-\r\n553- excluded\r\n150 Opening",
        r"150-Opening\r\n 150 bytes",
    ] {
        for done in ["226 done", "250 done", "200 done"] {
            check(&format!(
                r"
                {PASSIVE}
                data 0 joined
                c>s STOR a
                s>c {lines}
                data 0 cut the SSH connection was lost
                s> {done}
                -> client 426 the SSH connection was lost
                c>s PWD
                s>c 257 here
                "
            ));
            check(&format!(
                r"
                {PASSIVE}
                data 0 joined
                c>s STOR a
                s>c {lines}
                data 0 client-done
                data 0 complete
                s>c {done}
                c>s PWD
                s>c 257 here
                "
            ));
        }
    }
}

#[test]
fn a_success_within_a_reply_that_never_ends_is_doubtful() {
    check(&format!(
        r"
        {PASSIVE}
        data 0 joined
        c>s STOR a
        s>c 553-Note\r\n553- more
        s> 226 done
        -> confirm 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        "
    ));
    check(&transfer(
        "STOR a",
        r"
        c>s STAT
        s>c 211-Status
        s> 226 transfers so far
        -> confirm 0 1
        data 0 alive 1
        -> client 226 transfers so far
        s>c 211 End
        s> 350-what\r\n226 done
        -> client 350-what
        -> confirm 0 2
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
}

#[test]
fn the_end_of_a_transfer_comes_before_replies_to_commands_sent_meanwhile() {
    for (command, completion, answer) in [
        ("STAT", "200 done", "211 status"),
        ("QUIT", "250 done", "221 bye"),
        ("NOOP", "250 done", "200 ok"),
        ("CWD x", "226 done", "250 changed"),
    ] {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                c>s {command}
                s> {completion}\r\n{answer}
                -> confirm 0 1
                timer 30s
                data 0 cut the SSH connection was lost
                -> client 426 the SSH connection was lost\r\n{answer}
                "
            ),
        ));
    }
}

#[test]
fn a_cut_known_before_the_transfer_began_is_remembered() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        data 0 joined
        data 0 cut the SSH connection was lost
        c>s STOR a
        s>c 150 go
        s> 226 done
        -> client 426 the SSH connection was lost
        ",
    );
}

#[test]
fn a_cut_after_the_servers_end_counts() {
    check(&transfer(
        "STOR a",
        r"
        data 0 server-done
        data 0 cut the SSH connection was lost
        s> 250 done
        -> client 426 the SSH connection was lost
        ",
    ));
}

#[test]
fn the_whole_of_a_multi_line_completion_is_replaced() {
    check(&transfer(
        "STOR a",
        r"
        s> 226-File stored\r\n226-227 (1,2,3,4,5,6)\r\n 1 s\c
        -> confirm 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        s> econd\r\n226 done\r\n350 later
        -> client 350 later
        ",
    ));
}

#[test]
fn the_whole_of_a_multi_line_completion_passes() {
    check(&transfer(
        "STOR a",
        r"
        data 0 client-done
        s> 226-File stored\r\n1 second\r\n226 done\r\n200 later
        -> confirm 0 1
        data 0 complete
        -> client 226-File stored\r\n1 second\r\n226 done\r\n200 later
        ",
    ));
}

#[test]
fn a_servers_own_failure_passes_at_once() {
    for code in ["425", "426", "451", "552", "550"] {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                s>c {code} failed
                data 0 cut the SSH connection was lost
                s> 226 not asked for
                -> client 426 The transfer was not seen to be complete
                "
            ),
        ));
    }
}

#[test]
fn a_failure_after_a_cut_passes() {
    check(&transfer(
        "STOR a",
        r"
        data 0 cut the SSH connection was lost
        s>c 451 failed
        ",
    ));
}

#[test]
fn an_upload_that_nothing_confirms_counts_as_cut_after_30_s() {
    for ended in ["", "data 0 client-done"] {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                {ended}
                s> 226 done
                -> confirm 0 1
                timer 30s
                wait 29999ms
                wait 1ms
                -> client 426 The upload could not be confirmed as complete; check the file and send it again
                -> abort 0 The upload could not be confirmed as complete; check the file and send it again
                data 0 complete
                "
            ),
        ));
    }
}

#[test]
fn an_upload_that_goes_on_behind_an_early_success_is_waited_for() {
    check(&transfer(
        "STOR a",
        r"
        s> 226 early
        -> confirm 0 1
        data 0 alive 1
        wait 30s
        -> confirm 0 2
        timer 30s
        data 0 alive 2
        wait 30s
        -> confirm 0 3
        data 0 client-done
        -> confirm 0 4
        data 0 alive 4
        -> client 226 early
        -> release 0
        ",
    ));
}

#[test]
fn a_success_in_active_mode_is_not_true_if_the_server_never_connected() {
    for command in ["RETR a", "STOR a", "LIST"] {
        check(&format!(
            r"
            {ACTIVE}
            c>s {command}
            s> 150 go
            wait 1s
            -> client 150 go
            s> 226 done
            timer 5s
            wait 5s
            -> client 425 The FTP server reported success, but the data connection was never opened
            -> abort 0 The FTP server reported success, but the data connection was never opened
            c>s NOOP
            s>c 200 ok
            "
        ));
    }
}

#[test]
fn an_upload_in_active_mode_that_joins_late_has_the_longer_wait() {
    check(&format!(
        r"
        {ACTIVE}
        c>s STOR a
        s> 150 go
        wait 1s
        -> client 150 go
        s> 226 done
        wait 4s
        data 0 joined
        -> confirm 0 1
        timer 26s
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        "
    ));
}

#[test]
fn a_completion_without_a_150_is_that_of_its_transfer() {
    check(
        r"
        events
        c> EPSV
        -> server EPSV
        -> command EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> STOR a
        -> server STOR a
        -> command STOR a
        data 0 joined
        s> 226 done
        -> started 0 Upload STOR a
        -> confirm 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        -> ended 0 426 replaced STOR a
        ",
    );
}

#[test]
fn replies_to_noop_and_stat_pass_during_a_transfer() {
    check(&transfer(
        "STOR a",
        r"
        c>s NOOP\r\nSTAT\r\nNOOP
        s> 200 ok\r\n213-Status\r\n 226 of 300\r\n213 End
        -> confirm 0 1
        data 0 alive 1
        -> client 200 ok\r\n213-Status\r\n 226 of 300\r\n213 End
        s>c 500 not now
        s> 226 done
        -> confirm 0 2
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        c>s NOOP
        data 0 client-done
        s> 226 done\r\n200 ok
        -> confirm 0 1
        data 0 complete
        -> client 226 done\r\n200 ok
        ",
    ));
}

#[test]
fn the_reply_to_abor_passes_and_the_data_of_a_download_stops() {
    for replies in [
        r"426 aborted\r\n226 ABOR done",
        r"226 done\r\n226 ABOR done",
        "226 ABOR done",
        r"451 local\r\n226 ok",
        "500 what?",
    ] {
        check(&transfer(
            "RETR a",
            &format!(
                r"
                c> \xff\xf4\xff\xf2ABOR
                -> server \xff\xf4\xff\xf2ABOR
                -> abort 0 the client aborted the transfer
                data 0 cut the client aborted the transfer
                s>c {replies}
                c>s NOOP
                s>c 200 ok
                "
            ),
        ));
    }
    check(&transfer(
        "RETR a",
        r"
        data 0 server-done
        c>s ABOR
        s>c 226 done
        s>c 225 nothing to abort
        ",
    ));
}

#[test]
fn an_aborted_upload_is_complete_only_if_its_end_was_seen() {
    check(&transfer(
        "STOR a",
        r"
        c>s ABOR
        data 0 cut the SSH connection was lost
        s> 226 done\r\n225 nothing to abort
        -> client 426 the SSH connection was lost\r\n225 nothing to abort
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        c>s ABOR
        s> 226 done\r\n226 ABOR done
        -> client 426 The transfer was aborted before its end was seen\r\n226 ABOR done
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        data 0 client-done
        c>s ABOR
        data 0 complete
        s>c 226 done\r\n226 ABOR done
        ",
    ));
}

#[test]
fn a_download_cut_before_its_abor_stays_a_failure() {
    check(&transfer(
        "RETR a",
        r"
        data 0 cut the SSH connection was lost
        c>s ABOR
        s> 226 done\r\n226 ABOR done
        -> client 426 the SSH connection was lost\r\n226 ABOR done
        ",
    ));
}

#[test]
fn abor_releases_a_completion_that_waits() {
    check(&transfer(
        "RETR a",
        r"
        s> 226 done
        c> ABOR
        -> client 226 done
        -> server ABOR
        -> abort 0 the client aborted the transfer
        s>c 225 nothing to abort
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        s> 226 done
        -> confirm 0 1
        c> ABOR
        -> client 426 The transfer was aborted before its end was seen
        -> server ABOR
        s>c 225 nothing to abort
        ",
    ));
}

#[test]
fn a_transfer_cut_before_its_abor_is_not_complete() {
    check(&transfer(
        "STOR a",
        r"
        data 0 cut the SSH connection was lost
        c>s ABOR
        s> 226 done\r\n226 ABOR done
        -> client 426 the SSH connection was lost\r\n226 ABOR done
        ",
    ));
}

#[test]
fn an_abor_sent_before_the_transfer_began_counts() {
    check(&format!(
        r"
        {PASSIVE}
        data 0 joined
        c>s RETR a\r\nABOR
        s> 150 go\r\n226 done\r\n226 ABOR done
        -> client 150 go\r\n226 done\r\n226 ABOR done
        -> abort 0 the client aborted the transfer
        "
    ));
}

#[test]
fn no_transfer_is_complete_without_a_data_connection() {
    let reason =
        "No data connection was agreed on; send PASV, EPSV, PORT or EPRT before the transfer";
    for command in ["LIST", "STOR a", "RETR a"] {
        check(&format!(
            r"
            s>c 220 ready
            c>s {command}
            s>c 150 here
            s> 226 done
            -> client 425 {reason}
            timer none
            "
        ));
    }
}

#[test]
fn a_data_connection_that_does_not_go_through_the_broker_is_the_servers_business() {
    check(
        r"
        config foreign=pass
        s>c 220 ready
        c>s PORT 10,9,9,9,4,5
        s>c 200 ok
        c>s STOR a
        s>c 150 here
        s>c 226 done
        ",
    );
}

#[test]
fn in_block_mode_the_connection_outlives_the_transfer() {
    check(
        r"
        s>c 220 ready
        c>s MODE B
        s>c 200 ok
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s RETR a
        data 0 joined
        s>c 150 go\r\n226 done
        c>s STOR b
        s>c 150 go
        data 0 cut the SSH connection was lost
        s> 226 done
        -> client 426 the SSH connection was lost
        ",
    );
}

#[test]
fn a_refused_block_mode_changes_nothing() {
    for mode in [
        "MODE B\r\n        s>c 504 no",
        "MODE Z\r\n        s>c 200 ok",
        "REIN\r\n        s>c 220 ready",
    ] {
        check(&transfer(
            "RETR a",
            &format!(
                r"
                data 0 complete
                s>c 226 done
                c>s {mode}
                c>s EPSV
                s> 229 (|||1|)
                -> offer 1 passive * 1
                offered 1 127.0.0.1:20000
                -> client 229 (|||20000|)
                c>s RETR b
                data 1 joined
                s>c 150 go
                s> 226 done
                data 1 complete
                -> client 226 done
                "
            ),
        ));
    }
}

#[test]
fn reinitializing_ends_block_mode() {
    check(
        r"
        s>c 220 ready
        c>s MODE B
        s>c 200 ok
        c>s REIN
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s RETR a
        data 0 joined
        s>c 150 go
        s> 226 done
        data 0 server-done
        -> client 226 done
        ",
    );
}

#[test]
fn a_channel_that_carried_a_transfer_says_nothing_of_the_next() {
    check(&transfer(
        "RETR a",
        r"
        data 0 complete
        s>c 226 done
        c>s RETR b
        s>c 425 Use PORT or PASV first
        data 0 cut late news
        c>s CWD x
        s>c 250 ok
        ",
    ));
}

#[test]
fn a_start_that_comes_twice_makes_no_cut_true() {
    check(&transfer(
        "STOR a",
        r"
        s> 226 files so far\r\n150 go\r\n226 done
        -> confirm 0 1
        data 0 client-gone reset
        -> client 426 reset\r\n150 go\r\n426 reset
        ",
    ));
}

#[test]
fn each_transfer_has_its_start_and_its_end() {
    check(
        r"
        events
        s> 220 ready
        -> client 220 ready
        c> LIST -a
        -> server LIST -a
        -> command LIST -a
        s> 125-here
        -> client 125-here
        -> started - Download LIST -a
        s> 125 it comes\r\n451 failed
        -> client 125 it comes\r\n451 failed
        -> ended - 451 LIST -a
        c> RETR x
        -> server RETR x
        -> command RETR x
        s> 550 no such file
        -> client 550 no such file
        c> STOR x
        -> server STOR x
        -> command STOR x
        s> 150 go
        -> client 150 go
        -> started - Upload STOR x
        s lost the SSH connection broke
        -> client 421 the SSH connection broke
        -> ended - 421 STOR x
        -> end client
        ",
    );
}

#[test]
fn a_transfer_whose_end_was_missed_ends_with_the_next() {
    check(
        r"
        events
        s> 150 out of the blue
        -> client 150 out of the blue
        c> LIST
        -> server LIST
        -> command LIST
        s> 150 go
        -> client 150 go
        -> started - Download LIST
        c> RETR a
        -> server RETR a
        -> command RETR a
        s> 150 go
        -> client 150 go
        -> ended - 0 LIST
        -> started - Download RETR a
        s end
        -> client 421 The FTP server closed the connection in the middle of the transfer; the file is not complete
        -> ended - 421 RETR a
        -> end client
        ",
    );
}

#[test]
fn a_server_that_leaves_in_the_middle_of_a_transfer_is_not_taken_for_one_that_is_done() {
    check(
        r"
        c> RETR a
        -> server RETR a
        s> 150 go
        -> client 150 go
        s end
        -> client 421 The FTP server closed the connection in the middle of the transfer; the file is not complete
        -> end client
        ",
    );
}

#[test]
fn a_transfer_command_that_is_not_known_counts_once_it_begins() {
    check(&transfer(
        "RET@R a",
        r"
        s> 226 done
        -> confirm 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
    check(&transfer(
        "RET@R a",
        r"
        data 0 server-done
        s> 226 done
        -> confirm 0 1
        data 0 alive 1
        -> client 226 done
        ",
    ));
}

#[test]
fn a_reply_too_many_hides_no_completion() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s STOR a
        data 0 joined
        s>c 500 this was for the blank line before
        s>c 150 go
        s> 226 done
        -> confirm 0 1
        timer 30s
        ",
    );
}

#[test]
fn a_reply_too_few_hides_no_completion() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s XNOREPLY\r\nSTOR a
        data 0 joined
        s>c 150 go
        s> 226 done
        -> confirm 0 1
        timer 30s
        ",
    );
}

#[test]
fn a_held_completion_is_not_told_once_the_server_is_lost() {
    check(&transfer(
        "RETR a",
        r"
        s> 226 done
        s lost the SSH connection broke
        -> client 421 the SSH connection broke
        -> end client
        timer none
        data 0 complete
        ",
    ));
}

#[test]
fn the_end_waits_for_a_held_completion() {
    check(&transfer(
        "RETR a",
        r"
        c>s QUIT
        s> 226 done\r\n221 bye
        s end
        data 0 complete
        -> client 226 done\r\n221 bye
        -> end client
        ",
    ));
}

#[test]
fn commands_pass_while_a_completion_is_held() {
    check(&transfer(
        "RETR a",
        r"
        s> 226 done
        c>s NOOP
        c> AUTH TLS
        s> 200 ok
        data 0 server-done
        -> client 226 done\r\n200 ok\r\n534 AUTH is refused: SSH already encrypts this connection; go on without TLS
        ",
    ));
}

#[test]
fn a_passive_offer_during_a_transfer_leaves_the_transfer() {
    check(&transfer(
        "RETR a",
        r"
        c>s EPSV
        s> 229 (|||1030|)
        -> offer 1 passive * 1030
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        s> 226 done
        data 0 complete
        -> client 226 done
        c>s RETR b
        data 1 joined
        s>c 150 go
        data 1 complete
        s>c 226 done
        ",
    ));
}

#[test]
fn half_a_reply_of_a_server_that_left_is_not_made_whole() {
    check(&transfer(
        "RETR a",
        r"
        s> 226 do\c
        s end
        -> client 421 The FTP server closed the connection in the middle of the transfer; the file is not complete
        -> end client
        ",
    ));
}

#[test]
fn a_passive_upload_nobody_joined_has_the_longer_wait_too() {
    check(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s STOR a
        data 0 opened
        s> 150 go
        wait 1s
        -> client 150 go
        s> 226 done
        timer 30s
        ",
    );
}

#[test]
fn the_reply_after_a_replaced_one_is_whole() {
    check(&transfer(
        "STOR a",
        r"
        data 0 cut the SSH connection was lost
        s> 226 done
        -> client 426 the SSH connection was lost
        c>s FEAT
        s>c 211-Features\r\n EPSV\r\n211 End
        ",
    ));
}
