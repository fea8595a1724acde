//! What broker-ctl shows and does, as a person and as a script see it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::{self, Broker};
use testkit::client::Output;
use testkit::files;
use testkit::process::Process;
use testkit::programs::broker_program;
use testkit::scripted::{Conversation, End};
use tokio::time::timeout;

use crate::support::ftp::Ftp;
use crate::support::rig::{CONTENT, Peers, SOON};
use crate::support::trial;

/// More than the buffers on the way hold.
const BIG: usize = 64 << 20;

/// What has been moved when the daemon is asked.
const MOVED: usize = 1 << 20;

/// Descriptors that are too few for as many clients.
const FEW: u64 = 64;

/// The command line makes no sense.
const USAGE: i32 = 2;

/// No daemon could be reached.
const UNREACHABLE: i32 = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "ctl: open-tunnel-listener through a profile",
            &[],
            open_through_profile,
        ),
        trial(
            "ctl: open-tunnel-listener through user@host#port",
            &[],
            open_through_target,
        ),
        trial(
            "ctl: open-tunnel-listener with several tunnels",
            &[],
            open_several,
        ),
        trial(
            "ctl: open-tunnel-listener with options of the file",
            &[],
            open_with_options,
        ),
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
        trial("ctl: what is refused, and the exit status", &[], refusals),
        trial("ctl: no daemon", &[], no_daemon),
        trial("ctl: no descriptor is left", &[], no_descriptors),
        trial("ctl: check-config", &[], check_config),
    ]
}

/// A broker with one tunnel, whose profile is `id1`, named `work`.
async fn start() -> anyhow::Result<(Peers, Broker)> {
    let peers = Peers::start().await?;
    let broker = Broker::start(&peers.config(), &[]).await?;
    Ok((peers, broker))
}

/// A download in its middle.
async fn download(peers: &Peers, broker: &Broker) -> anyhow::Result<(Ftp, Conversation)> {
    fs::write(peers.root.path().join("big file"), files::pattern(1, BIG))?;
    let mut ftp = Ftp::login(broker.listener(0).await?).await?;
    let mut data = ftp.passive("EPSV").await?;
    ftp.ask("RETR big file", "150").await?;
    let first = data.bytes(MOVED).await?;
    ensure!(first == files::pattern(1, BIG)[..MOVED]);
    Ok((ftp, data))
}

