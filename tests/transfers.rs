//! Transfers as `list-transfers` shows them.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testkit::broker::Broker;
use testkit::files;
use testkit::peer::FtpFiles;

use crate::support::fixture::{SOON, embedded, real};
use crate::support::{REAL, trial};

/// More than the buffers on the way hold.
const BIG: usize = 64 << 20;

/// What has been moved when the daemon is asked.
const MOVED: usize = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("transfers: one that runs, and its end", &[], runs),
        trial("transfers: one that stalls", &[], stalls),
        trial(
            "transfers: refused, uploaded, and left by the client",
            &[],
            results,
        ),
        trial("transfers: sizes of a real server", REAL, sizes),
    ]
}

async fn running(broker: &Broker) -> anyhow::Result<Value> {
    let mut running = broker.list(&["list-transfers", "--running"]).await?;
    ensure!(running.len() == 1, "{running:#?}");
    running.pop().context("no transfer runs")
}

fn has(transfer: &Value, facts: &[(&str, Value)]) -> anyhow::Result<()> {
    for (field, value) in facts {
        ensure!(&transfer[field] == value, "{field} in {transfer:#}");
    }
    Ok(())
}

async fn runs() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    ensure!(broker.told(&["list-transfers"]).await? == "No transfers\n");
    fixture
        .servers
        .ftp
        .put("big file", &files::pattern(1, BIG))?;
    let mut ftp = fixture.login().await?;
    ftp.ask("PWD", "257").await?;
    ftp.ask("SIZE big file", "213").await?;
    let mut data = ftp.begin("EPSV", "RETR big file").await?;
    data.bytes(MOVED).await?;
    let transfer = running(broker).await?;
    has(
        &transfer,
        &[
            ("command", json!("RETR big file")),
            ("path", json!("/big file")),
            ("direction", json!("download")),
            ("state", json!("running")),
            ("size", json!(BIG)),
            ("reply", Value::Null),
        ],
    )?;
    let bytes = transfer["bytes"].as_u64().context("no bytes")?;
    ensure!((MOVED as u64..BIG as u64).contains(&bytes), "{transfer:#}");
    let sessions = broker.list(&["list-sessions"]).await?;
    ensure!(sessions.len() == 1, "{sessions:#?}");
    has(
        &sessions[0],
        &[
            ("id", transfer["session"].clone()),
            ("transfer", transfer["id"].clone()),
            ("client", transfer["client"].clone()),
            ("ftp_user", json!("anonymous")),
            ("command", json!("RETR big file")),
            ("ftp", json!(true)),
        ],
    )?;
    let row = broker.told(&["list-transfers"]).await?;
    ensure!(
        row.contains("64.0 MiB") && row.contains("/big file"),
        "{row}"
    );

    data.rest().await?;
    drop(data);
    ftp.reply("226").await?;
    let over = |list: &Value| list[0]["state"] == "complete" && list[1].is_null();
    let list = broker.wait_json(&["list-transfers"], SOON, over).await?;
    has(
        &list[0],
        &[
            ("id", transfer["id"].clone()),
            ("bytes", json!(BIG)),
            ("time_left", Value::Null),
            ("by", Value::Null),
        ],
    )?;
    ensure!(
        list[0]["reply"]
            .as_str()
            .is_some_and(|reply| reply.starts_with("226"))
    );
    ensure!(list[0]["rate"].as_u64().is_some_and(|rate| rate > 0));
    Ok(())
}

async fn stalls() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    fixture.servers.ftp.put("big", &files::pattern(1, BIG))?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(MOVED).await?;
    // The client reads nothing more.
    let stalled = |list: &Value| list[0]["stalled_since"].is_u64();
    let list = broker.wait_json(&["list-transfers"], SOON, stalled).await?;
    has(&list[0], &[("rate", json!(0)), ("time_left", Value::Null)])?;
    data.rest().await?;
    ftp.reply("226").await?;
    Ok(())
}

async fn results() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let mut ftp = fixture.login().await?;
    let unused = ftp.begin("EPSV", "RETR missing").await?;
    ftp.reply("550").await?;
    drop(unused);
    ftp.store("new", &files::pattern(2, 5000)).await?;
    fixture.servers.ftp.put("big", &files::pattern(1, BIG))?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(MOVED).await?;
    drop((data, ftp));
    // It is aborted or cut, whichever of its connections ends first.
    let over = |list: &Value| list[2]["by"] == "ftp-client";
    let list = broker.wait_json(&["list-transfers"], SOON, over).await?;
    has(
        &list[0],
        &[("state", json!("refused")), ("by", json!("ftp-server"))],
    )?;
    has(
        &list[1],
        &[
            ("state", json!("complete")),
            ("direction", json!("upload")),
            ("bytes", json!(5000)),
        ],
    )?;
    ensure!(list[2]["command"] == "RETR big", "{list:#}");
    Ok(())
}

async fn sizes() -> anyhow::Result<()> {
    let fixture = real().start().await?;
    let broker = &fixture.broker;
    let content = files::pattern(3, 70_000);
    let mut ftp = fixture.login().await?;
    ftp.ask("PWD", "257").await?;
    ftp.ask("TYPE I", "200").await?;
    ftp.ask("ALLO 70000", "202").await?;
    ftp.store("of known size", &content).await?;
    ensure!(ftp.fetch("of known size").await? == content);
    let over = |list: &Value| list[1]["state"] == "complete";
    let list = broker.wait_json(&["list-transfers"], SOON, over).await?;
    let sizes = [&list[0]["size"], &list[1]["size"]];
    ensure!(sizes == [&json!(70_000); 2], "{list:#}");
    ensure!(
        list[1]["path"]
            .as_str()
            .is_some_and(|path| path.ends_with("/of known size"))
    );
    Ok(())
}
