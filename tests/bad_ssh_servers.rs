//! What answers in the place of an SSH server without being one, and servers that share no language with us.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::peer::SshPeer;
use testkit::scripted::ScriptedListener;
use testkit::sshd::{Sshd, SshdOptions};
use tokio::net::TcpListener;

use crate::support::bad_tunnel::BadTunnel;
use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::{Need, trial};

const SSHD: &[Need] = &[Need::Program("sshd")];

/// As long as sshd can send at once.
const LONG_BANNER: usize = 200 << 10;

/// Sent by servers that are none: more than any buffer for a first line holds.
const MEGABYTE: usize = 1 << 20;

/// What the daemon may have used at most after all of it, in KiB.
const MAX_MEMORY: u64 = 128 * 1024;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "bad SSH servers: a name that nobody knows",
            &[],
            unknown_name,
        ),
        trial(
            "bad SSH servers: an address of a family that is not allowed",
            &[],
            wrong_family,
        ),
        trial(
            "bad SSH servers: a login banner of 200 KiB",
            SSHD,
            login_banner,
        ),
        trial("bad SSH servers: a banner of 1 MiB", &[], || {
            impostor(banner, "no valid SSH version")
        }),
        trial(
            "bad SSH servers: a thousand lines before the banner",
            &[],
            || impostor(many_lines, "no valid SSH version"),
        ),
        trial("bad SSH servers: garbage after the banner", &[], || {
            impostor(garbage, "other than an SSH packet")
        }),
        trial("bad SSH servers: ten seconds of garbage", &[], slow_garbage),
        trial(
            "bad SSH servers: no cipher in common",
            SSHD,
            no_common_cipher,
        ),
    ]
}

async fn unknown_name() -> anyhow::Result<()> {
    let bad = BadTunnel::start(|mut profile| {
        profile.host = "no-such-host.invalid".into();
        profile
    })
    .await?;
    bad.tells(&[
        "no address for SSH server no-such-host.invalid",
        "check the name",
    ])
    .await
}

async fn wrong_family() -> anyhow::Result<()> {
    let family = r#"<address-family type="inet6"/>"#;
    let bad = BadTunnel::start(|profile| profile.with(family)).await?;
    bad.tells(&["no address for SSH server 127.0.0.1", "no IPv6 address"])
        .await
}

/// What sshd shows before the login may be long, and may be meant for the terminal.
async fn login_banner() -> anyhow::Result<()> {
    const CLEAR: &str = "\x1b[2J";
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("banner");
    fs::write(&file, CLEAR.repeat(LONG_BANNER / CLEAR.len()))?;
    let sshd = SshdOptions {
        extra_config: vec![format!("Banner {}", file.display())],
        ..SshdOptions::default()
    };
    let fixture = embedded().ssh(sshd).start().await?;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    fixture.broker.wait_log("[2J\\u{1b}[2J", SOON).await?;
    let log = fixture.broker.log();
    ensure!(!log.contains(CLEAR), "the log clears the screen");
    ensure!(log.len() < LONG_BANNER, "the whole banner is in the log");
    Ok(())
}

fn banner() -> Vec<u8> {
    [b"SSH-2.0-".to_vec(), vec![b'x'; MEGABYTE]].concat()
}

fn many_lines() -> Vec<u8> {
    b"Welcome, stranger\r\n".repeat(1000)
}

fn garbage() -> Vec<u8> {
    [b"SSH-2.0-garbage\r\n".to_vec(), vec![0xa5; MEGABYTE]].concat()
}

/// A server that says one thing to everybody: its client tells why at once, and keeps little of it.
async fn impostor(says: fn() -> Vec<u8>, expected: &'static str) -> anyhow::Result<()> {
    let listener = ScriptedListener::bind().await?;
    let bad = BadTunnel::start(|profile| profile.at(listener.addr())).await?;
    let says = says();
    let serves = async {
        loop {
            let mut client = listener.accept().await?;
            // It may have heard enough before it has heard all.
            let _ = client.send(&says).await;
            let _ = client.end().await;
        }
    };
    let address = listener.addr().to_string();
    let parts = ["SSH handshake with", address.as_str(), expected];
    tokio::select! {
        told = bad.tells(&parts) => told?,
        served = serves => return served,
    }
    let used = peak_memory(bad.broker.process().pid())?;
    ensure!(used < MAX_MEMORY, "the daemon took {used} KiB");
    Ok(())
}

async fn slow_garbage() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let limit = r#"<tcp-connect-timeout time="2"/>"#;
    let bad = BadTunnel::start(|profile| profile.at(server).with(limit)).await?;
    let address = server.to_string();
    let parts = [
        "SSH handshake with",
        &address,
        "sent no valid SSH version",
        "it sent: ",
    ];
    tokio::select! {
        told = bad.tells(&parts) => told,
        served = drips(&listener) => served,
    }
}

/// A byte now and then to whoever came last, for ten seconds each time.
async fn drips(listener: &TcpListener) -> anyhow::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        for _ in 0..100 {
            client.writable().await?;
            if client.try_write(b"\xa5").is_err() {
                break;
            }
            // tidy: sleeps because a slow server is played
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The most memory a process has had, in KiB.
fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.split_whitespace().next());
    Ok(size.context("no VmHWM")?.parse()?)
}

async fn no_common_cipher() -> anyhow::Result<()> {
    let sshd = Sshd::start(SshdOptions {
        extra_config: vec!["Ciphers aes128-ctr".into()],
        ..SshdOptions::default()
    })
    .await?;
    let only = r#"<ciphers><cipher name="aes256-gcm@openssh.com"/></ciphers>"#;
    let servers = embedded().servers().await?;
    let profile = sshd.profile()?.with(only).tunnel(servers.tunnel());
    let bad = BadTunnel::with(servers, vec![profile]).await?;
    bad.tells(&[
        "no common cipher",
        &sshd.addr().to_string(),
        "it offers aes128-ctr",
        "the profile allows aes256-gcm@openssh.com",
    ])
    .await
}
