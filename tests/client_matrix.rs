//! Every client in every mode it knows, through sshd to vsftpd, over IPv4 and IPv6; each file compared byte by byte.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use testkit::files::pattern;

use crate::support::clients::Client::{Curl, Ftplib, Lftp, Tnftp};
use crate::support::clients::Mode::{Eprt, Epsv, Pasv, Port};
use crate::support::clients::{Client, Mode, Step, sent, transcript};
use crate::support::compare::{same_bytes, same_files};
use crate::support::fixture::{Channels, Real, between, expect_data_channels, expect_transfers};
use crate::support::{BigFile, Need, trial_within};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Which addresses are spoken at the client's side and at the servers' side, and who can do what there.
///
/// ftplib takes the extended commands for IPv6 alone, and so does lftp with EPRT.
const ROWS: &[(&str, IpAddr, IpAddr, Client, &[Mode])] = &[
    ("IPv4", V4, V4, Curl, &[Pasv, Epsv, Port, Eprt]),
    ("IPv4", V4, V4, Lftp, &[Pasv, Epsv, Port]),
    ("IPv4", V4, V4, Tnftp, &[Pasv, Epsv, Port, Eprt]),
    ("IPv4", V4, V4, Ftplib, &[Pasv, Port]),
    ("IPv6", V6, V6, Curl, &[Epsv, Eprt]),
    ("IPv6", V6, V6, Lftp, &[Epsv, Eprt]),
    ("IPv6", V6, V6, Tnftp, &[Epsv, Eprt]),
    ("IPv6", V6, V6, Ftplib, &[Epsv, Eprt]),
    ("IPv4 to IPv6", V4, V6, Curl, &[Pasv, Epsv, Port, Eprt]),
    ("IPv6 to IPv4", V6, V4, Curl, &[Epsv, Eprt]),
    ("IPv6 to IPv4", V6, V4, Ftplib, &[Epsv, Eprt]),
];

/// The same with the client at the SSH server, and the FTP server at the broker.
const REMOTE_ROWS: &[(&str, IpAddr, Client, &[Mode])] = &[
    ("IPv4", V4, Curl, &[Pasv, Epsv, Port, Eprt]),
    ("IPv4", V4, Lftp, &[Pasv, Epsv, Port]),
    ("IPv4", V4, Tnftp, &[Pasv, Epsv, Port, Eprt]),
    ("IPv4", V4, Ftplib, &[Pasv, Port]),
    ("IPv6", V6, Curl, &[Epsv, Eprt]),
    ("IPv6", V6, Lftp, &[Epsv, Eprt]),
    ("IPv6", V6, Ftplib, &[Epsv, Eprt]),
];

/// Larger than the window of an SSH channel, so that it has to be granted anew, and no multiple of any buffer.
const SIZE: usize = 3 * 1024 * 1024 + 1;

/// What a resumed transfer finds at its destination.
const FIRST_PART: usize = 1024 * 1024 + 1;

/// Names that need care: spaces, UTF-8, and bytes that are no UTF-8.
const NAMES: [&[u8]; 3] = [b"with two  spaces", "Größe ☃".as_bytes(), b"caf\xe9 100%"];

/// Commands that use a data connection.
const TRANSFERS: [&str; 6] = ["LIST", "NLST", "MLSD", "RETR", "STOR", "APPE"];

const LIMIT: Duration = Duration::from_secs(120);