async fn fetches(tunnel: SocketAddr) -> anyhow::Result<()> {
    let mut ftp = Ftp::login(tunnel).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

fn address(listener: &Value) -> anyhow::Result<SocketAddr> {
    let ip = listener["address"].as_str().context("no address")?;
    let port = listener["port"].as_u64().context("no port")?;
    Ok(SocketAddr::new(ip.parse()?, u16::try_from(port)?))
}

async fn open_through_profile() -> anyhow::Result<()> {
    let (peers, broker) = start().await?;
    let port = peers.ftp.addr().port().to_string();
    let spec = format!("ftp/0:localhost:{port}");
    let bracketed = format!("ftp/[::1]:0:localhost:{port}");
    for words in [
        &["-L", &spec, "work"] as &[&str],
        &["-L", &spec, "id1"],
        &["--local", &bracketed, "work"],
        &["--type", "ftp", "0", "work", "localhost", &port],
    ] {
        let command = [&["open-tunnel-listener"], words].concat();
        let opened = broker.json(&command).await?;
        let expected = [
            ("kind", "ftp"),
            ("profile", "id1"),
            ("state", "listening"),
            ("origin", "command"),
        ];
        for (field, value) in expected {
            ensure!(opened[field] == value, "{words:?}: {field} in {opened:#}");
        }
        ensure!(
            opened["target"]
                .as_str()
                .is_some_and(|t| t.starts_with("user@127.0.0.1#")),
            "{opened:#}"
        );
        fetches(address(&opened)?)
            .await
            .with_context(|| format!("{words:?}"))?;
    }
    let text = broker
        .told(&["open-tunnel-listener", "-L", &spec, "work"])
        .await?;
    ensure!(
        text.starts_with("Opened ftp tunnel ") && text.contains(&format!(" to localhost:{port} ")),
        "{text}"
    );
    let listeners = broker.json(&["list-tunnel-listeners"]).await?;
    let origins = listeners
        .as_array()
        .context("no list")?
        .iter()
        .map(|one| &one["origin"]);
    let origins: Vec<&str> = origins.filter_map(Value::as_str).collect();
    ensure!(
        origins
            == [
                "file", "command", "command", "command", "command", "command"
            ],
        "{origins:?}"
    );
    let table = broker.told(&["list-tunnel-listeners"]).await?;
    ensure!(
        table.lines().count() == 7 && table.contains("  [::1]:") && !table.contains("[["),
        "{table}"
    );
    Ok(())
}

/// A daemon of somebody who uses OpenSSH already: their keys and known hosts serve a target that no file names.
async fn open_through_target() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let home = tempfile::tempdir()?;
    let login = &peers.embedded.login;
    let (host, port) = (login.server.ip(), login.server.port());
    fs::create_dir(home.path().join(".ssh"))?;
    let known = format!("[{host}]:{port} {}\n", login.host_key);
    fs::write(home.path().join(".ssh/known_hosts"), known)?;
    let (daemon, socket) = at_home(home.path())?;
    daemon.wait_log("broker ready", SOON).await?;
    let spec = format!("ftp/0:localhost:{}", peers.ftp.addr().port());
    let target = format!("user@{host}#{port}");
    let open = ["open-tunnel-listener", "--json", "-L", &spec, &target];

    let refused = broker::ctl(&socket, &open).await?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(
        refused
            .stderr
            .contains("did not accept user user: tried the prompt for the password"),
        "{refused:?}"
    );

    fs::copy(&login.identity, home.path().join(".ssh/id_ed25519"))?;
    let opened = broker::ctl(&socket, &open).await?.success()?;
    let opened: Value = serde_json::from_slice(&opened.stdout)?;
    ensure!(
        opened["target"] == *target && opened["profile"].is_null(),
        "{opened:#}"
    );
    fetches(address(&opened)?).await?;

    // Its connections end with its last user.
    let id = opened["id"].to_string();
    let close = ["close-tunnel-listener", &id];
    broker::ctl(&socket, &close).await?.success()?;
    let gone = async {
        while peers.embedded.ssh.counters().connections_open > 0 {
            broker::ctl(&socket, &["list-connections"]).await?;
        }
        anyhow::Ok(())
    };
    timeout(SOON, gone).await?
}

/// Starts a daemon without any configuration of tunnels, whose user has this home.
fn at_home(home: &Path) -> anyhow::Result<(Process, PathBuf)> {
    let (config, socket) = (home.join("config.xml"), home.join("run/broker.sock"));
    let patient = r#"<default-settings><idle-timeout time="600"/></default-settings>"#;
    let text = format!("<secsh-broker>{patient}</secsh-broker>");
    broker::write_private(&config, &text)?;
    let mut command = Command::new(broker_program("brokerd")?);
    command
        .arg("--config")
        .arg(config)
        .arg("--socket")
        .arg(&socket);
    command.env("HOME", home).env_remove("SSH_AUTH_SOCK");
    Ok((Process::spawn(command, None)?, socket))
}

async fn open_several() -> anyhow::Result<()> {
    let (peers, broker) = start().await?;
    let spec = format!("ftp/0:localhost:{}", peers.ftp.addr().port());
    let taken = format!("ftp/{}:localhost:21", broker.listener(0).await?.port());
    let command = [
        "open-tunnel-listener",
        "-L",
        &spec,
        "-L",
        &taken,
        "-L",
        &spec,
        "work",
    ];
    let output = broker.ctl(&command).await?;
    ensure!(
        output.status.code() == Some(1) && output.stderr.contains("in use"),
        "{output:?}"
    );
    ensure!(output.text().lines().count() == 2, "{output:?}");
    ensure!(count(&broker).await? == 3);

    let all_or_none = [&command[..], &["--abort-on-failing-tunnel"]].concat();
    let output = broker.ctl(&all_or_none).await?;
    ensure!(
        output.status.code() == Some(1) && output.stdout.is_empty(),
        "{output:?}"
    );
    ensure!(count(&broker).await? == 3);
    Ok(())
}

