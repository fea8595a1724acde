//! The metrics: each number is that of what was really done, and the text is valid.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::broker::{Broker, write_private};
use testkit::profile::config;
use testkit::quirky_ftp::Quirks;
use testkit::scripted::Conversation;
use tokio::process::Command;

use crate::support::fixture::{CONTENT, SOON, embedded, expect_transfers, failure};
use crate::support::metrics::Metrics;
use crate::support::quirky::{HALF, Quirky};
use crate::support::reloading::{Site, fetched, on};
use crate::support::sockets::closed_port;
use crate::support::{Need, trial};

/// Files that are fetched while somebody reads the metrics.
const FETCHED: usize = 100;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("metrics: transfers, sessions and bytes", &[], transfers),
        trial("metrics: a success that was none", &[], corrected),
        trial("metrics: an attempt to connect that fails", &[], refused),
        trial("metrics: a login that is refused", &[], login_refused),
        trial("metrics: a plain connection that is cut", &[], plain),
        trial("metrics: tunnels of commands are one", &[], requested),
        trial("metrics: reloads, and a tunnel that is gone", &[], reloads),
        trial("metrics: bytes never become fewer", &[], monotone),
        trial("metrics: hooks by result", &[], hooks),
        trial("metrics: the guide lists them all", &[], documented),
        trial(
            "metrics: the dashboard and the rules name real ones",
            &[],
            queried,
        ),
        trial(
            "metrics: promtool reads them",
            &[Need::Program("promtool")],
            promtool,
        ),
        trial(
            "metrics: promtool tests the rules",
            &[Need::Program("promtool")],
            rules,
        ),
    ]
}

/// The labels of the tunnel of a fixture.
const TUNNEL: &str = r#"profile="id1",tunnel="127.0.0.1:0""#;

fn of_tunnel(name: &str, more: &str) -> String {
    match more {
        "" => format!("{name}{{{TUNNEL}}}"),
        more => format!("{name}{{{TUNNEL},{more}}}"),
    }
}

