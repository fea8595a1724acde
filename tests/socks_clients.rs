//! SOCKS tunnels with real clients: curl with each version of the protocol, lftp behind two wrappers, and Python.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::client::{self, Output};
use testkit::files::pattern;
use testkit::netns::{HIDDEN_ADDR, Netns};
use testkit::peer::FtpFiles;
use testkit::programs::{LFTP, PROXYCHAINS4, PYTHON, Requirement, TSOCKS};
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use crate::support::clients::{sent, transcript};
use crate::support::fixture::{Channels, Real, expect_data_channels, expect_transfers, real_with};
use crate::support::socks::through_socks;
use crate::support::{Need, python, trial, trial_within};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A small transfer on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// All of curl's runs.
const MATRIX: Duration = Duration::from_secs(300);

/// A file that needs many packets.
const SIZE: usize = 3_000_000;

/// The versions of the protocol as curl names them, and whether the SSH server looks up the names.
const VERSIONS: [(&str, bool); 4] = [
    ("--socks5-hostname", true),
    ("--socks5", false),
    ("--socks4a", true),
    ("--socks4", false),
];

/// curl's options for each mode. It believes the address in a 227 only when told to.
const PASSIVE: [&[&str]; 3] = [
    &[],
    &["--disable-epsv"],
    &["--disable-epsv", "--no-ftp-skip-pasv-ip"],
];
const ACTIVE: [&[&str]; 2] = [&["--ftp-port", "-"], &["--ftp-port", "-", "--disable-eprt"]];

pub(crate) fn trials() -> Vec<Trial> {
    let curl = trial_within(MATRIX, "SOCKS clients: curl", &needs("curl"), curl);
    let mut trials = vec![curl];
    for (wrapper, config) in [
        (PROXYCHAINS4, proxychains as Config),
        (TSOCKS, tsocks as Config),
    ] {
        let name = format!("SOCKS clients: lftp behind {}", wrapper.program);
        let needs = [needs("lftp"), vec![Need::Program(wrapper.program)]].concat();
        trials.push(trial(name, &needs, move || lftp(wrapper, config)));
    }
    let needs = needs("python3");
    trials.push(trial("SOCKS clients: Python ftplib", &needs, ftplib));
    trials
}

fn needs(client: &'static str) -> Vec<Need> {
    vec![
        Need::Program("ip"),
        Need::Namespaces,
        Need::Program("sshd"),
        Need::Program("vsftpd"),
        Need::Program(client),
    ]
}

/// A SOCKS tunnel to an FTP server that this host does not reach.
async fn hidden(ftp: IpAddr) -> anyhow::Result<Real> {
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
    let fixture = real_with(sshd, vsftpd)
        .profile(through_socks)
        .start()
        .await?;
    fixture.servers.ftp.put("file", &pattern(1, SIZE))?;
    Ok(fixture)
}

async fn curl() -> anyhow::Result<()> {
    let fixture = hidden(HERE).await?;
    let mut transfers = 0;
    for (version, far_names) in VERSIONS {
        let before = Channels::of(&fixture.servers);
        let host = if far_names { "localhost" } else { "127.0.0.1" };
        for options in PASSIVE.iter().chain(&ACTIVE) {
            let proxy = fixture.tunnel.to_string();
            let options = [&[version, proxy.as_str()], *options].concat();
            every_way(&fixture, host, &options)
                .await
                .with_context(|| format!("{options:?}"))?;
            transfers += 3;
        }
        let (passive, active) = (3 * PASSIVE.len(), 3 * ACTIVE.len());
        expect_data_channels(&fixture.servers, before, passive, active).await?;
    }
    expect_transfers(&fixture.broker, transfers).await
}

/// Down, up and a listing.
async fn every_way(fixture: &Real, host: &str, options: &[&str]) -> anyhow::Result<()> {
    let ftp = &fixture.servers.ftp;
    let url = |name: &str| format!("ftp://{host}:{}/{name}", ftp.addr().port());
    let content = pattern(1, SIZE);
    let run = async |more: &[&str]| {
        client::curl([options, more].concat(), LIMIT)
            .await?
            .success()
    };
    let fetched = run(&[&url("file")]).await?;
    ensure!(fetched.stdout == content, "something else came");
    let local = tempfile::NamedTempFile::new()?;
    fs::write(local.path(), &content)?;
    let path = local.path().to_string_lossy();
    run(&["--upload-file", &path, &url("stored")]).await?;
    ensure!(ftp.file("stored").as_deref() == Some(content.as_slice()));
    ftp.remove("stored");
    let listed = run(&[&url("")]).await?.text();
    ensure!(listed.contains(&SIZE.to_string()), "{listed}");
    Ok(())
}

