//! The Debian package: made, checked, installed, used, upgraded and removed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::client::{self, Output};
use testkit::ftp_client::FtpClient;
use testkit::host_copy::HostCopy;
use testkit::peer::FtpFiles;
use testkit::process::Process;
use testkit::profile::{Profile, identity};
use testkit::programs::broker_program;

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::sockets::closed_port;
use crate::support::{Need, trial_within};

const CHECK: &[Need] = &[
    Need::Program("cargo-deb"),
    Need::Program("strip"),
    Need::Program("lintian"),
];

const INSTALL: &[Need] = &[
    Need::Program("cargo-deb"),
    Need::Program("strip"),
    Need::Program("dpkg"),
    Need::Program("systemd-sysusers"),
    Need::Overlays,
];

/// Compressing programs with all that the compiler left in them, on a busy machine.
const LIMIT: Duration = Duration::from_secs(400);

/// One step of it.
const STEP_LIMIT: Duration = Duration::from_secs(180);

const UPGRADED: &str = "99.0.0";

const CONFIG: &str = "/etc/ssh2/ssh-broker-config.xml";

const KEY: &str = "/etc/ssh2/work-key";

/// What dpkg and the programs that it calls keep for themselves.
const NOT_OURS: [&str; 3] = ["/etc/.pwd.lock", "/var/lib/dpkg", "/var/cache/man"];

pub(crate) fn trials() -> Vec<Trial> {
    let list = [
        trial_within(
            LIMIT,
            "package: the same programs give the same bytes, in which lintian finds no fault",
            CHECK,
            checked,
        ),
        trial_within(
            LIMIT,
            "package: it is installed, used, upgraded, removed and purged",
            INSTALL,
            life,
        ),
        trial_within(
            LIMIT,
            "package: an upgrade does not restart a daemon that would not start again",
            INSTALL,
            faulty_upgrade,
        ),
    ];
    list.into()
}

/// Packages the programs of the tests.
async fn make(to: &Path, more: &[&str]) -> anyhow::Result<PathBuf> {
    let brokerd = broker_program("brokerd")?;
    let programs = brokerd.parent().context("brokerd is in no directory")?;
    let mut command = Command::new(broker_program("xtask")?);
    command.args(["dist", "--fast", "--binaries"]).arg(programs);
    command.arg("--to").arg(to).args(more);
    let made = client::run(command, STEP_LIMIT).await?.success()?.text();
    let package = made.lines().find(|line| line.ends_with(".deb"));
    Ok(package.context(made.clone())?.into())
}

async fn checked() -> anyhow::Result<()> {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let package = make(one.path(), &[]).await?;
    make(two.path(), &[]).await?;
    let mut files = 0;
    for entry in fs::read_dir(one.path())? {
        let name = entry?.file_name();
        let same = fs::read(one.path().join(&name))? == fs::read(two.path().join(&name))?;
        ensure!(same, "{} differs", name.display());
        files += 1;
    }
    ensure!(
        files == 2,
        "{files} files instead of an archive and a package"
    );
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]);
    lintian.arg(package);
    client::run(lintian, STEP_LIMIT).await?.success()?;
    Ok(())
}

async fn run(host: &HostCopy, arguments: &[&str]) -> anyhow::Result<Output> {
    let output = client::run(host.command(arguments)?, STEP_LIMIT).await?;
    output.success().with_context(|| arguments.join(" "))
}

/// Has dpkg install a package from outside.
async fn install(host: &HostCopy, package: &Path) -> anyhow::Result<()> {
    fs::copy(package, host.path("/tmp/package.deb"))?;
    run(host, &["dpkg", "-i", "/tmp/package.deb"]).await?;
    Ok(())
}

/// Writes the configuration and the key as an administrator does.
async fn configure(host: &HostCopy, mut profile: Profile) -> anyhow::Result<()> {
    let key = profile.login.split('"').nth(1).context("no key")?;
    let copy = host.path(KEY);
    fs::copy(key, &copy)?;
    let user = run(host, &["id", "-u", "ssh-broker"]).await?.text();
    chown(&copy, Some(user.trim().parse()?), None)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o400))?;
    profile.login = identity(KEY);
    fs::write(host.path(CONFIG), profile.config())?;
    Ok(())
}

/// Starts the daemon with the command of the unit, as its user, with the directories that systemd makes. Its log comes
/// here, since no journal runs in the copy.
async fn start(host: &HostCopy) -> anyhow::Result<Process> {
    let unit = fs::read_to_string(host.path("/usr/lib/systemd/system/brokerd.service"))?;
    let command = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let command = command.context("the unit starts nothing")?;
    let command = command.replace("journald", "text");
    for directory in ["/run/ssh-broker", "/var/lib/ssh-broker"] {
        let arguments = ["install", "-d", "-o", "ssh-broker", "-g", "ssh-broker"];
        run(host, &[&arguments[..], &[directory]].concat()).await?;
    }
    let user = [
        "setpriv",
        "--reuid=ssh-broker",
        "--regid=ssh-broker",
        "--clear-groups",
    ];
    let mut command = host.command(user.into_iter().chain(command.split_whitespace()))?;
    command.env("HOME", "/var/lib/ssh-broker");
    let daemon = Process::spawn(command, None)?;
    daemon.wait_log("broker ready", SOON).await?;
    Ok(daemon)
}

