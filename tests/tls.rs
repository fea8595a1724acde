//! Clients that try TLS against a server that offers it: refused by the broker, or let through where it is told so.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use tempfile::TempDir;
use testkit::client::{Output, curl, lftp};
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;

use crate::support::clients::{sent, transcript};
use crate::support::compare::same_bytes;
use crate::support::fixture::{Real, expect_transfers, real_with};
use crate::support::{Need, trial};

const LIMIT: Duration = Duration::from_secs(60);

const NAME: &str = "secret";
const CONTENT: &[u8] = b"only SSH protects this";

/// curl could not get the TLS it was told to require (`CURLE_USE_SSL_FAILED`).
const NO_TLS: i32 = 64;

pub(crate) fn trials() -> Vec<Trial> {
    let with = |client| ["sshd", "vsftpd", "openssl", client].map(Need::Program);
    vec![
        trial(
            "TLS: lftp with its defaults goes on in the clear",
            &with("lftp"),
            lftp_goes_on,
        ),
        trial(
            "TLS: curl that tries TLS goes on in the clear",
            &with("curl"),
            curl_goes_on,
        ),
        trial(
            "TLS: curl that requires TLS fails cleanly",
            &with("curl"),
            curl_fails,
        ),
        trial(
            "TLS: curl reaches TLS where it may pass",
            &with("curl"),
            curl_passes,
        ),
    ]
}

async fn lftp_goes_on() -> anyhow::Result<()> {
    let (fixture, home) = offering("").await?;
    let server = fixture.tunnel;
    let script = format!("debug 5; open ftp://anonymous:guest@{server}/; get {NAME}");
    let output = lftp(&script, home.path(), LIMIT).await?.success();
    refused_once(&output?)?;
    same_bytes(&home.path().join(NAME), CONTENT)?;
    expect_transfers(&fixture.broker, 1).await
}

async fn curl_goes_on() -> anyhow::Result<()> {
    let (fixture, home) = offering("").await?;
    let output = curl_with(&fixture, &home, &["--ssl"]).await?.success()?;
    // It tries AUTH SSL and then AUTH TLS.
    let refusals = transcript(&output).matches("< 534 ").count();
    ensure!(
        refusals == sent(&output.stderr, "AUTH") && refusals > 0,
        "{}",
        output.stderr
    );
    same_bytes(&home.path().join(NAME), CONTENT)?;
    expect_transfers(&fixture.broker, 1).await
}

/// Cleanly: at once, with the reason, and without having sent a name or a password.
async fn curl_fails() -> anyhow::Result<()> {
    let (fixture, home) = offering("").await?;
    let output = curl_with(&fixture, &home, &["--ssl-reqd"]).await?;
    let said = transcript(&output);
    ensure!(
        output.status.code() == Some(NO_TLS),
        "{}\n{said}",
        output.status
    );
    ensure!(
        said.contains("< 534 ") && said.contains("SSH"),
        "no reason in:\n{said}"
    );
    ensure!(sent(&said, "USER") == 0, "curl went on:\n{said}");
    expect_transfers(&fixture.broker, 0).await
}

/// Only the login: inside TLS the broker cannot see, and so not rewrite, where the data goes.
async fn curl_passes() -> anyhow::Result<()> {
    let (fixture, home) = offering(r#"tls="pass""#).await?;
    let arguments = ["--ssl", "--insecure", "--head", "--quote", "NOOP"];
    let output = curl_with(&fixture, &home, &arguments).await?;
    let said = transcript(&output.success()?);
    ensure!(said.contains("< 234 "), "AUTH did not pass:\n{said}");
    ensure!(said.contains("SSL connection using TLS"), "no TLS:\n{said}");
    ensure!(said.contains("< 230 "), "no login inside TLS:\n{said}");
    expect_transfers(&fixture.broker, 0).await
}

/// A vsftpd that offers TLS and has one file, and a directory for the client.
async fn offering(tunnel: &str) -> anyhow::Result<(Real, TempDir)> {
    let vsftpd = VsftpdOptions {
        tls: true,
        ..VsftpdOptions::default()
    };
    let builder = real_with(SshdOptions::default(), vsftpd).file(NAME, CONTENT);
    let fixture = builder.tunnel(tunnel).start().await?;
    Ok((fixture, tempfile::tempdir()?))
}

async fn curl_with(fixture: &Real, home: &TempDir, arguments: &[&str]) -> anyhow::Result<Output> {
    let url = format!("ftp://{}/{NAME}", fixture.tunnel);
    let local = home.path().join(NAME);
    let local = local.to_string_lossy();
    let common = [
        "--verbose",
        "--user",
        "anonymous:guest",
        "--output",
        &local,
        &url,
    ];
    curl([arguments, &common].concat(), LIMIT).await
}

fn refused_once(output: &Output) -> anyhow::Result<()> {
    let said = transcript(output);
    ensure!(sent(&said, "AUTH") == 1, "AUTH was not sent once:\n{said}");
    ensure!(said.contains("<--- 534 "), "AUTH was not refused:\n{said}");
    Ok(())
}
