//! The log as its reader meets it: one line for each thing that fails, values that a program can take apart, and the
//! transfers once more as FTP servers log them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Map, Value};
use testkit::broker::{Broker, BrokerOptions, command, write_private};
use testkit::client;
use testkit::fixture::Fixture;
use testkit::ftp_client::{FtpClient, port_command};
use testkit::profile::{Profile, Tunnel};
use testkit::scripted::{Conversation, ScriptedListener};
use testkit::sshd::SshdOptions;
use testkit::terminal::Terminal;
use testkit::vsftpd::VsftpdOptions;

use crate::support::bad_tunnel::refusal;
use crate::support::fixture::{CONTENT, SOON, embedded, real_with};
use crate::support::sockets::{closed_port, eventually, logged};
use crate::support::{Need, REAL, trial};

const WITH_CURL: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("curl"),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("log: one line where the SSH server is down", &[], ssh_down),
        trial("log: one line where the FTP server is down", &[], ftp_down),
        trial(
            "log: one line where the SSH server forbids channels",
            &[],
            forbidden,
        ),
        trial(
            "log: one line for a tunnel with too many sessions",
            &[],
            too_many,
        ),
        trial(
            "log: what the client learns anyway is no warning",
            REAL,
            told_to_client,
        ),
        trial(
            "log: a tunnel that works again says so, and a new fault is news",
            &[],
            works_again,
        ),
        trial(
            "log: the xferlog says what the FTP server's own says",
            WITH_CURL,
            same_xferlog,
        ),
        trial(
            "log: a reload adds and removes an xferlog",
            &[],
            reloaded_xferlog,
        ),
        trial(
            "log: the level of a running daemon changes and comes back",
            &[],
            level,
        ),
        trial("log: JSON lines are flat objects", &[], json),
        trial(
            "log: colour is for terminals whose user wants it",
            &[],
            colour,
        ),
    ]
}

/// The lines of this level that a part of the daemon has written.
fn lines(log: &str, level: &str) -> Vec<String> {
    let level = format!(" {level} ");
    let own = log.lines().filter(|line| line.contains(&level));
    own.map(str::to_owned).collect()
}

/// Ends the daemon, which reports what it has summed up, and returns its whole log.
async fn whole_log(broker: &mut Broker) -> anyhow::Result<String> {
    broker.stop(SOON).await?;
    Ok(broker.log())
}

/// Two clients fail in the same way. The log has one warning for the first, which says what is wrong, and at most one that
/// counts the other.
async fn one_warning(mut broker: Broker, parts: &[&str]) -> anyhow::Result<()> {
    let tunnel = broker.listener(0).await?;
    for _ in 0..2 {
        let reply = refusal(tunnel).await?;
        ensure!(reply.starts_with("421 "), "{reply}");
    }
    only_warning(&whole_log(&mut broker).await?, parts)
}

fn only_warning(log: &str, parts: &[&str]) -> anyhow::Result<()> {
    let warnings = lines(log, "WARN");
    let (summed_up, first): (Vec<_>, Vec<_>) = warnings
        .iter()
        .partition(|line| line.contains(" 1 more of "));
    let [first] = first.as_slice() else {
        anyhow::bail!("not one warning: {warnings:#?}");
    };
    for part in parts {
        ensure!(first.contains(part), "{first} does not say {part}");
    }
    ensure!(summed_up.len() <= 1, "{summed_up:#?}");
    ensure!(lines(log, "ERROR").is_empty(), "{log}");
    Ok(())
}

async fn ssh_down() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let nobody = closed_port()?;
    let broker = Broker::start(&servers.profile()?.at(nobody).config(), &[]).await?;
    one_warning(
        broker,
        &["cannot connect to SSH server", &nobody.to_string()],
    )
    .await
}

async fn ftp_down() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let nobody = closed_port()?;
    let mut profile = servers.profile()?;
    profile.tunnels = vec![Tunnel::ftp(nobody)];
    let broker = Broker::start(&profile.config(), &[]).await?;
    one_warning(broker, &["session refused", &nobody.to_string()]).await
}

async fn forbidden() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    servers.ssh.set_allow_local_forward(false);
    let broker = Broker::start(&servers.profile()?.config(), &[]).await?;
    one_warning(broker, &["session refused", "administratively prohibited"]).await
}

