//! How the daemon ends, and how it begins beside another or after one.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::broker::{self, Broker};
use testkit::files;
use testkit::process::Process;
use testkit::programs::broker_program;
use testkit::scripted::{Conversation, End};

use crate::support::ftp::Ftp;
use crate::support::rig::{CONTENT, Peers, SOON};
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
        trial("lifecycle: stop by request", &[], stop_by_request),
        trial(
            "lifecycle: stop by request, with a grace period",
            &[],
            stop_with_grace,
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
        trial("lifecycle: SIGHUP changes nothing", &[], hang_up),
        trial(
            "lifecycle: what others make the daemon log is bounded",
            &[],
            bounded_log,
        ),
    ]
}

/// A daemon in the middle of a transfer.
struct Rig {
    peers: Peers,
    broker: Broker,
    listens: SocketAddr,
    ftp: Ftp,
    data: Conversation,
}

impl Rig {
    async fn start(command: &str, args: &[&str]) -> anyhow::Result<Self> {
        let peers = Peers::start().await?;
        fs::write(peers.root.path().join("big"), files::pattern(1, BIG))?;
        let broker = Broker::start(&peers.config(), args).await?;
        let listens = broker.listener(0).await?;
        let mut ftp = Ftp::login(listens).await?;
        let mut data = ftp.passive("EPSV").await?;
        ftp.ask(command, "150").await?;
        if command.starts_with("STOR") {
            data.send(vec![7; MOVED]).await?;
        }
        Ok(Self {
            peers,
            broker,
            listens,
            ftp,
            data,
        })
    }

    /// The daemon knows that it is to stop: it lets nobody in, and says so.
    async fn stopping(&self) -> anyhow::Result<()> {
        self.broker.process().wait_log("stopping", SOON).await?;
        let stopping = |status: &serde_json::Value| status["stopping"] == true;
        self.broker.wait_json(&["status"], SOON, stopping).await?;
        let refused = Conversation::connect(self.listens).await;
        ensure!(refused.is_err(), "a new client was let in");
        Ok(())
    }

