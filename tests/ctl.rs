//! What broker-ctl shows and does, as a person and as a script see it.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::{self, Broker};
use testkit::client::Output;
use testkit::files;
use testkit::fixture::Fixture;
use testkit::ftp_client::FtpClient;
use testkit::peer::FtpFiles;
use testkit::profile;
use testkit::scripted::{Conversation, End};
use testkit::terminal::Terminal;

use crate::support::fixture::{CONTENT, SOON, embedded, nothing_is_left};
use crate::support::trial;

/// More than the buffers on the way hold.
const BIG: usize = 64 << 20;

/// What has been moved when the daemon is asked.
const MOVED: usize = 1 << 20;

/// Descriptors that are too few for as many clients.
const FEW: u64 = 64;

/// The command line is invalid.
const USAGE: i32 = 2;

/// No daemon could be reached.
const UNREACHABLE: i32 = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("ctl: the lists while a transfer runs", &[], lists),
        trial("ctl: close-channel cuts a transfer", &[], close_channel),
        trial(
            "ctl: close-connection cuts what is on it",
            &[],
            close_connection,
        ),
        trial(
            "ctl: close-tunnel-listener lets transfers go on",
            &[],
            close_listener,
        ),
        trial("ctl: no list wraps on a terminal", &[], tables_fit),
        trial("ctl: a list is drawn again in place", &[], watched),
        trial("ctl: what is refused, and the exit status", &[], refusals),
        trial("ctl: no daemon", &[], no_daemon),
        trial("ctl: no descriptor is left", &[], no_descriptors),
        trial("ctl: check-config", &[], check_config),
    ]
}

/// A download in its middle.
pub(crate) async fn download(fixture: &Fixture) -> anyhow::Result<(FtpClient, Conversation)> {
    fixture
        .servers
        .ftp
        .put("big file", &files::pattern(1, BIG))?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.begin("EPSV", "RETR big file").await?;
    let first = data.bytes(MOVED).await?;
    ensure!(first == files::pattern(1, BIG)[..MOVED]);
    Ok((ftp, data))
}

pub(crate) async fn fetches(tunnel: SocketAddr) -> anyhow::Result<()> {
    let mut ftp = FtpClient::login(tunnel).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

pub(crate) async fn count(broker: &Broker) -> anyhow::Result<usize> {
    Ok(broker.list(&["list-tunnel-listeners"]).await?.len())
}

async fn lists() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let (mut ftp, mut data) = download(&fixture).await?;

    let channels = broker.json(&["list-channels"]).await?;
    let (control, channel) = (&channels[0], &channels[1]);
    ensure!(
        control["kind"] == "control" && channels[2].is_null(),
        "{channels:#}"
    );
    let expected = [
        ("kind", "data"),
        ("mode", "passive"),
        ("direction", "download"),
        ("command", "RETR big file"),
        ("state", "open"),
    ];
    for (field, value) in expected {
        ensure!(channel[field] == value, "{field} in {channel:#}");
    }
    ensure!(
        channel["bytes_down"]
            .as_u64()
            .is_some_and(|bytes| bytes >= MOVED as u64),
        "{channel:#}"
    );
    ensure!(
        channel["rate"].as_u64().is_some_and(|rate| rate > 0),
        "{channel:#}"
    );
    ensure!(channel["session"] == control["id"], "{channels:#}");
    let table = broker.told(&["list-channels"]).await?;
    let row = table
        .lines()
        .find(|line| line.contains(" data "))
        .unwrap_or_default();
    ensure!(
        row.ends_with("  RETR big file") && row.contains("iB/s  "),
        "{table}"
    );

    let connections = broker.json(&["list-connections"]).await?;
    let carrier = connections
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["id"] == channel["connection"]);
    let carrier = carrier.context("the connection of the transfer is not listed")?;
    ensure!(
        carrier["kind"] == "data" && carrier["state"] == "active" && carrier["channels"] == 1,
        "{carrier:#}"
    );
    let detail = broker
        .json(&["connection-status", &carrier["id"].to_string()])
        .await?;
    ensure!(
        detail["connection"]["host_key"]
            .as_str()
            .is_some_and(|key| key.contains("SHA256:")),
        "{detail:#}"
    );
    // The ciphers that come first authenticate by themselves.
    ensure!(detail["connection"]["mac"].is_null(), "{detail:#}");
    ensure!(detail["channels"][0]["id"] == channel["id"], "{detail:#}");

    let status = broker.json(&["status"]).await?;
    let numbers = [
        ("profiles", 1),
        ("tunnels", 1),
        ("sessions", 1),
        ("channels", 2),
    ];
    for (field, value) in numbers {
        ensure!(status[field] == value, "{field} in {status:#}");
    }
    ensure!(status["transfers"]["active"] == 1, "{status:#}");
    ensure!(broker.told(&["status", "--pid"]).await?.trim() == broker.process().pid().to_string());

    data.rest().await?;
    drop(data);
    ftp.reply("226").await?;
    let over =
        |status: &Value| status["transfers"]["ok"] == 1 && status["transfers"]["active"] == 0;
    let status = broker.wait_json(&["status"], SOON, over).await?;
    ensure!(status["transfers"]["failed"] == 0, "{status:#}");
    ensure!(status["bytes_down"] == BIG, "{status:#}");
    drop(ftp);
    nothing_is_left(broker, "list-channels").await?;
    ensure!(broker.told(&["list-channels"]).await? == "No SSH channels\n");
    ensure!(broker.told(&["list-channels", "--short"]).await?.is_empty());
    Ok(())
}

