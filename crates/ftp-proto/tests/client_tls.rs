//! FTP over TLS between the client and the caller (`tls="terminate"`).

mod script;

use std::time::Instant;

use ftp_proto::{Session, SessionConfig, Terminate, TlsPolicy};
use proptest::prelude::*;
use script::{check, default_config};

/// The reply to a command that must wait for TLS.
const REQUIRED: &str = "530 This server requires TLS: send AUTH TLS first. In most clients the setting is called: require explicit FTP over TLS";

/// The reply to a client that did not wait for the reply to `AUTH`.
const SENT_AHEAD: &str = "421 The client sent more bytes after AUTH without waiting for its reply. They were not encrypted, so the session ends; connect again";

/// A session inside TLS whose data connections are not protected yet.
const ENCRYPTED: &str = r"
    config tls=required
    s>c 220 ready
    c> AUTH TLS
    -> client 234 Begin TLS now
    -> start TLS
";

#[test]
fn tls_begins_after_the_answer_to_auth() {
    check(&format!(
        r"
        {ENCRYPTED}
        c> PBSZ 0
        -> client 200 PBSZ=0
        c> PROT P
        -> client 200 Data connections use TLS
        c>s USER joe
        s>c 331 password
        c>s PASS secret
        s>c 230 in
        c>s EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first protected
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> PORT 127,0,0,1,4,5
        -> offer 1 active 127.0.0.1 1029 protected
        "
    ));
}

#[test]
fn the_answer_to_auth_waits_for_the_greeting_and_no_byte_is_read_meanwhile() {
    check(
        r"
        config tls=offered
        reads c=yes s=yes
        c> AUTH TLS
        reads c=no s=yes
        s> 220 ready
        -> client 220 ready\r\n234 Begin TLS now
        -> start TLS
        reads c=yes s=yes
        ",
    );
}

/// CVE-2011-0411: whoever can insert bytes before the handshake must not have them carried out.
#[test]
fn bytes_behind_auth_end_the_session() {
    check(&format!(
        r"
        config tls=offered
        s>c 220 ready
        c> AUTH TLS\r\nUSER evil
        -> client {SENT_AHEAD}
        -> end client
        c> USER joe
        "
    ));
    check(&format!(
        r"
        config tls=offered
        c> AUTH TLS
        c> U\c
        -> client {SENT_AHEAD}
        -> end client
        s> 220 ready
        "
    ));
}

#[test]
fn a_password_never_reaches_the_server_in_the_clear_if_tls_is_required() {
    for command in [
        "USER joe",
        "PASS secret",
        "PASV",
        "PORT 127,0,0,1,4,5",
        "RETR a",
        "SITE x",
        "XYZ",
        "OPTS UTF8 ON",
        "ABOR",
        "USE\\0R joe",
        "HOST a",
        "REIN",
    ] {
        check(&format!(
            r"
            config tls=required
            s>c 220 ready
            c> {command}
            -> client {REQUIRED}
            "
        ));
    }
    for command in ["FEAT", "feat", "SYST", "NOOP", "HELP", "CLNT x", "QUIT"] {
        check(&format!(
            r"
            config tls=required
            s>c 220 ready
            c>s {command}
            "
        ));
    }
}

#[test]
fn lines_without_a_known_command_do_not_pass_before_tls_either() {
    let long = "PASS ".to_owned() + &"x".repeat(70_000);
    check(&format!(
        r"
        config tls=required
        s>c 220 ready
        c> \r\n
        c> {long}
        -> client 500 The line is too long; send AUTH TLS first
        c> USER joe\c
        c end
        -> end server
        "
    ));
}

#[test]
fn tls_that_is_only_offered_leaves_the_rest_alone() {
    check(
        r"
        config tls=offered
        s>c 220 ready
        c>s USER joe
        s>c 331 password
        c>s PASS secret
        s>c 230 in
        c> PBSZ 0
        -> client 503 Send AUTH TLS first
        c> PROT P
        -> client 503 Send AUTH TLS and PBSZ 0 first
        c> AUTH TLS
        -> client 503 AUTH must come before the login; connect again and send AUTH TLS first
        c>s EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first
        ",
    );
}

#[test]
fn each_mechanism_implies_a_protection_of_data() {
    for (mechanism, protected) in [
        ("TLS", ""),
        ("tls-c", ""),
        ("SSL", " protected"),
        ("TLS-P", " protected"),
    ] {
        check(&format!(
            r"
            config tls=offered
            s>c 220 ready
            c> AUTH {mechanism}
            -> client 234 Begin TLS now
            -> start TLS
            c>s EPSV
            s> 229 (|||1029|)
            -> offer 0 passive * 1029 open-first{protected}
            "
        ));
    }
    for mechanism in ["", "GSSAPI", "TLSX"] {
        check(&format!(
            r"
            config tls=offered
            s>c 220 ready
            c> AUTH {mechanism}
            -> client 504 Unknown mechanism; send AUTH TLS
            "
        ));
    }
}

#[test]
fn data_must_be_protected_if_tls_is_required() {
    let refusal = "522 Data connections must be encrypted: send PBSZ 0 and PROT P first";
    check(&format!(
        r"
        {ENCRYPTED}
        c> EPSV
        -> client {refusal}
        c> PORT 127,0,0,1,4,5
        -> client {refusal}
        c> PROT P
        -> client 503 Send AUTH TLS and PBSZ 0 first
        c> PBSZ x
        -> client 501 PBSZ needs a number; send PBSZ 0
        c> PBSZ 16384
        -> client 200 PBSZ=0
        c> PROT C
        -> client 534 Data connections must be encrypted; send PROT P
        c> PROT S
        -> client 536 Send PROT P or PROT C
        c> PROT X
        -> client 504 Unknown protection level; send PROT P
        c> PROT P
        -> client 200 Data connections use TLS
        c>s EPSV
        "
    ));
}