/// Writes a wrapper's configuration for this listener, and makes the command of the wrapped program.
type Config = fn(&Path, SocketAddr) -> anyhow::Result<Command>;

fn proxychains(directory: &Path, listener: SocketAddr) -> anyhow::Result<Command> {
    let file = directory.join("proxychains.conf");
    let (ip, port) = (listener.ip(), listener.port());
    fs::write(
        &file,
        format!("strict_chain\nproxy_dns\n[ProxyList]\nsocks5 {ip} {port}\n"),
    )?;
    let mut command = Command::new(PROXYCHAINS4.find()?);
    command.arg("-q").arg("-f").arg(file);
    Ok(command)
}

fn tsocks(directory: &Path, listener: SocketAddr) -> anyhow::Result<Command> {
    let file = directory.join("tsocks.conf");
    let (ip, port) = (listener.ip(), listener.port());
    fs::write(
        &file,
        format!("server = {ip}\nserver_type = 4\nserver_port = {port}\n"),
    )?;
    let mut command = Command::new(TSOCKS.find()?);
    command.env("TSOCKS_CONF_FILE", file);
    Ok(command)
}

async fn lftp(wrapper: Requirement, config: Config) -> anyhow::Result<()> {
    let (fixture, home) = (hidden(HIDDEN_ADDR.into()).await?, tempfile::tempdir()?);
    let server = fixture.servers.ftp.addr();
    let mut transfers = 0;
    for epsv in ["no", "yes"] {
        let script = format!(
            "set cmd:fail-exit yes; set net:max-retries 1; set ftp:prefer-epsv {epsv}; set xfer:clobber yes; debug 5; \
             open ftp://anonymous:guest@{server}/; ls; get file -o copy; put copy -o stored"
        );
        let mut command = config(home.path(), fixture.tunnel)?;
        command
            .arg(LFTP.find()?)
            .args(["--norc", "-c", &script])
            .env("LFTP_HOME", home.path())
            .env("LC_ALL", "C")
            .current_dir(home.path());
        let said = run(command, wrapper.program).await?;
        let verb = if epsv == "yes" { "EPSV" } else { "PASV" };
        let asked = sent(&transcript(&said), verb);
        ensure!(asked == 3, "{asked} times {verb}:\n{}", transcript(&said));
        let content = pattern(1, SIZE);
        ensure!(
            fs::read(home.path().join("copy"))? == content,
            "the copy differs"
        );
        let stored = fixture.servers.ftp.file("stored");
        ensure!(
            stored.as_deref() == Some(content.as_slice()),
            "the upload differs"
        );
        fixture.servers.ftp.remove("stored");
        transfers += 3;
        expect_transfers(&fixture.broker, transfers).await?;
    }
    Ok(())
}

async fn ftplib() -> anyhow::Result<()> {
    let fixture = hidden(HIDDEN_ADDR.into()).await?;
    let (listener, server) = (fixture.tunnel, fixture.servers.ftp.addr());
    let mut transfers = 0;
    // Without trust in the address of a 227, ftplib takes the other end of the control connection: the listener.
    for trust in ["trust", "distrust"] {
        let mut command = Command::new(PYTHON.find()?);
        command.arg(python::script("ftplib_socks.py"));
        for address in [listener, server] {
            command
                .arg(address.ip().to_string())
                .arg(address.port().to_string());
        }
        command.arg(trust);
        let said = run(command, "python3").await?.text();
        ensure!(said.contains(&format!("fetched {SIZE}")), "{said}");
        let stored = fixture.servers.ftp.file("stored");
        ensure!(stored == Some(pattern(1, SIZE)), "the upload differs");
        fixture.servers.ftp.remove("stored");
        transfers += 3;
        expect_transfers(&fixture.broker, transfers).await?;
    }
    Ok(())
}

async fn run(command: Command, what: impl AsRef<OsStr>) -> anyhow::Result<Output> {
    let output = client::run(command, LIMIT).await?.success();
    output.with_context(|| what.as_ref().to_string_lossy().into_owned())
}
