//! Many transfers in one session, and many sessions at once.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::files::pattern;
use testkit::fixture::{Builder, Fixture};
use testkit::ftp_client::FtpClient;
use testkit::sshd::SshdOptions;
use testkit::vsftpd::VsftpdOptions;
use tokio::task::JoinSet;

use crate::embedded::expect_channels;
use crate::support::fixture::{embedded, expect_transfers, real_with};
use crate::support::{Need, REAL, trial_within};

const LIMIT: Duration = Duration::from_secs(300);

const TRANSFERS: usize = 1000;

const SESSIONS: usize = 200;

/// Each of many sessions moves a file of this size there and back.
const SIZE: usize = 200_000;

const MODES: [&str; 3] = ["PASV", "EPSV", "PORT"];

/// All sessions come to vsftpd from the SSH server's address, of which it serves 50 by default.
const NO_LIMITS: [&str; 2] = ["max_per_ip=0", "max_clients=0"];

pub(crate) fn trials() -> Vec<Trial> {
    let none: &[Need] = &[];
    let (thousand, many) = (
        "load: a thousand transfers in one session",
        "load: two hundred sessions at once",
    );
    vec![
        trial_within(LIMIT, format!("{thousand}, embedded"), none, || async {
            let fixture = embedded().start().await?;
            thousand_transfers(&fixture).await?;
            let active = (0..TRANSFERS).filter(|&n| mode(n) == "PORT").count();
            expect_channels(&fixture, 1, TRANSFERS - active, active).await
        }),
        trial_within(
            LIMIT,
            format!("{thousand}, sshd and vsftpd"),
            REAL,
            || async { thousand_transfers(&without_limits().start().await?).await },
        ),
        trial_within(LIMIT, format!("{many}, embedded"), none, || async {
            let fixture = embedded().start().await?;
            many_sessions(&fixture).await?;
            let active = 2 * (0..SESSIONS).filter(|&n| mode(n) == "PORT").count();
            expect_channels(&fixture, SESSIONS, 2 * SESSIONS - active, active).await
        }),
        trial_within(LIMIT, format!("{many}, sshd and vsftpd"), REAL, || async {
            many_sessions(&without_limits().start().await?).await
        }),
    ]
}

fn without_limits() -> Builder<SshdOptions, VsftpdOptions> {
    let vsftpd = VsftpdOptions {
        extra_config: NO_LIMITS.map(str::to_owned).to_vec(),
        ..VsftpdOptions::default()
    };
    real_with(SshdOptions::default(), vsftpd)
}

/// The mode of transfer or session number `number`: all take turns.
fn mode(number: usize) -> &'static str {
    MODES[number % MODES.len()]
}

/// A small file up and down again, time after time, each time other bytes and another mode.
async fn thousand_transfers<S, F>(fixture: &Fixture<S, F>) -> anyhow::Result<()> {
    let mut ftp = fixture.login().await?;
    for number in 0..TRANSFERS / 2 {
        let modes = [mode(2 * number), mode(2 * number + 1)];
        let name = format!("file {}", number % 10);
        there_and_back(&mut ftp, modes, &name, &pattern(number as u64, number))
            .await
            .with_context(|| format!("transfers {} and the next", 2 * number))?;
    }
    ftp.ask("QUIT", "221").await?;
    expect_transfers(&fixture.broker, TRANSFERS).await
}

/// Uploads in one mode, downloads in the other, and compares.
async fn there_and_back(
    ftp: &mut FtpClient,
    [up, down]: [&str; 2],
    name: &str,
    content: &[u8],
) -> anyhow::Result<()> {
    ftp.store_by(up, name, content).await?;
    let back = ftp.fetch_by(down, name).await?;
    ensure!(back == content, "other bytes came back");
    Ok(())
}

/// All come at once, and all are logged in before the first transfer begins.
async fn many_sessions<S, F>(fixture: &Fixture<S, F>) -> anyhow::Result<()> {
    let tunnel = fixture.tunnel;
    let mut logins = JoinSet::new();
    for _ in 0..SESSIONS {
        logins.spawn(FtpClient::login(tunnel));
    }
    let sessions = all(logins).await?;
    let listeners = fixture.broker.json(&["list-tunnel-listeners"]).await?;
    let active = listeners[0]["sessions_active"].as_u64();
    ensure!(
        active == Some(SESSIONS as u64),
        "the broker counts {active:?} sessions"
    );
    let mut transfers = JoinSet::new();
    for (number, ftp) in sessions.into_iter().enumerate() {
        transfers.spawn(own_file(ftp, number));
    }
    all(transfers).await?;
    expect_transfers(&fixture.broker, 2 * SESSIONS).await
}

async fn own_file(mut ftp: FtpClient, number: usize) -> anyhow::Result<()> {
    let name = format!("file of {number}");
    let content = pattern(number as u64, SIZE);
    let done = there_and_back(&mut ftp, [mode(number); 2], &name, &content).await;
    done.with_context(|| format!("session {number}"))?;
    ftp.ask("QUIT", "221").await?;
    Ok(())
}

/// What all tasks return; the first error is the result.
async fn all<T: 'static>(mut tasks: JoinSet<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let mut results = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        results.push(ended??);
    }
    Ok(results)
}
