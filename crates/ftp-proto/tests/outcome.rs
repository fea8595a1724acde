//! Transfer outcomes: which transfer a reply ends, and whether it may be told as it came.

mod script;

use script::{ACTIVE, PASSIVE, check, transfer};

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
        -> check 0 1
        data 0 client-done
        -> check 0 2
        data 0 complete
        -> client 226 done
        ",
    ));
}

#[test]
fn an_upload_whose_server_keeps_its_data_connection_open_is_confirmed_by_a_liveness_check() {
    for (offer, done) in [(PASSIVE, "226 stored"), (ACTIVE, "250 stored")] {
        check(&format!(
            r"
            {offer}
            c>s STOR a
            data 0 joined
            s>c 150 go
            data 0 client-done
            s> {done}
            -> check 0 1
            data 0 alive 1
            -> client {done}
            -> release 0
            "
        ));
    }
}

#[test]
fn a_liveness_check_from_before_the_end_of_an_upload_confirms_nothing() {
    check(&transfer(
        "STOR a",
        r"
        s> 226 early
        -> check 0 1
        data 0 client-done
        -> check 0 2
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
        -> check 0 1
        data 0 client-done
        -> check 0 2
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
            -> check 0 1
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
fn a_servers_own_failure_passes_at_once() {
    for code in ["425", "426", "451", "552", "550"] {
        check(&transfer(
            "STOR a",
            &format!(
                r"
                s>c {code} failed
                data 0 cut the SSH connection was lost
                s> 226 not asked for
                -> client 426 The transfer was not confirmed as complete
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
                -> check 0 1
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
        -> check 0 1
        data 0 alive 1
        wait 30s
        -> check 0 2
        timer 30s
        data 0 alive 2
        wait 30s
        -> check 0 3
        data 0 client-done
        -> check 0 4
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
        -> check 0 1
        timer 26s
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        "
    ));
}

#[test]
fn no_transfer_is_complete_without_a_data_connection() {
    let reason = "There is no data connection; send PASV, EPSV, PORT or EPRT before the transfer";
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
