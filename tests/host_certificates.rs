//! Host certificates: those of a known authority are believed, within what they say.

use std::fs;

use libtest_mimic::Trial;

use crate::support::keyed_server::{KeyedServer, NEEDS, contains_all, fetches, refusal, store};
use crate::support::trial;
use anyhow::ensure;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "host certificates: of a known authority",
            NEEDS,
            certificate,
        ),
        trial("host certificates: expired", NEEDS, expired),
        trial("host certificates: for another host", NEEDS, misdirected),
        trial(
            "host certificates: of a revoked authority, or for a revoked key",
            NEEDS,
            revoked,
        ),
        trial("host certificates: signed with SHA-1", NEEDS, forgeable),
    ]
}

async fn certificate() -> anyhow::Result<()> {
    let server = KeyedServer::certified(&["-n", "other,127.0.0.1", "-V", "-1d:+1d"]).await?;
    for hosts in ["127.0.0.*", "[127.*]:*"] {
        let authority = fs::read_to_string(server.directory.path().join("ca.pub"))?;
        let known = format!("@cert-authority {hosts} {authority}");
        let broker = server.broker("strict", &known).await?;
        fetches(&broker).await?;
        ensure!(!store(&broker).exists());
    }
    Ok(())
}

/// What is said of the certificate made with these options.
async fn certificate_refused(options: &[&str]) -> anyhow::Result<String> {
    let server = KeyedServer::certified(options).await?;
    let known = server.line("@cert-authority ", "ca")?;
    let mut said = String::new();
    for policy in ["ask", "tofu", "strict"] {
        let broker = server.broker(policy, &known).await?;
        said = refusal(&broker).await?;
        contains_all(&said, &["certificate", &server.fingerprint("ed25519")?])?;
        ensure!(!store(&broker).exists());
    }
    // The key itself may be known all the same.
    let known = known + &server.line("", "ed25519")?;
    fetches(&server.broker("strict", &known).await?).await?;
    Ok(said)
}

async fn expired() -> anyhow::Result<()> {
    let said = certificate_refused(&["-n", "127.0.0.1", "-V", "-10d:-3d"]).await?;
    contains_all(&said, &["expired 3 days ago"])
}

async fn misdirected() -> anyhow::Result<()> {
    let said = certificate_refused(&["-n", "elsewhere.example"]).await?;
    contains_all(&said, &["it is for elsewhere.example, not for 127.0.0.1"])
}

async fn revoked() -> anyhow::Result<()> {
    let server = KeyedServer::certified(&["-n", "127.0.0.1"]).await?;
    let authority = server.line("@cert-authority ", "ca")?;
    for key in ["ca", "ed25519"] {
        let known = authority.clone() + &server.line("@revoked ", key)?;
        let broker = server.broker("advisory", &known).await?;
        contains_all(&refusal(&broker).await?, &["revoked", "line 2"])?;
    }
    Ok(())
}

async fn forgeable() -> anyhow::Result<()> {
    let server = KeyedServer::certified_by("rsa", &["-n", "127.0.0.1", "-t", "ssh-rsa"]).await?;
    let broker = server
        .broker("strict", &server.line("@cert-authority ", "ca")?)
        .await?;
    contains_all(&refusal(&broker).await?, &["certificate", "SHA-1"])
}
