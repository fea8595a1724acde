//! An FTP session of suppaftp, for tests that need no client installed.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use suppaftp::types::FileType;
use suppaftp::{FtpStream, Mode as DataMode};

use super::clients::Mode;

/// How long suppaftp waits for the server's data connection.
const ACCEPT_LIMIT: Duration = Duration::from_secs(60);

/// A session that is logged in. Its methods block.
pub(crate) struct Session(pub(crate) FtpStream);

impl Session {
    /// Connects and logs in, with data connections in `mode`.
    pub(crate) fn open(server: SocketAddr, mode: Mode) -> anyhow::Result<Self> {
        let ftp = FtpStream::connect(server).context("connect")?;
        let mut session = Self(ftp.active_mode(ACCEPT_LIMIT));
        session.set_mode(mode);
        session.0.login("anonymous", "guest").context("login")?;
        session.0.transfer_type(FileType::Binary)?;
        Ok(session)
    }

    /// Data connections are made like this from now on. Which of `PORT` and `EPRT` is sent follows from the address.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.0.set_mode(match mode {
            Mode::Pasv => DataMode::Passive,
            Mode::Epsv => DataMode::ExtendedPassive,
            Mode::Port | Mode::Eprt => DataMode::Active,
        });
    }

    /// Uploads from byte `offset` on; the server has the bytes before it.
    pub(crate) fn put(
        &mut self,
        name: &str,
        content: &mut impl Read,
        offset: usize,
    ) -> anyhow::Result<()> {
        self.0.resume_transfer(offset)?;
        let mut data = self.0.put_with_stream(name).context("STOR")?;
        std::io::copy(content, &mut data).context("upload")?;
        data.finish().context("end of the upload")
    }

    /// Downloads from byte `offset` on.
    pub(crate) fn get(
        &mut self,
        name: &str,
        to: &mut impl Write,
        offset: usize,
    ) -> anyhow::Result<()> {
        self.0.resume_transfer(offset)?;
        let mut data = self.0.retr_as_stream(name).context("RETR")?;
        std::io::copy(&mut data, to).context("download")?;
        data.finish().context("end of the download")
    }
}
