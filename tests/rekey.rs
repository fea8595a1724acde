//! New keys in the middle of transfers, asked for by either side: every byte arrives.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use testkit::broker::Broker;
use testkit::files::write_pattern;
use testkit::ftp_server::FtpServer;
use testkit::sshd::{Sshd, SshdOptions};

use crate::support::clients::Mode;
use crate::support::compare::same_files;
use crate::support::rig::{Login, ftp_tunnel};
use crate::support::session::Session;
use crate::support::{BigFile, Need, trial};

const NEEDS: &[Need] = &[Need::Program("sshd")];

const MIB: u64 = 1 << 20;

/// With a limit of 1 MiB there are some forty new keys each way: what is in flight when one is asked for comes on top.
const SMALL: u64 = 64 * MIB;

/// What sshd logs when keys are exchanged.
const EXCHANGE: &str = "SSH2_MSG_KEXINIT received";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("rekey::after_1_mib_each_way", NEEDS, || async {
            Stage::start(MIB, "default none").await?.small(25).await
        }),
        trial("rekey::after_256_mib_each_way", NEEDS, || async {
            Stage::start(256 * MIB, "default none").await?.big(1).await
        }),
        trial("rekey::asked_for_by_the_server_alone", NEEDS, || async {
            Stage::start(0, "1M none").await?.small(25).await
        }),
        trial("rekey::asked_for_by_both_sides", NEEDS, || async {
            Stage::start(3 * MIB, "2M none").await?.small(12).await
        }),
        trial("rekey::by_nobody_where_nobody_asks", NEEDS, || async {
            Stage::start(0, "default none").await?.none().await
        }),
    ]
}

struct Stage {
    sshd: Sshd,
    broker: Broker,
    tunnel: SocketAddr,
    directory: TempDir,
    _ftp: FtpServer,
}

impl Stage {
    /// With new keys after so many bytes, and after those that the server's `RekeyLimit` says.
    async fn start(bytes: u64, server_limit: &str) -> anyhow::Result<Self> {
        let sshd = Sshd::start(SshdOptions {
            extra_config: vec![
                format!("RekeyLimit {server_limit}"),
                "LogLevel DEBUG1".into(),
            ],
            ..SshdOptions::default()
        })
        .await?;
        let directory = tempfile::tempdir()?;
        let ftp = FtpServer::start(directory.path()).await?;
        let tunnel = ftp_tunnel(Ipv4Addr::LOCALHOST.into(), ftp.addr(), "");
        let settings = format!(r#"<rekey bytes="{bytes}"/>"#);
        let config = Login::to(&sshd)?.config(&settings, &tunnel);
        let broker = Broker::start(&config, &[]).await?;
        let tunnel = broker.listener(0).await?;
        Ok(Self {
            sshd,
            broker,
            tunnel,
            directory,
            _ftp: ftp,
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
        let (logged, connections) = (self.exchanges(), self.connections());
        ensure!(
            logged == connections,
            "{logged} exchanges on {connections} connections"
        );
        Ok(())
    }

    /// Uploads and downloads the file; each must have had at least so many new keys.
    async fn both_ways(self, file: PathBuf, keys: usize) -> anyhow::Result<()> {
        self.transfer(&file).await?;
        let renewed = self.exchanges() - self.connections();
        ensure!(
            renewed >= 2 * keys,
            "keys were renewed {renewed} times, not {keys} times each way"
        );
        Ok(())
    }

    async fn transfer(&self, file: &Path) -> anyhow::Result<()> {
        let (tunnel, file) = (self.tunnel, file.to_owned());
        let fetched = self.directory.path().join("fetched");
        let moved = tokio::task::spawn_blocking(move || round_trip(tunnel, &file, &fetched));
        moved.await?.with_context(|| self.broker.log())
    }

    fn exchanges(&self) -> usize {
        self.sshd.log().matches(EXCHANGE).count()
    }

    fn connections(&self) -> usize {
        self.sshd.log().matches("Accepted publickey").count()
    }
}

/// Uploads a file as `stored` and downloads that.
fn round_trip(tunnel: SocketAddr, file: &Path, fetched: &Path) -> anyhow::Result<()> {
    let mut session = Session::open(tunnel, Mode::Epsv)?;
    session.put("stored", &mut File::open(file)?, 0)?;
    session.get("stored", &mut File::create(fetched)?, 0)?;
    same_files(fetched, file)
}
