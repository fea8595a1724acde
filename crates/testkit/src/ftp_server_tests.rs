//! The FTP server against suppaftp.

use std::io::Cursor;
use std::net::SocketAddr;

use suppaftp::{FtpStream, Mode};

use super::*;

fn login(addr: SocketAddr, mode: Mode) -> FtpStream {
    let mut ftp = FtpStream::connect(addr).unwrap();
    ftp.login("somebody", "some password").unwrap();
    ftp.transfer_type(suppaftp::types::FileType::Binary)
        .unwrap();
    ftp.set_mode(mode);
    ftp
}

async fn round_trip(mode: Mode) {
    let server = FtpServer::start(FtpServerOptions::default()).await.unwrap();
    let mut ftp = login(server.addr(), mode);
    let sent = vec![7_u8; 300_000];
    ftp.put_file("a file", &mut Cursor::new(&sent)).unwrap();
    assert_eq!(std::fs::read(server.root().join("a file")).unwrap(), sent);

    let got = ftp.retr_as_buffer("a file").unwrap().into_inner();
    assert_eq!(got, sent);

    ftp.resume_transfer(299_990).unwrap();
    let rest = ftp.retr_as_buffer("a file").unwrap().into_inner();
    assert_eq!(rest.len(), 10);

    ftp.rename("a file", "b").unwrap();
    assert_eq!(ftp.nlst(None).unwrap(), ["b"]);
    ftp.rm("b").unwrap();
    ftp.quit().unwrap();
    assert_eq!(server.sessions(), 1);
}

#[tokio::test]
async fn files_make_the_round_trip_in_passive_mode() {
    round_trip(Mode::Passive).await;
}

#[tokio::test]
async fn files_make_the_round_trip_in_extended_passive_mode() {
    round_trip(Mode::ExtendedPassive).await;
}

#[tokio::test]
async fn files_make_the_round_trip_in_active_mode() {
    round_trip(Mode::Active).await;
}

#[tokio::test]
async fn dropping_the_server_closes_its_sessions() {
    let server = FtpServer::start(FtpServerOptions::default()).await.unwrap();
    let mut ftp = login(server.addr(), Mode::Passive);
    drop(server);
    assert!(ftp.noop().is_err());
}
