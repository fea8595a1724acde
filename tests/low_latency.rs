//! `low-latency`: OpenSSH before 10.1 sends small packets at once if the profile allows the broker to request it.

use std::time::Duration;

use anyhow::ensure;
use broker_ipc::checks::{Check, Outcome, Step};
use libtest_mimic::Trial;
use testkit::fixture::Servers;
use testkit::ftp_client::FtpClient;
use testkit::relay::{Relay, RelayOptions};
use testkit::sshd::{Sshd, SshdOptions};

use crate::support::examined::Examined;
use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::{Need, trial};

const EARLIER_SSHD: &[Need] = &[Need::EarlierSshd];

const ON: &str = r#"<low-latency enable="yes"/>"#;
const SUBSYSTEM: &str = "Subsystem sftp internal-sftp";

/// What sshd logs when it starts the program, and when it cannot.
const STARTED: &str = "Starting session: subsystem 'sftp'";
const NOT_FOUND: &str = "subsystem not found";
/// What the broker logs then.
const REFUSED: &str = "did not start the subsystem sftp";

/// Each way over a line whose round trip is worth a word.
const DELAY: Duration = Duration::from_millis(10);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("low latency: on each connection", EARLIER_SSHD, requested),
        trial(
            "low latency: a refusal is logged once",
            EARLIER_SSHD,
            refused,
        ),
        trial("low latency: doctor", EARLIER_SSHD, doctor),
    ]
}

fn sshd(config: &str) -> SshdOptions {
    SshdOptions {
        extra_config: vec![config.to_owned()],
        ..SshdOptions::default()
    }
}

async fn requested() -> anyhow::Result<()> {
    for (settings, on) in [("", false), (ON, true)] {
        let builder = embedded().ssh(sshd(SUBSYSTEM)).settings(settings);
        let fixture = builder.start().await?;
        let ssh = &fixture.servers.ssh;
        ensure!(fixture.login().await?.fetch("file").await? == CONTENT);
        if on {
            // The control connection and the data connection; there can be a spare one.
            ssh.process().wait_log_times(STARTED, 2, SOON).await?;
        } else {
            ensure!(!ssh.log().contains("ctype session"), "{}", ssh.log());
        }
    }
    Ok(())
}

async fn refused() -> anyhow::Result<()> {
    let builder = embedded().ssh(sshd("")).settings(ON);
    let mut fixture = builder.start().await?;
    let mut client: FtpClient = fixture.login().await?;
    ensure!(client.fetch("file").await? == CONTENT);
    let process = fixture.servers.ssh.process();
    process.wait_log_times(NOT_FOUND, 2, SOON).await?;
    ensure!(client.fetch("file").await? == CONTENT);
    fixture.broker.stop(SOON).await?;
    let log = fixture.broker.log();
    ensure!(log.matches(REFUSED).count() == 1, "{log}");
    Ok(())
}

/// What the doctor says about small packets of such a server, over a line with this delay.
async fn examined(
    servers: &Servers<Sshd>,
    delay: Duration,
    settings: &str,
) -> anyhow::Result<Option<Check>> {
    let line = RelayOptions {
        delay,
        ..RelayOptions::to(servers.ssh.addr())
    };
    let line = Relay::start_with(line).await?;
    let profile = servers.profile()?.at(line.addr()).with(settings);
    let examined = Examined::of(&profile).await?;
    ensure!(examined.status == Some(0), "{examined:#?}");
    let mut checks = examined.checks.into_iter();
    Ok(checks.find(|it| it.step == Step::SmallPackets))
}

async fn doctor() -> anyhow::Result<()> {
    let servers = embedded().ssh(sshd(SUBSYSTEM)).servers().await?;
    let hint = examined(&servers, DELAY, "").await?;
    ensure!(has(&hint, Outcome::Ok, "a round trip"), "{hint:#?}");
    let remedy = hint.and_then(|it| it.remedy).unwrap_or_default();
    ensure!(remedy.contains(ON), "{remedy}");

    let works = examined(&servers, Duration::ZERO, ON).await?;
    ensure!(has(&works, Outcome::Ok, "at once"), "{works:#?}");
    ensure!(works.is_some_and(|it| it.remedy.is_none()));

    let servers = embedded().ssh(sshd("")).servers().await?;
    let refused = examined(&servers, Duration::ZERO, ON).await?;
    ensure!(has(&refused, Outcome::Warning, REFUSED), "{refused:#?}");
    let remedy = refused.and_then(|it| it.remedy).unwrap_or_default();
    ensure!(remedy.contains(SUBSYSTEM), "{remedy}");
    Ok(())
}

fn has(check: &Option<Check>, outcome: Outcome, text: &str) -> bool {
    let check = check.as_ref();
    check.is_some_and(|it| it.outcome == outcome && it.text.contains(text))
}
