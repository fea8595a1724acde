//! Clients and servers of different address families, with servers that know only the commands of their own.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::client::Output;
use testkit::fixture::Fixture;
use testkit::ftp_client::{FtpClient, announced};
use testkit::quirky_ftp::{Quirks, QuirkyFtp};
use testkit::ssh_server::{SshServer, SshServerOptions};
use testkit::vsftpd::VsftpdOptions;

use crate::open_tunnel::address;
use crate::support::clients::Client::{self, Curl, Ftplib, Lftp, Tnftp};
use crate::support::clients::Mode::{self, Eprt, Epsv, Pasv};
use crate::support::clients::Step;
use crate::support::fixture::{CONTENT, embedded};
use crate::support::{Need, trial};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A server from before RFC 2428.
const OLD: &[(&str, &str)] = &[
    ("EPSV", "500 EPSV not understood"),
    ("EPRT", "500 EPRT not understood"),
];

/// Pure-FTPd, where its control connection is an IPv6 one.
const OVER_IPV6: &[(&str, &str)] = &[(
    "PASV",
    "425 You cannot use PASV on IPv6 connections. Use EPSV instead.",
)];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial(
            "families: a server that refuses both forms is heard in the client's own",
            &[],
            neither,
        ),
        trial(
            "families: a client on IPv6 that takes only the port of a PASV",
            &[],
            any_address,
        ),
        trial(
            "families: active mode where nobody says which loopback address the server has",
            &[Need::Program("vsftpd")],
            unknown_loopback,
        ),
    ];
    for client in [Curl, Lftp, Tnftp, Ftplib] {
        let needs = [Need::Program(client.requirement().program)];
        for mode in [Epsv, Eprt] {
            let name = format!(
                "families: {client} by {mode} on IPv6 to a server that knows only PASV and PORT"
            );
            trials.push(trial(name, &needs, move || async move {
                carries(V6.into(), OLD, client, mode).await
            }));
        }
        let name =
            format!("families: {client} by pasv on IPv4 to a server that refuses PASV over IPv6");
        trials.push(trial(name, &needs, move || async move {
            carries(None, OVER_IPV6, client, Pasv).await
        }));
    }
    trials
}

type Quirky = Fixture<SshServer, QuirkyFtp>;

async fn refusing(
    listen: Option<IpAddr>,
    refuses: &'static [(&'static str, &'static str)],
    attributes: &'static str,
) -> anyhow::Result<Quirky> {
    let quirks = Quirks {
        refuses,
        ..Quirks::default()
    };
    let builder = embedded().ftp(quirks).file("file", CONTENT);
    let builder = builder.tunnel(attributes);
    match listen {
        Some(ip) => builder.listen(ip).start().await,
        None => builder.start().await,
    }
}

/// The client fetches a file and stores one.
async fn carries(
    listen: Option<IpAddr>,
    refuses: &'static [(&'static str, &'static str)],
    client: Client,
    mode: Mode,
) -> anyhow::Result<()> {
    let fixture = refusing(listen, refuses, "").await?;
    let home = tempfile::tempdir()?;
    let [got, put] = ["got", "put"].map(|name| home.path().join(name));
    let steps = [
        Step::Get(OsStr::new("file"), &got),
        Step::Put(&put, OsStr::new("stored")),
    ];
    fs::write(&put, b"sent")?;
    for step in steps {
        let performed = client.perform(fixture.tunnel, mode, step, home.path());
        let _: Output = performed.await?;
    }
    ensure!(fs::read(&got)? == CONTENT, "the file differs");
    fixture.servers.ftp.wait_for_bytes("stored", 4).await
}

async fn neither() -> anyhow::Result<()> {
    let both = &[("EPSV", "500 no EPSV"), ("PASV", "502 no PASV")];
    let fixture = refusing(Some(V6), both, "").await?;
    let mut ftp = fixture.login().await?;
    for _ in 0..2 {
        let refusal = ftp.ask("EPSV", "500").await?;
        ensure!(refusal.contains("no EPSV"), "{refusal}");
    }
    let tried = fixture.servers.ftp.transcript();
    let count = |verb: &str| tried.iter().filter(|line| *line == verb).count();
    ensure!((count("> EPSV"), count("> PASV")) == (2, 1), "{tried:#?}");
    let mut ftp = fixture.login().await?;
    let refusal = ftp.ask("PASV", "502").await?;
    ensure!(refusal.contains("no PASV"), "{refusal}");
    Ok(())
}

async fn any_address() -> anyhow::Result<()> {
    let fixture = refusing(Some(V6), &[], "").await?;
    let refusal = fixture.login().await?.ask("PASV", "425").await?;
    ensure!(refusal.contains("use EPSV"), "{refusal}");

    let fixture = refusing(Some(V6), &[], r#"pasv-over-ipv6="any""#).await?;
    let mut ftp = fixture.login().await?;
    let reply = ftp.ask("PASV", "227").await?;
    let told = announced(&reply, V6)?;
    ensure!(told.ip().is_unspecified(), "{reply}");
    let data = (V6, told.port());
    let mut data = tokio::net::TcpStream::connect(data).await?;
    ftp.ask("RETR file", "150").await?;
    let mut content = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut data, &mut content).await?;
    ensure!(content == CONTENT, "the file differs");
    ftp.reply("226").await.map(drop)
}

/// The SSH server permits only the name, which can be either address.
async fn unknown_loopback() -> anyhow::Result<()> {
    let ssh = SshServerOptions {
        only_localhost: Some(V6),
        ..SshServerOptions::default()
    };
    let vsftpd = VsftpdOptions {
        bind: V6,
        ..VsftpdOptions::default()
    };
    let builder = Fixture::builder().ssh(ssh).ftp(vsftpd);
    let fixture = builder.file("file", CONTENT).start().await?;
    let spec = format!("ftp/0:localhost:{}", fixture.servers.ftp.addr().port());
    let open = ["open-tunnel-listener", "--json", "-L", &spec, "work"];
    let opened = fixture.broker.ctl(&open).await?.success()?;
    let opened: Value = serde_json::from_slice(&opened.stdout)?;
    let mut ftp = FtpClient::login(address(&opened)?).await?;
    for verb in ["PORT", "PORT", "EPRT"] {
        ensure!(ftp.fetch_by(verb, "file").await? == CONTENT, "{verb}");
    }
    let log = fixture.servers.ftp.log();
    let commands = |verb: &str| log.matches(&format!("\"{verb} ")).count();
    ensure!((commands("PORT"), commands("EPRT")) == (1, 3), "{log}");
    Ok(())
}
