//! The launched sshd against the `ssh` program.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::netns;
use crate::openssh_client::{Forwarding, forward, free_port};
use crate::programs::SSH;
use crate::scripted::{Conversation, ScriptedListener};

const LIMIT: Duration = Duration::from_secs(20);

fn installed() -> bool {
    SSHD.find().is_ok() && SSH.find().is_ok()
}

async fn forwarding(sshd: &Sshd, forwards: &[&str]) -> Forwarding {
    let key = sshd.host_key_openssh().unwrap();
    forward(
        sshd.addr(),
        &key,
        sshd.user(),
        &sshd.identity_file(),
        forwards,
    )
    .await
}

async fn carries_bytes(options: SshdOptions) {
    let sshd = Sshd::start(options).await.unwrap();
    let target = ScriptedListener::bind().await.unwrap();
    let port = free_port();
    let forward = format!("127.0.0.1:{port}:{}", target.addr());
    let _ssh = forwarding(&sshd, &["-L", &forward]).await;

    let forwarded = Conversation::connect((Ipv4Addr::LOCALHOST, port).into()).await;
    forwarded.unwrap().send("x").await.unwrap();
    let mut server = target.accept().await.unwrap();
    assert_eq!(server.bytes(1).await.unwrap(), b"x");
    assert_eq!(sshd.session_pids().len(), 1);
}

#[tokio::test]
async fn it_forwards_as_the_present_user() {
    if installed() {
        carries_bytes(SshdOptions::default()).await;
    }
}

#[tokio::test]
async fn it_forwards_on_ipv6() {
    if installed() {
        let bind = Ipv6Addr::LOCALHOST.into();
        carries_bytes(SshdOptions {
            bind,
            ..SshdOptions::default()
        })
        .await;
    }
}

#[tokio::test]
async fn it_forwards_as_an_ordinary_user() {
    if installed() && Account::current().unwrap().is_root() {
        carries_bytes(SshdOptions {
            account: Some(Account::named("nobody").unwrap()),
            ..SshdOptions::default()
        })
        .await;
    }
}

#[tokio::test]
async fn in_a_namespace_it_reaches_what_this_host_cannot() {
    if !installed() || netns::available().is_err() {
        return;
    }
    let netns = Netns::create().unwrap();
    let target = netns.enter(|| TcpListener::bind((netns::HIDDEN_ADDR, 0)));
    let target = target.unwrap().unwrap();
    let sshd = Sshd::start(SshdOptions {
        bind: netns.inside_addr(),
        netns: Some(netns),
        ..SshdOptions::default()
    })
    .await
    .unwrap();
    let port = free_port();
    let forward = format!("127.0.0.1:{port}:{}", target.local_addr().unwrap());
    let _ssh = forwarding(&sshd, &["-L", &forward]).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"x").unwrap();
    let (mut server, _) = target.accept().unwrap();
    server.read_exact(&mut [0]).unwrap();
}

#[tokio::test]
async fn a_killed_session_ends_its_client_and_nothing_else() {
    if !installed() {
        return;
    }
    let sshd = Sshd::start(SshdOptions::default()).await.unwrap();
    let mut ssh = forwarding(&sshd, &[]).await;
    let sessions = sshd.session_pids();
    assert_eq!(sessions.len(), 1);
    assert!(!sshd.kill_session(std::process::id()));
    assert!(sshd.kill_session(sessions[0]));
    let status = ssh.process.wait(LIMIT).await.unwrap();
    assert!(!status.success());
    let _again = forwarding(&sshd, &[]).await;
}

#[tokio::test]
async fn dropping_it_ends_its_sessions() {
    if !installed() {
        return;
    }
    let sshd = Sshd::start(SshdOptions::default()).await.unwrap();
    let mut ssh = forwarding(&sshd, &[]).await;
    drop(sshd);
    ssh.process.wait(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_bad_line_is_shown() {
    if !installed() {
        return;
    }
    let started = Sshd::start(SshdOptions {
        extra_config: vec!["NoSuchOption yes".to_owned()],
        ..SshdOptions::default()
    });
    let error = started.await.err().unwrap().to_string();
    assert!(error.contains("NoSuchOption"), "{error}");
}
