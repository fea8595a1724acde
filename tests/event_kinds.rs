//! What the stream of events says beside sessions and transfers: the state, profiles, failures, reloads and the log.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testkit::broker::Broker;
use testkit::files;
use testkit::peer::FtpFiles;
use testkit::profile::Tunnel;
use testkit::relay::Flow;
use testkit::scripted::Conversation;
use tokio::time::timeout;

use crate::support::failing_line::FailingLine;
use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::reloading::Site;
use crate::support::sockets::closed_port;
use crate::support::{REAL, trial};

/// More than the buffers on the way hold.
const BIG: usize = 64 << 20;

/// What has been moved when the progress is looked at.
const MOVED: usize = 1 << 20;

/// A silence counts after two seconds, and ends the connection after six.
const PATIENT: &str = r#"<keepalive-interval time="2"/>"#;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("events: the state, and what follows it", &[], state),
        trial("events: the progress of a transfer", &[], progress),
        trial("events: a reload", &[], reload),
        trial("events: a server that does not answer", &[], no_server),
        trial(
            "events: a connection whose server stops answering",
            REAL,
            silent_server,
        ),
        trial("events: lines of the log", &[], log),
        trial("status: waits for the tunnels", &[], waits),
    ]
}

/// What `broker-ctl events` prints with these arguments.
async fn events(broker: &Broker, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let arguments = [&["events", "--json"], arguments].concat();
    let text = timeout(SOON, broker.told(&arguments)).await;
    let text = text.context("the events have not come")??;
    let events = text.lines().map(serde_json::from_str);
    Ok(events.collect::<Result<_, _>>()?)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|it| it["kind"].as_str()).collect()
}

async fn state() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    fixture.servers.ftp.put("big", &files::pattern(1, BIG))?;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(MOVED).await?;
    let asked = [
        "--state",
        "--kind=configuration-changed",
        "--kind=tunnel-changed",
        "--kind=session-opened",
        "--kind=transfer-started",
        "--kind=transfer-ended",
    ];
    let state = events(broker, &[&asked[..], &["--count=6"]].concat()).await?;
    let expected = [
        "configuration-changed",
        "tunnel-changed",
        "session-opened",
        "transfer-started",
        "transfer-ended",
        "state-complete",
    ];
    ensure!(kinds(&state) == expected, "{state:#?}");
    let [configuration, tunnel, _, running, over, _] = &state[..] else {
        unreachable!()
    };
    ensure!(configuration["configuration"]["generation"] == 1);
    let rows = broker.list(&["list-tunnel-listeners"]).await?;
    let row = &tunnel["listener"];
    ensure!(row["id"] == rows[0]["id"], "{tunnel:#}");
    ensure!(row["target"] == rows[0]["target"], "{tunnel:#}");
    ensure!(row["state"] == "listening", "{tunnel:#}");
    ensure!(running["transfer"]["command"] == "RETR big", "{running:#}");
    let bytes = running["transfer"]["bytes"].as_u64();
    ensure!(bytes >= Some(MOVED as u64), "{running:#}");
    ensure!(over["transfer"]["command"] == "RETR file", "{over:#}");
    let number = &state[0]["number"];
    ensure!(state.iter().all(|it| &it["number"] == number), "{state:#?}");

    // Whoever continues at the number of the state misses nothing.
    drop((ftp, data));
    let number = format!("--after={number}");
    let asked = [&number, "--kind=transfer-ended", "--count=1"];
    let next = events(broker, &asked).await?;
    let ended = &next[0]["transfer"];
    ensure!(ended["id"] == running["transfer"]["id"], "{next:#?}");
    Ok(())
}

async fn progress() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    fixture.servers.ftp.put("big", &files::pattern(1, BIG))?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(MOVED).await?;
    let asked = ["--kind=transfer-progress", "--count=2"];
    let progress = events(broker, &asked).await?;
    for event in &progress {
        let transfer = &event["transfer"];
        ensure!(transfer["state"] == "running", "{event:#}");
        ensure!(
            transfer["bytes"].as_u64() >= Some(MOVED as u64),
            "{event:#}"
        );
        ensure!(event["profile"] == transfer["profile"], "{event:#}");
    }
    // Progress has no number of its own. Others can have come between.
    let numbers = progress.iter().map(|event| event["number"].as_u64());
    ensure!(numbers.is_sorted(), "{progress:#?}");
    Ok(())
}

