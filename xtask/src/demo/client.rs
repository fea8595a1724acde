//! An ordinary FTP client that knows nothing of the broker

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use suppaftp::FtpStream;
use suppaftp::types::{FileType, Mode};

use super::screen::Progress;

/// How much is read and written at once.
const CHUNK: usize = 64 * 1024;
/// Longer than any answer of a server on this machine takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One FTP session.
pub(super) struct Client {
    ftp: FtpStream,
}

impl Client {
    /// Connects and logs in.
    pub(super) fn connect(server: SocketAddr, user: &str, password: &str) -> Result<Self> {
        let mut ftp = FtpStream::connect_timeout(server, PATIENCE)
            .with_context(|| format!("the FTP client cannot connect to {server}"))?
            .active_mode(PATIENCE);
        ftp.get_ref()
            .set_read_timeout(Some(PATIENCE))
            .context("cannot set a time limit on the FTP client")?;
        ftp.login(user, password)
            .context("the FTP client cannot log in")?;
        ftp.transfer_type(FileType::Binary)
            .context("the FTP client cannot choose binary transfers")?;
        Ok(Self { ftp })
    }

    /// Chooses who connects to whom for data.
    pub(super) fn set_mode(&mut self, mode: Mode) {
        self.ftp.set_mode(mode);
    }

    /// The lines of `LIST`.
    pub(super) fn list(&mut self) -> Result<Vec<String>> {
        self.ftp
            .list(None)
            .context("the FTP client cannot list the directory")
    }

    /// Stores `bytes` as `name`.
    pub(super) fn upload(&mut self, name: &str, bytes: &[u8], progress: Progress) -> Result<()> {
        let mut transfer = self
            .ftp
            .put_with_stream(name)
            .with_context(|| format!("cannot upload {name}"))?;
        copy(bytes, &mut transfer, progress)
            .with_context(|| format!("the upload of {name} broke off"))?;
        transfer
            .finish()
            .with_context(|| format!("the upload of {name} was not confirmed"))
    }

    /// Fetches what is stored as `name`.
    pub(super) fn download(&mut self, name: &str, progress: Progress) -> Result<Vec<u8>> {
        let mut transfer = self
            .ftp
            .retr_as_stream(name)
            .with_context(|| format!("cannot download {name}"))?;
        let mut bytes = Vec::new();
        copy(&mut transfer, &mut bytes, progress)
            .with_context(|| format!("the download of {name} broke off"))?;
        transfer
            .finish()
            .with_context(|| format!("the download of {name} was not confirmed"))?;
        Ok(bytes)
    }

    /// Says good-bye.
    pub(super) fn quit(mut self) -> Result<()> {
        self.ftp
            .quit()
            .context("the FTP client cannot take its leave")
    }
}

fn copy(mut from: impl Read, mut to: impl Write, mut progress: Progress) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk)?;
        if length == 0 {
            progress.finish();
            return to.flush();
        }
        to.write_all(chunk.get(..length).unwrap_or_default())?;
        progress.advance(length);
    }
}
