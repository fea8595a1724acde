//! Lines and replies: what passes untouched, in what pieces.

mod script;

use script::check;

#[test]
fn everything_that_needs_no_change_passes_byte_for_byte() {
    check(
        r"
        s>c 220 ready
        c>s USER joe
        s>c 331 password\r
        c>s PASS \xff\xfe secret
        s>c 230 in
        c>s CWD d\xe9j\xe0 vu\r\r
        s>c 250 ok
        c>s XYZZY\n\c
        s>c 500 what?\n\c
        c>s OPTS UTF8 ON
        s>c 200 ok
        c>s \xff\xfd\x06NOOP
        s>c \xff\xfc\x06\r\n200 ok
        c>s
        c>s \0
        ",
    );
}

#[test]
fn only_whole_lines_are_passed_on() {
    check(
        r"
        s> 220 rea\c
        s> dy\r\c
        s> \n\c
        -> client 220 ready
        c> US\c
        c> ER joe\r\nPASS x\r\nTY\c
        -> server USER joe\r\nPASS x
        c> PE I
        -> server TYPE I
        ",
    );
}

#[test]
fn lines_that_came_in_one_read_leave_in_one_write() {
    check(
        r"
        s>c 220-hello\r\n220-\r\n220 ready
        c>s USER joe\r\nPASS x\r\nFEAT
        s>c 331 go on\r\n230 in\r\n211-Features\r\n EPSV\r\n211 End
        ",
    );
}

#[test]
fn a_passive_reply_is_no_segment_start() {
    check(
        r"
        s>c 220 ready
        c>s STAT x
        s>c 213-Status of x:\r\n the file
        s> is \c
        s> 227 Entering Passive Mode (1,2,3,4,5,6)
        -> client is 227 Entering Passive Mode (1,2,3,4,5,6)
        s>c 213 End
        ",
    );
}

#[test]
fn a_passive_reply_inside_a_multi_line_reply_is_text() {
    check(
        r"
        s> 220-hello\r\n227 Entering Passive Mode (1,2,3,4,5,6)\r\n 229 x (|||5|)\r\n227 x\r\n220 ready
        -> client 220-hello\r\n 227 Entering Passive Mode (1,2,3,4,5,6)\r\n 229 x (|||5|)\r\n227 x\r\n220 ready
        c>s PASV
        s>c 450 227 Entering Passive Mode (1,2,3,4,5,6): No such file
        s>c text 227 Entering Passive Mode (1,2,3,4,5,6)
        ",
    );
}

#[test]
fn inner_lines_may_begin_with_digits() {
    check(
        r"
        s>c 220 ready
        c>s PASS x
        s>c 230-Welcome\r\n150 users are here\r\n226 of them idle\r\n230-\r\n230 in
        c>s AUTHX
        s>c 500 what?
        c> AUTH TLS
        -> client 534 AUTH is refused: SSH already encrypts this connection; continue without TLS
        ",
    );
}

#[test]
fn a_multi_line_reply_may_end_with_its_code_alone() {
    check(
        r"
        s>c 220-hello\r\n220
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        ",
    );
}

#[test]
fn a_multi_line_reply_ended_by_another_code_ends_when_the_client_goes_on() {
    check(
        r"
        s>c 220 ready
        c>s FEAT
        s>c 211-Features\r\n EPSV\r\n214 End
        c>s PASV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        ",
    );
}

#[test]
fn a_reply_line_of_17_kb_is_understood() {
    let padding = "x".repeat(17_000);
    check(&format!(
        r"
        s>c 220 ready
        c>s PASV
        s> 227 {padding} (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 227 {padding} (127,0,0,1,78,32)
        "
    ));
}

#[test]
fn a_line_too_long_passes_in_pieces_and_what_follows_is_understood() {
    let half = "x".repeat(40_000);
    check(&format!(
        r"
        s>c 220 ready
        c>s CWD {half}{half}\r\nNOOP
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        "
    ));
    check(&format!(
        r"
        s>c 220 ready
        c>s PASV
        s> 227 {half}{half} (10,0,0,1,4,5)\r\n200 ok
        -> client 425 The FTP server's 227 reply is too long; try another data mode\r\n200 ok
        c>s EPSV
        s> 227 (10,0,0,1,4,5)
        -> offer 0 passive 10.0.0.1 1029 open-first
        "
    ));
}

#[test]
fn the_ends_are_passed_on_behind_the_bytes() {
    check(
        r"
        s>c 220 ready
        c>s QUIT
        c> unfinished\c
        c end
        -> server unfinished\c
        -> end server
        s>c 221 bye
        s> rest\c
        s end
        -> client rest\c
        -> end client
        c end
        s end
        ",
    );
}

#[test]
fn after_the_servers_end_the_clients_bytes_go_nowhere() {
    check(
        r"
        s>c 421 go away
        s end
        -> end client
        c> USER joe
        c> PORT 127,0,0,1,4,5
        reads c=yes s=yes
        c end
        -> end server
        ",
    );
}

#[test]
fn a_lost_server_is_told_with_421_on_a_line_of_its_own() {
    check(
        r"
        s>c 220 ready
        c>s NOOP
        s> 200 o\c
        s lost the SSH connection broke
        -> client 421 the SSH connection broke
        -> end client
        s lost again
        s> 200 ok
        c> NOOP
        c end
        -> end server
        ",
    );
    let long = "x".repeat(65_537);
    check(&format!(
        r"
        s>c {long}\c
        s lost the SSH connection broke
        -> client \r\n421 the SSH connection broke
        -> end client
        "
    ));
}

#[test]
fn the_client_is_read_no_further_while_64_kib_wait() {
    let commands = r"NOOP\r\n".repeat(10_922);
    check(&format!(
        r"
        s>c 220 ready
        reads c=yes s=yes
        c> PORT 127,0,0,1,4,5
        -> offer 0 active 127.0.0.1 1029
        c> {commands}\c
        reads c=yes s=yes
        c> QUIT
        reads c=no s=yes
        offered 0 127.0.0.1:20000
        -> server PORT 127,0,0,1,78,32\r\n{commands}QUIT
        reads c=yes s=yes
        "
    ));
}

#[test]
fn the_server_is_read_no_further_while_64_kib_wait() {
    let replies = r"200 ok\r\n".repeat(8_192);
    let shown = replies.strip_suffix(r"\r\n").unwrap();
    check(&format!(
        r"
        s>c 220 ready
        c>s EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first
        s> {replies}\c
        reads c=yes s=no
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)\r\n{shown}
        reads c=yes s=yes
        "
    ));
}

#[test]
fn commands_are_told_without_secrets() {
    check(
        r"
        events
        s> 220 ready
        -> client 220 ready
        c> user joe
        -> server user joe
        -> command USER joe
        c> PASS secret
        -> server PASS secret
        -> command PASS ****
        s> 331 go on
        -> client 331 go on
        s> 230 in
        -> client 230 in
        -> logged in joe
        c> ACCT secret
        -> server ACCT secret
        -> command ACCT ****
        s> 230 in
        -> client 230 in
        -> logged in joe
        c> P@SS secret
        -> server P@SS secret
        -> command P@SS ****
        ",
    );
}
