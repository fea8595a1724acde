//! The core set with suppaftp, through the testkit's SSH server to libunftp: it needs nothing installed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use suppaftp::types::FileType;
use suppaftp::{FtpStream, Mode as DataMode};
use tempfile::TempDir;
use testkit::files::pattern;
use testkit::fixture::Fixture;
use testkit::ftp_server::FtpServerOptions;

use crate::support::clients::Mode;
use crate::support::compare::{same_bytes, same_files};
use crate::support::fixture::embedded;
use crate::support::{BigFile, trial_within};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Addresses at the client's side and at the FTP server's, which does not know EPRT.
const ROWS: &[(&str, IpAddr, IpAddr, &[Mode])] = &[
    ("IPv4", V4, V4, &[Mode::Pasv, Mode::Epsv, Mode::Port]),
    ("IPv6", V6, V6, &[Mode::Epsv]),
    ("IPv6 to IPv4", V6, V4, &[Mode::Epsv]),
];

/// Larger than the window of an SSH channel, and no multiple of any buffer.
const SIZE: usize = 3 * 1024 * 1024 + 1;

/// What a resumed transfer finds at its destination.
const FIRST_PART: usize = 1024 * 1024 + 1;

/// This server wants UTF-8; other bytes are for the tests with real servers.
const NAMES: [&str; 2] = ["with two  spaces", "Größe ☃"];

const LIMIT: Duration = Duration::from_secs(120);

/// Twice 256 MiB through programs that are not optimised, while other tests run beside.
const BIG_LIMIT: Duration = Duration::from_secs(300);

/// How long suppaftp waits for the server's data connection.
const ACCEPT_LIMIT: Duration = Duration::from_secs(60);

/// How long the SSH server may take to count what has just ended.
const SETTLED: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(family, near, far, modes) in ROWS {
        for &mode in modes {
            let name = format!("embedded: {mode}, {family}");
            trials.push(trial_within(LIMIT, name, &[], move || {
                run(near, far, mode, SuppaftpRun::every_operation)
            }));
        }
    }
    for mode in [Mode::Pasv, Mode::Port] {
        let name = format!("embedded: {mode}, IPv4, 256 MiB");
        trials.push(trial_within(BIG_LIMIT, name, &[], move || {
            run(V4, V4, mode, SuppaftpRun::big_file)
        }));
    }
    let name = "embedded: a session goes on after an abort";
    trials.push(trial_within(LIMIT, name, &[], abort));
    trials
}

/// Runs a run, and counts the data channels afterwards: each transfer must have had one through SSH, and no more.
async fn run(
    near: IpAddr,
    far: IpAddr,
    mode: Mode,
    task: fn(&mut SuppaftpRun) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let ftp = FtpServerOptions { bind: far };
    let fixture = embedded().ftp(ftp).listen(near).start().await?;
    let (server, directory) = (fixture.tunnel, fixture.servers.ftp.root().to_owned());
    let run = move || {
        let mut run = SuppaftpRun {
            client: SuppaftpClient::open(server, mode)?,
            directory,
            home: tempfile::tempdir()?,
            transfers: 0,
        };
        task(&mut run)?;
        run.client.0.quit().context("QUIT")?;
        anyhow::Ok(run.transfers)
    };
    let transfers = tokio::task::spawn_blocking(run).await??;
    let (passive, active) = match mode {
        Mode::Pasv | Mode::Epsv => (transfers, 0),
        Mode::Port | Mode::Eprt => (0, transfers),
    };
    expect_channels(&fixture, 1, passive, active).await
}

/// By hand, since the order of the answers is the server's own: first to ABOR, then to the transfer.
async fn abort() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let root = fixture.servers.ftp.root();
    // More than all that can be on its way to a client that does not read.
    File::create(root.join("long"))?.set_len(64 * 1024 * 1024)?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.passive("PASV").await?;
    ftp.ask("RETR long", "150").await?;
    data.bytes(1000).await?;
    ftp.control().send("ABOR\r\n").await?;
    // The server looks up from its writing only when it fails.
    drop(data);
    // One reply for ABOR and one for the transfer: what each is for comes to the server on another SSH connection. The broker
    // reads the ABOR and the end of the data connection in either order. If the end comes first, the server's first success
    // counts as the word on the transfer, and it is not passed on.
    let mut codes = [ftp.reply("").await?, ftp.reply("").await?].map(|reply| reply[..3].to_owned());
    codes.sort();
    ensure!(
        codes == ["226", "426"] || codes == ["426", "426"],
        "{codes:?}"
    );
    ftp.ask("NOOP", "200").await?;
    ftp.store("after", b"the session goes on").await?;
    same_bytes(&root.join("after"), b"the session goes on")?;
    ftp.ask("QUIT", "221").await?;
    expect_channels(&fixture, 1, 2, 0).await
}

/// Waits until the SSH server has counted these control and data channels, all of them closed.
pub(crate) async fn expect_channels(
    fixture: &Fixture,
    sessions: usize,
    passive: usize,
    active: usize,
) -> anyhow::Result<()> {
    let closed = |c: &testkit::ssh_server::SshCounters| c.direct_active + c.forwards_active == 0;
    let counted = fixture.servers.ssh.wait_for(SETTLED, closed).await?;
    let (direct, forwarded) = (counted.direct_opened, counted.forwarded_opened);
    ensure!(
        (direct, forwarded) == (sessions + passive, active),
        "{sessions} sessions, {passive} passive and {active} active transfers: {counted:?}"
    );
    Ok(())
}

