//! How the daemon ends, and how it begins beside another or after one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::broker::{self, Broker};
use testkit::files;
use testkit::fixture::{Fixture, Scripted};
use testkit::ftp_client::FtpClient;
use testkit::peer::FtpFiles;
use testkit::process::Process;
use testkit::programs::broker_program;
use testkit::scripted::{Conversation, End};

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::played::PlayedSession;
use crate::support::trial;

/// More than the buffers on the way hold.
const BIG: usize = 64 << 20;

/// The configuration cannot be used.
const NO_CONFIGURATION: i32 = 78;

/// What has been moved when the daemon is told to stop.
const MOVED: usize = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("lifecycle: SIGTERM lets a download finish", &[], || {
            finishes(Signal::TERM)
        }),
        trial("lifecycle: SIGINT lets a download finish", &[], || {
            finishes(Signal::INT)
        }),
        trial(
            "lifecycle: SIGTERM lets an upload finish",
            &[],
            upload_finishes,
        ),
        trial(
            "lifecycle: a second signal ends at once",
            &[],
            second_signal,
        ),
        trial(
            "lifecycle: past the grace period a cut looks like a cut",
            &[],
            grace_over,
        ),
        trial(
            "lifecycle: a data connection that its client keeps open is not waited for",
            &[],
            kept_open,
        ),
        trial(
            "lifecycle: a data connection whose transfer was refused is not waited for",
            &[],
            refused_transfer,
        ),
        trial("lifecycle: stop by request", &[], stop_by_request),
        trial(
            "lifecycle: stop by request, with a grace period",
            &[],
            stop_with_grace,
        ),
        trial(
            "lifecycle: stop when idle waits past the grace period, and says for what",
            &[],
            stop_when_idle,
        ),
        trial(
            "lifecycle: stop now cuts what another stop lets finish",
            &[],
            stop_now,
        ),
        trial(
            "lifecycle: a signal limits what stop when idle lets run",
            &[],
            signal_after_request,
        ),
        trial(
            "lifecycle: a client between two commands can go on for a moment",
            &[],
            between_commands,
        ),
        trial("lifecycle: an idle session is told", &[], idle_session),
        trial(
            "lifecycle: a second daemon on one socket is refused",
            &[],
            second_daemon,
        ),
        trial(
            "lifecycle: a stale socket is no obstacle",
            &[],
            stale_socket,
        ),
        trial(
            "lifecycle: socket and directory are private, and gone afterwards",
            &[],
            private_socket,
        ),
        trial(
            "lifecycle: an unsafe directory is refused",
            &[],
            unsafe_directory,
        ),
        trial(
            "lifecycle: a configuration with errors",
            &[],
            bad_configuration,
        ),
        trial(
            "lifecycle: a configuration that others can change",
            &[],
            open_configuration,
        ),
        trial("lifecycle: there are no core files", &[], no_core_files),
        trial("lifecycle: SIGHUP harms no transfer", &[], hang_up),
        trial(
            "lifecycle: what others make the daemon log is bounded",
            &[],
            bounded_log,
        ),
    ]
}

/// A daemon in the middle of a transfer.
struct MidTransfer {
    fixture: Fixture,
    ftp: FtpClient,
    data: Conversation,
}

impl MidTransfer {
    async fn start(command: &str, args: &[&str]) -> anyhow::Result<Self> {
        let builder = embedded().file("big", files::pattern(1, BIG));
        let fixture = builder.arguments(args).start().await?;
        let mut ftp = fixture.login().await?;
        let mut data = ftp.begin("EPSV", command).await?;
        if command.starts_with("STOR") {
            data.send(vec![7; MOVED]).await?;
        }
        Ok(Self { fixture, ftp, data })
    }

    fn broker(&self) -> &Broker {
        &self.fixture.broker
    }