    async fn ends_well(self) -> anyhow::Result<()> {
        let Self {
            mut broker,
            ftp,
            data,
            ..
        } = self;
        drop((ftp, data));
        let status = broker.wait(SOON).await?;
        ensure!(status.code() == Some(0), "{status}\n{}", broker.log());
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
    let mut rig = Rig::start("RETR big", &[]).await?;
    let mut bytes = rig.data.bytes(MOVED).await?;
    rig.broker.process().signal(signal)?;
    rig.stopping().await?;
    let refused = rig
        .broker
        .ctl(&["open-tunnel-listener", "-L", "ftp/0:h:21", "work"])
        .await?;
    ensure!(refused.stderr.contains("stopping"), "{refused:?}");
    bytes.extend(rig.data.rest().await?);
    rig.data.finish().await?;
    ensure!(
        bytes == files::pattern(1, BIG),
        "{} bytes came",
        bytes.len()
    );
    rig.ftp.reply("226").await?;
    rig.ftp.reply("421").await?;
    rig.ends_well().await
}

async fn upload_finishes() -> anyhow::Result<()> {
    let mut rig = Rig::start("STOR stored", &[]).await?;
    rig.broker.process().signal(Signal::TERM)?;
    rig.stopping().await?;
    rig.data.send(vec![8; MOVED]).await?;
    rig.data.finish().await?;
    rig.ftp.reply("226").await?;
    let stored = fs::read(rig.peers.root.path().join("stored"))?;
    ensure!(
        stored == [vec![7; MOVED], vec![8; MOVED]].concat(),
        "something else was stored"
    );
    rig.ends_well().await
}

async fn second_signal() -> anyhow::Result<()> {
    let mut rig = Rig::start("RETR big", &[]).await?;
    rig.data.bytes(MOVED).await?;
    rig.broker.process().signal(Signal::TERM)?;
    rig.stopping().await?;
    rig.broker.process().signal(Signal::TERM)?;
    rig.broker.process().wait_log("told twice", SOON).await?;
    rig.was_cut().await?;
    rig.ends_well().await
}

async fn grace_over() -> anyhow::Result<()> {
    for command in ["RETR big", "STOR half"] {
        let mut rig = Rig::start(command, &["--grace", "1"]).await?;
        rig.broker.process().signal(Signal::TERM)?;
        // Nothing is read before, lest the download be over sooner than the grace period.
        let process = rig.broker.process();
        process.wait_log("grace period is over", SOON).await?;
        rig.was_cut().await.context(command)?;
        rig.ends_well().await?;
    }
    Ok(())
}

/// The client has the whole file and knows it; what it does with its end is its own business.
async fn kept_open() -> anyhow::Result<()> {
    for quits in [false, true] {
        let mut rig = Rig::start("RETR file", &["--grace", "600"]).await?;
        ensure!(rig.data.rest().await? == CONTENT, "something else came");
        rig.ftp.reply("226").await?;
        if quits {
            rig.ftp.ask("QUIT", "221").await?;
        }
        rig.broker.process().signal(Signal::TERM)?;
        let status = rig.broker.wait(SOON).await?;
        ensure!(status.success(), "{status}\n{}", rig.broker.log());
        ensure!(rig.data.end().await? == End::Orderly, "the end was no end");
    }
    Ok(())
}

async fn stop_by_request() -> anyhow::Result<()> {
    let mut rig = Rig::start("RETR big", &[]).await?;
    let mut bytes = rig.data.bytes(MOVED).await?;
    let stop = rig.broker.ctl(&["stop"]);
    let rest = async {
        rig.broker.process().wait_log("stopping", SOON).await?;
        let rest = rig.data.rest().await?;
        rig.data.finish().await?;
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
    rig.ftp.reply("226").await?;
    rig.ends_well().await
}

async fn stop_with_grace() -> anyhow::Result<()> {
    let mut rig = Rig::start("RETR big", &["--grace", "600"]).await?;
    rig.broker.told(&["stop", "--grace", "0"]).await?;
    rig.was_cut().await?;
    rig.ends_well().await
}

async fn idle_session() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let mut broker = Broker::start(&peers.config(), &[]).await?;
    let mut ftp = Ftp::login(broker.listener(0).await?).await?;
    broker.process().signal(Signal::TERM)?;
    let reply = ftp.reply("421").await?;
    ensure!(reply.contains("stopping"), "{reply}");
    ensure!(
        ftp.control().end().await? == End::Orderly,
        "the control connection was cut"
    );
    let status = broker.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

async fn second_daemon() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let first = Broker::start(&peers.config(), &[]).await?;
    let mut second = broker::launch(first.directory(), &peers.config(), &[])?;
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
    let mut ftp = Ftp::login(first.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn stale_socket() -> anyhow::Result<()> {
    let peers = Peers::start().await?;
    let mut first = Broker::start(&peers.config(), &[]).await?;
    first.kill();
    ensure!(
        first.socket().exists(),
        "there is no stale socket to try this with"
    );
    let second = broker::launch(first.directory(), &peers.config(), &[])?;
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
    let mut rig = Rig::start("RETR big", &[]).await?;
    let mut bytes = rig.data.bytes(MOVED).await?;
    rig.broker.process().signal(Signal::HUP)?;
    let process = rig.broker.process();
    process.wait_log("SIGHUP changes nothing", SOON).await?;
    bytes.extend(rig.data.rest().await?);
    rig.data.finish().await?;
    rig.ftp.reply("226").await?;
    ensure!(
        bytes == files::pattern(1, BIG),
        "{} bytes came",
        bytes.len()
    );
    let mut another = Ftp::login(rig.listens).await?;
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
    broker.process().wait_log("left out within", SOON).await?;
    let log = broker.log();
    let refused = log.matches("session refused").count();
    ensure!(
        refused < KNOCKS,
        "{refused} of {KNOCKS} lines stand in the log"
    );
    ensure!(log.contains("from client 127.0.0.1 left out"), "{log}");
    Ok(())
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
    let parts = ["ssh-broker-config.xml:2:", "hots", "host", "cannot be used"];
    ensure!(parts.iter().all(|part| said.contains(part)), "{said}");
    Ok(())
}
