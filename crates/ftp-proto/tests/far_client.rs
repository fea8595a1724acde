//! The client is behind SSH: what it was sent counts once it is confirmed, and what it sent counts with its end.

mod script;

use script::{ACTIVE, PASSIVE, check};

fn check_remote(script: &str) {
    for offer in [PASSIVE, ACTIVE] {
        check(&format!("config far=client\n{offer}\n{script}"));
    }
}

#[test]
fn a_download_is_complete_once_the_client_has_closed() {
    check_remote(
        r"
        c>s RETR a
        data 0 joined
        s>c 150 go
        s> 226 done
        data 0 server-done
        -> check 0 1
        timer none
        data 0 client-done
        data 0 complete
        -> client 226 done
        ",
    );
}

#[test]
fn a_download_that_is_cut_behind_its_end_is_a_failure() {
    check_remote(
        r"
        c>s RETR a
        data 0 joined
        s>c 150 go
        data 0 server-done
        s> 226 done
        -> check 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    );
}

#[test]
fn a_client_that_reads_the_reply_before_it_closes_is_not_kept_waiting() {
    check_remote(
        r"
        c>s RETR a
        data 0 joined
        s>c 150 go
        data 0 server-done
        s> 226 done
        -> check 0 1
        data 0 alive 1
        -> client 226 done
        ",
    );
}

#[test]
fn an_upload_is_complete_with_the_clients_end() {
    check_remote(
        r"
        c>s STOR a
        data 0 joined
        s>c 150 go
        data 0 client-done
        s> 226 done
        -> client 226 done
        -> release 0
        ",
    );
}

#[test]
fn an_upload_that_is_cut_before_the_clients_end_is_a_failure_whatever_the_server_says() {
    check_remote(
        r"
        c>s STOR a
        data 0 joined
        s>c 150 go
        data 0 cut the SSH connection was lost
        s> 226 done
        -> client 426 the SSH connection was lost
        ",
    );
}

#[test]
fn a_doubtful_success_behind_the_end_of_a_download_waits_for_the_client() {
    check_remote(
        r"
        c>s RETR a
        data 0 joined
        s>c 150 go
        c>s CWD x
        data 0 server-done
        s> 250 done
        -> check 0 1
        data 0 cut the SSH connection was lost
        -> client 426 the SSH connection was lost
        ",
    );
}