async fn open_with_options() -> anyhow::Result<()> {
    let (peers, broker) = start().await?;
    let spec = format!("ftp/0:localhost:{}", peers.ftp.addr().port());
    let open = ["open-tunnel-listener", "-L", &spec, "work"];
    let one_client = [&open[..], &["--option", "max-sessions=1"]].concat();
    let tunnel = address(&broker.json(&one_client).await?)?;
    let first = Ftp::login(tunnel).await?;
    let told = Conversation::connect(tunnel).await?.reply().await?;
    ensure!(told.contains("already serves 1 sessions"), "{told}");
    drop(first);
    for (option, said) in [
        (
            "tls=maybe",
            "`tls` cannot be `maybe`: it can be `refuse`, `pass`",
        ),
        ("passive-port=1-2", "did you mean `passive-ports`?"),
        ("dst-port=22", "`dst-port` is given already"),
    ] {
        let output = broker
            .ctl(&[&open[..], &["--option", option]].concat())
            .await?;
        refused(&output, 1, &[said])?;
    }
    ensure!(count(&broker).await? == 2);
    Ok(())
}

async fn count(broker: &Broker) -> anyhow::Result<usize> {
    let listeners = broker.json(&["list-tunnel-listeners"]).await?;
    Ok(listeners.as_array().context("no list")?.len())
}

async fn lists() -> anyhow::Result<()> {
    let (peers, broker) = start().await?;
    let (mut ftp, mut data) = download(&peers, &broker).await?;

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
    broker
        .wait_json(&["list-channels"], SOON, |channels| {
            *channels == Value::Array(Vec::new())
        })
        .await?;
    ensure!(broker.told(&["list-channels"]).await? == "No SSH channels\n");
    ensure!(broker.told(&["list-channels", "--short"]).await?.is_empty());
    Ok(())
}

async fn close_channel() -> anyhow::Result<()> {
    let (peers, broker) = start().await?;
    let (mut ftp, mut data) = download(&peers, &broker).await?;
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
    let (peers, broker) = start().await?;
    let (mut ftp, mut data) = download(&peers, &broker).await?;
    let id = broker.json(&["list-channels"]).await?[1]["connection"].to_string();
    broker.told(&["close-connection", &id]).await?;
    ensure!(data.end().await? == End::Reset);
    ftp.reply("426").await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn close_listener() -> anyhow::Result<()> {
    let (peers, broker) = start().await?;
    let (mut ftp, mut data) = download(&peers, &broker).await?;
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
        peers.ftp.addr().port()
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

fn refused(output: &Output, code: i32, parts: &[&str]) -> anyhow::Result<()> {
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
    let (_peers, broker) = start().await?;
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
            1,
            &["in use"],
        ),
        (
            &[
                "open-tunnel-listener",
                "-L",
                "ftp/0:h:21",
                "no.such.host.invalid",
            ],
            1,
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
    ensure!(count(&broker).await? == 0);
    Ok(())
}

/// Clients of tunnels have taken every descriptor there is; whoever steers the daemon is let in all the same.
async fn no_descriptors() -> anyhow::Result<()> {
    let (peers, broker) = start().await?;
    let tunnel = broker.listener(0).await?;
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
    let process = broker.process();
    process.wait_log("could not be accepted", SOON).await?;
    for _ in 0..5 {
        let status = broker.json(&["status"]).await?;
        ensure!(status["tunnels"] == 1, "{status:#}");
        let listed = broker.told(&["list-channels"]).await?;
        ensure!(!listed.is_empty());
    }
    drop(clients);
    let gone = |status: &Value| status["sessions"] == 0;
    broker.wait_json(&["status"], SOON, gone).await?;
    fetches(tunnel).await?;
    drop(peers);
    Ok(())
}

async fn no_daemon() -> anyhow::Result<()> {
    let (_peers, mut broker) = start().await?;
    broker.kill();
    let folder = tempfile::tempdir()?;
    let nowhere = folder.path().join("nobody.sock");
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
    let folder = tempfile::tempdir()?;
    let nowhere = folder.path().join("nobody.sock");
    let file = folder.path().join("file.xml");
    let check = async |text: &str| {
        broker::write_private(&file, text)?;
        broker::ctl(&nowhere, &["check-config", &file.to_string_lossy()]).await
    };
    let good = check(&Peers::start().await?.config()).await?.success()?;
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
        "file.xml:3:28",
        "not closed",
        "is empty",
        "^^^^",
        "help: ",
        "not valid: 2 errors",
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