/// One session, and what it has done so far.
struct SuppaftpRun {
    client: SuppaftpClient,
    directory: PathBuf,
    home: TempDir,
    transfers: usize,
}

impl SuppaftpRun {
    fn every_operation(&mut self) -> anyhow::Result<()> {
        self.upload().context("upload")?;
        self.download().context("download")?;
        self.resume_upload().context("resume an upload")?;
        self.resume_download().context("resume a download")?;
        self.rename_and_delete().context("rename and delete")?;
        self.difficult_names().context("difficult names")?;
        self.list().context("list")?;
        self.empty_file().context("empty file")
    }

    fn upload(&mut self) -> anyhow::Result<()> {
        let content = pattern(1, SIZE);
        self.put("up", &content, 0)?;
        same_bytes(&self.directory.join("up"), &content)
    }

    fn download(&mut self) -> anyhow::Result<()> {
        let content = pattern(2, SIZE);
        fs::write(self.directory.join("down"), &content)?;
        ensure!(self.get("down", 0)? == content, "other bytes arrived");
        Ok(())
    }

    fn resume_upload(&mut self) -> anyhow::Result<()> {
        let content = pattern(3, SIZE);
        let path = self.directory.join("rest up");
        fs::write(&path, &content[..FIRST_PART])?;
        self.put("rest up", &content[FIRST_PART..], FIRST_PART)?;
        same_bytes(&path, &content)
    }

    fn resume_download(&mut self) -> anyhow::Result<()> {
        let content = pattern(4, SIZE);
        fs::write(self.directory.join("rest down"), &content)?;
        let rest = self.get("rest down", FIRST_PART)?;
        ensure!(rest == content[FIRST_PART..], "other bytes arrived");
        Ok(())
    }

    fn rename_and_delete(&mut self) -> anyhow::Result<()> {
        let (old, new) = (
            self.directory.join("old name"),
            self.directory.join("new name"),
        );
        fs::write(&old, "the same")?;
        self.client.0.rename("old name", "new name")?;
        ensure!(!old.exists(), "the old name is still there");
        same_bytes(&new, b"the same")?;
        self.client.0.rm("new name")?;
        ensure!(!new.exists(), "the file is still there");
        Ok(())
    }

    fn difficult_names(&mut self) -> anyhow::Result<()> {
        for name in NAMES {
            let content = pattern(5, 1000);
            self.put(name, &content, 0)?;
            same_bytes(&self.directory.join(name), &content)?;
            ensure!(self.get(name, 0)? == content, "other bytes arrived");
        }
        Ok(())
    }

    fn list(&mut self) -> anyhow::Result<()> {
        self.transfers += 1;
        let listing = self.client.0.list(None)?;
        for name in NAMES {
            let listed = listing.iter().any(|line| line.ends_with(name));
            ensure!(listed, "{name} is missing in {listing:#?}");
        }
        Ok(())
    }

    fn empty_file(&mut self) -> anyhow::Result<()> {
        self.put("empty", b"", 0)?;
        same_bytes(&self.directory.join("empty"), b"")?;
        ensure!(self.get("empty", 0)?.is_empty(), "bytes arrived");
        Ok(())
    }

    fn big_file(&mut self) -> anyhow::Result<()> {
        let big = BigFile::get()?;
        let back = self.home.path().join("back");
        self.transfers += 2;
        let mut original = File::open(big.path())?;
        self.client.put("big", &mut original, 0)?;
        same_files(&self.directory.join("big"), &big.path()).context("upload")?;
        self.client.get("big", &mut File::create(&back)?, 0)?;
        same_files(&back, &big.path()).context("download")
    }

    fn put(&mut self, name: &str, content: &[u8], offset: usize) -> anyhow::Result<()> {
        self.transfers += 1;
        self.client.put(name, &mut &*content, offset)
    }

    fn get(&mut self, name: &str, offset: usize) -> anyhow::Result<Vec<u8>> {
        self.transfers += 1;
        let mut content = Vec::new();
        self.client.get(name, &mut content, offset)?;
        Ok(content)
    }
}

/// A session of suppaftp that is logged in. Its methods block.
struct SuppaftpClient(FtpStream);

impl SuppaftpClient {
    /// Connects and logs in, with data connections in `mode`.
    fn open(server: SocketAddr, mode: Mode) -> anyhow::Result<Self> {
        let ftp = FtpStream::connect(server).context("connect")?;
        let mut ftp = ftp.active_mode(ACCEPT_LIMIT);
        ftp.set_mode(match mode {
            Mode::Pasv => DataMode::Passive,
            Mode::Epsv => DataMode::ExtendedPassive,
            // Which of the two is sent follows from the address.
            Mode::Port | Mode::Eprt => DataMode::Active,
        });
        ftp.login("anonymous", "guest").context("login")?;
        ftp.transfer_type(FileType::Binary)?;
        Ok(Self(ftp))
    }

    /// Uploads from byte `offset` on; the server has the bytes before it.
    fn put(&mut self, name: &str, content: &mut impl Read, offset: usize) -> anyhow::Result<()> {
        self.0.resume_transfer(offset)?;
        let mut data = self.0.put_with_stream(name).context("STOR")?;
        io::copy(content, &mut data).context("upload")?;
        data.finish().context("end of the upload")
    }

    /// Downloads from byte `offset` on.
    fn get(&mut self, name: &str, to: &mut impl Write, offset: usize) -> anyhow::Result<()> {
        self.0.resume_transfer(offset)?;
        let mut data = self.0.retr_as_stream(name).context("RETR")?;
        io::copy(&mut data, to).context("download")?;
        data.finish().context("end of the download")
    }
}
