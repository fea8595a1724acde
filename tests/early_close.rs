//! Clients that do not wait: what they send, and close, before the broker gets to see it.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::{Signal, geteuid};
use testkit::fixture::Fixture;
use testkit::ftp_client::FtpClient;
use testkit::peer::FtpFiles;
use testkit::scripted::Conversation;
use tokio::time::timeout;

use crate::support::fixture::{SOON, embedded};
use crate::support::sockets::eventually;
use crate::support::trial;

/// Uploads of one session.
const UPLOADS: usize = 30;

/// From this version on Linux knows the owner of a closed connection until its end was acknowledged. Everywhere root may put
/// that off, and on most systems others.
const REMEMBERS: (u32, u32) = (6, 17);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "early close: an upload that is over before the broker looks at it",
            &[],
            || over("tiny"),
        ),
        trial(
            "early close: an empty upload that is over before the broker looks at it",
            &[],
            || over(""),
        ),
        trial("early close: thirty uploads without a pause", &[], thirty),
        trial(
            "early close: a data connection that is reset before the broker looks at it",
            &[],
            reset,
        ),
    ]
}

struct Uploads {
    fixture: Fixture,
    ftp: FtpClient,
}

impl Uploads {
    async fn start() -> anyhow::Result<Self> {
        let fixture = embedded().start().await?;
        let ftp = fixture.login().await?;
        Ok(Self { fixture, ftp })
    }

    /// Has the broker's process stand still.
    async fn stand_still(&self) -> anyhow::Result<()> {
        let process = self.fixture.broker.process();
        process.signal(Signal::STOP)?;
        let stat = format!("/proc/{}/stat", process.pid());
        let stands = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
        eventually("the broker stands still", stands).await
    }

    fn go_on(&self) -> anyhow::Result<()> {
        self.fixture.broker.process().signal(Signal::CONT)
    }

    /// Everything that a client does in an upload, without a look at a reply.
    async fn upload(&mut self, to: SocketAddr, name: &str, content: &str) -> anyhow::Result<()> {
        let mut data = Conversation::connect(to).await?;
        let store = format!("STOR {name}\r\n");
        self.ftp.control().send(store).await?;
        data.send(content).await?;
        data.finish().await
    }

    /// The upload is there, or where that can't be had the client hears so at once.
    async fn stored_or_told(&mut self, name: &str, content: &str) -> anyhow::Result<()> {
        let told = self.told_at_once().await?;
        if told.starts_with("226") {
            let stored = self.fixture.servers.ftp.file(name);
            ensure!(stored.as_deref() == Some(content.as_bytes()), "{stored:?}");
            return Ok(());
        }
        ensure!(told.starts_with("425") && !is_certain()?, "{told}");
        Ok(())
    }

    /// The final reply to a transfer. Where the data connection was never seen, none need tell that it began.
    async fn told_at_once(&mut self) -> anyhow::Result<String> {
        let told = async {
            let first = self.ftp.control().reply().await?;
            if first.starts_with("150") {
                return self.ftp.control().reply().await;
            }
            anyhow::Ok(first)
        };
        timeout(SOON, told).await?
    }
}

/// Whether the broker can be sure to learn the owner in time.
fn is_certain() -> anyhow::Result<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split('.').map(str::parse);
    let (major, minor) = (numbers.next(), numbers.next());
    let version = (major.context("no version")??, minor.context("no version")??);
    Ok(version >= REMEMBERS && geteuid().is_root())
}

async fn over(content: &'static str) -> anyhow::Result<()> {
    let mut session = Uploads::start().await?;
    // The first one is opened before the client is told its port, later ones are not.
    for name in ["first", "second"] {
        let announced = session.ftp.announced("EPSV").await?;
        session.stand_still().await?;
        session.upload(announced, name, content).await?;
        session.go_on()?;
        session.stored_or_told(name, content).await?;
    }
    Ok(())
}

async fn thirty() -> anyhow::Result<()> {
    let mut session = Uploads::start().await?;
    for number in 0..UPLOADS {
        let (name, content) = (format!("file{number}"), "x".repeat(number));
        let announced = session.ftp.announced("EPSV").await?;
        session.upload(announced, &name, &content).await?;
        session.stored_or_told(&name, &content).await?;
    }
    Ok(())
}

/// Nobody can tell any more whose it was: the client hears so at once, and not when it is tired of waiting.
async fn reset() -> anyhow::Result<()> {
    let mut session = Uploads::start().await?;
    for _ in 0..2 {
        let announced = session.ftp.announced("EPSV").await?;
        session.stand_still().await?;
        Conversation::connect(announced).await?.reset();
        session.ftp.control().send("STOR stored\r\n").await?;
        session.go_on()?;
        let told = session.told_at_once().await?;
        ensure!(told.starts_with("425"), "{told}");
        ensure!(told.contains("who owned it"), "{told}");
    }
    session.ftp.ask("NOOP", "200").await?;
    Ok(())
}
