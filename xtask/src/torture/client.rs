//! An FTP client that records exactly what it sees

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::plan::{Direction, Mode, Step, Transfer};

/// How much is read and written at once.
const CHUNK: usize = 64 << 10;

/// How far a client has come, for whoever waits for a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) step: Step,
    /// Bytes of the file taken or given.
    pub(super) bytes: usize,
}

/// How the data connection ended, as the client sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum DataEnd {
    /// It was never made, or not used to its end.
    #[default]
    Open,
    /// A download ended in good order; an upload was given completely.
    Orderly,
    /// It failed, for this reason.
    Failed(String),
}

/// What a client has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Commands and replies.
    pub(super) transcript: Vec<String>,
    /// The reply that ended the transfer, or refused it earlier.
    pub(super) answer: Option<u16>,
    pub(super) data_end: DataEnd,
    /// What was downloaded.
    pub(super) received: Vec<u8>,
    /// Why the conversation broke off.
    pub(super) lost: Option<String>,
}

impl Seen {
    /// Whether a client takes this for a whole file.
    pub(super) fn is_complete(&self) -> bool {
        self.has_success() && self.data_end == DataEnd::Orderly
    }

    /// Whether it was told of success.
    pub(super) fn has_success(&self) -> bool {
        self.answer.is_some_and(|code| (200..300).contains(&code))
    }
}

/// A place in the file where the client pauses until it is told to go on.
pub(super) struct Hold {
    pub(super) at: usize,
    pub(super) released: watch::Receiver<bool>,
}

/// One FTP session that moves one file.
pub(super) struct Client {
    server: SocketAddr,
    progress: watch::Sender<Progress>,
    hold: Option<Hold>,
    control: Option<BufReader<TcpStream>>,
    listener: Option<TcpListener>,
    data: Option<TcpStream>,
    pub(super) seen: Seen,
}

impl Client {
    pub(super) fn new(
        server: SocketAddr,
        progress: watch::Sender<Progress>,
        hold: Option<Hold>,
    ) -> Self {
        Self {
            server,
            progress,
            hold,
            control: None,
            listener: None,
            data: None,
            seen: Seen::default(),
        }
    }

    /// Moves the file `name`; `content` is what an upload gives.
    pub(super) async fn run(&mut self, transfer: &Transfer, name: &str, content: &[u8]) {
        if let Err(error) = self.converse(transfer, name, content).await {
            self.seen.lost = Some(format!("{error:#}"));
        }
        self.reached(Step::Over);
    }

    /// Leaves without a word: both connections are reset, or closed.
    pub(super) fn leave(&mut self, reset: bool) {
        for stream in [
            self.data.take(),
            self.control.take().map(BufReader::into_inner),
        ] {
            if let (Some(stream), true) = (stream, reset) {
                // It fails only on a connection that has ended.
                let _ = stream.set_zero_linger();
            }
        }
    }

    /// Resets the data connection and hears what the server has to say of it.
    pub(super) async fn reset_data(&mut self) {
        if let Some(data) = self.data.take() {
            let _ = data.set_zero_linger();
        }
        self.listener = None;
        self.seen.data_end = DataEnd::Failed("reset by the client itself".to_owned());
        if self.progress.borrow().step >= Step::Asked
            && self.seen.answer.is_none()
            && let Err(error) = self.hear_the_end().await
        {
            self.seen.lost = Some(format!("{error:#}"));
        }
    }

    async fn converse(&mut self, transfer: &Transfer, name: &str, content: &[u8]) -> Result<()> {
        let control = TcpStream::connect(self.server).await;
        self.control = Some(BufReader::new(control.context("no control connection")?));
        if !self.log_in().await? || !self.agree(transfer).await? {
            return Ok(());
        }
        self.reached(Step::Offered);
        let command = match transfer.direction {
            Direction::Download => "RETR",
            Direction::Upload => "STOR",
        };
        self.say(&format!("{command} {name}")).await?;
        self.reached(Step::Asked);
        let code = self.hear().await?;
        if code >= 200 {
            self.seen.answer = Some(code);
            return Ok(());
        }
        self.reached(Step::Started);
        if self.meet().await? {
            self.seen.data_end = match transfer.direction {
                Direction::Download => self.download().await,
                Direction::Upload => self.upload(content, transfer.waits).await,
            };
            self.reached(Step::DataEnded);
        }
        self.data = None;
        self.hear_the_end().await?;
        self.say("QUIT").await?;
        self.hear().await?;
        Ok(())
    }