async fn reload() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let mut profile = site.profile.clone();
    profile.tunnels = vec![profile.tunnels.remove(0).with(r#"max-sessions="1""#)];
    site.reload(&profile.config()).await?;
    let asked = ["--after=0", "--kind=configuration-changed", "--count=1"];
    let reloads = events(&site.broker, &asked).await?;
    let configuration = &reloads[0]["configuration"];
    ensure!(configuration["generation"] == 2, "{reloads:#?}");
    let changed = &configuration["report"]["tunnels"]["changed"][0];
    ensure!(changed["name"] == site.tunnel.to_string(), "{reloads:#?}");
    let files = json!([site.broker.config_file()]);
    ensure!(configuration["files"] == files, "{reloads:#?}");
    Ok(())
}

/// Clients that nobody can serve lead to the state of their profile, and to one failure each.
async fn no_server() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let nobody = closed_port()?;
    let tunnel = Tunnel::ftp(servers.ftp.addr());
    let profile = servers.profile()?.at(nobody).tunnel(tunnel);
    let broker = Broker::start(&profile.config(), &[]).await?;
    let listener = broker.listener(0).await?;
    for _ in 0..2 {
        let greeting = Conversation::connect(listener).await?.reply().await?;
        ensure!(greeting.starts_with("421"), "{greeting}");
    }
    let asked = ["--after=0", "--kind=failure", "--count=2"];
    let failures = events(&broker, &asked).await?;
    let [first, second] = &failures[..] else {
        unreachable!()
    };
    ensure!(first["failure"]["reason"] == "refused", "{first:#}");
    ensure!(second["failure"]["count"] == 2, "{second:#}");
    ensure!(first["profile"] == "id1", "{first:#}");

    let of_profile = ["--state", "--kind=profile-changed", "--count=1"];
    let state = events(&broker, &of_profile).await?;
    let profile = &state[0]["profile_state"];
    let error = profile["last_error"].as_str().context("no error")?;
    ensure!(error.contains("connection refused"), "{profile:#}");
    let changes = ["--after=0", "--kind=profile-changed", "--count=1"];
    let changes = events(&broker, &changes).await?;
    ensure!(changes[0]["profile_state"]["id"] == "id1", "{changes:#?}");
    Ok(())
}

/// The profile says so before the connection is given up.
async fn silent_server() -> anyhow::Result<()> {
    let rig = FailingLine::start(PATIENT).await?;
    let broker = rig.broker();
    let _ftp = rig.login().await?;
    rig.line().set_flow(Flow::Swallow);
    let lost = ["--after=0", "--kind=disconnected", "--count=1"];
    let lost = events(broker, &lost).await?;
    let mut last = 0;
    loop {
        let after = format!("--after={last}");
        let change = [&after, "--kind=profile-changed", "--count=1"];
        let change = events(broker, &change).await?;
        last = change[0]["number"].as_u64().unwrap_or(u64::MAX);
        ensure!(Some(last) < lost[0]["number"].as_u64(), "{change:#?}");
        if change[0]["profile_state"]["no_answer"].is_u64() {
            return Ok(());
        }
    }
}

async fn log() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let asked = ["--state", "--kind=log", "--count=1"];
    let lines = events(broker, &asked).await?;
    let line = &lines[0]["log"];
    ensure!(line["level"] == "info", "{line:#}");
    let message = line["message"].as_str().context("no message")?;
    ensure!(message.starts_with("tunnel listens"), "{message}");
    ensure!(broker.log().contains(message), "the log lacks {message}");
    let port = format!(":{}", fixture.tunnel.port());
    let listen = line["fields"]["listen"].as_str().unwrap_or_default();
    ensure!(listen.ends_with(&port), "{line:#}");
    let all = events(broker, &["--state", "--count=2"]).await?;
    ensure!(!kinds(&all).contains(&"log"), "{all:#?}");
    Ok(())
}

async fn waits() -> anyhow::Result<()> {
    let mut site = Site::start().await?;
    let ready = site.broker.ctl(&["status", "--wait", "20"]).await?;
    ensure!(ready.status.success(), "{ready:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut profile = site.profile.clone();
    profile.tunnels[0].port = taken.local_addr()?.port();
    let busy = Broker::start(&profile.config(), &[]).await?;
    let not_yet = busy.ctl(&["status", "--wait", "1"]).await?;
    ensure!(not_yet.status.code() == Some(4), "{not_yet:?}");
    ensure!(not_yet.stderr.contains("does not listen on"), "{not_yet:?}");
    let freed = async {
        drop(taken);
        busy.ctl(&["status", "--wait", "60"]).await
    };
    let freed = freed.await?;
    ensure!(freed.status.success(), "{freed:?}");
    site.broker.stop(Duration::from_secs(20)).await?;
    let nobody = site.broker.ctl(&["status", "--wait", "1"]).await?;
    ensure!(nobody.status.code() == Some(3), "{nobody:?}");
    Ok(())
}