    /// The daemon knows that it is to stop: it lets nobody in, and says so.
    async fn stopping(&self) -> anyhow::Result<()> {
        self.broker().wait_log("stopping", SOON).await?;
        let stopping = |status: &serde_json::Value| status["stopping"] == true;
        self.broker().wait_json(&["status"], SOON, stopping).await?;
        let refused = Conversation::connect(self.fixture.tunnel).await;
        ensure!(refused.is_err(), "a new client was let in");
        Ok(())
    }

    async fn ends_well(self) -> anyhow::Result<()> {
        drop((self.ftp, self.data));
        let mut broker = self.fixture.broker;
        let status = broker.wait(SOON).await?;
        ensure!(status.code() == Some(0), "{status}");
        ensure!(!broker.socket().exists(), "the socket is still there");
        Ok(())
    }

    /// The transfer was cut, and nothing that the client saw could be taken for its end.
    async fn was_cut(&mut self) -> anyhow::Result<()> {
        let ended = self.data.end().await?;
        ensure!(ended == End::Reset, "the data connection ended in order");
        // A daemon that ends at once may have no time for a last word.
        if let Ok(reply) = self.ftp.control().reply().await {
            ensure!(reply.starts_with('4'), "{reply}");
        }
        Ok(())
    }
}

async fn finishes(signal: Signal) -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &[]).await?;
    let mut bytes = transfer.data.bytes(MOVED).await?;
    transfer.broker().process().signal(signal)?;
    transfer.stopping().await?;
    let refused = transfer
        .broker()
        .ctl(&["open-tunnel-listener", "-L", "ftp/0:h:21", "work"])
        .await?;
    ensure!(refused.stderr.contains("stopping"), "{refused:?}");
    bytes.extend(transfer.data.rest().await?);
    transfer.data.finish().await?;
    ensure!(
        bytes == files::pattern(1, BIG),
        "{} bytes came",
        bytes.len()
    );
    transfer.ftp.reply("226").await?;
    transfer.ftp.reply("421").await?;
    transfer.ends_well().await
}

async fn upload_finishes() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("STOR stored", &[]).await?;
    transfer.broker().process().signal(Signal::TERM)?;
    transfer.stopping().await?;
    transfer.data.send(vec![8; MOVED]).await?;
    transfer.data.finish().await?;
    transfer.ftp.reply("226").await?;
    let stored = transfer.fixture.servers.ftp.file("stored");
    ensure!(
        stored == Some([vec![7; MOVED], vec![8; MOVED]].concat()),
        "something else was stored"
    );
    transfer.ends_well().await
}

async fn second_signal() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &[]).await?;
    transfer.data.bytes(MOVED).await?;
    transfer.broker().process().signal(Signal::TERM)?;
    transfer.stopping().await?;
    transfer.broker().process().signal(Signal::TERM)?;
    transfer
        .broker()
        .wait_log("second request to stop", SOON)
        .await?;
    transfer.was_cut().await?;
    transfer.ends_well().await
}

async fn grace_over() -> anyhow::Result<()> {
    for command in ["RETR big", "STOR half"] {
        let mut transfer = MidTransfer::start(command, &["--grace", "1"]).await?;
        transfer.broker().process().signal(Signal::TERM)?;
        // Nothing is read before, lest the download be over sooner than the grace period.
        transfer
            .broker()
            .wait_log("grace period is over", SOON)
            .await?;
        transfer.was_cut().await.context(command)?;
        transfer.ends_well().await?;
    }
    Ok(())
}

/// Neither end has closed the data connection, and both know that nothing comes on it.
async fn refused_transfer() -> anyhow::Result<()> {
    for quits in [false, true] {
        let builder = Fixture::builder().ftp(Scripted);
        let mut session = PlayedSession::start_with(builder.arguments(&["--grace", "600"])).await?;
        let _data = session.connect_data().await?;
        session.client.send("RETR missing\r\n").await?;
        session.server.expect("RETR missing").await?;
        session.server.send("550 no such file\r\n").await?;
        session.client.expect("550 no such file").await?;
        if quits {
            session.quit().await?;
        }
        session.fixture.broker.process().signal(Signal::TERM)?;
        let status = session.fixture.broker.wait(SOON).await?;
        ensure!(status.success(), "{status}");
    }
    Ok(())
}

