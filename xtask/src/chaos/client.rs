//! An FTP client that records exactly what it sees

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use rustix::net::{SendFlags, send};
use testkit::ftp_client::{announced, port_command};
use testkit::relay::{Cut, Relay};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::transfer::{Deed, Direction, Interruption, Mode, Progress, Step, Transfer, Urgency};

/// How much is read and written at once.
const CHUNK: usize = 64 << 10;

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

/// What a client does beside moving its file. [`Default`] is nothing.
#[derive(Default)]
pub(super) struct Manners {
    pub(super) hold: Option<Hold>,
    pub(super) interruption: Option<Interruption>,
    /// After an ABOR it reads no more of a download.
    pub(super) stops_reading: bool,
    /// The port that it announces in active mode refuses.
    pub(super) refuses: bool,
    /// A box on its passive data connection resets the server's side after so many bytes, and ends the client's in order.
    pub(super) box_resets_after: Option<u64>,
}

/// Where data comes from or goes to in active mode.
enum Port {
    Open(TcpListener),
    /// Bound and not listening, so that nobody else gets the port.
    Refusing(TcpSocket),
}

/// One FTP session that moves one file.
pub(super) struct Client {
    server: SocketAddr,
    progress: watch::Sender<Progress>,
    manners: Manners,
    control: Option<BufReader<TcpStream>>,
    port: Option<Port>,
    data: Option<TcpStream>,
    relay: Option<Relay>,
    pub(super) seen: Seen,
}

