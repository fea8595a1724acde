//! What `ABOR` does to the transfer that runs.

mod script;

use script::{PASSIVE, check, transfer};

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
        -> client 426 The transfer was aborted before it was complete\r\n226 ABOR done
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
        -> check 0 1
        c> ABOR
        -> client 426 The transfer was aborted before it was complete
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
