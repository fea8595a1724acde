//! New keys in the middle of transfers, asked for by either side: every byte arrives.

use std::path::{Path, PathBuf};

use anyhow::Context;
use libtest_mimic::Trial;
use tempfile::TempDir;
use testkit::files::write_pattern;
use testkit::fixture::Fixture;
use testkit::sshd::{Sshd, SshdOptions};
use tokio::fs::File;
use tokio::io::copy;

use crate::support::compare::same_files;
use crate::support::fixture::embedded;
use crate::support::sockets::eventually;
use crate::support::{BigFile, Need, trial};

const NEEDS: &[Need] = &[Need::Program("sshd")];

const MIB: u64 = 1 << 20;

/// With a limit of 1 MiB there are some forty new keys each way: what is in flight when one is asked for comes on top.
const SMALL: u64 = 64 * MIB;

/// What sshd logs when keys are exchanged.
const EXCHANGE: &str = "SSH2_MSG_KEXINIT received";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("rekey: after 1 MiB each way", NEEDS, || async {
            Transfers::start(MIB, "default none").await?.small(25).await
        }),
        trial("rekey: after 256 MiB each way", NEEDS, || async {
            Transfers::start(256 * MIB, "default none")
                .await?
                .big(1)
                .await
        }),
        trial("rekey: asked for by the server alone", NEEDS, || async {
            Transfers::start(0, "1M none").await?.small(25).await
        }),
        trial("rekey: asked for by both sides", NEEDS, || async {
            Transfers::start(3 * MIB, "2M none").await?.small(12).await
        }),
        trial("rekey: by nobody where nobody asks", NEEDS, || async {
            Transfers::start(0, "default none").await?.none().await
        }),
    ]
}

struct Transfers {
    fixture: Fixture<Sshd>,
    directory: TempDir,
}

impl Transfers {
    /// With new keys after so many bytes, and after those that the server's `RekeyLimit` says.
    async fn start(bytes: u64, server_limit: &str) -> anyhow::Result<Self> {
        let sshd = SshdOptions {
            extra_config: vec![format!("RekeyLimit {server_limit}")],
            ..SshdOptions::default()
        };
        let settings = format!(r#"<rekey bytes="{bytes}"/>"#);
        let builder = embedded().ssh(sshd).settings(settings);
        Ok(Self {
            fixture: builder.start().await?,
            directory: tempfile::tempdir()?,
        })
    }

    async fn small(self, keys: usize) -> anyhow::Result<()> {
        let file = self.directory.path().join("original");
        write_pattern(&file, 1, SMALL)?;
        self.both_ways(file, keys).await
    }

    async fn big(self, keys: usize) -> anyhow::Result<()> {
        let file = BigFile::get()?;
        self.both_ways(file.path(), keys).await
    }

    async fn none(self) -> anyhow::Result<()> {
        let file = self.directory.path().join("original");
        write_pattern(&file, 1, SMALL)?;
        self.transfer(&file).await?;
        // A connection that is just being made has exchanged its keys, and not logged in.
        let none_more = || self.exchanges() == self.connections();
        let settled = eventually("one exchange on each connection", none_more).await;
        settled.with_context(|| {
            let (exchanges, connections) = (self.exchanges(), self.connections());
            format!("{exchanges} exchanges on {connections} connections")
        })
    }

    /// Uploads and downloads the file; each must have had at least so many new keys.
    async fn both_ways(self, file: PathBuf, keys: usize) -> anyhow::Result<()> {
        self.transfer(&file).await?;
        let renewed = || self.exchanges().saturating_sub(self.connections());
        let often = eventually("new keys", || renewed() >= 2 * keys).await;
        often.with_context(|| {
            let renewed = renewed();
            format!("keys were renewed {renewed} times, not {keys} times each way")
        })
    }

    /// Uploads a file and downloads it again.
    async fn transfer(&self, file: &Path) -> anyhow::Result<()> {
        let mut ftp = self.fixture.login().await?;
        let mut upload = ftp.begin("EPSV", "STOR stored").await?;
        copy(&mut File::open(file).await?, upload.stream()).await?;
        upload.finish().await?;
        ftp.reply("226").await?;

        let fetched = self.directory.path().join("fetched");
        let mut download = ftp.begin("EPSV", "RETR stored").await?;
        copy(download.stream(), &mut File::create(&fetched).await?).await?;
        ftp.reply("226").await?;
        same_files(&fetched, file)
    }

    fn exchanges(&self) -> usize {
        self.fixture.servers.ssh.log().matches(EXCHANGE).count()
    }

    fn connections(&self) -> usize {
        self.fixture
            .servers
            .ssh
            .log()
            .matches("Accepted publickey")
            .count()
    }
}