impl Client {
    pub(super) fn new(
        server: SocketAddr,
        progress: watch::Sender<Progress>,
        manners: Manners,
    ) -> Self {
        Self {
            server,
            progress,
            manners,
            control: None,
            port: None,
            data: None,
            relay: None,
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
        self.port = None;
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
        self.say(&format!("{} {name}", transfer.verb.name()))
            .await?;
        self.reached(Step::Asked);
        self.interrupt().await?;
        if !transfer.hasty {
            let code = self.hear().await?;
            if code >= 200 {
                self.seen.answer = Some(code);
                return self.part().await;
            }
        }
        self.reached(Step::Started);
        if self.meet().await? {
            self.seen.data_end = match transfer.direction() {
                Direction::Download => self.download().await,
                Direction::Upload => self.upload(content, transfer.waits).await,
            };
            self.reached(Step::DataEnded);
            self.interrupt().await?;
        }
        if self.seen.data_end != DataEnd::Open {
            self.data = None;
        }
        self.hear_the_end().await?;
        self.reached(Step::Answered);
        self.interrupt().await?;
        self.part().await
    }

    /// Hears what is owed, and takes leave where that is still possible: the replies must be those to the commands.
    async fn part(&mut self) -> Result<()> {
        if self.has_done(Deed::is_abort) {
            self.hear().await?;
        }
        if self.has_done(|deed| deed == Deed::HalfControl) {
            return Ok(());
        }
        let code = self.ask("QUIT").await?;
        ensure!(code == 221, "QUIT was answered {code}");
        Ok(())
    }

    async fn log_in(&mut self) -> Result<bool> {
        let greeting = self.hear().await?;
        if !self.accepts(greeting) {
            return Ok(false);
        }
        self.reached(Step::Greeted);
        for command in ["USER anonymous", "PASS chaos", "TYPE I"] {
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
        let reply = reply.trim_start_matches("< ");
        let mut address = announced(reply, self.server.ip())?;
        if let Some(bytes) = self.manners.box_resets_after {
            let relay = Relay::start(address).await?;
            relay.cut_after(Some((bytes, Cut::ResetTarget)));
            address = relay.addr();
            self.relay = Some(relay);
        }
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
        let any = SocketAddr::new(ip, 0);
        let (port, address) = if self.manners.refuses {
            let socket = match any {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.bind(any)?;
            let address = socket.local_addr()?;
            (Port::Refusing(socket), address)
        } else {
            let listener = TcpListener::bind(any).await.context("no port for data")?;
            let address = listener.local_addr()?;
            (Port::Open(listener), address)
        };
        self.port = Some(port);
        let verb = if extended || ip.is_ipv6() {
            "EPRT"
        } else {
            "PORT"
        };
        let code = self.ask(&port_command(verb, address)).await?;
        Ok(self.accepts(code))
    }

    /// In active mode waits for the server's connection, or for a reply that says that none will come.
    async fn meet(&mut self) -> Result<bool> {
        let listener = match self.port.take() {
            None => return Ok(true),
            Some(Port::Refusing(socket)) => {
                // It refuses to the end.
                self.port = Some(Port::Refusing(socket));
                return Ok(false);
            }
            Some(Port::Open(listener)) => listener,
        };
        while self.data.is_none() {
            tokio::select! {
                biased;
                accepted = listener.accept() => self.data = Some(accepted.context("no data connection")?.0),
                code = self.hear() => {
                    let code = code?;
                    if code < 200 {
                        continue;
                    }
                    self.seen.answer = Some(code);
                    if code >= 300 {
                        return Ok(false);
                    }
                    // The connection came first, yet the runtime may tell of the reply before it.
                    self.data = Some(listener.accept().await.context("no data connection")?.0);
                }
            }
        }
        Ok(true)
    }

    async fn download(&mut self) -> DataEnd {
        let mut chunk = vec![0; CHUNK];
        loop {
            if let Err(end) = self.pause().await {
                return end;
            }
            if self.has_stopped() {
                return DataEnd::Open;
            }
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
            if let Err(end) = self.pause().await {
                return end;
            }
            let Some(data) = &mut self.data else {
                return DataEnd::Open;
            };
            if let Err(error) = data.write_all(chunk).await {
                return DataEnd::Failed(error.to_string());
            }
            given += chunk.len();
            self.moved(given);
        }
        if let Err(end) = self.pause().await {
            return end;
        }
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

    /// Does what is due at this place, and stands still where that is set, until told to go on.
    async fn pause(&mut self) -> Result<(), DataEnd> {
        let interrupted = self.interrupt().await;
        interrupted.map_err(|error| DataEnd::Failed(format!("{error:#}")))?;
        let due = |hold: &mut Hold| hold.at <= self.progress.borrow().bytes;
        if let Some(mut hold) = self.manners.hold.take_if(due) {
            // The sender's end is as good as its word.
            let _ = hold.released.wait_for(|released| *released).await;
        }
        Ok(())
    }

    /// Does what the client is to do in between, if its moment has come.
    async fn interrupt(&mut self) -> Result<()> {
        let progress = *self.progress.borrow();
        let due = |i: &Interruption| !progress.interrupted && i.moment.has_come(progress);
        let Some(Interruption { deed, .. }) = self.manners.interruption.filter(due) else {
            return Ok(());
        };
        self.seen.transcript.push(format!("> ({deed:?})"));
        self.progress
            .send_modify(|progress| progress.interrupted = true);
        match (deed, &mut self.data) {
            (Deed::Abort(urgency), _) => self.abort(urgency).await?,
            (Deed::HalfControl, _) => self.control()?.shutdown().await?,
            (Deed::HalfData, Some(data)) => data.shutdown().await?,
            (Deed::HalfData, None) => {}
        }
        Ok(())
    }

    async fn abort(&mut self, urgency: Urgency) -> Result<()> {
        let (urgent, plain): (&[u8], &[u8]) = match urgency {
            Urgency::Plain => (b"", b"ABOR\r\n"),
            Urgency::Urgent => (b"ABOR\r\n", b""),
            Urgency::Telnet => (b"\xff\xf4\xff", b"\xf2ABOR\r\n"),
        };
        let control = self.control()?;
        if !urgent.is_empty() {
            // A handful of bytes goes out whole.
            send(control.get_ref(), urgent, SendFlags::OOB)?;
        }
        Ok(control.write_all(plain).await?)
    }

    /// Whether the client has done something in between, and it was this.
    fn has_done(&self, what: impl Fn(Deed) -> bool) -> bool {
        let done = self.progress.borrow().interrupted;
        done && self.manners.interruption.is_some_and(|i| what(i.deed))
    }

    /// Whether the client has said that it wants no more of the data.
    fn has_stopped(&self) -> bool {
        self.manners.stops_reading && self.has_done(Deed::is_abort)
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
        let line = format!("{command}\r\n");
        self.control()?
            .write_all(line.as_bytes())
            .await
            .context("the control connection failed")
    }

    fn control(&mut self) -> Result<&mut BufReader<TcpStream>> {
        self.control.as_mut().context("not connected")
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
