//! Truth: which transfer a reply ends, and whether it may be told as it came.
// tidy: long because it is one list of short scripts about one subject

mod script;

use script::check;

/// A session with one passive channel, offered as 0, and this command under way on it.
fn transfer(command: &str, rest: &str) -> String {
    format!(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s {command}
        data 0 joined
        s>c 150 here
        {rest}
        "
    )
}

#[test]
fn a_start_waits_for_the_clients_connection() {
    for seen in ["joined", "cut the SSH connection was lost", "client-gone"] {
        check(&format!(
            r"
            s>c 220 ready
            s> 229 (|||1|)
            -> offer 0 passive * 1 open-first
            offered 0 127.0.0.1:20000
            -> client 229 (|||20000|)
            c>s STOR a
            s> 150-go\r\n150 on\r\n214 later
            timer 1s
            data 0 {seen}
            -> client 150-go\r\n150 on\r\n214 later
            timer none
            "
        ));
    }
}

#[test]
fn a_client_that_connects_late_is_told_to_begin_all_the_same() {
    check(
        r"
        s>c 220 ready
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
        data 0 complete
        s>c 226 done
        ",
    );
}

#[test]
fn a_completion_waits_for_the_end_of_its_data() {
    for end in ["server-done", "complete"] {
        check(&transfer(
            "RETR a",
            &format!(
                r"
                s> 226 done
                s> 200 later
                timer 5s
                data 0 {end}
                -> client 226 done\r\n200 later
                timer none
                "
            ),
        ));
    }
}

#[test]
fn a_completion_after_the_end_of_its_data_passes_at_once() {
    check(&transfer(
        "STOR a",
        r"
        data 0 complete
        s>c 226 done
        ",
    ));
}

#[test]
fn a_cut_transfer_is_never_reported_complete() {
    for command in ["RETR a", "STOR a", "LIST", "APPE a", "STOU", "MLSD", "NLST"] {
        check(&transfer(
            command,
            r"
            s> 226 done
            data 0 cut the SSH connection was lost
            -> client 426 the SSH connection was lost
            ",
        ));
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
            s> 200 done
            data 0 complete
            -> client 200 done
            c>s NOOP
            s>c 200 ok
            ",
        ));
        check(&transfer(
            command,
            r"
            s> 200 done
            data 0 cut the SSH connection was lost
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
        c>s RETR b
        s>c 150 go
        s>c 226 done
        s>c 226 twice
        ",
    ));
}

#[test]
fn replies_to_commands_sent_meanwhile_do_not_end_the_transfer() {
    for (command, answer) in [
        ("CWD x", "250 changed"),
        ("CWD x", "200 changed"),
        ("CWD x", "550 no such folder"),
        ("SIZE x", "550 no such file"),
        ("NOOP", "200 ok"),
        ("TYPE I", "200 binary"),
        ("DELE x", "450 busy"),
    ] {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                c>s {command}
                s>c {answer}
                s> 226 done
                timer 30s
                data 0 cut the SSH connection was lost
                -> client 426 the SSH connection was lost
                "
            ),
        ));
    }
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
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        s> econd\r\n226 done\r\n200 later
        -> client 200 later
        ",
    ));
}

#[test]
fn the_whole_of_a_multi_line_completion_passes() {
    check(&transfer(
        "STOR a",
        r"
        s> 226-File stored\r\n1 second\r\n226 done\r\n200 later
        data 0 complete
        -> client 226-File stored\r\n1 second\r\n226 done\r\n200 later
        ",
    ));
}

