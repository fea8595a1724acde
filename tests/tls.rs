//! Clients that try TLS against a server that offers it: refused by the broker, or let through where it is told so.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::client::{Output, curl, lftp};

use crate::support::clients::{sent, transcript};
use crate::support::compare::same_bytes;
use crate::support::stage::{Stage, Variant};
use crate::support::{Need, trial};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const LIMIT: Duration = Duration::from_secs(60);

const NAME: &str = "secret";
const CONTENT: &[u8] = b"only SSH protects this";

/// curl could not get the TLS it was told to require (`CURLE_USE_SSL_FAILED`).
const NO_TLS: i32 = 64;

pub(crate) fn trials() -> Vec<Trial> {
    let with = |client| ["sshd", "vsftpd", "openssl", client].map(Need::Program);
    vec![
        trial(
            "tls::lftp_with_its_defaults_goes_on_in_the_clear",
            &with("lftp"),
            lftp_goes_on,
        ),
        trial(
            "tls::curl_that_tries_tls_goes_on_in_the_clear",
            &with("curl"),
            curl_goes_on,
        ),
        trial(
            "tls::curl_that_requires_tls_fails_cleanly",
            &with("curl"),
            curl_fails,
        ),
        trial(
            "tls::curl_reaches_tls_where_it_may_pass",
            &with("curl"),
            curl_passes,
        ),
    ]
}

async fn lftp_goes_on() -> anyhow::Result<()> {
    let stage = stage("").await?;
    let server = stage.tunnel();
    let script = format!("debug 5; open ftp://anonymous:guest@{server}/; get {NAME}");
    let output = lftp(&script, stage.home(), LIMIT).await?.success();
    let output = output.with_context(|| stage.broker_log())?;
    refused_once(&output)?;
    same_bytes(&stage.home().join(NAME), CONTENT)?;
    stage.expect_transfers(1).await
}

async fn curl_goes_on() -> anyhow::Result<()> {
    let stage = stage("").await?;
    let output = curl_with(&stage, &["--ssl"]).await?.success();
    let output = output.with_context(|| stage.broker_log())?;
    // It tries AUTH SSL and then AUTH TLS.
    let refusals = transcript(&output).matches("< 534 ").count();
    ensure!(
        refusals == sent(&output.stderr, "AUTH") && refusals > 0,
        "{}",
        output.stderr
    );
    same_bytes(&stage.home().join(NAME), CONTENT)?;
    stage.expect_transfers(1).await
}

/// Cleanly: at once, with the reason, and without having sent a name or a password.
async fn curl_fails() -> anyhow::Result<()> {
    let stage = stage("").await?;
    let output = curl_with(&stage, &["--ssl-reqd"]).await?;
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
    stage.expect_transfers(0).await
}

/// Only the login: inside TLS the broker cannot see, and so not rewrite, where the data goes.
async fn curl_passes() -> anyhow::Result<()> {
    let stage = stage(r#"tls="pass""#).await?;
    let arguments = ["--ssl", "--insecure", "--head", "--quote", "NOOP"];
    let output = curl_with(&stage, &arguments).await?.success();
    let said = transcript(&output.with_context(|| stage.broker_log())?);
    ensure!(said.contains("< 234 "), "AUTH did not pass:\n{said}");
    ensure!(said.contains("SSL connection using TLS"), "no TLS:\n{said}");
    ensure!(said.contains("< 230 "), "no login inside TLS:\n{said}");
    stage.expect_transfers(0).await
}

/// A vsftpd that offers TLS and has one file.
async fn stage(tunnel: &'static str) -> anyhow::Result<Stage> {
    let variant = Variant {
        ftp_tls: true,
        tunnel,
        ..Variant::default()
    };
    let stage = Stage::real_with(HERE, HERE, variant).await?;
    stage.put_at_server(NAME.as_ref(), CONTENT)?;
    Ok(stage)
}

async fn curl_with(stage: &Stage, arguments: &[&str]) -> anyhow::Result<Output> {
    let url = format!("ftp://{}/{NAME}", stage.tunnel());
    let local = stage.home().join(NAME);
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
