//! How transfers begin and end, and what lies behind their ends.

mod script;

use ftp_proto::{Action, Event, Session, Told};
use script::{check, default_config, transfer};

#[test]
fn the_whole_of_a_multi_line_completion_is_replaced() {
    check(&transfer(
        "STOR a",
        r"
        s> 226-File stored\r\n226-227 (1,2,3,4,5,6)\r\n 1 s\c
        -> check 0 1
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
        -> check 0 1
        data 0 complete
        -> client 226-File stored\r\n1 second\r\n226 done\r\n200 later
        ",
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
        -> check 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        -> ended 0 426 replaced STOR a
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
        -> refused - 550 RETR x
        c> STOR x
        -> server STOR x
        -> command STOR x
        s> 150 go
        -> client 150 go
        -> started - Upload STOR x
        s lost the SSH connection broke
        -> client 421 the SSH connection broke
        -> ended - 421 own STOR x
        -> end client
        ",
    );
}

#[test]
fn a_transfer_is_told_with_its_path() {
    check(
        r#"
        events
        s> 220 ready
        -> client 220 ready
        c> PWD\r\nCWD sub\r\nCWD no\r\nRETR a b
        -> server PWD\r\nCWD sub\r\nCWD no\r\nRETR a b
        -> command PWD
        -> command CWD sub
        -> command CWD no
        -> command RETR a b
        s> 257 "/home"
        -> client 257 "/home"
        s> 250 ok
        -> client 250 ok
        s> 550 no
        -> client 550 no
        s> 150 go
        -> client 150 go
        -> started - Download RETR a b at /home/sub/a b
        s> 426 cut
        -> client 426 cut
        -> ended - 426 RETR a b
        "#,
    );
}

#[test]
fn a_client_that_leaves_has_aborted_its_transfer() {
    let mut session = Session::new(default_config());
    let now = std::time::Instant::now();
    session.server_bytes(now, b"220 ready\r\n");
    session.client_bytes(now, b"STOR x\r\n");
    session.server_bytes(now, b"150 go\r\n");
    session.client_lost();
    let mut ends = Vec::new();
    while let Some(action) = session.poll_action() {
        if let Action::Event(Event::TransferEnded { told, aborted, .. }) = action {
            ends.push((told, aborted));
        }
    }
    assert_eq!(ends, [(Told::default(), true)]);
}

#[test]
fn refusals_are_told_whoever_refuses() {
    check(
        r"
        events
        s> 220 ready
        -> client 220 ready
        c> PASS x
        -> server PASS x
        -> command PASS ****
        s> 530-no\r\n530 never
        -> client 530-no\r\n530 never
        -> login refused 530 never
        c> PORT 9,9,9,9,4,210
        -> client 504 9.9.9.9 is not your own address 127.0.0.1; use that, or passive mode
        -> command PORT 9,9,9,9,4,210
        -> refused 504 9.9.9.9 is not your own address 127.0.0.1; use that, or passive mode
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
        -> ended - 421 own RETR a
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
        -> check 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    ));
    check(&transfer(
        "RET@R a",
        r"
        data 0 server-done
        s> 226 done
        -> check 0 1
        data 0 alive 1
        -> client 226 done
        ",
    ));
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
        -> client 226 done\r\n200 ok\r\n534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        ",
    ));
}

#[test]
fn a_channel_stays_while_a_completion_is_held_for_it() {
    let commands = "c>s NOOP\n".repeat(256);
    check(&transfer(
        "RETR a",
        &format!(
            r"
            c> PORT 127,0,0,1,4,5
            -> offer 1 active 127.0.0.1 1029
            offered 1 127.0.0.1:20001
            -> server PORT 127,0,0,1,78,33
            s> 226 done
            {commands}
            data 0 server-done
            -> client 226 done
            "
        ),
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

#[test]
fn the_facts_of_a_file_tell_its_size() {
    check(
        r"
        events
        c> MLST a
        -> server MLST a
        -> command MLST a
        s> 250-Begin\r\n type=file;size=1234; a\r\n250 End
        -> client 250-Begin\r\n type=file;size=1234; a\r\n250 End
        c> EPSV
        -> server EPSV
        -> command EPSV
        s> 229 (|||1|)
        -> offer 0 passive * 1 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> RETR a
        -> server RETR a
        -> command RETR a
        s> 150 go
        -> started 0 Download RETR a of 1234
        ",
    );
}
