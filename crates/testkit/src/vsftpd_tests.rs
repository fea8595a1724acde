//! The launched vsftpd against curl.

use std::net::{Ipv6Addr, TcpStream};
use std::time::Duration;

use super::*;
use crate::client::curl;
use crate::netns;
use crate::programs::CURL;

const LIMIT: Duration = Duration::from_secs(20);

fn installed() -> bool {
    VSFTPD.find().is_ok() && CURL.find().is_ok()
}

async fn serves_and_stores(options: VsftpdOptions, curl_options: &[&str]) {
    let server = Vsftpd::start(options).await.unwrap();
    fs::write(server.root().join("down"), "from the server").unwrap();
    let local = tempfile::tempdir().unwrap();
    let up = local.path().join("up");
    fs::write(&up, "0123456789").unwrap();
    let url = |name: &str| format!("ftp://{}/{name}", server.addr());
    let run = async |arguments: &[&str]| {
        let arguments = [curl_options, arguments].concat();
        curl(arguments, LIMIT).await.unwrap().success().unwrap()
    };

    assert_eq!(run(&[&url("down")]).await.text(), "from the server");
    let up = up.to_str().unwrap();
    run(&["-T", up, &url("up")]).await;
    let part = local.path().join("part");
    fs::write(&part, "0123").unwrap();
    run(&["-T", part.to_str().unwrap(), &url("part")]).await;
    run(&["-C", "4", "-T", up, &url("part")]).await;
    for name in ["up", "part"] {
        assert_eq!(fs::read(server.root().join(name)).unwrap(), b"0123456789");
    }
    let commands = [
        "-Q",
        "RNFR part",
        "-Q",
        "RNTO a b",
        "-Q",
        "DELE up",
        "-Q",
        "MKD c",
    ];
    let listed = run(&[&commands[..], &["-l", &url("")]].concat()).await;
    let mut names: Vec<_> = listed.text().lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["a b", "c", "down"]);
    assert!(server.log().contains("RNTO"), "{}", server.log());
}

#[tokio::test]
async fn it_serves_as_the_present_user_in_passive_and_active_mode() {
    if installed() {
        serves_and_stores(VsftpdOptions::default(), &[]).await;
        serves_and_stores(VsftpdOptions::default(), &["-P", "-"]).await;
    }
}

#[tokio::test]
async fn it_serves_on_ipv6() {
    if installed() {
        let options = VsftpdOptions {
            bind: Ipv6Addr::LOCALHOST.into(),
            ..VsftpdOptions::default()
        };
        serves_and_stores(options, &[]).await;
    }
}

#[tokio::test]
async fn it_serves_as_an_ordinary_user() {
    if installed() && Account::current().unwrap().is_root() {
        let options = VsftpdOptions {
            account: Some(Account::named("nobody").unwrap()),
            ..VsftpdOptions::default()
        };
        serves_and_stores(options, &[]).await;
    }
}

#[tokio::test]
async fn with_tls_it_serves_both_ways() {
    if installed() && OPENSSL.find().is_ok() {
        let options = VsftpdOptions {
            tls: true,
            ..VsftpdOptions::default()
        };
        serves_and_stores(options.clone(), &["--ssl-reqd", "--insecure"]).await;
        serves_and_stores(options, &[]).await;
    }
}

#[tokio::test]
async fn in_a_namespace_this_host_does_not_reach_it() {
    if !installed() || netns::available().is_err() {
        return;
    }
    let server = Vsftpd::start(VsftpdOptions {
        netns: Some(Netns::create().unwrap()),
        ..VsftpdOptions::default()
    });
    let server = server.await.unwrap();
    assert!(TcpStream::connect(server.addr()).is_err());
}

#[tokio::test]
async fn a_bad_line_does_not_start() {
    if installed() {
        let options = VsftpdOptions {
            extra_config: vec!["no_such_option=YES".to_owned()],
            ..VsftpdOptions::default()
        };
        assert!(Vsftpd::start(options).await.is_err());
    }
}