/// As wide as the terminals of the testkit.
const COLUMNS: usize = 80;

/// A name as long as those of nightly exports.
const LONG: &str = "customer-nightly-upload-of-the-warehouse-000000012345-2026-11-26.csv.gz";

/// With long names, a tunnel that cannot listen and one whose login fails, no line is longer than the terminal.
async fn tables_fit() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    servers.ftp.put(LONG, &files::pattern(1, BIG))?;
    let long = servers.profile()?.called("customer-nightly-uploads");
    let mut other = servers.profile()?.called("customer-with-another-login");
    other.user = "svc-transfer-production-europe".to_owned();
    let config = profile::config("", [long, other]);
    let broker = Broker::start(&config, &[]).await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    let mut data = ftp.begin("EPSV", &format!("RETR {LONG}")).await?;
    data.bytes(MOVED).await?;
    let refused = FtpClient::login(broker.listener(1).await?).await;
    ensure!(refused.is_err(), "a wrong user has logged in");
    let lists: &[&[&str]] = &[
        &["status"],
        &["list-profiles"],
        &["list-connections", "-c"],
        &["list-channels"],
        &["list-sessions"],
        &["list-transfers"],
        &["list-tunnel-listeners"],
    ];
    for list in lists {
        let plain = [list, &["--color", "never"][..]].concat();
        let mut shown = broker.ctl_on_terminal(&plain)?;
        shown.wait(SOON).await?;
        for line in shown.screen().lines() {
            ensure!(line.chars().count() <= COLUMNS, "{list:?} shows {line:?}");
        }
    }
    let listeners = broker.told(&["list-tunnel-listeners"]).await?;
    ensure!(
        listeners.contains("svc-transfer-production-europe"),
        "{listeners}"
    );
    let transfers = broker.told(&["list-transfers"]).await?;
    ensure!(transfers.contains(LONG), "{transfers}");
    Ok(())
}

/// The picture has one heading however often it was drawn, and Ctrl-C ends it without a trace.
async fn watched() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let arguments = ["list-tunnel-listeners", "--watch", "0.1"];
    let mut command = broker::ctl_command(&fixture.broker.socket(), &arguments)?;
    let mut shown = Terminal::spawn(command.env("TERM", "xterm"))?;
    shown.shows_times("listening", 3, SOON).await?;
    let picture = shown.display()?.contents();
    ensure!(picture.matches("DESTINATION").count() == 1, "{picture}");
    ensure!(picture.matches("listening").count() == 1, "{picture}");
    fixture.login().await?;
    shown.interrupt()?;
    ensure!(shown.wait(SOON).await?.success(), "{}", shown.screen());
    Ok(())
}