async fn too_many() -> anyhow::Result<()> {
    let fixture = embedded().tunnel(r#"max-sessions="1""#).start().await?;
    let _first = fixture.login().await?;
    let mut broker = fixture.broker;
    refusal(fixture.tunnel).await?;
    refusal(fixture.tunnel).await?;
    // The client reads why, and nothing is broken.
    let log = whole_log(&mut broker).await?;
    let found = log.matches(": client refused reason=").count();
    ensure!(
        found == 1 && log.contains(" INFO 1 more of tunnel 1 "),
        "{log}"
    );
    ensure!(lines(&log, "WARN").is_empty(), "{log}");
    Ok(())
}

/// A login, a file and a listener of the SSH server that do not exist: the client reads why, so the log has one line of
/// information for each.
async fn told_to_client() -> anyhow::Result<()> {
    let sshd = SshdOptions {
        allow_tcp_forwarding: "local",
        ..SshdOptions::default()
    };
    let mut fixture = real_with(sshd, VsftpdOptions::default()).start().await?;
    let mut ftp = FtpClient::connect(fixture.tunnel).await?;
    ftp.ask("USER somebody", "530").await?;
    let mut ftp = fixture.login().await?;
    let own = ScriptedListener::bind().await?;
    ftp.ask(&port_command("PORT", own.addr()), "425 ").await?;
    let data = ftp.passive("EPSV").await?;
    ftp.ask("RETR missing", "550").await?;
    drop(data);
    ftp.ask("QUIT", "221").await?;
    logged(|| fixture.broker.log(), "transfer refused: 550 ", 1).await?;
    let log = whole_log(&mut fixture.broker).await?;
    for (text, says) in [
        ("login refused: 530 ", "session{id="),
        ("command refused: 425 ", "by=\"ssh\""),
        ("transfer refused: 550 ", "command=\"RETR missing\""),
    ] {
        let found: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
        let [line] = found.as_slice() else {
            anyhow::bail!("not one line {text:?}: {log}");
        };
        ensure!(line.contains(" INFO ") && line.contains(says), "{line}");
    }
    ensure!(lines(&log, "WARN").is_empty(), "{log}");
    Ok(())
}

async fn works_again() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let ssh = &fixture.servers.ssh;
    let log = || fixture.broker.log();
    let refused = "session refused reason=";
    for round in 1..=2 {
        ssh.set_allow_local_forward(false);
        refusal(fixture.tunnel).await?;
        logged(log, refused, round).await?;
        ssh.set_allow_local_forward(true);
        let mut ftp = fixture.login().await?;
        logged(log, "tunnel works again", round).await?;
        ftp.ask("QUIT", "221").await?;
    }
    Ok(())
}

/// A configuration with this log target.
fn with_target(profile: &Profile, kind: &str, file: &Path) -> String {
    let target = format!(
        "<logging><log-target type=\"{kind}\" file=\"{}\"/></logging>\n</secsh-broker>",
        file.display()
    );
    profile.config().replace("</secsh-broker>", &target)
}

/// The fields of each line: without the times, which two clocks measure, and the user, whom vsftpd calls by the password
/// of an anonymous login, which the broker never logs.
fn fields(text: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() == 18, "{line:?}");
        chrono_like(&words[..5])?;
        let _seconds: u64 = words[5].parse().with_context(|| line.to_owned())?;
        let kept = words[6..13].iter().chain(&words[14..]);
        all.push(kept.map(|word| (*word).to_owned()).collect());
    }
    Ok(all)
}

/// A time such as `Thu Nov  5 00:00:02 2026`.
fn chrono_like(words: &[&str]) -> anyhow::Result<()> {
    let [weekday, month, day, clock, year] = words else {
        anyhow::bail!("{words:?}");
    };
    let numbers = format!("{day}:{clock}:{year}");
    let numbers: Result<Vec<u32>, _> = numbers.split(':').map(str::parse).collect();
    ensure!(weekday.len() == 3 && month.len() == 3 && numbers?.len() == 5);
    Ok(())
}

async fn same_xferlog() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let (own, servers_own) = (
        directory.path().join("xferlog"),
        directory.path().join("vsftpd"),
    );
    let vsftpd = VsftpdOptions {
        extra_config: vec![
            "xferlog_std_format=YES".to_owned(),
            format!("xferlog_file={}", servers_own.display()),
        ],
        ..VsftpdOptions::default()
    };
    let servers = real_with(SshdOptions::default(), vsftpd)
        .file("a name", "content of two words")
        .servers()
        .await?;
    let config = with_target(&servers.profile()?, "xferlog", &own);
    let broker = Broker::start(&config, &[]).await?;
    let tunnel = broker.listener(0).await?;
    let upload = directory.path().join("upload");
    fs::write(&upload, [7; 70_000])?;
    let upload = upload.display().to_string();
    let url = |path: &str| format!("ftp://{tunnel}/{path}");
    for arguments in [
        vec![url("a%20name")],
        vec!["--use-ascii".to_owned(), url("a%20name")],
        vec!["--upload-file".to_owned(), upload, url("new")],
        vec!["--ftp-port".to_owned(), "-".to_owned(), url("new")],
        // Neither logs a listing.
        vec![url("")],
    ] {
        let output = client::curl(&arguments, SOON).await?;
        ensure!(output.status.success(), "{arguments:?} {output:?}");
    }
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    eventually("both logs are written", || {
        [&own, &servers_own].map(|it| read(it).lines().count()) == [4, 4]
    })
    .await?;
    let (ours, theirs) = (fields(&read(&own))?, fields(&read(&servers_own))?);
    ensure!(ours == theirs, "{ours:#?} {theirs:#?}");
    Ok(())
}