#[test]
fn a_client_that_continues_without_protection_learns_it_before_it_waits_for_data() {
    check(
        r"
        config tls=required
        s>c 220 ready
        c> AUTH SSL
        -> client 234 Begin TLS now
        -> start TLS
        c> PBSZ 0
        -> client 200 PBSZ=0
        c> PROT C
        -> client 534 Data connections must be encrypted; send PROT P
        c> EPSV
        -> client 522 Data connections must be encrypted: send PBSZ 0 and PROT P first
        ",
    );
}

#[test]
fn a_data_connection_with_the_other_protection_is_withdrawn() {
    check(
        r"
        config tls=offered
        s>c 220 ready
        c> AUTH TLS
        -> client 234 Begin TLS now
        -> start TLS
        c>s EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first
        offered 0 127.0.0.1:20000
        -> client 229 (|||20000|)
        c> PBSZ 0
        -> client 200 PBSZ=0
        c> PROT P
        -> client 200 Data connections use TLS
        -> withdraw 0
        ",
    );
}

#[test]
fn tls_stays_to_the_end_of_the_session() {
    check(&format!(
        r"
        {ENCRYPTED}
        c> AUTH TLS
        -> client 503 This connection already uses TLS
        c> CCC
        -> client 533 The control connection stays encrypted
        c> REIN
        -> client 502 Connect again for another login
        "
    ));
}

#[test]
fn implicit_tls_needs_no_auth_and_protects_data() {
    check(
        r"
        config tls=implicit
        s>c 220 ready
        c> AUTH TLS
        -> client 503 This connection already uses TLS
        c>s USER joe
        s>c 230 in
        c>s EPSV
        s> 229 (|||1029|)
        -> offer 0 passive * 1029 open-first protected
        ",
    );
}

#[test]
fn the_broker_lists_its_own_features_about_tls() {
    let ours = r" AUTH TLS\r\n PBSZ\r\n PROT";
    for (server, client) in [
        (
            r"211-Features:\r\n AUTH SSL\r\n AUTH TLS;TLS-C\r\n CCC\r\n MDTM\r\n PBSZ\r\n PROT C;P\r\n PROTX\r\n UTF8\r\n211 End",
            format!(r"211-Features:\r\n{ours}\r\n MDTM\r\n PROTX\r\n UTF8\r\n211 End"),
        ),
        (
            r"211-Extensions\r\n211-AUTH TLS\r\n211-SIZE\r\n211 END",
            format!(r"211-Extensions\r\n{ours}\r\n211-SIZE\r\n211 END"),
        ),
        (
            "211 no features",
            format!(r"211-Features:\r\n{ours}\r\n211 End"),
        ),
        ("502 unknown", "502 unknown".to_owned()),
    ] {
        check(&format!(
            r"
            config tls=offered
            s>c 220 ready
            c>s FEAT
            s> {server}
            -> client {client}
            c>s HELP
            s>c 214-Help\r\n AUTH\r\n214 End
            "
        ));
    }
}

#[test]
fn a_list_of_features_that_comes_in_pieces_is_changed_in_the_same_way() {
    check(
        r"
        config tls=offered
        s>c 220 ready
        c>s FEAT
        s> 211-Features:\r\n AU\c
        -> client 211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT
        s> TH TLS\r\n MD\c
        s> TM\r\n211 End
        -> client  MDTM\r\n211 End
        ",
    );
}

#[test]
fn a_client_that_begins_tls_at_once_learns_how_it_should() {
    check(
        r"
        config tls=required
        c> \x16\x03\x01\c
        -> client 421 This is an FTP server, but the client sent TLS; use explicit FTP over TLS (AUTH TLS)
        -> end client
        ",
    );
}

fn client_line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just("USER joe\r\n"),
        Just("PASS secret\r\n"),
        Just("PASV\r\n"),
        Just("PORT 127,0,0,1,4,5\r\n"),
        Just("ACCT secret\n"),
        Just("FEAT\r\n"),
        Just(" \r\n"),
        Just("PBSZ 0\r\n"),
        Just("PROT P\r\n"),
        Just("NO"),
    ];
    prop_oneof![
        known.prop_map(|line| line.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #[test]
    fn nothing_but_harmless_commands_reaches_the_server_before_tls(
        lines in proptest::collection::vec(client_line(), 0..20),
    ) {
        let terminate = Terminate { required: true, implicit: false };
        let mut session = Session::new(SessionConfig {
            tls: TlsPolicy::Terminate(terminate),
            ..default_config()
        });
        let now = Instant::now();
        session.server_bytes(now, b"220 ready\r\n");
        let mut passed = Vec::new();
        for line in lines {
            session.client_bytes(now, &line);
            passed.extend(session.take_to_server().unwrap_or_default());
        }
        session.client_end(now);
        passed.extend(session.take_to_server().unwrap_or_default());
        for line in passed.split_inclusive(|byte| *byte == b'\n') {
            let verb: String = line
                .iter()
                .filter(|byte| byte.is_ascii_graphic())
                .take(4)
                .map(|byte| char::from(byte.to_ascii_uppercase()))
                .collect();
            let harmless = ["CLNT", "CSID", "FEAT", "HELP", "NOOP", "QUIT", "SYST"];
            prop_assert!(harmless.contains(&&*verb), "{:?}", line);
        }
    }
}