async fn life() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let first = make(directory.path(), &[]).await?;
    let second = make(directory.path(), &["--deb-version", UPGRADED]).await?;
    let servers = embedded().servers().await?;
    let host = HostCopy::start().await?;

    install(&host, &first).await?;
    let checked = run(&host, &["broker-ctl", "check-config", CONFIG]).await?;
    ensure!(checked.text().contains("valid: 0 profiles"), "{checked:?}");
    let tunnel = closed_port()?;
    let mut profile = servers.profile()?;
    for it in &mut profile.tunnels {
        it.port = tunnel.port();
    }
    configure(&host, profile).await?;
    let config = fs::read(host.path(CONFIG))?;
    let mut daemon = start(&host).await?;
    let mut ftp = FtpClient::login(tunnel).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);

    let mut upload = ftp.begin("EPSV", "STOR new").await?;
    upload.send(CONTENT.to_vec()).await?;
    install(&host, &second).await?;
    // The daemon still has its socket.
    run(&host, &["broker-ctl", "status"]).await?;
    upload.send(CONTENT.to_vec()).await?;
    upload.finish().await?;
    ftp.reply("226").await?;
    ensure!(servers.ftp.file("new") == Some(CONTENT.repeat(2)));
    ensure!(
        fs::read(host.path(CONFIG))? == config,
        "the upgrade changed it"
    );
    let version = run(&host, &["dpkg-query", "-Wf", "${Version}", "ssh-broker"]).await?;
    ensure!(version.text() == UPGRADED, "{version:?}");
    drop((upload, ftp));
    daemon.signal(Signal::TERM)?;
    ensure!(daemon.wait(SOON).await?.success(), "{}", daemon.log());
    daemon = start(&host).await?;
    let mut ftp = FtpClient::login(tunnel).await?;
    ensure!(ftp.fetch("new").await? == CONTENT.repeat(2));
    drop(ftp);
    daemon.signal(Signal::TERM)?;
    ensure!(daemon.wait(SOON).await?.success(), "{}", daemon.log());

    removed(&host, &config).await
}

/// Plays a service manager whose daemon runs, and records what it is asked for.
fn play_systemd(host: &HostCopy) -> anyhow::Result<()> {
    fs::create_dir_all(host.path("/run/systemd/system"))?;
    for program in ["systemctl", "deb-systemd-invoke"] {
        let path = host.path("/usr/local/sbin").join(program);
        fs::write(
            &path,
            format!("#!/bin/sh\necho {program} \"$@\" >> /tmp/asked\n"),
        )?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

async fn faulty_upgrade() -> anyhow::Result<()> {
    const RESTART: &str = "deb-systemd-invoke try-restart brokerd.service";
    let directory = tempfile::tempdir()?;
    let first = make(directory.path(), &[]).await?;
    let second = make(directory.path(), &["--deb-version", UPGRADED]).await?;
    let host = HostCopy::start().await?;
    install(&host, &first).await?;
    play_systemd(&host)?;
    let asked = || fs::read_to_string(host.path("/tmp/asked")).unwrap_or_default();

    let config = fs::read_to_string(host.path(CONFIG))?;
    fs::write(host.path(CONFIG), "<secsh-broker><profiles><profile/>")?;
    fs::copy(second, host.path("/tmp/package.deb"))?;
    let told = run(&host, &["dpkg", "-i", "/tmp/package.deb"]).await?;
    let told = told.text();
    for part in [
        CONFIG,
        "brokerd continues with",
        "systemctl restart brokerd",
    ] {
        ensure!(told.contains(part), "no {part:?} in {told}");
    }
    ensure!(!asked().contains(RESTART), "{}", asked());

    fs::write(host.path(CONFIG), config)?;
    run(&host, &["dpkg", "-i", "/tmp/package.deb"]).await?;
    ensure!(asked().contains(RESTART), "{}", asked());
    Ok(())
}

/// Nothing is left but what the administrator has written, and after purging not even that.
async fn removed(host: &HostCopy, config: &[u8]) -> anyhow::Result<()> {
    run(host, &["dpkg", "-r", "ssh-broker"]).await?;
    ensure!(!host.path("/usr/bin/brokerd").exists(), "brokerd is left");
    ensure!(
        fs::read(host.path(CONFIG))? == config,
        "the file has changed"
    );
    fs::remove_file(host.path(KEY))?;
    run(host, &["dpkg", "-P", "ssh-broker"]).await?;
    let is_ours = |it: &PathBuf| !NOT_OURS.iter().any(|other| it.starts_with(other));
    let left: Vec<PathBuf> = host.changes()?.into_iter().filter(is_ours).collect();
    ensure!(left.is_empty(), "left: {left:?}");
    for accounts in ["/etc/passwd", "/etc/group"] {
        let same = fs::read(host.path(accounts))? == fs::read(accounts)?;
        ensure!(same, "{accounts} has changed");
    }
    Ok(())
}