async fn transfers() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    ensure!(ftp.fetch("file").await? == CONTENT);
    ftp.store("new", &[7; 100_000]).await?;
    expect_transfers(&fixture.broker, 3).await?;
    let data = ftp.begin("EPSV", "RETR missing").await?;
    ftp.reply("550").await?;
    drop(data);
    let over = |status: &serde_json::Value| status["transfers"]["failed"] == 1;
    fixture.broker.wait_json(&["status"], SOON, over).await?;
    let metrics = Metrics::of(&fixture.broker).await?;
    for (name, more, value) in [
        ("ssh_broker_sessions_total", "", 1),
        ("ssh_broker_sessions_open", "", 1),
        ("ssh_broker_transfers_running", "", 0),
        ("ssh_broker_tunnel_failing", "", 0),
        ("ssh_broker_replies_corrected_total", "", 0),
        (
            "ssh_broker_transferred_bytes_total",
            r#"direction="up""#,
            100_000,
        ),
        (
            "ssh_broker_transferred_bytes_total",
            r#"direction="down""#,
            2 * CONTENT.len(),
        ),
        (
            "ssh_broker_transfers_total",
            r#"direction="download",result="complete""#,
            2,
        ),
        (
            "ssh_broker_transfers_total",
            r#"direction="upload",result="complete""#,
            1,
        ),
        (
            "ssh_broker_transfers_total",
            r#"direction="download",result="refused""#,
            1,
        ),
        (
            "ssh_broker_transfer_duration_seconds_count",
            r#"direction="download""#,
            2,
        ),
        (
            "ssh_broker_tunnel_state",
            r#"kind="ftp",state="listening""#,
            1,
        ),
    ] {
        let series = of_tunnel(name, more);
        let shown = metrics.get(&series)?;
        ensure!(shown == value as f64, "{series} is {shown}");
    }
    let up = metrics.get(r#"ssh_broker_ssh_connections{profile="id1",kind="control"}"#)?;
    ensure!(up == 1.0, "{up} control connections");
    let last = metrics.get(r#"ssh_broker_ssh_last_connected_timestamp_seconds{profile="id1"}"#)?;
    ensure!(last >= metrics.get("process_start_time_seconds")?);
    let attempts = metrics.sum(
        "ssh_broker_ssh_connection_attempts_total",
        &["result=\"ok\""],
    );
    let timed = metrics.sum(
        "ssh_broker_ssh_connection_attempt_duration_seconds_count",
        &["result=\"ok\""],
    );
    ensure!(attempts >= 2.0 && attempts == timed, "{attempts}, {timed}");
    #[cfg(target_os = "linux")]
    for name in ["process_open_fds", "process_resident_memory_bytes"] {
        ensure!(metrics.get(name)? > 5.0, "{name}");
    }
    Ok(())
}

/// The FTP server takes half an upload for the whole.
async fn corrected() -> anyhow::Result<()> {
    let rig = Quirky::start(Quirks::default()).await?;
    let mut ftp = rig.login().await?;
    let _data = rig.half_stored(&mut ftp, "EPSV").await?;
    rig.cut_data();
    rig.ftp().wait_for_line("< 226").await?;
    ensure!(failure(&mut ftp).await?.starts_with("426"));
    let over = |status: &serde_json::Value| status["transfers"]["failed"] == 1;
    rig.broker().wait_json(&["status"], SOON, over).await?;
    let metrics = Metrics::of(rig.broker()).await?;
    for (name, more, value) in [
        ("ssh_broker_replies_corrected_total", "", 1),
        ("ssh_broker_cuts_total", r#"reason="lost""#, 1),
        ("ssh_broker_tunnel_failing", "", 1),
        (
            "ssh_broker_transfers_total",
            r#"direction="upload",result="cut""#,
            1,
        ),
        (
            "ssh_broker_transferred_bytes_total",
            r#"direction="up""#,
            HALF.len(),
        ),
    ] {
        let series = of_tunnel(name, more);
        let shown = metrics.get(&series)?;
        ensure!(shown == value as f64, "{series} is {shown}");
    }
    let lost = metrics.sum("ssh_broker_ssh_connections_ended_total", &["end=\"lost\""]);
    ensure!(lost >= 1.0, "{lost} lost connections");
    Ok(())
}

async fn refused() -> anyhow::Result<()> {
    let closed = closed_port()?;
    let builder = embedded().profile(move |profile| profile.at(closed));
    let fixture = builder.start().await?;
    let told = Conversation::connect(fixture.tunnel).await?.reply().await?;
    ensure!(told.starts_with("421"), "{told}");
    let metrics = Metrics::of(&fixture.broker).await?;
    let attempts = metrics.get(
        r#"ssh_broker_ssh_connection_attempts_total{profile="id1",kind="control",result="refused"}"#,
    )?;
    ensure!(attempts == 1.0, "{attempts} attempts");
    let refused = of_tunnel("ssh_broker_sessions_refused_total", r#"reason="refused""#);
    ensure!(metrics.get(&refused)? == 1.0);
    ensure!(metrics.get(r#"ssh_broker_ssh_failing{profile="id1"}"#)? == 1.0);
    ensure!(metrics.get(&of_tunnel("ssh_broker_tunnel_failing", ""))? == 1.0);
    Ok(())
}

async fn login_refused() -> anyhow::Result<()> {
    let builder = embedded().profile(|mut profile| {
        profile.user = "nobody-there".to_owned();
        let methods = "<authentication-methods><auth-publickey/></authentication-methods>";
        profile.with(methods)
    });
    let fixture = builder.start().await?;
    let told = Conversation::connect(fixture.tunnel).await?.reply().await?;
    ensure!(told.starts_with("421"), "{told}");
    let metrics = Metrics::of(&fixture.broker).await?;
    for name in [
        "ssh_broker_ssh_connection_attempts_total",
        "ssh_broker_sessions_refused_total",
    ] {
        let (result, reason) = (r#"result="auth""#, r#"reason="auth""#);
        let count = metrics.sum(name, &[result]) + metrics.sum(name, &[reason]);
        ensure!(count == 1.0, "{count} for {name} in {metrics:#?}");
    }
    Ok(())
}

async fn plain() -> anyhow::Result<()> {
    let target = testkit::scripted::ScriptedListener::bind().await?;
    let to = target.addr();
    let builder = embedded().profile(move |mut profile| {
        profile.tunnels = vec![testkit::profile::Tunnel::tcp(to)];
        profile
    });
    let fixture = builder.start().await?;
    let mut client = Conversation::connect(fixture.tunnel).await?;
    client.send("hello").await?;
    let mut server = target.accept().await?;
    ensure!(server.bytes(5).await? == b"hello");
    let bytes = of_tunnel("ssh_broker_transferred_bytes_total", r#"direction="up""#);
    ensure!(Metrics::of(&fixture.broker).await?.get(&bytes)? == 5.0);
    for number in fixture.servers.ssh.connections() {
        fixture.servers.ssh.kill_connection(number);
    }
    client.end().await?;
    let ended = |status: &serde_json::Value| status["sessions"] == 0;
    fixture.broker.wait_json(&["status"], SOON, ended).await?;
    let metrics = Metrics::of(&fixture.broker).await?;
    ensure!(metrics.get(&bytes)? == 5.0);
    let cuts = of_tunnel("ssh_broker_cuts_total", r#"reason="lost""#);
    ensure!(metrics.get(&cuts)? == 1.0);
    Ok(())
}

/// Their number has no bound, so they have no labels of their own. Closing one takes nothing back.
async fn requested() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let ftp = fixture.servers.ftp.addr();
    let sessions = r#"ssh_broker_sessions_total{profile="on-request",tunnel="on-request"}"#;
    for count in 1..=2 {
        let spec = format!("ftp/0:{}:{}", ftp.ip(), ftp.port());
        let opened = broker
            .json(&["open-tunnel-listener", "-L", &spec, "work"])
            .await?;
        let port = u16::try_from(opened["port"].as_u64().context("no port")?)?;
        ensure!(fetched(([127, 0, 0, 1], port).into()).await? == CONTENT);
        broker
            .told(&["close-tunnel-listener", &format!(":{port}")])
            .await?;
        let metrics = Metrics::of(broker).await?;
        ensure!(metrics.get(sessions)? == f64::from(count));
        ensure!(!metrics.has_label(&format!(":{port}")));
    }
    Ok(())
}

async fn reloads() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let label = |at: std::net::SocketAddr| format!(r#"tunnel="{at}""#);
    let other = closed_port()?;
    let before = Metrics::of(&site.broker).await?;
    ensure!(before.has_label(&label(site.tunnel)));
    ensure!(before.get("ssh_broker_config_generation")? == 1.0);

    let mut profile = site.profile.clone();
    profile.tunnels = vec![on(site.servers.tunnel(), other)];
    site.reload(&profile.config()).await?;
    let after = Metrics::of(&site.broker).await?;
    ensure!(after.has_label(&label(other)) && !after.has_label(&label(site.tunnel)));
    ensure!(after.get("ssh_broker_config_generation")? == 2.0);
    ensure!(after.get("ssh_broker_config_last_reload_successful")? == 1.0);

    write_private(&site.broker.config_file(), "<broken")?;
    ensure!(!site.broker.ctl(&["reload"]).await?.status.success());
    let failed = Metrics::of(&site.broker).await?;
    ensure!(failed.get("ssh_broker_config_generation")? == 2.0);
    ensure!(failed.get("ssh_broker_config_last_reload_successful")? == 0.0);

    site.reload(&site.profile.config()).await?;
    let again = Metrics::of(&site.broker).await?;
    ensure!(again.get("ssh_broker_config_last_reload_successful")? == 1.0);
    Ok(())
}

/// A monitoring system takes a counter that falls for one that starts again, and adds all of it once more.
async fn monotone() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    let fetching = async {
        for _ in 0..FETCHED {
            ensure!(ftp.fetch("file").await? == CONTENT);
        }
        Ok(())
    };
    let mut fetching = std::pin::pin!(fetching);
    let series = of_tunnel("ssh_broker_transferred_bytes_total", r#"direction="down""#);
    let mut last = 0.0;
    loop {
        tokio::select! {
            fetched = &mut fetching => break fetched?,
            metrics = Metrics::of(&fixture.broker) => {
                let now = metrics?.get(&series)?;
                ensure!(now >= last, "{last} bytes became {now}");
                last = now;
            }
        }
    }
    expect_transfers(&fixture.broker, FETCHED).await?;
    let now = Metrics::of(&fixture.broker).await?.get(&series)?;
    ensure!(now == (FETCHED * CONTENT.len()) as f64, "{now} bytes");
    Ok(())
}

async fn hooks() -> anyhow::Result<()> {
    let hooks = r#"<hook on="transfer-complete" command="true"/>
        <hook on="transfer-complete" command="false"/>
        <hook on="transfer-complete" command="/nonexistent/program"/>"#;
    let fixture = embedded().settings(hooks).start().await?;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let runs = |result: &str| format!(r#"ssh_broker_hook_runs_total{{result="{result}"}}"#);
    fixture.broker.wait_log("hook succeeded", SOON).await?;
    fixture.broker.wait_log("hook failed", SOON).await?;
    fixture.broker.wait_log("hook cannot be run", SOON).await?;
    let metrics = Metrics::of(&fixture.broker).await?;
    for (result, count) in [
        ("ok", 1.0),
        ("failed", 1.0),
        ("not-run", 1.0),
        ("timeout", 0.0),
    ] {
        ensure!(
            metrics.get(&runs(result))? == count,
            "{result}: {metrics:#?}"
        );
    }
    Ok(())
}

fn source(path: &str) -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join(path));
    text.with_context(|| format!("cannot read {path}"))
}

/// Each row of the guide's table is name, kind and meaning, as the page says them.
async fn documented() -> anyhow::Result<()> {
    let broker = Broker::start(&config("", [""; 0]), &[]).await?;
    let page = Metrics::of(&broker).await?;
    let guide = source("docs/guide.md")?;
    for (name, family) in &page.families {
        let row = format!("| `{name}` | {} |", family.kind);
        let row = guide.lines().find(|line| line.starts_with(&row));
        let row = row.with_context(|| format!("docs/guide.md has no row for {name}"))?;
        ensure!(
            row.contains(&family.help),
            "{row}\ndoes not say\n{}",
            family.help
        );
    }
    let rows = guide
        .lines()
        .filter(|line| line.starts_with("| `ssh_broker_") || line.starts_with("| `process_"));
    let rows = rows.count();
    ensure!(rows == page.families.len(), "{rows} rows");
    Ok(())
}

/// The names of metrics in a query.
fn metrics_in(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|it| it.starts_with("ssh_broker_") || it.starts_with("process_"))
}

async fn queried() -> anyhow::Result<()> {
    let broker = Broker::start(&config("", [""; 0]), &[]).await?;
    let names = Metrics::of(&broker).await?.names();
    let dashboard: serde_json::Value =
        serde_json::from_str(&source("config/grafana/ssh-broker.json")?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels.iter().flat_map(|it| it["targets"].as_array());
    let queries: Vec<_> = targets.flatten().map(|it| it["expr"].to_string()).collect();
    ensure!(queries.len() > 10, "{queries:?}");
    let rules = source("config/prometheus/ssh-broker-rules.yml")?;
    let rules = rules.lines().filter(|it| !it.trim_start().starts_with('#'));
    let rules: String = rules.collect::<Vec<_>>().join("\n");
    for query in queries.iter().chain([&rules]) {
        ensure!(metrics_in(query).count() > 0, "{query}");
        for name in metrics_in(query) {
            ensure!(names.contains(name), "there is no {name}: {query}");
        }
    }
    Ok(())
}

async fn promtool() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let page = fixture.broker.told(&["metrics"]).await?;
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    tokio::io::AsyncWriteExt::write_all(&mut input, format!("{page}\n").as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    ensure!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    Ok(())
}

async fn rules() -> anyhow::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/prometheus");
    for arguments in [
        ["check", "rules", "ssh-broker-rules.yml"],
        ["test", "rules", "ssh-broker-rules-test.yml"],
        ["check", "config", "prometheus.yml"],
    ] {
        let mut command = Command::new("promtool");
        command.args(arguments).current_dir(&directory);
        let output = command.output().await?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
    }
    Ok(())
}