    async fn log_in(&mut self) -> Result<bool> {
        let greeting = self.hear().await?;
        if !self.accepts(greeting) {
            return Ok(false);
        }
        self.reached(Step::Greeted);
        for command in ["USER anonymous", "PASS torture", "TYPE I"] {
            let code = self.ask(command).await?;
            if !self.accepts(code) {
                return Ok(false);
            }
        }
        self.reached(Step::LoggedIn);
        Ok(true)
    }

    /// Agrees on the data connection, and makes it where that is the client's part.
    async fn agree(&mut self, transfer: &Transfer) -> Result<bool> {
        match transfer.mode {
            Mode::Passive => self.agree_passive(transfer.extended).await,
            Mode::Active => self.agree_active(transfer.extended).await,
        }
    }

    async fn agree_passive(&mut self, extended: bool) -> Result<bool> {
        let code = self.ask(if extended { "EPSV" } else { "PASV" }).await?;
        if !self.accepts(code) {
            return Ok(false);
        }
        let reply = self.seen.transcript.last().cloned().unwrap_or_default();
        let address = SocketAddr::new(self.server.ip(), announced(&reply)?);
        match TcpStream::connect(address).await {
            Ok(data) => self.data = Some(data),
            Err(error) => {
                self.seen.data_end = DataEnd::Failed(format!("no data connection: {error}"));
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn agree_active(&mut self, extended: bool) -> Result<bool> {
        let ip = self.server.ip();
        let listener = TcpListener::bind((ip, 0))
            .await
            .context("no port for data")?;
        let port = listener.local_addr()?.port();
        self.listener = Some(listener);
        let code = self.ask(&announcement(ip, port, extended)).await?;
        Ok(self.accepts(code))
    }

    /// In active mode waits for the server's connection, or for a reply that says that none will come.
    async fn meet(&mut self) -> Result<bool> {
        let Some(listener) = self.listener.take() else {
            return Ok(true);
        };
        tokio::select! {
            biased;
            accepted = listener.accept() => self.data = Some(accepted.context("no data connection")?.0),
            code = self.hear() => {
                let code = code?;
                self.seen.answer = Some(code);
                if code >= 300 {
                    return Ok(false);
                }
                // The connection came first, yet the runtime may tell of the reply before it.
                self.data = Some(listener.accept().await.context("no data connection")?.0);
            }
        }
        Ok(true)
    }

    async fn download(&mut self) -> DataEnd {
        let mut chunk = vec![0; CHUNK];
        loop {
            self.pause().await;
            let Some(data) = &mut self.data else {
                return DataEnd::Open;
            };
            match data.read(&mut chunk).await {
                Ok(0) => return DataEnd::Orderly,
                Ok(count) => self
                    .seen
                    .received
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) => return DataEnd::Failed(error.to_string()),
            }
            self.moved(self.seen.received.len());
        }
    }

    async fn upload(&mut self, content: &[u8], waits: bool) -> DataEnd {
        let mut given = 0;
        for chunk in content.chunks(CHUNK) {
            self.pause().await;
            let Some(data) = &mut self.data else {
                return DataEnd::Open;
            };
            if let Err(error) = data.write_all(chunk).await {
                return DataEnd::Failed(error.to_string());
            }
            given += chunk.len();
            self.moved(given);
        }
        self.pause().await;
        let Some(data) = &mut self.data else {
            return DataEnd::Open;
        };
        if let Err(error) = data.shutdown().await {
            return DataEnd::Failed(error.to_string());
        }
        if waits {
            // Most clients do not look, so that what comes here does not count.
            let _ = data.read(&mut [0]).await;
        }
        DataEnd::Orderly
    }

    /// Stands still at the place set for it, until told to go on.
    async fn pause(&mut self) {
        let due = |hold: &mut Hold| hold.at <= self.progress.borrow().bytes;
        if let Some(mut hold) = self.hold.take_if(due) {
            // The sender's end is as good as its word.
            let _ = hold.released.wait_for(|released| *released).await;
        }
    }

    async fn hear_the_end(&mut self) -> Result<()> {
        while self.seen.answer.is_none() {
            let code = self.hear().await?;
            self.seen.answer = (code >= 200).then_some(code);
        }
        Ok(())
    }

    async fn ask(&mut self, command: &str) -> Result<u16> {
        self.say(command).await?;
        self.hear().await
    }

    async fn say(&mut self, command: &str) -> Result<()> {
        self.seen.transcript.push(format!("> {command}"));
        let control = self.control.as_mut().context("not connected")?;
        let line = format!("{command}\r\n");
        control
            .write_all(line.as_bytes())
            .await
            .context("the control connection failed")
    }

    /// The code of the next reply. Cancelling it loses no more than a part of a line.
    async fn hear(&mut self) -> Result<u16> {
        let control = self.control.as_mut().context("not connected")?;
        let mut line = String::new();
        loop {
            line.clear();
            let read = control.read_line(&mut line).await;
            ensure!(
                read.context("the control connection failed")? > 0,
                "the control connection ended"
            );
            self.seen.transcript.push(format!("< {}", line.trim_end()));
            if line.as_bytes().get(3) == Some(&b' ') {
                let code = line.get(..3).unwrap_or_default();
                return code.parse().with_context(|| format!("no reply: {line}"));
            }
        }
    }

    /// Whether the session goes on after this reply; otherwise it was the last.
    fn accepts(&mut self, code: u16) -> bool {
        let accepted = (200..400).contains(&code);
        if !accepted {
            self.seen.answer = Some(code);
        }
        accepted
    }

    fn reached(&self, step: Step) {
        self.progress
            .send_modify(|progress| progress.step = progress.step.max(step));
    }

    fn moved(&self, bytes: usize) {
        self.progress.send_modify(|progress| progress.bytes = bytes);
    }
}

/// The command that announces a port of the client's.
fn announcement(ip: IpAddr, port: u16, extended: bool) -> String {
    match ip {
        IpAddr::V4(v4) if !extended => {
            let host = v4.to_string().replace('.', ",");
            format!("PORT {host},{},{}", port >> 8, port & 255)
        }
        IpAddr::V4(_) => format!("EPRT |1|{ip}|{port}|"),
        IpAddr::V6(_) => format!("EPRT |2|{ip}|{port}|"),
    }
}

/// The port in a reply to PASV or EPSV.
fn announced(reply: &str) -> Result<u16> {
    let inside = reply
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(inside, _)| inside)
        .with_context(|| format!("no address in {reply}"))?;
    if let Some(port) = inside.strip_prefix("|||") {
        return Ok(port.trim_end_matches('|').parse()?);
    }
    let numbers: Vec<u16> = inside
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [_, _, _, _, high, low] => Ok((high << 8) + low),
        _ => bail!("no address in {reply}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn ports_are_announced_and_understood() {
        let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(announcement(v4, 258, false), "PORT 127,0,0,1,1,2");
        assert_eq!(announcement(v4, 258, true), "EPRT |1|127.0.0.1|258|");
        let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
        assert_eq!(announcement(v6, 258, false), "EPRT |2|::1|258|");
        assert_eq!(announced("227 Mode (127,0,0,1,1,2).").unwrap(), 258);
        assert_eq!(announced("229 Mode (|||258|)").unwrap(), 258);
        assert!(announced("227 Logout.").is_err());
    }
}
