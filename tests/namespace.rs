//! Servers that the client reaches only through the broker, so that an address left unrewritten fails.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::client::{self, Output};
use testkit::files;
use testkit::fixture::Builder;
use testkit::netns::{HIDDEN_ADDR, Netns};
use testkit::peer::FtpFiles;
use testkit::profile::{Profile, Tunnel};
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use crate::support::clients::CURL_MODES;
use crate::support::fixture::{Channels, Real, RealServers, expect_data_channels, real, real_with};
use crate::support::{INSIDE_AND_CURL, REAL_AND_CURL, trial};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A small transfer on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A file that needs many packets.
const SIZE: usize = 3_000_000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "namespace: FTP server on the SSH server's loopback",
            INSIDE_AND_CURL,
            on_loopback,
        ),
        trial(
            "namespace: FTP server on an address only the SSH server reaches",
            INSIDE_AND_CURL,
            on_hidden,
        ),
        trial(
            "namespace: FTP server that announces another address",
            INSIDE_AND_CURL,
            announcing_in_namespace,
        ),
        trial(
            "namespace: none at all, but an announced address of another host",
            REAL_AND_CURL,
            announcing,
        ),
    ]
}

async fn on_loopback() -> anyhow::Result<()> {
    let fixture = inside(HERE)?.profile(plain_too).start().await?;
    every_mode(&fixture).await?;
    unrewritten_fails(&fixture).await
}

async fn on_hidden() -> anyhow::Result<()> {
    let inside = inside(HIDDEN_ADDR.into())?;
    let options = format!(r#"active-address="{HIDDEN_ADDR}""#);
    let fixture = inside.tunnel(options).profile(plain_too).start().await?;
    every_mode(&fixture).await?;
    unrewritten_fails(&fixture).await
}

async fn announcing_in_namespace() -> anyhow::Result<()> {
    let netns = Netns::create()?;
    let vsftpd = VsftpdOptions {
        netns: Some(netns.clone()),
        ..announcing_vsftpd()
    };
    let sshd = SshdOptions {
        bind: netns.inside_addr(),
        netns: Some(netns),
        ..SshdOptions::default()
    };
    every_mode(&real_with(sshd, vsftpd).start().await?).await
}

/// The address an FTP server shows to the world is not where the SSH server beside it should connect.
async fn announcing() -> anyhow::Result<()> {
    let fixture = real().ftp(announcing_vsftpd()).start().await?;
    every_mode(&fixture).await
}

fn announcing_vsftpd() -> VsftpdOptions {
    VsftpdOptions {
        extra_config: vec!["pasv_address=203.0.113.9".into()],
        ..VsftpdOptions::default()
    }
}

/// Both servers in a namespace: sshd where this host reaches it, vsftpd on `ftp`.
fn inside(ftp: IpAddr) -> anyhow::Result<Builder<SshdOptions, VsftpdOptions>> {
    let netns = Netns::create()?;
    let sshd = SshdOptions {
        bind: netns.inside_addr(),
        netns: Some(netns.clone()),
        ..SshdOptions::default()
    };
    let vsftpd = VsftpdOptions {
        bind: ftp,
        netns: Some(netns),
        ..VsftpdOptions::default()
    };
    Ok(real_with(sshd, vsftpd))
}

/// A second tunnel that carries the control connection alone, as `ssh -L` would.
fn plain_too(profile: Profile) -> Profile {
    let to = profile.tunnels[0].to;
    profile.tunnel(Tunnel::tcp(to))
}

/// Down, up and a listing in each mode, each with a data channel of its own and no other.
async fn every_mode(fixture: &Real) -> anyhow::Result<()> {
    let (servers, listens) = (&fixture.servers, fixture.tunnel);
    let content = files::pattern(1, SIZE);
    servers.ftp.put("file", &content)?;
    let before = Channels::of(servers);
    for (mode, options) in CURL_MODES {
        let fetched = curl(listens, "file", options).await?.success();
        let fetched = fetched.with_context(|| format!("{mode}: download"))?;
        ensure!(fetched.stdout == content, "{mode}: something else came");
        store(servers, listens, options, &content)
            .await
            .with_context(|| format!("{mode}: upload"))?;
        let listed = curl(listens, "", options).await?.success();
        let listed = listed.with_context(|| format!("{mode}: listing"))?.text();
        ensure!(listed.contains(&SIZE.to_string()), "{mode}: {listed}");
    }
    expect_data_channels(servers, before, 6, 6).await
}

async fn store(
    servers: &RealServers,
    listens: SocketAddr,
    options: &[&str],
    content: &[u8],
) -> anyhow::Result<()> {
    let local = tempfile::NamedTempFile::new()?;
    std::fs::write(local.path(), content)?;
    let path = local.path().to_string_lossy();
    let upload = [options, &["--upload-file", &path]].concat();
    curl(listens, "stored", &upload).await?.success()?;
    let stored = servers.ftp.file("stored");
    ensure!(
        stored.as_deref() == Some(content),
        "something else was stored"
    );
    servers.ftp.remove("stored");
    Ok(())
}

/// The test itself is put to the test: without rewriting nothing but the control connection works.
async fn unrewritten_fails(fixture: &Real) -> anyhow::Result<()> {
    let plain = fixture.broker.listener(1).await?;
    let ftp = &fixture.servers.ftp;
    let asked = || ftp.log().matches("\"PASV\"").count();
    let before = asked();
    for (mode, options) in CURL_MODES {
        // Where nobody refuses the connection, nobody answers it either.
        let options = [options, &["--connect-timeout", "2", "--max-time", "4"]].concat();
        let output = curl(plain, "file", &options).await?;
        ensure!(!output.status.success(), "{mode} works without rewriting");
    }
    ensure!(
        asked() > before,
        "PASV did not reach vsftpd:\n{}",
        ftp.log()
    );
    Ok(())
}

async fn curl(to: SocketAddr, name: &str, options: &[&str]) -> anyhow::Result<Output> {
    let url = format!("ftp://{to}/{name}");
    client::curl([options, &[url.as_str()]].concat(), LIMIT).await
}
