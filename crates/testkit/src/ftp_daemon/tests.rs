//! Each server starts and serves its user.

use std::net::Ipv4Addr;

use super::*;
use crate::ftp_client::FtpClient;
use crate::programs::{
    INETUTILS_FTPD, PROFTPD, PURE_FTPD, Requirement, SOCAT, VSFTPD, python_with,
};

/// The user may change what is in the directory, where the server is installed.
async fn serves(program: FtpProgram, needs: &[Requirement], root: bool) {
    let is_root = Account::current().unwrap().is_root();
    if needs.iter().any(|need| need.find().is_err()) || root && !is_root {
        return;
    }
    let server = FtpDaemon::start(program).await.unwrap();
    assert_eq!(server.addr().ip(), Ipv4Addr::LOCALHOST);
    let mut ftp = FtpClient::connect(server.addr()).await.unwrap();
    let user = format!("USER {}", server.user());
    ftp.ask(&user, "331").await.unwrap();
    let password = format!("PASS {}", server.password());
    ftp.ask(&password, "230").await.unwrap();
    ftp.ask("MKD made", "257").await.unwrap();
    assert!(server.root().join("made").is_dir());
}

#[tokio::test]
async fn vsftpd_serves() {
    serves(FtpProgram::Vsftpd, &[VSFTPD], false).await;
}

#[tokio::test]
async fn proftpd_serves() {
    serves(FtpProgram::Proftpd, &[PROFTPD], false).await;
}

#[tokio::test]
async fn pure_ftpd_serves() {
    serves(FtpProgram::PureFtpd, &[PURE_FTPD], true).await;
}

#[tokio::test]
async fn pyftpdlib_serves() {
    if python_with("pyftpdlib").is_some() {
        serves(FtpProgram::Pyftpdlib, &[], false).await;
    }
}

#[tokio::test]
async fn ftpd_of_inetutils_serves() {
    serves(FtpProgram::Inetutils, &[INETUTILS_FTPD, SOCAT], true).await;
}