/// The client has the whole file and knows it; what it does with its end is its own business.
async fn kept_open() -> anyhow::Result<()> {
    for quits in [false, true] {
        let mut transfer = MidTransfer::start("RETR file", &["--grace", "600"]).await?;
        ensure!(
            transfer.data.rest().await? == CONTENT,
            "something else came"
        );
        transfer.ftp.reply("226").await?;
        if quits {
            transfer.ftp.ask("QUIT", "221").await?;
        }
        transfer.broker().process().signal(Signal::TERM)?;
        let status = transfer.fixture.broker.wait(SOON).await?;
        ensure!(status.success(), "{status}");
        ensure!(
            transfer.data.end().await? == End::Orderly,
            "the end was no end"
        );
    }
    Ok(())
}

async fn stop_by_request() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &[]).await?;
    let mut bytes = transfer.data.bytes(MOVED).await?;
    let broker = &transfer.fixture.broker;
    let stop = broker.ctl(&["stop"]);
    let rest = async {
        broker.wait_log("stopping", SOON).await?;
        let rest = transfer.data.rest().await?;
        transfer.data.finish().await?;
        anyhow::Ok(rest)
    };
    // The command returns when the daemon has ended, which it does when the transfer has.
    let (stopped, rest) = tokio::join!(stop, rest);
    let stopped = stopped?.success()?;
    ensure!(stopped.text() == "The daemon has stopped\n", "{stopped:?}");
    bytes.extend(rest?);
    ensure!(
        bytes == files::pattern(1, BIG),
        "{} bytes came",
        bytes.len()
    );
    transfer.ftp.reply("226").await?;
    transfer.ends_well().await
}

async fn stop_with_grace() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &["--grace", "600"]).await?;
    transfer.broker().told(&["stop", "--grace", "0"]).await?;
    transfer.was_cut().await?;
    transfer.ends_well().await
}

/// With a grace period of nothing, whoever forgets that the first request has no limit cuts the transfer at once.
async fn stop_when_idle() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &["--grace", "0"]).await?;
    let mut bytes = transfer.data.bytes(MOVED).await?;
    let broker = &transfer.fixture.broker;
    let first = broker.ctl_on_terminal(&["stop", "--when-idle"])?;
    first
        .shows("Waiting for 1 transfer: RETR big", SOON)
        .await?;
    broker.told(&["stop", "--no-wait"]).await?;
    broker.wait_log("second request to stop", SOON).await?;
    bytes.extend(transfer.data.rest().await?);
    transfer.data.finish().await?;
    ensure!(
        bytes == files::pattern(1, BIG),
        "{} bytes came",
        bytes.len()
    );
    transfer.ftp.reply("226").await?;
    first.shows("The daemon has stopped", SOON).await?;
    transfer.ends_well().await
}

async fn stop_now() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &[]).await?;
    let broker = transfer.broker();
    broker.told(&["stop", "--when-idle", "--no-wait"]).await?;
    transfer.stopping().await?;
    broker.told(&["stop", "--now"]).await?;
    transfer.was_cut().await?;
    transfer.ends_well().await
}

async fn signal_after_request() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &["--grace", "0"]).await?;
    let broker = transfer.broker();
    broker.told(&["stop", "--when-idle", "--no-wait"]).await?;
    transfer.stopping().await?;
    broker.process().signal(Signal::TERM)?;
    broker.wait_log("grace period is over", SOON).await?;
    transfer.was_cut().await?;
    transfer.ends_well().await
}