#[test]
fn what_the_client_cut_itself_passes() {
    check(&transfer(
        "STOR a",
        r"
        s> 226 done
        data 0 client-gone reset
        -> client 226 done
        ",
    ));
    check(&transfer(
        "RETR a",
        r"
        data 0 unused
        s>c 226 done
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
                s>c 226 not asked for
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
fn a_slow_readers_download_is_told_after_5_s() {
    for command in ["RETR a", "LIST", "X@TR a"] {
        check(&transfer(
            command,
            r"
            s> 226 done
            timer 5s
            wait 4999ms
            wait 1ms
            -> client 226 done
            data 0 complete
            ",
        ));
    }
}

#[test]
fn an_upload_that_nothing_confirms_counts_as_cut_after_30_s() {
    check(&transfer(
        "STOR a",
        r"
        s> 226 done
        timer 30s
        wait 29999ms
        wait 1ms
        -> client 426 The upload could not be confirmed as complete; check the file and send it again
        -> abort 0 The upload could not be confirmed as complete; check the file and send it again
        data 0 complete
        ",
    ));
}

#[test]
fn a_completion_in_active_mode_passes_after_5_s_if_nobody_connected() {
    for command in ["RETR a", "STOR a"] {
        check(&format!(
            r"
            s>c 220 ready
            c> PORT 127,0,0,1,4,5
            -> offer 0 active 127.0.0.1 1029
            offered 0 127.0.0.1:20000
            -> server PORT 127,0,0,1,78,32
            s>c 200 ok
            c>s {command}
            s>c 150 go
            s> 226 done
            timer 5s
            wait 5s
            -> client 226 done
            s end
            -> withdraw 0
            -> end client
            "
        ));
    }
}

#[test]
fn an_upload_in_active_mode_that_joins_late_has_the_longer_wait() {
    check(
        r"
        s>c 220 ready
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32
        s>c 200 ok
        c>s STOR a
        s>c 150 go
        s> 226 done
        wait 4s
        data 0 joined
        timer 26s
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    );
}

#[test]
fn a_completion_without_a_150_is_that_of_its_transfer() {
    check(
        r"
        events
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
        s>c 200 ok\r\n213-Status\r\n 226 of 300\r\n213 End
        s>c 500 not now
        s> 226 done
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
    check(&transfer(
        "STOR a",
        r"
        c>s NOOP
        s> 226 done\r\n200 ok
        data 0 complete
        -> client 226 done\r\n200 ok
        ",
    ));
}

#[test]
fn the_reply_to_abor_passes() {
    check(&transfer(
        "RETR a",
        r"
        c>s \xff\xf4\xff\xf2ABOR
        s>c 426 aborted\r\n226 ABOR done
        ",
    ));
    check(&transfer(
        "RETR a",
        r"
        c>s ABOR
        data 0 cut reset by the server
        s>c 226 ABOR done
        c>s NOOP
        s>c 200 ok
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
    check(
        r"
        s>c 220 ready
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        data 0 joined
        c>s RETR a\r\nABOR
        s>c 150 go\r\n226 done\r\n226 ABOR done
        ",
    );
}

#[test]
fn a_transfer_without_a_channel_passes() {
    check(
        r"
        s>c 220 ready
        c>s LIST
        s>c 150 here
        s>c 226 done
        timer none
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
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s RETR a
        data 0 joined
        s>c 150 go
        s> 226 done
        timer 5s
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
        s> 125 it comes\r\n250 done
        -> client 125 it comes\r\n250 done
        -> ended - 250 LIST -a
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
        s> 150 out of the blue\r\n150 twice
        -> client 150 out of the blue\r\n150 twice
        -> started - Unknown
        c> RETR a
        -> server RETR a
        -> command RETR a
        s> 150 go
        -> client 150 go
        -> ended - 0
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
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
}

#[test]
fn a_reply_too_many_hides_no_completion() {
    check(
        r"
        s>c 220 ready
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s STOR a
        data 0 joined
        s>c 500 this was for the blank line before
        s>c 150 go
        s> 226 done
        timer 30s
        ",
    );
}

#[test]
fn a_reply_too_few_hides_no_completion() {
    check(
        r"
        s>c 220 ready
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c>s XNOREPLY\r\nSTOR a
        data 0 joined
        s>c 150 go
        s> 226 done
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
        timer 5s
        wait 5s
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
