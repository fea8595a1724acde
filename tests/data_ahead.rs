//! The next data connection, prepared before the client asks for it, with real clients and servers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::{self, Broker};
use testkit::client::{self, curl, lftp};
use testkit::files::{make_tree, tree, write_pattern};
use testkit::ftp_client::FtpClient;
use testkit::programs::PYTHON;
use testkit::scripted::Conversation;

use crate::support::compare::same_files;
use crate::support::fixture::{CONTENT, Real, SOON, nothing_is_dialled, nothing_is_left, real};
use crate::support::sockets::closed_port;
use crate::support::{Need, trial, trial_within};

const LIMIT: Duration = Duration::from_secs(60);

/// The line in the daemon's log for a data connection that was prepared and used.
const READY: &str = "the client asked for the data connection that was prepared";

const FILES: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    let with = |program| {
        [
            Need::Program("sshd"),
            Need::Program("vsftpd"),
            Need::Program(program),
        ]
    };
    let real = [Need::Program("sshd"), Need::Program("vsftpd")];
    vec![
        trial("data ahead: a tunnel is closed", &real, || closed("EPSV")),
        trial("data ahead: a tunnel is closed, active", &real, || {
            closed("EPRT")
        }),
        trial("data ahead: a stranger at a prepared port", &real, stranger),
        trial("data ahead: a takeover", &real, || taken_over("EPSV")),
        trial("data ahead: a takeover, active", &real, || {
            taken_over("EPRT")
        }),
        trial_within(LIMIT, "data ahead: curl down", &with("curl"), || {
            curl_down(&[])
        }),
        trial_within(LIMIT, "data ahead: curl up", &with("curl"), || curl_up(&[])),
        trial_within(LIMIT, "data ahead: lftp mirror", &with("lftp"), || {
            lftp_mirror(true)
        }),
        trial_within(LIMIT, "data ahead: ftplib", &with("python3"), || {
            ftplib("passive")
        }),
        trial_within(
            LIMIT,
            "data ahead: curl down, active",
            &with("curl"),
            || curl_down(&ACTIVE),
        ),
        trial_within(LIMIT, "data ahead: curl up, active", &with("curl"), || {
            curl_up(&ACTIVE)
        }),
        trial_within(
            LIMIT,
            "data ahead: lftp mirror, active",
            &with("lftp"),
            || lftp_mirror(false),
        ),
        trial_within(
            LIMIT,
            "data ahead: ftplib, active",
            &with("python3"),
            || ftplib("active"),
        ),
    ]
}

/// How curl is told to use active mode.
const ACTIVE: [&str; 2] = ["--ftp-port", "-"];

