//! Successes that may be a transfer's although they seem to be about something else.

mod script;

use script::{PASSIVE, check, transfer};

#[test]
fn success_in_general_is_held_to_the_transfers_outcome_as_well() {
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
        ("CWD x", "550 no such directory"),
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
fn an_ambiguous_success_in_an_upload_passes_once_its_data_connection_is_alive() {
    for (command, answer) in DOUBTFUL {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                c>s {command}
                s> {answer}
                -> check 0 1
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
fn a_completion_that_was_ambiguous_has_its_whole_time() {
    check(&transfer(
        "STOR a",
        r"
        c>s CWD b
        s> 250 done
        -> check 0 1
        wait 5s
        data 0 client-done
        data 0 alive 1
        -> check 0 2
        timer 30s
        ",
    ));
}

#[test]
fn an_ambiguous_success_in_a_cut_transfer_is_its_failure() {
    for (command, answer) in DOUBTFUL {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                c>s {command}
                s> {answer}
                -> check 0 1
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
fn an_ambiguous_success_in_a_download_passes_at_once() {
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
fn what_answers_a_command_before_the_transfer_is_not_ambiguous() {
    check(&format!(
        r"
        {PASSIVE}
        data 0 joined
        c>s TYPE I\r\nSTOR a\r\nNOOP
        s>c 200 binary
        s> 200 ok
        -> check 0 1
        data 0 alive 1
        -> client 200 ok
        s>c 150 go
        "
    ));
}

#[test]
fn a_success_without_a_150_that_no_command_explains_is_held_to_the_transfers_outcome() {
    check(&format!(
        r"
        {PASSIVE}
        data 0 joined
        c>s STOR a
        s> 200 stored
        -> check 0 1
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
fn a_success_within_a_reply_that_never_ends_is_ambiguous() {
    check(&format!(
        r"
        {PASSIVE}
        data 0 joined
        c>s STOR a
        s>c 553-Note\r\n553- more
        s> 226 done
        -> check 0 1
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
        -> check 0 1
        data 0 alive 1
        -> client 226 transfers so far
        s>c 211 End
        s> 350-what\r\n226 done
        -> client 350-what
        -> check 0 2
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
                -> check 0 1
                timer 30s
                data 0 cut the SSH connection was lost
                -> client 426 the SSH connection was lost\r\n{answer}
                "
            ),
        ));
    }
}

#[test]
fn replies_to_noop_and_stat_pass_during_a_transfer() {
    check(&transfer(
        "STOR a",
        r"
        c>s NOOP\r\nSTAT\r\nNOOP
        s> 200 ok\r\n213-Status\r\n 226 of 300\r\n213 End
        -> check 0 1
        data 0 alive 1
        -> client 200 ok\r\n213-Status\r\n 226 of 300\r\n213 End
        s>c 500 not now
        s> 226 done
        -> check 0 2
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
        -> check 0 1
        data 0 complete
        -> client 226 done\r\n200 ok
        ",
    ));
}

#[test]
fn a_start_that_comes_twice_makes_no_cut_true() {
    check(&transfer(
        "STOR a",
        r"
        s> 226 files so far\r\n150 go\r\n226 done
        -> check 0 1
        data 0 client-gone reset
        -> client 426 reset\r\n150 go\r\n426 reset
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
        -> check 0 1
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
        -> check 0 1
        timer 30s
        ",
    );
}

#[test]
fn an_ambiguous_success_of_a_transfer_without_a_data_connection_is_its_failure() {
    for (command, answer) in DOUBTFUL {
        check(&format!(
            r"
            s>c 220 ready
            c>s STOR a
            s>c 150 go
            c>s {command}
            s> {answer}
            -> client 425 There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer
            s>c {answer}
            "
        ));
    }
}

#[test]
fn a_transfer_that_begins_after_its_client_was_told_its_failure_is_told_once() {
    for early in ["200-Note", "200 note", "226 note", "250 note"] {
        for end in ["226 done", "250 done", "426 broken"] {
            check(&format!(
                r"
                {PASSIVE}
                events
                c> STOR a
                -> server STOR a
                -> command STOR a
                data 0 joined
                data 0 client-gone reset
                s> {early}
                -> client 426 reset
                -> started 0 Upload STOR a
                -> ended 0 426 replaced STOR a
                s> 150 Opening
                c> NOOP
                -> server NOOP
                -> command NOOP
                s>c 200 ok
                s> {end}
                c> NOOP
                -> server NOOP
                -> command NOOP
                s>c 200 ok
                s>c 421 bye
                "
            ));
        }
    }
}

#[test]
fn two_swapped_successes_answer_one_command_and_one_transfer() {
    check(&transfer(
        "STOR a",
        r"
        c>s CWD x
        data 0 client-gone reset
        s> 250 changed
        -> client 426 reset
        s> 226 done
        -> client 426 reset
        c>s RETR b
        events
        s> 425 Use PORT or PASV first
        -> client 425 Use PORT or PASV first
        -> refused - 425 RETR b
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        data 0 client-done
        data 0 complete
        c>s CWD x
        s>c 250 changed
        s>c 226 done
        c>s RETR b
        events
        s> 425 Use PORT or PASV first
        -> client 425 Use PORT or PASV first
        -> refused - 425 RETR b
        ",
    ));
}

#[test]
fn an_abort_and_its_transfer_may_swap_their_successes() {
    check(&transfer(
        "STOR a",
        r"
        c>s ABOR
        s> 226 abort
        -> client 426 The transfer was aborted before it was complete
        s> 200 done
        -> client 426 The transfer was aborted before it was complete
        c>s RETR b
        events
        s> 425 Use PORT or PASV first
        -> client 425 Use PORT or PASV first
        -> refused - 425 RETR b
        ",
    ));
}

#[test]
fn a_late_success_of_a_broken_transfer_is_not_the_next_ones() {
    check(&transfer(
        "STOR a",
        r"
        c>s CWD x
        data 0 client-gone reset
        s> 250 changed
        -> client 426 reset
        c>s EPSV
        c>s STOR b
        s> 226 done
        -> client 426 reset
        s> 229 (|||1030|)
        -> offer 1 passive * 1030
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        data 1 joined
        s>c 150 here
        ",
    ));
}

#[test]
fn an_odd_start_behind_a_transfer_that_was_told_before_passes() {
    check(&format!(
        r"
        {PASSIVE}
        c>s STOR a
        data 0 joined
        data 0 client-gone reset
        s> 200-note
        -> client 426 reset
        s> 150 Opening
        s> 226 done
        c>s EPSV
        s> 229 (|||1030|)
        -> offer 1 passive * 1030
        offered 1 127.0.0.1:20001
        -> client 229 (|||20001|)
        c>s STOR b
        data 1 joined
        s> 200-note
        -> check 1 1
        data 1 alive 1
        -> client 200-note
        s>c 150 Opening
        "
    ));
}

#[test]
fn a_closing_server_is_heard_although_the_transfer_has_failed_before() {
    check(&format!(
        r"
        {PASSIVE}
        c>s STOR a
        data 0 joined
        data 0 client-gone reset
        s> 200 note
        -> client 426 reset
        s> 150 Opening
        s>c 421 bye
        "
    ));
}
