//! Each client against the in-process FTP server.

use tempfile::TempDir;

use super::*;
use crate::ftp_server::{FtpServer, FtpServerOptions};

const LIMIT: Duration = Duration::from_secs(20);

/// A server with one file, and a directory for the client.
async fn server() -> (FtpServer, TempDir) {
    let server = FtpServer::start(FtpServerOptions::default()).await.unwrap();
    std::fs::write(server.root().join("file"), "contents").unwrap();
    (server, tempfile::tempdir().unwrap())
}

fn fetched(local: &TempDir) -> String {
    std::fs::read_to_string(local.path().join("file")).unwrap()
}

#[tokio::test]
async fn curl_fetches() {
    if CURL.find().is_err() {
        return;
    }
    let (server, _local) = server().await;
    let url = format!("ftp://{}/file", server.addr());
    let output = curl([url], LIMIT).await.unwrap().success().unwrap();
    assert_eq!(output.text(), "contents");
}

#[tokio::test]
async fn curl_fails_with_a_reason() {
    if CURL.find().is_err() {
        return;
    }
    let (server, _local) = server().await;
    let url = format!("ftp://{}/no-such-file", server.addr());
    let output = curl([url], LIMIT).await.unwrap();
    let error = output.success().unwrap_err().to_string();
    assert!(error.contains("curl: ("), "{error}");
}

#[tokio::test]
async fn lftp_fetches() {
    if LFTP.find().is_err() {
        return;
    }
    let (server, local) = server().await;
    let script = format!("open -u me,secret {}; get file", server.addr());
    let output = lftp(&script, local.path(), LIMIT).await.unwrap();
    output.success().unwrap();
    assert_eq!(fetched(&local), "contents");
}

#[tokio::test]
async fn what_takes_too_long_is_killed_and_shown() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo so far; exec sleep 1000"]);
    let error = run(command, Duration::from_millis(500)).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("so far"), "{error}");
    assert!(error.contains("still runs"), "{error}");
}