/// Servers where every transfer is followed by a prepared connection. The broker has the two SSH connections that this
/// needs: a burst within one host may be over before they are dialled.
async fn prepared() -> anyhow::Result<Real> {
    let fixture = real().tunnel(r#"data-ahead="yes""#).start().await?;
    let mut ftp = FtpClient::login(fixture.tunnel).await?;
    ftp.announced("EPSV").await?;
    let dialled = r#"carries="data connections""#;
    fixture.broker.wait_log_times(dialled, 2, SOON).await?;
    Ok(fixture)
}

/// A client for which a data connection of this mode is prepared.
async fn client_with_one(
    broker: &Broker,
    tunnel: SocketAddr,
    mode: &str,
) -> anyhow::Result<FtpClient> {
    let mut ftp = FtpClient::login(tunnel).await?;
    ftp.fetch_by(mode, "file").await?;
    // A connection that is still being made carries nothing that may not be needed.
    nothing_is_dialled(broker).await?;
    ftp.fetch_by(mode, "file").await?;
    let one = |channels: &Value| unused(channels).count() == 1;
    broker.wait_json(&["list-channels"], SOON, one).await?;
    Ok(ftp)
}

/// The channels for data connections that no transfer uses.
fn unused(channels: &Value) -> impl Iterator<Item = &Value> {
    let all = channels.as_array().into_iter().flatten();
    all.filter(|one| one["kind"] == "data" && one["command"].is_null())
}

/// Nobody but the FTP server may connect for the client's transfer, and that comes later.
async fn stranger() -> anyhow::Result<()> {
    let fixture = prepared().await?;
    let broker = &fixture.broker;
    let mut ftp = client_with_one(broker, fixture.tunnel, "EPRT").await?;
    let channels = broker.json(&["list-channels"]).await?;
    let target = unused(&channels).next().map(|one| &one["target"]);
    let port = target.and_then(Value::as_str).context("no target")?;
    let mut stranger = Conversation::connect(port.parse()?).await?;
    ensure!(stranger.rest().await.unwrap_or_default().is_empty());
    broker
        .wait_log("refused a connection to a prepared data port", SOON)
        .await?;
    let gone = |channels: &Value| unused(channels).next().is_none();
    broker.wait_json(&["list-channels"], SOON, gone).await?;
    ensure!(ftp.fetch_by("EPRT", "file").await? == CONTENT);
    ensure!(ftp.fetch_by("EPRT", "file").await? == CONTENT);
    ftp.ask("QUIT", "221").await?;
    nothing_is_left(broker, "list-channels").await
}

async fn closed(mode: &str) -> anyhow::Result<()> {
    let fixture = prepared().await?;
    let broker = &fixture.broker;
    let mut ftp = client_with_one(broker, fixture.tunnel, mode).await?;
    let at = format!(":{}", fixture.tunnel.port());
    broker.told(&["close-tunnel-listener", &at]).await?;
    ensure!(ftp.fetch_by(mode, "file").await? == CONTENT);
    ftp.ask("QUIT", "221").await?;
    nothing_is_left(broker, "list-channels").await?;
    nothing_is_left(broker, "list-sessions").await
}

async fn taken_over(mode: &str) -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let tunnel = closed_port()?;
    let mut profile = servers.profile()?;
    profile.tunnels = profile
        .tunnels
        .into_iter()
        .map(|mut it| {
            it.port = tunnel.port();
            it.with(r#"data-ahead="yes""#)
        })
        .collect();
    let config = profile.config();
    let mut old = Broker::start(&config, &["--grace", "600"]).await?;
    let mut ftp = client_with_one(&old, tunnel, mode).await?;
    let new = broker::launch(old.directory(), &config, &["--takeover"])?;
    new.wait_log("broker ready", SOON).await?;
    old.wait_log("another process serves the sockets", SOON)
        .await?;
    ensure!(ftp.fetch_by(mode, "file").await? == CONTENT);
    ftp.ask("QUIT", "221").await?;
    let status = old.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    ensure!(FtpClient::login(tunnel).await?.fetch("file").await? == CONTENT);
    Ok(())
}

/// Makes the files, and returns their names.
fn files(directory: &Path) -> anyhow::Result<Vec<String>> {
    let names = (0..FILES).map(|number| format!("file{number}"));
    names
        .zip(0..)
        .map(|(name, number)| {
            write_pattern(&directory.join(&name), number, number * 1037)?;
            Ok(name)
        })
        .collect()
}

fn same(names: &[String], one: &Path, other: &Path) -> anyhow::Result<()> {
    names
        .iter()
        .try_for_each(|name| same_files(&one.join(name), &other.join(name)))
}

fn most_were_ready(fixture: &Real, transfers: usize) -> anyhow::Result<()> {
    let log = fixture.broker.log();
    let ready = log.matches(READY).count();
    ensure!(
        ready >= transfers / 2,
        "{ready} of {transfers} were ready:\n{log}"
    );
    ensure!(!log.contains("transfer failed"), "one failed:\n{log}");
    Ok(())
}

async fn curl_down(mode: &[&str]) -> anyhow::Result<()> {
    let (fixture, home) = (prepared().await?, tempfile::tempdir()?);
    let root = fixture.servers.ftp.root();
    let names = files(&root)?;
    let mut arguments: Vec<String> = mode.iter().map(ToString::to_string).collect();
    for name in &names {
        let to = home.path().join(name).display().to_string();
        let from = format!("ftp://{}/{name}", fixture.tunnel);
        arguments.extend(["-o".to_owned(), to, from]);
    }
    curl(arguments, LIMIT).await?.success()?;
    same(&names, home.path(), &root)?;
    most_were_ready(&fixture, FILES)
}

async fn curl_up(mode: &[&str]) -> anyhow::Result<()> {
    let (fixture, home) = (prepared().await?, tempfile::tempdir()?);
    let names = files(home.path())?;
    let mut arguments: Vec<String> = mode.iter().map(ToString::to_string).collect();
    for name in &names {
        let from = home.path().join(name).display().to_string();
        let to = format!("ftp://{}/{name}", fixture.tunnel);
        arguments.extend(["-T".to_owned(), from, to]);
    }
    curl(arguments, LIMIT).await?.success()?;
    same(&names, home.path(), &fixture.servers.ftp.root())?;
    most_were_ready(&fixture, FILES)
}

async fn lftp_mirror(passive: bool) -> anyhow::Result<()> {
    let (fixture, home) = (prepared().await?, tempfile::tempdir()?);
    let (there, here) = (
        fixture.servers.ftp.root().join("tree"),
        home.path().join("copy"),
    );
    make_tree(&there, FILES as u64)?;
    let script = format!(
        "set ftp:passive-mode {passive}; open ftp://{}; mirror tree copy",
        fixture.tunnel
    );
    lftp(&script, home.path(), LIMIT).await?.success()?;
    ensure!(tree(&there)? == tree(&here)?, "the trees differ");
    most_were_ready(&fixture, FILES)
}

/// Commands between the transfers, the other mode than the argument names in the middle, and a file that is not there.
const SCRIPT: &str = r#"
import ftplib, sys
host, port = sys.argv[1].rsplit(":", 1)
ftp = ftplib.FTP()
ftp.connect(host, int(port), timeout=20)
ftp.login()
for number in range(20):
    name = f"file{number}"
    got = []
    ftp.set_pasv((number % 7 == 5) == (sys.argv[2] == "active"))
    if number % 4 == 3:
        ftp.cwd(ftp.pwd())
        ftp.size(name)
    if number % 6 == 4:
        try:
            ftp.retrbinary("RETR missing", got.append)
        except ftplib.error_perm as error:
            assert str(error).startswith("550"), error
    if number % 9 == 8:
        for command in "RETR " + name, "STOR new":
            try:
                ftp.sendcmd(command)
            except ftplib.error_temp as error:
                assert str(error).startswith("425"), error
    ftp.retrbinary("RETR " + name, got.append)
    assert len(b"".join(got)) == number * 1037, name
    assert ftp.voidcmd("NOOP").startswith("200")
assert "new" not in ftp.nlst()
assert ftp.quit().startswith("221")
"#;

async fn ftplib(mostly: &str) -> anyhow::Result<()> {
    let fixture = prepared().await?;
    files(&fixture.servers.ftp.root())?;
    let mut command = Command::new(PYTHON.find()?);
    command.args(["-c", SCRIPT, &fixture.tunnel.to_string(), mostly]);
    client::run(command, LIMIT).await?.success()?;
    most_were_ready(&fixture, FILES / 2)
}