/// Twice 256 MiB through two SSH implementations, while other tests run beside.
const BIG_LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(family, near, far, client, modes) in ROWS {
        for &mode in modes {
            let name = format!("client matrix: {client} by {mode}, {family}");
            let needs = needs(client);
            let big_name = format!("{name}, 256 MiB");
            trials.push(trial_within(LIMIT, name, &needs, move || async move {
                let fixture = between(near, far).start().await?;
                let mut run = ClientRun::begin(fixture, client, mode)?;
                run.every_operation().await?;
                run.end().await
            }));
            // Between two families the bytes go the same ways as within one.
            if near != far {
                continue;
            }
            trials.push(trial_within(
                BIG_LIMIT,
                big_name,
                &needs,
                move || async move {
                    let fixture = between(near, far).start().await?;
                    let mut run = ClientRun::begin(fixture, client, mode)?;
                    run.big_file().await?;
                    run.end().await
                },
            ));
        }
    }
    for &(family, at, client, modes) in REMOTE_ROWS {
        for &mode in modes {
            let name = format!("client matrix: {client} by {mode}, {family}, remote tunnel");
            let needs = needs(client);
            trials.push(trial_within(LIMIT, name, &needs, move || async move {
                let fixture = between(at, at).remote().start().await?;
                let mut run = ClientRun::begin(fixture, client, mode)?;
                run.every_operation().await?;
                expect_transfers(&run.fixture.broker, run.transfers).await
            }));
        }
    }
    trials
}

fn needs(client: Client) -> [Need; 3] {
    [
        Need::Program("sshd"),
        Need::Program("vsftpd"),
        Need::Program(client.requirement().program),
    ]
}

/// One client in one mode, and what it has done so far.
struct ClientRun {
    fixture: Real,
    home: TempDir,
    client: Client,
    mode: Mode,
    transfers: usize,
}

impl ClientRun {
    fn begin(fixture: Real, client: Client, mode: Mode) -> anyhow::Result<Self> {
        Ok(Self {
            fixture,
            home: tempfile::tempdir()?,
            client,
            mode,
            transfers: 0,
        })
    }

    async fn every_operation(&mut self) -> anyhow::Result<()> {
        self.list().await.context("list")?;
        self.download().await.context("download")?;
        self.upload().await.context("upload")?;
        self.resume_download().await.context("resume a download")?;
        self.resume_upload().await.context("resume an upload")?;
        self.rename().await.context("rename")?;
        self.delete().await.context("delete")?;
        self.difficult_names().await.context("difficult names")?;
        self.empty_file().await.context("empty file")
    }

    /// What the broker and sshd have counted must be what the client has asked for: nothing went past them.
    async fn end(self) -> anyhow::Result<()> {
        expect_transfers(&self.fixture.broker, self.transfers).await?;
        let (passive, active) = match self.mode {
            Pasv | Epsv => (self.transfers, 0),
            Port | Eprt => (0, self.transfers),
        };
        expect_data_channels(&self.fixture.servers, Channels::default(), passive, active).await
    }

    async fn list(&mut self) -> anyhow::Result<()> {
        for name in NAMES {
            self.at_server(OsStr::from_bytes(name), b"")?;
        }
        let listing = self.perform(Step::List).await?;
        for name in NAMES {
            let shown = String::from_utf8_lossy(name);
            let listed = listing.windows(name.len()).any(|window| window == name);
            ensure!(
                listed,
                "{shown} is missing in the listing:\n{}",
                String::from_utf8_lossy(&listing)
            );
        }
        Ok(())
    }

    async fn download(&mut self) -> anyhow::Result<()> {
        let content = pattern(1, SIZE);
        let name = OsStr::new("down");
        self.at_server(name, &content)?;
        let local = self.home.path().join("down");
        self.perform(Step::Get(name, &local)).await?;
        same_bytes(&local, &content)
    }

    async fn upload(&mut self) -> anyhow::Result<()> {
        let content = pattern(2, SIZE);
        let local = self.at_client("up", &content)?;
        self.perform(Step::Put(&local, OsStr::new("up"))).await?;
        same_bytes(&self.at("up"), &content)
    }

    async fn resume_download(&mut self) -> anyhow::Result<()> {
        let content = pattern(3, SIZE);
        let name = OsStr::new("rest down");
        self.at_server(name, &content)?;
        let local = self.at_client("rest down", &content[..FIRST_PART])?;
        self.perform(Step::Reget(name, &local)).await?;
        same_bytes(&local, &content)
    }

