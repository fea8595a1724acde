//! An FTP server that does not greet is found from `broker-ctl` alone, and each client that it fails counts once.

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::profile::Tunnel;
use testkit::scripted::{Conversation, ScriptedListener};

use crate::support::bad_tunnel::{BadTunnel, says};
use crate::support::fixture::nothing_is_left;
use crate::support::shown::warnings;
use crate::support::trial;

/// How a TLS server ends a connection on which it does not understand the first bytes.
const TLS_ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 50];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("greetings: none, and half of one", &[], cut_short),
        trial(
            "greetings: a client that leaves counts once",
            &[],
            another_protocol_after_all,
        ),
    ]
}

/// A tunnel to a server that a test plays.
async fn bad_tunnel() -> anyhow::Result<(ScriptedListener, BadTunnel)> {
    let server = ScriptedListener::bind().await?;
    let address = server.addr();
    let bad = BadTunnel::start(|mut profile| {
        profile.tunnels = vec![Tunnel::ftp(address)];
        profile
    });
    Ok((server, bad.await?))
}

/// The failures of clients, as `status` has them.
async fn failures(bad: &BadTunnel) -> anyhow::Result<Vec<Value>> {
    let status = bad.broker.json(&["status"]).await?;
    let failures = status["failures"].as_array().cloned();
    Ok(failures.unwrap_or_default())
}

async fn cut_short() -> anyhow::Result<()> {
    let (server, bad) = bad_tunnel().await?;
    for (sent, message) in [
        ("", "closed the connection without a greeting"),
        (
            "220-Welc",
            "closed the connection within its greeting: it sent: 220-Welc",
        ),
    ] {
        let closes = async {
            let mut served = server.accept().await?;
            served.send(sent).await
        };
        let ((), mut client) = tokio::try_join!(closes, Conversation::connect(bad.bad))?;
        let told = String::from_utf8(client.rest().await?)?;
        ensure!(told.contains("421 ") && told.contains(message), "{told:?}");
        bad.logs(&[message]).await?;
        nothing_is_left(&bad.broker, "list-sessions").await?;
        let failures = failures(&bad).await?;
        ensure!(failures.len() == 1, "{failures:#?}");
        ensure!(failures[0]["reason"] == "ftp-lost", "{failures:#?}");
        ensure!(failures[0]["by"] == "ftp-server", "{failures:#?}");
        says(
            failures[0]["message"].as_str().unwrap_or_default(),
            &[message],
        )?;
    }
    bad.goes_on().await
}

/// The client gives up first. Only then the server says what it is.
async fn another_protocol_after_all() -> anyhow::Result<()> {
    let (server, bad) = bad_tunnel().await?;
    let client = Conversation::connect(bad.bad).await?;
    let mut served = server.accept().await?;
    drop(client);
    served.rest().await?;
    served.send(TLS_ALERT).await?;
    drop(served);
    nothing_is_left(&bad.broker, "list-sessions").await?;
    let failures = failures(&bad).await?;
    ensure!(failures.len() == 1, "{failures:#?}");
    ensure!(failures[0]["count"] == 1, "{failures:#?}");
    let refused = &bad.broker.list(&["list-tunnel-listeners"]).await?[0]["sessions_refused"];
    ensure!(*refused == 1, "{refused}");
    let warnings = warnings(&bad.broker);
    ensure!(warnings.len() == 1, "{warnings:#?}");
    bad.goes_on().await
}