async fn close_channel() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let (mut ftp, mut data) = download(&fixture).await?;
    let id = broker.json(&["list-channels"]).await?[1]["id"].to_string();
    ensure!(broker.told(&["close-channel", &id]).await?.is_empty());
    ensure!(data.end().await? == End::Reset);
    ftp.reply("426").await?;
    // The session goes on; its control channel is one that can be closed too.
    ensure!(ftp.fetch("file").await? == CONTENT);
    let id = broker.json(&["list-channels"]).await?[0]["id"].to_string();
    broker.told(&["close-channel", &id]).await?;
    ftp.reply("421").await?;
    Ok(())
}

async fn close_connection() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let (mut ftp, mut data) = download(&fixture).await?;
    let id = broker.json(&["list-channels"]).await?[1]["connection"].to_string();
    broker.told(&["close-connection", &id]).await?;
    ensure!(data.end().await? == End::Reset);
    ftp.reply("426").await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn close_listener() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let (mut ftp, mut data) = download(&fixture).await?;
    let listens = broker.listener(0).await?;
    broker
        .told(&["close-tunnel-listener", &format!(":{}", listens.port())])
        .await?;
    let refused = Conversation::connect(listens).await;
    ensure!(refused.is_err(), "a new client was let in");
    ensure!(broker.told(&["list-tunnel-listeners"]).await? == "No tunnel listeners\n");
    let rest = data.rest().await?;
    ensure!(
        rest == files::pattern(1, BIG)[MOVED..],
        "{} bytes came",
        rest.len()
    );
    ftp.reply("226").await?;
    // The port is free for another.
    let spec = format!(
        "ftp/{}:localhost:{}",
        listens.port(),
        fixture.servers.ftp.addr().port()
    );
    let opened = broker
        .json(&["open-tunnel-listener", "-L", &spec, "work"])
        .await?;
    fetches(listens).await?;
    broker
        .told(&["close-tunnel-listener", &opened["id"].to_string()])
        .await?;
    ensure!(
        Conversation::connect(listens).await.is_err(),
        "a new client was let in"
    );
    Ok(())
}

pub(crate) fn refused(output: &Output, code: i32, parts: &[&str]) -> anyhow::Result<()> {
    ensure!(output.status.code() == Some(code), "{output:?}");
    ensure!(output.stdout.is_empty(), "{output:?}");
    for part in parts {
        ensure!(
            output.stderr.contains(part),
            "{part:?} is not in {output:?}"
        );
    }
    Ok(())
}

async fn refusals() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let port = broker.listener(0).await?.port();
    let taken = format!("ftp/{port}:localhost:21");
    let cases: &[(&[&str], i32, &[&str])] = &[
        (
            &["connection-status", "99"],
            1,
            &["no connection 99", "list-connections"],
        ),
        (
            &["close-connection", "99"],
            1,
            &["no connection 99", "list-connections"],
        ),
        (
            &["close-channel", "99"],
            1,
            &["no channel 99", "list-channels"],
        ),
        (
            &["close-tunnel-listener", "99"],
            1,
            &["99", "list-tunnel-listeners"],
        ),
        (
            &["close-tunnel-listener", ":1"],
            1,
            &["port 1", "list-tunnel-listeners"],
        ),
        (
            &["open-tunnel-listener", "-L", &taken, "work"],
            4,
            &["in use"],
        ),
        (
            &[
                "open-tunnel-listener",
                "-L",
                "ftp/0:h:21",
                "no.such.host.invalid",
            ],
            4,
            &["no.such.host.invalid", "check the name"],
        ),
        (
            &[
                "open-tunnel-listener",
                "-L",
                "ftp/0:h:21",
                "user@host#70000",
            ],
            1,
            &["70000"],
        ),
        (
            &["open-tunnel-listener", "-L", "ftp/x:h:21", "work"],
            USAGE,
            &["\"x\" is not a port"],
        ),
        (
            &["open-tunnel-listener", "-L", "gopher/0:h:21", "work"],
            USAGE,
            &["gopher"],
        ),
        (&["open-tunnel-listener", "work"], USAGE, &["Usage:"]),
        (&["close-channel"], USAGE, &["<ID>"]),
        (&["nonsense"], USAGE, &["nonsense"]),
    ];
    for (command, code, parts) in cases {
        let output = broker.ctl(command).await?;
        refused(&output, *code, parts).with_context(|| format!("{command:?}"))?;
    }
    // One that is not there spares the others nothing.
    let output = broker
        .ctl(&["close-tunnel-listener", "99", &format!(":{port}")])
        .await?;
    refused(&output, 1, &["99"])?;
    ensure!(count(broker).await? == 0);
    Ok(())
}

