//! When a session counts as used: servers confirm a login in many ways, or ask for none.

use std::net::Ipv4Addr;
use std::time::Instant;

use ftp_proto::{
    DataAhead, DataOpen, ForeignPort, PasvOverIpv6, Peer, Session, SessionConfig, TlsPolicy,
};

/// Whether the session is in use after these lines, each with the one who says it.
fn in_use(lines: &[&str]) -> bool {
    let mut session = Session::new(SessionConfig {
        client: Ipv4Addr::LOCALHOST.into(),
        also_client: Vec::new(),
        behind_ssh: Peer::Server,
        tls: TlsPolicy::Refuse,
        foreign_port: ForeignPort::Refuse,
        active: true,
        two_families: false,
        pasv_over_ipv6: PasvOverIpv6::Refuse,
        data_open: DataOpen::Auto,
        data_ahead: DataAhead::Never,
    });
    let now = Instant::now();
    for line in lines {
        let (who, text) = line.split_at(2);
        let bytes = format!("{text}\r\n").into_bytes();
        match who {
            "c " => session.client_bytes(now, &bytes),
            _ => session.server_bytes(now, &bytes),
        }
    }
    session.in_use()
}

#[test]
fn whatever_the_server_answers_a_login_with_accepted_commands_count() {
    for lines in [
        &[
            "s 220 hi",
            "c USER a",
            "s 331 go on",
            "c PASS b",
            "s 230 in",
        ][..],
        &[
            "s 220 hi",
            "c USER a",
            "s 331 go on",
            "c PASS b",
            "s 220 in",
        ],
        &[
            "s 220 hi",
            "c USER a",
            "s 331 go on",
            "c PASS b",
            "s 202 superfluous",
        ],
        &["s 220 hi", "c USER a", "s 200 in"],
        &["s 230 in"],
        &["s 220 hi", "c CWD a", "s 250 there"],
        &["s 220 hi", "c EPSV", "s 229 at (|||4000|)"],
        &["s 220 hi", "c RETR a", "s 150 here it comes"],
        &["s 220 hi", "c STOR a", "s 226 thanks"],
    ] {
        assert!(in_use(lines), "{lines:?}");
    }
}

#[test]
fn who_was_not_let_in_is_not_at_work() {
    for lines in [
        &["s 220 hi"][..],
        &["s 220 hi", "c USER a", "s 331 go on"],
        &[
            "s 220 hi",
            "c USER a",
            "s 331 go on",
            "c PASS b",
            "s 530 no",
        ],
        &["s 220 hi", "c CWD a", "s 530 no"],
        &["s 220 hi", "c NOOP", "s 200 ok", "c SYST", "s 215 UNIX"],
        &["s 220 hi", "c EPSV", "s 530 no", "c RETR a", "s 530 no"],
    ] {
        assert!(!in_use(lines), "{lines:?}");
    }
}
