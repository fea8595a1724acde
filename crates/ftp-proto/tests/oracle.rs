//! The differential oracle as a property, and over the cases that are known.

#[path = "oracle/mod.rs"]
mod lenient;

use lenient::{answer, clients, command, servers};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What servers have been seen to say, or could.
const REPLIES: &[&str] = &[
    "227 Entering Passive Mode (10,0,0,1,4,5)",
    "227 Entering Passive Mode (10,0,0,1,4,5).",
    "227 =10,0,0,1,4,5",
    "227 Entering Passive Mode (10,0,0,1,4,5",
    "227 Entering Passive Mode( 10, 0, 0, 1, 143,225)",
    "227\tEntering Passive Mode (10,0,0,1,4,5)",
    "227Entering Passive Mode (10,0,0,1,4,5)",
    "2270 Entering Passive Mode (10,0,0,1,4,5)",
    "227 x-10,0,0,1,4,5",
    "227 (10,0,0,1,4,5,6)",
    "227 (266,0,0,1,4,5)",
    "227 (1216,256,2,127,127,127)",
    "227 (10,0,0,1,0,0)",
    "227 (10.0.0.1,4,5)",
    "227 9,(10,0,0,1,4,5)",
    "227-Please wait\r\n227 Entering Passive Mode (10,0,0,1,4,5)",
    "227-(10,0,0,1,4,5)\r\n227 (10,0,0,2,4,5)",
    "227-wait\r\n Entering Passive Mode (10,0,0,1,4,5)\r\n227 ok",
    "227-10,0,0,\r\n 1,4,5\r\n227 (10,0,0,1,4,5)",
    "227-10,0,0,1,4,\r\n227 (10,0,0,1,4,5)",
    "227-x 9,\r\n\x0b10,0,0,1,4,5\r\n227 end",
    "200-note\r\n227 Entering Passive Mode (10,0,0,1,4,5)\r\n200 ok",
    "200-note\r\n227 Entering Passive Mode (10,0,0,1,4,5)",
    "450 227 Entering Passive Mode (10,0,0,1,4,5): No such file",
    "227 Logout.",
    "227 Entering Passive Mode (",
    "228 Entering Long Passive Mode (4,4,10,0,0,1,2,4,5)",
    "229 Entering Passive Mode (|||50000|)",
    "229 Entering Extended Passive Mode (||50000|)",
    "229 Entering Extended Passive Mode (|||50006|).",
    "229 Entering Extended Passive Mode (||| 50006 |)",
    "229 Entering Extended Passive Mode (|||6446|",
    "229 Entering Extended Passive Mode (|||6446)",
    "229 Entering Extended Passive Mode (|||6446!",
    "229 (|||0|)",
    "229 (|||65536|)",
    "229 (|||123456|)",
    "229 (|||1000000|)",
    "229 (|||+6446|)",
    "229 (|||6_446|)",
    "229 (|||\u{ff16}\u{ff14}|)",
    "229 (|1|10.0.0.1|6446|)",
    "229 (!!!6446!)",
    "229-(|\r\n229-||6446|)\r\n229 ok",
    "229 |||6446| (10,0,0,1,4,5)",
    "229 (|1|1...0.1|6446|)",
];

/// What clients have been seen to say, or could.
const COMMANDS: &[&[u8]] = &[
    b"PORT 127,0,0,1,31,144",
    b"PORT 127,0,0,1,31,144,",
    b"PORT 127,0,0,1,31,144 x",
    b"PORT 127, 0, 0, 1, 31, 144",
    b"PORT 127,0,0,1,31,144\0",
    b"PORT 127,0,0,1,\xff\xf131,144",
    b"PORT 383,0,0,1,31,144",
    b"PORT 127,0,0,1,31,400",
    b"PORT 10,0,1,2,256,22",
    b"PORT 127,0,0,1,-1,144",
    b"PORT ,0,0,1,31,144",
    b"PORT x,0,0,1,31,144",
    b"PORT127,0,0,1,31,144",
    b"PORTX 127,0,0,1,31,144",
    b"PO\0RT 127,0,0,1,31,144,5",
    b"\xff\xf4\xff\xf2PORT 127,0,0,1,31,144,5",
    b"\xff\xfaPORT 127,0,0,1,31,144\xff\xf0NOOP",
    b"NOOP\rPORT 127,0,0,1,31,144",
    b"EPRT |1|127.0.0.1|8080|x",
    b"EPRT |1|127.0.0.1|8080",
    b"EPRT |1|10.0.0.1|65558|",
    b"EPRT | 1|127.0.0.1| 8080|",
    b"EPRT |2|::1|8080|",
    b"EPRT !1!10.0.0.1!8080!",
    b"LPRT 4,4,127,0,0,1,2,31,144,",
    b"POR\xff\xfb\nT 127,0,0,1,31,144",
    b"E\xff\nPRT |1|127.0.0.1|8080|",
];

#[test]
fn no_reader_is_led_elsewhere_by_a_known_reply() {
    for reply in REPLIES {
        for asked in [
            "PASV\r\n",
            "EPSV\r\n",
            "P@SW\r\n",
            "NOOP\r\n",
            "STOR a\r\n",
            "",
        ] {
            for end in ["\r\n", "\n", ""] {
                let reply = format!("{reply}{end}");
                answer(asked.as_bytes(), reply.as_bytes(), &[usize::MAX]);
                answer(asked.as_bytes(), reply.as_bytes(), &[1]);
            }
        }
    }
}