async fn between_commands() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    fixture.broker.process().signal(Signal::TERM)?;
    fixture
        .broker
        .wait_log("stopping: no new clients", SOON)
        .await?;
    ftp.fetch("file").await?;
    let reply = ftp.reply("421").await?;
    ensure!(reply.contains("stopping"), "{reply}");
    Ok(())
}

async fn idle_session() -> anyhow::Result<()> {
    let mut fixture = embedded().start().await?;
    let mut ftp = fixture.login().await?;
    fixture.broker.process().signal(Signal::TERM)?;
    let reply = ftp.reply("421").await?;
    ensure!(reply.contains("stopping"), "{reply}");
    ensure!(
        ftp.control().end().await? == End::Orderly,
        "the control connection was cut"
    );
    let status = fixture.broker.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

async fn second_daemon() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let first = &fixture.broker;
    let config = fs::read_to_string(first.config_file())?;
    let mut second = broker::launch(first.directory(), &config, &[])?;
    let status = second.wait(SOON).await?;
    ensure!(status.code() == Some(1), "{status}");
    let said = second.log();
    let pid = first.process().pid().to_string();
    let parts = [
        "brokerd: ",
        "already runs",
        &pid,
        "broker-ctl stop",
        "broker.sock",
    ];
    ensure!(parts.iter().all(|part| said.contains(part)), "{said}");
    ensure!(
        said.trim_end().lines().count() == 1,
        "more than one line: {said}"
    );
    // The first one is as it was.
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn stale_socket() -> anyhow::Result<()> {
    let mut first = Broker::start("<secsh-broker/>", &[]).await?;
    first.kill();
    ensure!(
        first.socket().exists(),
        "there is no stale socket to try this with"
    );
    let second = broker::launch(first.directory(), "<secsh-broker/>", &[])?;
    second.wait_log("broker ready", SOON).await?;
    let told = broker::ctl(&first.socket(), &["status", "--pid"])
        .await?
        .success()?;
    ensure!(told.text().trim() == second.pid().to_string(), "{told:?}");
    Ok(())
}

/// Starts a daemon without tunnels on this socket, in a directory it has to make or to accept.
fn on_socket(directory: &Path, socket: &Path) -> anyhow::Result<Process> {
    let config = directory.join("config.xml");
    broker::write_private(&config, "<secsh-broker/>")?;
    let mut command = Command::new(broker_program("brokerd")?);
    command
        .arg("--config")
        .arg(config)
        .arg("--socket")
        .arg(socket);
    Process::spawn(command, None)
}

async fn private_socket() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("made/broker.sock");
    let mut daemon = on_socket(directory.path(), &socket)?;
    daemon.wait_log("broker ready", SOON).await?;
    let mode = |path: &Path| fs::metadata(path).map(|file| file.permissions().mode() & 0o777);
    ensure!(
        mode(&socket)? == 0o600,
        "the socket has mode {:o}",
        mode(&socket)?
    );
    let made = directory.path().join("made");
    ensure!(
        mode(&made)? == 0o700,
        "its directory has mode {:o}",
        mode(&made)?
    );
    daemon.signal(Signal::TERM)?;
    ensure!(daemon.wait(SOON).await?.success(), "{}", daemon.log());
    let left: Vec<_> = fs::read_dir(made)?.collect();
    ensure!(left.is_empty(), "{left:?} is left");
    Ok(())
}

async fn unsafe_directory() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let open = directory.path().join("open");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    let mut daemon = on_socket(directory.path(), &open.join("broker.sock"))?;
    let status = daemon.wait(SOON).await?;
    ensure!(!status.success(), "{status}");
    let said = daemon.log();
    ensure!(
        said.contains("not safe") && said.contains("--socket"),
        "{said}"
    );
    Ok(())
}

