//! The server without oddities against suppaftp, and each oddity by itself.

use std::io::Cursor;

use suppaftp::{FtpStream, Mode};

use super::*;
use crate::ports::unused_port;
use crate::scripted::{Conversation, End};

async fn round_trip(mode: Mode) {
    let server = QuirkyFtp::start(Quirks::default()).await.unwrap();
    let mut ftp = FtpStream::connect(server.addr()).unwrap();
    ftp.login("somebody", "some password").unwrap();
    ftp.set_mode(mode);
    let sent = vec![7_u8; 300_000];
    ftp.put_file("a", &mut Cursor::new(&sent)).unwrap();
    assert_eq!(server.file("a").as_ref(), Some(&sent));
    ftp.append_file("a", &mut Cursor::new("end")).unwrap();
    let got = ftp.retr_as_buffer("a").unwrap().into_inner();
    assert_eq!(got, [&sent[..], b"end"].concat());
    assert_eq!(ftp.list(None).unwrap(), ["a"]);
    ftp.quit().unwrap();
}

#[tokio::test]
async fn files_make_the_round_trip_in_every_mode() {
    for mode in [Mode::Passive, Mode::ExtendedPassive, Mode::Active] {
        round_trip(mode).await;
    }
}

/// A session after its login, with a passive data connection.
async fn session(quirks: Quirks) -> (QuirkyFtp, Conversation, Conversation) {
    let server = QuirkyFtp::start(quirks).await.unwrap();
    server.put("big", &vec![7; 16 << 20]).unwrap();
    let mut control = Conversation::connect(server.addr()).await.unwrap();
    control.reply().await.unwrap();
    let reply = control.ask("EPSV", "229").await.unwrap();
    let port = reply.split('|').nth(3).unwrap().parse().unwrap();
    let data = Conversation::connect((server.addr().ip(), port).into()).await;
    (server, control, data.unwrap())
}

/// The lines that come for an upload of three bytes, with one NOOP in its middle.
async fn upload(quirks: Quirks) -> Vec<String> {
    let replies =
        quirks.start.len() + quirks.done.len() + 1 - usize::from(quirks.noop == Noop::Never);
    let (server, mut control, mut data) = session(quirks).await;
    control.send("STOR a\r\n").await.unwrap();
    data.send("one").await.unwrap();
    server.wait_for_bytes("a", 3).await.unwrap();
    control.send("NOOP\r\n").await.unwrap();
    server.wait_for_line("> NOOP").await.unwrap();
    data.finish().await.unwrap();
    let mut told = Vec::new();
    for _ in 0..replies {
        told.push(control.text().await.unwrap());
    }
    assert_eq!(
        control.command("PWD").await.unwrap(),
        r#"257 "/" is the directory"#
    );
    assert_eq!(server.file("a").unwrap(), b"one");
    told
}

const STARTS: &str = "150 Here it comes";
const DONE: &str = "226 Transfer complete";
const NOOP: &str = "200 Nothing done";

#[tokio::test]
async fn a_noop_is_answered_when_the_quirk_says() {
    let with = |noop| Quirks {
        noop,
        ..Quirks::default()
    };
    assert_eq!(upload(with(Noop::After)).await, [STARTS, DONE, NOOP]);
    assert_eq!(upload(with(Noop::Now)).await, [STARTS, NOOP, DONE]);
    assert_eq!(upload(with(Noop::Before)).await, [STARTS, NOOP, DONE]);
    assert_eq!(upload(with(Noop::Never)).await, [STARTS, DONE]);
}

#[tokio::test]
async fn success_comes_early_or_late_and_in_any_words() {
    let early = Quirks {
        success: Success::BeforeData,
        ..Quirks::default()
    };
    assert_eq!(upload(early).await, [STARTS, DONE, NOOP]);
    let odd = Quirks {
        start: &[],
        done: &["250-Stored", "250 as asked"],
        success: Success::Late(Duration::from_millis(1)),
        ..Quirks::default()
    };
    assert_eq!(upload(odd).await, ["250-Stored", "250 as asked", NOOP]);
}

#[tokio::test]
async fn a_half_closed_upload_is_taken_to_its_end() {
    let quirks = Quirks {
        half_closes: true,
        ..Quirks::default()
    };
    let (server, mut control, mut data) = session(quirks).await;
    control.ask("STOR a", "150").await.unwrap();
    assert_eq!(data.end().await.unwrap(), End::Orderly);
    data.send("late").await.unwrap();
    data.finish().await.unwrap();
    assert_eq!(control.reply().await.unwrap(), DONE);
    assert_eq!(server.file("a").unwrap(), b"late");
}

#[tokio::test]
async fn a_data_socket_is_kept_for_the_session() {
    let quirks = Quirks {
        keeps_data_socket: true,
        ..Quirks::default()
    };
    let (_server, mut control, mut data) = session(quirks).await;
    control.ask("STOR a", "150").await.unwrap();
    data.finish().await.unwrap();
    assert_eq!(control.reply().await.unwrap(), DONE);
    control.ask("NOOP", "200").await.unwrap();
    let nothing = data.stream().try_read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(control);
    assert_eq!(data.end().await.unwrap(), End::Orderly);
}

#[tokio::test]
async fn a_transfer_without_data_is_called_complete() {
    let quirks = Quirks {
        skips_data: true,
        ..Quirks::default()
    };
    let (_server, mut control, mut data) = session(quirks).await;
    assert_eq!(control.command("STOR a").await.unwrap(), STARTS);
    assert_eq!(control.reply().await.unwrap(), DONE);
    data.end().await.unwrap();
}

#[tokio::test]
async fn an_abort_is_obeyed_at_once_or_when_a_write_has_failed() {
    for aborts in [Aborts::AtOnce, Aborts::AfterTransfer] {
        let quirks = Quirks {
            aborts,
            ..Quirks::default()
        };
        let (server, mut control, mut data) = session(quirks).await;
        control.ask("RETR big", "150").await.unwrap();
        data.bytes(10).await.unwrap();
        control.send("ABOR\r\n").await.unwrap();
        server.wait_for_line("> ABOR").await.unwrap();
        if aborts == Aborts::AfterTransfer {
            assert!(!server.transcript().iter().any(|l| l.starts_with("< 426")));
            data.reset();
        }
        assert!(control.reply().await.unwrap().starts_with("426"));
        assert!(control.reply().await.unwrap().starts_with("22"));
    }
}

#[tokio::test]
async fn a_port_that_refuses_and_an_odd_host_are_told() {
    let quirks = Quirks {
        passive_host: Some(Ipv4Addr::new(192, 0, 2, 7)),
        login: "220 Hello again",
        ..Quirks::default()
    };
    let (server, mut control, data) = session(quirks).await;
    control.ask("PASS x", "220 Hello again").await.unwrap();
    control
        .ask("PASV", "227 Entering Passive Mode (192,0,2,7,")
        .await
        .unwrap();
    drop(data);
    let port = unused_port().unwrap();
    control
        .ask(&format!("EPRT |1|127.0.0.1|{port}|"), "200")
        .await
        .unwrap();
    control.ask("STOR a", "425").await.unwrap();
    assert_eq!(server.sessions(), 1);
}