    async fn resume_upload(&mut self) -> anyhow::Result<()> {
        let content = pattern(4, SIZE);
        let name = OsStr::new("rest up");
        self.at_server(name, &content[..FIRST_PART])?;
        let local = self.at_client("rest up", &content)?;
        self.perform(Step::Reput(&local, name, FIRST_PART as u64))
            .await?;
        same_bytes(&self.at(name), &content)
    }

    async fn rename(&mut self) -> anyhow::Result<()> {
        let (old, new) = (OsStr::new("old name"), OsStr::new("new name"));
        self.at_server(old, b"the same")?;
        self.perform(Step::Rename(old, new)).await?;
        ensure!(!self.at(old).exists(), "the old name is still there");
        same_bytes(&self.at(new), b"the same")
    }

    async fn delete(&mut self) -> anyhow::Result<()> {
        let name = OsStr::new("to delete");
        self.at_server(name, b"short-lived")?;
        self.perform(Step::Delete(name)).await?;
        ensure!(!self.at(name).exists(), "the file is still there");
        Ok(())
    }

    async fn difficult_names(&mut self) -> anyhow::Result<()> {
        for name in NAMES {
            let name = OsStr::from_bytes(name);
            let remote = self.at(name);
            fs::remove_file(&remote)?;
            let content = pattern(5, 1000);
            let local = self.at_client("named", &content)?;
            self.perform(Step::Put(&local, name)).await?;
            same_bytes(&remote, &content)?;
            let back = self.home.path().join("back");
            self.perform(Step::Get(name, &back)).await?;
            same_bytes(&back, &content)?;
        }
        Ok(())
    }

    async fn empty_file(&mut self) -> anyhow::Result<()> {
        let local = self.at_client("empty", b"")?;
        self.perform(Step::Put(&local, OsStr::new("empty"))).await?;
        same_bytes(&self.at("empty"), b"")?;
        let back = self.home.path().join("empty back");
        self.perform(Step::Get(OsStr::new("empty"), &back)).await?;
        same_bytes(&back, b"")
    }

    async fn big_file(&mut self) -> anyhow::Result<()> {
        let name = OsStr::new("big");
        let big = BigFile::get()?;
        let original = big.path();
        self.perform(Step::Put(&original, name)).await?;
        let remote = self.at(name);
        same_files(&remote, &original).context("upload")?;
        let back = self.home.path().join("big back");
        self.perform(Step::Get(name, &back)).await?;
        same_files(&back, &original).context("download")
    }

    /// Does it, counts it, and returns what came on standard output.
    async fn perform(&mut self, step: Step<'_>) -> anyhow::Result<Vec<u8>> {
        let (server, home) = (self.fixture.tunnel, self.home.path());
        let output = self.client.perform(server, self.mode, step, home).await?;
        let transcript = transcript(&output);
        let count = |verb: &&str| sent(&transcript, verb);
        self.transfers += TRANSFERS.iter().map(count).sum::<usize>();
        resumed(step, &transcript)?;
        Ok(output.stdout)
    }

    /// Where the FTP server finds a file.
    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.fixture.servers.ftp.root().join(name)
    }

    fn at_server(&self, name: &OsStr, content: &[u8]) -> anyhow::Result<()> {
        write(self.at(name), content).map(drop)
    }

    fn at_client(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        write(self.home.path().join(name), content)
    }
}

fn write(path: PathBuf, content: &[u8]) -> anyhow::Result<PathBuf> {
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A client that sends the whole file again also ends with the right bytes.
fn resumed(step: Step<'_>, transcript: &str) -> anyhow::Result<()> {
    let resumes = matches!(step, Step::Reget(..) | Step::Reput(..));
    let asked = sent(transcript, "REST") + sent(transcript, "APPE") > 0;
    ensure!(
        !resumes || asked,
        "the client did not resume:\n{transcript}"
    );
    Ok(())
}