/// It names commands that are run, so the daemon starts on it only where it is told to.
async fn open_configuration() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("config.xml");
    fs::write(&config, "<secsh-broker/>")?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666))?;
    let start = |options: &[&str]| {
        let mut command = Command::new(broker_program("brokerd")?);
        command.arg("--config").arg(&config).args(options);
        command.arg("--socket").arg(directory.path().join("s"));
        Process::spawn(command, None)
    };
    let mut refused = start(&[])?;
    let status = refused.wait(SOON).await?;
    ensure!(status.code() == Some(NO_CONFIGURATION), "{status}");
    let said = refused.log();
    let mend = format!("chmod go-w {}", config.display());
    let parts = ["other users can write to", &mend, "--allow-unsafe-config"];
    ensure!(parts.iter().all(|part| said.contains(part)), "{said}");

    let accepted = start(&["--allow-unsafe-config"])?;
    accepted.wait_log("broker ready", SOON).await?;
    let said = accepted.log();
    let warned = |line: &str| line.contains("WARN") && line.contains("other users can write to");
    ensure!(said.lines().any(warned), "{said}");
    Ok(())
}

/// They would hold passwords and keys.
async fn no_core_files() -> anyhow::Result<()> {
    let broker = Broker::start("<secsh-broker/>", &[]).await?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", broker.process().pid()))?;
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let words: Vec<&str> = limit.unwrap_or_default().split_whitespace().collect();
    ensure!(words.starts_with(&["0", "0"]), "{limits}");
    Ok(())
}

async fn hang_up() -> anyhow::Result<()> {
    let mut transfer = MidTransfer::start("RETR big", &[]).await?;
    let mut bytes = transfer.data.bytes(MOVED).await?;
    transfer.broker().process().signal(Signal::HUP)?;
    let reloaded = "the configuration has not changed";
    transfer.broker().wait_log(reloaded, SOON).await?;
    bytes.extend(transfer.data.rest().await?);
    transfer.data.finish().await?;
    transfer.ftp.reply("226").await?;
    ensure!(
        bytes == files::pattern(1, BIG),
        "{} bytes came",
        bytes.len()
    );
    let mut another = FtpClient::login(transfer.fixture.tunnel).await?;
    ensure!(another.fetch("file").await? == CONTENT);
    Ok(())
}

/// Somebody knocks at a tunnel again and again.
async fn bounded_log() -> anyhow::Result<()> {
    /// More than a client may have logged at once.
    const KNOCKS: usize = 2500;
    // Nobody listens there, so that each client is refused, and after the second the server is not even dialled.
    let config = r#"<secsh-broker><profiles><profile id="a" host="127.0.0.1" port="1" user="u"><tunnels>
        <local-tunnel type="ftp" listen-port="0"/></tunnels></profile></profiles></secsh-broker>"#;
    let broker = Broker::start(config, &[]).await?;
    let tunnel = broker.listener(0).await?;
    for _ in 0..KNOCKS {
        let mut knock = Conversation::connect(tunnel).await?;
        knock.reply().await?;
    }
    broker.wait_log("left out within", SOON).await?;
    let log = broker.log();
    let refused = log.matches("session refused").count();
    ensure!(
        refused < KNOCKS,
        "{refused} of {KNOCKS} lines stand in the log"
    );
    broker
        .wait_log("from client 127.0.0.1 left out", SOON)
        .await
}

async fn bad_configuration() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let config =
        "<secsh-broker>\n  <profiles><profile id=\"a\" hots=\"h\"/></profiles>\n</secsh-broker>";
    let mut daemon = broker::launch(directory.path(), config, &[])?;
    let status = daemon.wait(Duration::from_secs(20)).await?;
    ensure!(
        status.code() == Some(NO_CONFIGURATION),
        "{status}\n{}",
        daemon.log()
    );
    let said = daemon.log();
    let parts = ["ssh-broker-config.xml:2:", "hots", "host", "cannot use"];
    ensure!(parts.iter().all(|part| said.contains(part)), "{said}");
    Ok(())
}