#[test]
fn no_server_is_led_elsewhere_by_a_known_command() {
    for line in COMMANDS {
        for end in [&b"\r\n"[..], b"\n", b"\r\r\n", b""] {
            command(&[line, end].concat(), &[usize::MAX]);
            command(&[line, end].concat(), &[1]);
        }
    }
}

/// The models must be able to find something, or they prove nothing.
#[test]
fn the_models_find_what_the_programs_find() {
    let readers = |found: Vec<lenient::Found>| -> Vec<&str> {
        found.iter().map(|found| found.reader).collect()
    };
    let v4 = "227 (10,0,0,1,4,5)\r\n";
    let found = readers(clients::find(v4.as_bytes()));
    for reader in [
        "curl 227",
        "tnftp 227",
        "ftplib 227",
        "sscanf",
        "without blanks",
    ] {
        assert!(found.contains(&reader), "{reader}");
    }
    let found = readers(clients::find(b"229 (|||6446|)\r\n"));
    for reader in [
        "curl 229",
        "third delimiter",
        "three delimiters",
        "ftplib 229",
    ] {
        assert!(found.contains(&reader), "{reader}");
    }
    let found = readers(servers::find(
        b"PORT 127,0,0,1,31,144,\r\nEPRT |1|127.0.0.1|80|\r\n",
    ));
    for reader in [
        "vsftpd PORT",
        "vsftpd EPRT",
        "sscanf PORT",
        "four letters PORT",
        "EPRT",
    ] {
        assert!(found.contains(&reader), "{reader}");
    }
    assert!(readers(clients::find(b"228 (4,4,10,0,0,1,2,4,5)\r\n")).contains(&"inetutils 228"));
    assert!(readers(servers::find(b"LPRT 4,4,127,0,0,1,2,4,5\n")).contains(&"LPRT"));
}

/// Pieces of which replies and commands are made.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let number = select(vec![
        "0",
        "1",
        "4",
        "10",
        "22",
        "127",
        "255",
        "256",
        "383",
        "6446",
        "65536",
        "00010",
        "4294967306",
    ]);
    let mark = select(vec![
        ",", ",", ",", ", ", " ,", ".", "|", "|", "||", "|||", "!", "(", "(|||", "|)", ")", " ",
        "\t", "\x0b", "\r", "\0", "-", "+", "=", ";", "x", "\u{ff16}",
    ]);
    let line = select(vec![
        "\r\n227 ", "\r\n227-", "\r\n229 ", "\r\n ", "\r\n", "\n", "\r\n200 ", "\r\n228 ",
    ]);
    let list = select(vec![
        "10,0,0,1,4,5",
        "10, 0,0,1,4,5",
        "127,0,0,1,31,144",
        "(|||6446|)",
        "|1|127.0.0.1|8080|",
        "4,4,10,0,0,1,2,4,5",
    ]);
    prop_oneof![
        4 => number.prop_map(|text| text.as_bytes().to_vec()),
        6 => mark.prop_map(|text| text.as_bytes().to_vec()),
        1 => line.prop_map(|text| text.as_bytes().to_vec()),
        2 => list.prop_map(|text| text.as_bytes().to_vec()),
        1 => select(vec![b"\xff\xf1".to_vec(), b"\xff\xfa".to_vec(), b"\xff\xf0".to_vec(), b"\xff\xfbP".to_vec()]),
    ]
}

fn reply() -> impl Strategy<Value = Vec<u8>> {
    let code = select(vec![
        "227 ",
        "227-",
        "227",
        "227\t",
        "229 ",
        "229-",
        "228 ",
        "2270 ",
        " 227 ",
        "200-x\r\n227 ",
        "\x00227 ",
    ]);
    (code, vec(piece(), 0..24), any::<bool>()).prop_map(|(code, pieces, ended)| {
        let end: &[u8] = if ended { b"\r\n" } else { b"" };
        [code.as_bytes(), &pieces.concat(), end].concat()
    })
}

fn port() -> impl Strategy<Value = Vec<u8>> {
    let verb = select(vec![
        "PORT ",
        "PORT",
        "port\t",
        "PO\0RT ",
        "EPRT ",
        "LPRT ",
        "PORTX ",
        "P@RT ",
        " PORT ",
        "NOOP\rPORT ",
        "NOOP ",
    ]);
    let before = select(vec![
        &b""[..],
        b"\xff\xf4\xff\xf2",
        b"\xff\xfa",
        b"\xff\xfbP",
        b"\0",
        b"\r",
    ]);
    (before, verb, vec(piece(), 0..24), any::<bool>()).prop_map(|(before, verb, pieces, ended)| {
        let end: &[u8] = if ended { b"\r\n" } else { b"" };
        [before, verb.as_bytes(), &pieces.concat(), end].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_reader_is_led_elsewhere_by_any_reply(
        asked in select(vec!["PASV\r\n", "EPSV\r\n", "P@SW\r\n", "NOOP\r\n", "RETR a\r\n", "PASV\r\nEPSV\r\n", ""]),
        replies in vec(reply(), 1..4),
        chunks in vec(1usize..40, 1..6),
    ) {
        answer(asked.as_bytes(), &replies.concat(), &chunks);
    }

    #[test]
    fn no_server_is_led_elsewhere_by_any_command(
        commands in vec(port(), 1..4),
        chunks in vec(1usize..40, 1..6),
    ) {
        command(&commands.concat(), &chunks);
    }
}