/// Clients of tunnels have taken every descriptor there is; whoever steers the daemon is let in all the same.
async fn no_descriptors() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let tunnel = fixture.tunnel;
    let pid = rustix::process::Pid::from_raw(i32::try_from(broker.process().pid())?);
    let few = rustix::process::Rlimit {
        current: Some(FEW),
        maximum: Some(FEW),
    };
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, few)?;
    let mut clients = Vec::new();
    for _ in 0..FEW {
        clients.push(Conversation::connect(tunnel).await?);
    }
    broker.wait_log("cannot accept a client", SOON).await?;
    for _ in 0..5 {
        let status = broker.json(&["status"]).await?;
        ensure!(status["tunnels"] == 1, "{status:#}");
        let listed = broker.told(&["list-channels"]).await?;
        ensure!(!listed.is_empty());
    }
    drop(clients);
    let gone = |status: &Value| status["sessions"] == 0;
    broker.wait_json(&["status"], SOON, gone).await?;
    // Those that were never accepted are met with what the daemon has, and a login that failed for it makes a pause.
    let served = async { while fetches(tunnel).await.is_err() {} };
    Ok(tokio::time::timeout(SOON, served).await?)
}

async fn no_daemon() -> anyhow::Result<()> {
    let mut broker = Broker::start("<secsh-broker/>", &[]).await?;
    broker.kill();
    let directory = tempfile::tempdir()?;
    let nowhere = directory.path().join("nobody.sock");
    for socket in [&broker.socket(), &nowhere] {
        for command in ["status", "list-channels", "stop"] {
            let output = broker::ctl(socket, &[command]).await?;
            let shown = socket.to_string_lossy();
            refused(&output, UNREACHABLE, &["no daemon", &shown, "brokerd"])?;
            ensure!(output.stderr.lines().count() == 1, "{output:?}");
        }
    }
    Ok(())
}

async fn check_config() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let nowhere = directory.path().join("nobody.sock");
    let file = directory.path().join("file.xml");
    let check = async |text: &str| {
        broker::write_private(&file, text)?;
        broker::ctl(&nowhere, &["check-config", &file.to_string_lossy()]).await
    };
    let servers = embedded().servers().await?;
    let good = check(&servers.profile()?.config()).await?.success()?;
    ensure!(
        good.text().ends_with("file.xml: valid: 1 profile\n"),
        "{good:?}"
    );

    let idle = check("<secsh-broker><gui/></secsh-broker>")
        .await?
        .success()?;
    ensure!(
        idle.text().contains("gui") && idle.text().contains("file.xml:1:16"),
        "{idle:?}"
    );

    let bad = "<secsh-broker>\n  <profiles>\n    <profile id=\"id1\" host=\"\"\n    </profile>\n  </profiles>\n</secsh-broker>\n";
    let bad = check(bad).await?;
    ensure!(bad.status.code() == Some(1), "{bad:?}");
    let shown = bad.text();
    let parts = [
        "file.xml:3:5",
        "not closed",
        "^^^^",
        "help: ",
        "not valid: 1 error",
    ];
    for part in parts {
        ensure!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let missing = broker::ctl(&nowhere, &["check-config", "/no/such/file.xml"]).await?;
    ensure!(
        missing.status.code() == Some(1)
            && missing.text().contains("cannot read /no/such/file.xml"),
        "{missing:?}"
    );
    Ok(())
}