async fn reloaded_xferlog() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let servers = embedded().servers().await?;
    let profile = servers.profile()?;
    let broker = Broker::start(&profile.config(), &[]).await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    let count = |name| {
        fs::read_to_string(path(name))
            .unwrap_or_default()
            .lines()
            .count()
    };
    for (config, name) in [
        (with_target(&profile, "xferlog", &path("first")), "first"),
        (profile.config(), ""),
        (with_target(&profile, "xferlog", &path("last")), "last"),
    ] {
        write_private(&broker.config_file(), &config)?;
        broker.told(&["reload"]).await?;
        ensure!(ftp.fetch("file").await? == CONTENT);
        if !name.is_empty() {
            eventually("the transfer is logged", || count(name) == 1).await?;
        }
    }
    ensure!(count("first") == 1 && count("last") == 1);
    Ok(())
}

/// One session with a transfer, to its last line.
async fn session<S, F>(fixture: &Fixture<S, F>, sessions: usize) -> anyhow::Result<()> {
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    ftp.ask("QUIT", "221").await?;
    logged(|| fixture.broker.log(), "session closed", sessions).await
}

async fn level() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let since = |line: &str| {
        let log = broker.log();
        let (_, since) = log.rsplit_once(line)?;
        Some(since.to_owned())
    };
    broker.told(&["debug", "info"]).await?;
    let shown = broker.json(&["debug"]).await?;
    ensure!(
        shown["level"] == "info" && shown["default"] == "debug",
        "{shown:#}"
    );
    session(&fixture, 1).await?;
    let quiet = since("log level changed level=info").context("no line about the level")?;
    ensure!(lines(&quiet, "DEBUG").is_empty(), "{quiet}");
    ensure!(quiet.contains("transfer complete"), "{quiet}");

    let misspelt = broker.ctl(&["debug", "inof"]).await?;
    let says = misspelt.stderr.contains("error, warn, info, debug, trace");
    ensure!(!misspelt.status.success() && says, "{misspelt:?}");
    broker.told(&["debug", "default"]).await?;
    session(&fixture, 2).await?;
    let loud = since("log level changed level=debug").context("the level is not back")?;
    ensure!(loud.contains("command verb=RETR"), "{loud}");
    Ok(())
}

async fn json() -> anyhow::Result<()> {
    let mut fixture = embedded()
        .arguments(&["--log-format", "json"])
        .start()
        .await?;
    session(&fixture, 1).await?;
    let log = whole_log(&mut fixture.broker).await?;
    let mut found = Vec::new();
    for line in log.lines() {
        let fields: Map<String, Value> = serde_json::from_str(line).context(line.to_owned())?;
        let nested = |value: &Value| value.is_object() || value.is_array();
        ensure!(!fields.values().any(nested), "not flat: {line}");
        // A name that occurs twice would be lost in between.
        ensure!(
            serde_json::to_string(&fields)?.len() == line.len(),
            "{line}"
        );
        found.push(fields);
    }
    let of = |message: &str| {
        let found = found
            .iter()
            .find(|it| it.get("message") == Some(&message.into()));
        found.with_context(|| format!("no {message}: {log}"))
    };
    let transfer = of("transfer complete")?;
    ensure!(transfer["bytes"] == CONTENT.len() && transfer["command"] == "RETR file");
    ensure!(transfer["session"].is_u64() && transfer["client"].is_string());
    let connected = of("connected")?;
    ensure!(connected["user"] == "user" && connected["carries"] == "control connections");
    let with = connected["with"].as_str().unwrap_or_default();
    ensure!(with.starts_with("key "), "{connected:#?}");
    Ok(())
}

async fn colour() -> anyhow::Result<()> {
    const ESCAPE: char = '\u{1b}';
    let servers = embedded().servers().await?;
    let config = servers.profile()?.config();
    let mut screens = Vec::new();
    for (name, value) in [("TERM", "xterm"), ("NO_COLOR", "1"), ("TERM", "dumb")] {
        let directory = tempfile::tempdir()?;
        let mut daemon: Command = command(directory.path(), &config, &BrokerOptions::default())?;
        daemon.env(name, value);
        let terminal = Terminal::spawn(&daemon)?;
        terminal.shows("broker ready", SOON).await?;
        screens.push(terminal.screen());
    }
    let coloured: Vec<bool> = screens.iter().map(|it| it.contains(ESCAPE)).collect();
    ensure!(coloured == [true, false, false], "{screens:#?}");
    // To a pipe as well.
    let broker = Broker::start(&config, &[]).await?;
    let mut client = Conversation::connect(broker.listener(0).await?).await?;
    client.reply().await?;
    ensure!(!broker.log().contains(ESCAPE), "{}", broker.log());
    Ok(())
}
