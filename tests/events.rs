//! The stream of events, as programs receive it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testkit::broker::{Broker, ctl_command};
use testkit::fixture::Fixture;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::local_socket::LocalSocket;
use crate::support::trial;

/// Transfers of which each leads to events. Their lines are more than the buffers of a socket hold.
const TRANSFERS: usize = 600;

/// How much larger the daemon may become meanwhile, in KiB: the events and transfers that it keeps, with room to spare.
const GROWTH: u64 = 32 << 10;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("events: a session and its transfers", &[], session),
        trial("events: those of one profile", &[], profile),
        trial(
            "events: a subscriber that does not read harms nobody",
            &[],
            deaf,
        ),
        trial("events: the daemon ends", &[], ends),
        trial("events: the reader ends while nothing happens", &[], unread),
    ]
}

/// What `broker-ctl events` prints with these arguments.
async fn events(broker: &Broker, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let arguments = [&["events", "--json"], arguments].concat();
    let text = broker.told(&arguments).await?;
    let events = text.lines().map(serde_json::from_str);
    Ok(events.collect::<Result<_, _>>()?)
}

async fn session() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let live = [
        "--after=0",
        "--kind=session-opened",
        "--kind=session-closed",
        "--kind=transfer-started",
        "--kind=transfer-ended",
        "--count=6",
    ];
    let using = async {
        let mut ftp = fixture.login().await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        let _data = ftp.begin("EPSV", "RETR missing").await?;
        ftp.reply("550").await?;
        drop(ftp);
        Ok(())
    };
    let (events, used) = tokio::join!(timeout(SOON, events(broker, &live)), using);
    used?;
    let events = events.context("the events have not come")??;
    let kinds: Vec<_> = events.iter().map(|event| &event["kind"]).collect();
    let expected = [
        "session-opened",
        "transfer-started",
        "transfer-ended",
        "transfer-started",
        "transfer-ended",
        "session-closed",
    ];
    ensure!(kinds == expected, "{events:#?}");
    let [opened, started, ended, _, refused, closed] = &events[..] else {
        unreachable!()
    };
    ensure!(opened["session"] == closed["session"], "{events:#?}");
    ensure!(opened["session"]["ftp"] == true, "{opened:#}");
    ensure!(
        started["transfer"]["id"] == ended["transfer"]["id"],
        "{events:#?}"
    );
    ensure!(started["transfer"]["state"] == "running", "{started:#}");
    let transfer = &ended["transfer"];
    let facts = [
        ("session", opened["session"]["id"].clone()),
        ("tunnel", opened["session"]["tunnel"].clone()),
        ("command", json!("RETR file")),
        ("direction", json!("download")),
        ("state", json!("complete")),
        ("bytes", json!(CONTENT.len())),
        ("by", Value::Null),
    ];
    for (field, value) in facts {
        ensure!(transfer[field] == value, "{field} in {ended:#}");
    }
    ensure!(refused["transfer"]["state"] == "refused", "{refused:#}");
    ensure!(refused["transfer"]["by"] == "ftp-server", "{refused:#}");
    let numbers: Vec<_> = events
        .iter()
        .filter_map(|it| it["number"].as_u64())
        .collect();
    ensure!(numbers.is_sorted(), "{numbers:?}");

    let lines = broker.told(&["events", "--after=0", "--kind=transfer-ended", "--count=1"]);
    let lines = lines.await?;
    ensure!(
        lines.contains("download") && lines.contains("complete"),
        "{lines}"
    );
    Ok(())
}

async fn profile() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let profiles = broker.list(&["list-profiles"]).await?;
    let id = profiles[0]["id"].as_str().context("a profile has no id")?;
    let its = events(broker, &["--after=0", "--count=3", "--profile", id]).await?;
    ensure!(its.iter().all(|event| event["profile"] == id), "{its:#?}");
    let other = broker
        .ctl(&["events", "--profile", "a b", "--after=0"])
        .await?;
    ensure!(!other.status.success(), "{other:?}");

    // A host to which no tunnel leads yet must look like one.
    for (target, is_known) in [
        ("nobody", false),
        ("nobody.example", false),
        ("nobody#22", true),
    ] {
        let mut client = LocalSocket::connect(broker).await?;
        let subscribed = client
            .call("subscribe", &json!({ "profile": target }))
            .await;
        ensure!(subscribed.is_ok() == is_known, "{target}: {subscribed:?}");
    }
    Ok(())
}

/// A client of the local socket that subscribes, and reads nothing after the answer.
async fn subscriber(broker: &Broker) -> anyhow::Result<LocalSocket> {
    let mut client = LocalSocket::connect(broker).await?;
    client.call("subscribe", &json!({})).await?;
    Ok(client)
}

/// The memory of the daemon in KiB.
fn memory(broker: &Broker) -> anyhow::Result<u64> {
    let status = format!("/proc/{}/status", broker.process().pid());
    let status = std::fs::read_to_string(status)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}

async fn deaf() -> anyhow::Result<()> {
    let fixture: Fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let before = memory(broker)?;
    let mut deaf = subscriber(broker).await?;
    for _ in 0..TRANSFERS {
        ensure!(ftp.fetch("file").await? == CONTENT);
    }
    let after = memory(broker)?;
    ensure!(after < before + GROWTH, "from {before} to {after} KiB");
    let status = broker.json(&["status"]).await?;
    ensure!(status["transfers"]["ok"] == TRANSFERS + 1, "{status:#}");

    // Whoever reads again misses nothing without knowing it.
    let mut ended = 0;
    let mut last: Option<u64> = None;
    while ended < TRANSFERS {
        let Some(event) = timeout(SOON, deaf.line()).await?? else {
            // It has read nothing for so long that the daemon has disconnected it.
            return Ok(());
        };
        let event = &event["params"];
        let number = event["number"].as_u64().context("no number")?;
        let step = event["lost"].as_u64().unwrap_or(1);
        ensure!(
            last.is_none_or(|last| last + step == number),
            "{last:?} {event:#}"
        );
        last = Some(number);
        ended += usize::from(event["kind"] == "transfer-ended");
        if event["lost"].is_u64() {
            // How many of the lost ones were ends of transfers is unknown.
            return Ok(());
        }
    }
    Ok(())
}

async fn ends() -> anyhow::Result<()> {
    let mut fixture = embedded().start().await?;
    let mut stream = subscriber(&fixture.broker).await?;
    fixture.broker.stop(Duration::from_secs(20)).await?;
    while timeout(SOON, stream.line()).await??.is_some() {}
    Ok(())
}

async fn unread() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let arguments = ["events", "--state"];
    let mut command = Command::from(ctl_command(&fixture.broker.socket(), &arguments)?);
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().context("it has no output")?;
    let mut lines = BufReader::new(output).lines();
    loop {
        let line = timeout(SOON, lines.next_line()).await??;
        if line.context("no state")?.contains("state-complete") {
            break;
        }
    }
    drop(lines);
    let status = timeout(SOON, child.wait())
        .await
        .context("it still runs")??;
    ensure!(status.success(), "{status}");
    Ok(())
}
