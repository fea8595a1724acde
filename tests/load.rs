//! Many transfers in one session, and many sessions at once.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use libtest_mimic::Trial;
use testkit::files::pattern;

use crate::embedded::expect_channels;
use crate::support::clients::Mode;
use crate::support::session::Session;
use crate::support::stage::{Stage, Variant};
use crate::support::{Need, trial_within};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const LIMIT: Duration = Duration::from_secs(300);

const TRANSFERS: usize = 1000;

const SESSIONS: usize = 200;

/// Each of many sessions moves a file of this size there and back.
const SIZE: usize = 200_000;

const MODES: [Mode; 3] = [Mode::Pasv, Mode::Epsv, Mode::Port];

/// All sessions come to vsftpd from the SSH server's address, of which it serves 50 by default.
const NO_LIMITS: [&str; 2] = ["max_per_ip=0", "max_clients=0"];

pub(crate) fn trials() -> Vec<Trial> {
    let none: &[Need] = &[];
    let real = &[Need::Program("sshd"), Need::Program("vsftpd")];
    let (thousand, many) = (
        "load::thousand_transfers_in_one_session",
        "load::two_hundred_sessions_at_once",
    );
    vec![
        trial_within(LIMIT, format!("{thousand}::embedded"), none, || async {
            let stage = Stage::embedded(HERE, HERE).await?;
            thousand_transfers(&stage).await?;
            let active = (0..TRANSFERS).filter(|&n| mode(n) == Mode::Port).count();
            expect_channels(&stage, 1, TRANSFERS - active, active).await
        }),
        trial_within(LIMIT, format!("{thousand}::sshd_vsftpd"), real, || async {
            thousand_transfers(&real_stage().await?).await
        }),
        trial_within(LIMIT, format!("{many}::embedded"), none, || async {
            let stage = Stage::embedded(HERE, HERE).await?;
            many_sessions(&stage).await?;
            let active = 2 * (0..SESSIONS).filter(|&n| mode(n) == Mode::Port).count();
            expect_channels(&stage, SESSIONS, 2 * SESSIONS - active, active).await
        }),
        trial_within(LIMIT, format!("{many}::sshd_vsftpd"), real, || async {
            many_sessions(&real_stage().await?).await
        }),
    ]
}

async fn real_stage() -> anyhow::Result<Stage> {
    let variant = Variant {
        vsftpd: NO_LIMITS.map(str::to_owned).to_vec(),
        ..Variant::default()
    };
    Stage::real_with(HERE, HERE, variant).await
}

/// The mode of transfer or session number `number`: all take turns.
fn mode(number: usize) -> Mode {
    MODES[number % MODES.len()]
}

/// A small file up and down again, time after time, each time other bytes and another mode.
async fn thousand_transfers<P>(stage: &Stage<P>) -> anyhow::Result<()> {
    let server = stage.tunnel();
    let all = move || {
        let mut session = Session::open(server, mode(0))?;
        for number in 0..TRANSFERS / 2 {
            there_and_back(&mut session, number, number)
                .with_context(|| format!("transfers {} and the next", 2 * number))?;
        }
        session.0.quit().context("QUIT")
    };
    let done = tokio::task::spawn_blocking(all).await?;
    done.with_context(|| stage.broker_log())?;
    stage.expect_transfers(TRANSFERS).await
}

/// Uploads in one mode, downloads in the next, and compares.
fn there_and_back(session: &mut Session, number: usize, size: usize) -> anyhow::Result<()> {
    let content = pattern(number as u64, size);
    let name = format!("file {}", number % 10);
    session.set_mode(mode(2 * number));
    session.put(&name, &mut content.as_slice(), 0)?;
    session.set_mode(mode(2 * number + 1));
    let mut back = Vec::new();
    session.get(&name, &mut back, 0)?;
    ensure!(back == content, "other bytes came back");
    Ok(())
}

/// All come at once, and all are logged in before the first transfer begins.
async fn many_sessions<P>(stage: &Stage<P>) -> anyhow::Result<()> {
    let server = stage.tunnel();
    let log_in = move || at_once((0..SESSIONS).collect(), |n| Session::open(server, mode(n)));
    let sessions = tokio::task::spawn_blocking(log_in).await?;
    let sessions = sessions.with_context(|| stage.broker_log())?;
    let listeners = stage.broker().json(&["list-tunnel-listeners"]).await?;
    let active = listeners[0]["sessions_active"].as_u64();
    ensure!(
        active == Some(SESSIONS as u64),
        "the broker counts {active:?} sessions"
    );

    let sessions = sessions.into_iter().enumerate().collect();
    let transfer = || at_once(sessions, |(n, session)| own_file(session, n));
    let done = tokio::task::spawn_blocking(transfer).await?;
    done.with_context(|| stage.broker_log())?;
    stage.expect_transfers(2 * SESSIONS).await
}

fn own_file(mut session: Session, number: usize) -> anyhow::Result<()> {
    let content = pattern(number as u64, SIZE);
    let name = format!("file of {number}");
    session.put(&name, &mut content.as_slice(), 0)?;
    let mut back = Vec::new();
    session.get(&name, &mut back, 0)?;
    ensure!(back == content, "session {number}: other bytes came back");
    session.0.quit().context("QUIT")
}

/// Does something with each item on a thread of its own; the first error is the result.
fn at_once<I: Send, O: Send>(
    items: Vec<I>,
    task: impl Fn(I) -> anyhow::Result<O> + Sync,
) -> anyhow::Result<Vec<O>> {
    let task = &task;
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || task(item)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a session panicked"))?)
            .collect()
    })
}
