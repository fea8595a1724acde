//! Scripted peers: one end of an FTP control connection, of a data connection, or of any other, played by a test.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long anything that a script waits for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest line a script takes: longer than any that is understood on a control connection.
const MAX_LINE: usize = 1024 * 1024;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Bytes that the kernel takes for a script that does not read. Left to itself it takes tens of MiB where the host lets it,
/// so that a file of which a script reads half would already have arrived.
const KERNEL_HOLDS: u32 = 256 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The listening half of a peer: an FTP server's control port, or the port of one data connection.
pub struct ScriptedListener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl ScriptedListener {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn bind() -> anyhow::Result<Self> {
        Self::bind_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Listens on an address of the caller's choice; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind_on(bind: SocketAddr) -> anyhow::Result<Self> {
        let listener =
            listen(bind).with_context(|| format!("the scripted peer cannot listen on {bind}"))?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes the next connection.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn accept(&self) -> anyhow::Result<Conversation> {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted
            .with_context(|| format!("nobody connected to the scripted peer {}", self.addr))??;
        Ok(Conversation::new(stream))
    }
}

fn listen(bind: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = limited_socket(bind)?;
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    socket.listen(BACKLOG)
}

/// A socket for connections to or at an address; those that a listener accepts inherit its limit.
fn limited_socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_recv_buffer_size(KERNEL_HOLDS)?;
    Ok(socket)
}

/// One connection, spoken by the test word for word. Every wait is limited.
pub struct Conversation {
    stream: TcpStream,
    read: Vec<u8>,
    seen: Vec<u8>,
}

impl Conversation {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Connects as a client.
    ///
    /// # Errors
    /// When the connection is refused or takes too long.
    pub async fn connect(to: SocketAddr) -> anyhow::Result<Self> {
        let socket = limited_socket(to)?;
        let connected = timeout(PATIENCE, socket.connect(to)).await;
        let stream = connected
            .with_context(|| format!("{to} does not answer"))?
            .with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }

    /// Takes over a connection that was made elsewhere, such as inside a namespace.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn over(stream: std::net::TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self::new(TcpStream::from_std(stream)?))
    }

    /// This end's address.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// The other end's address.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn peer_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    /// Everything read so far.
    #[must_use]
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Sends bytes as they are, in one write.
    ///
    /// # Errors
    /// When the other side takes them not in time or not at all.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let bytes = bytes.as_ref();
        let sent = timeout(PATIENCE, self.stream.write_all(bytes)).await;
        sent.context("the other side does not read")?
            .with_context(|| format!("cannot send {:?}", Shown(bytes)))
    }

    /// Sends bytes as urgent data, of which TCP marks the last; few enough to go out at once.
    ///
    /// # Errors
    /// When the connection has ended or does not take them all.
    pub fn send_urgently(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = socket2::SockRef::from(&self.stream).send_out_of_band(bytes)?;
        ensure!(sent == bytes.len(), "only {sent} bytes went out");
        Ok(())
    }

    /// The next line, with its end.
    ///
    /// # Errors
    /// When the connection ends before the line does, or nothing comes in time; the message shows what did come.
    pub async fn line(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Ok(self.read.drain(..=end).collect());
            }
            ensure!(
                self.read.len() < MAX_LINE,
                "a line of more than {MAX_LINE} bytes"
            );
            if self.fill().await.context("waiting for a line")? == 0 {
                bail!("the connection ended after {:?}", Shown(&self.read));
            }
        }
    }

    /// The next line as text, without its end.
    ///
    /// # Errors
    /// As [`Conversation::line`].
    pub async fn text(&mut self) -> anyhow::Result<String> {
        let line = self.line().await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// The next reply: its last line, after those of a multi-line reply (RFC 959 §4.2).
    ///
    /// # Errors
    /// As [`Conversation::line`].
    pub async fn reply(&mut self) -> anyhow::Result<String> {
        let first = self.text().await?;
        let Some((code, _)) = first.split_once('-').filter(|(code, _)| code.len() == 3) else {
            return Ok(first);
        };
        let last = format!("{code} ");
        loop {
            let line = self.text().await?;
            if line.starts_with(&last) {
                return Ok(line);
            }
        }
    }

    /// Takes the next line, which must be `expected` and CRLF.
    ///
    /// # Errors
    /// When it is another, or none comes.
    pub async fn expect(&mut self, expected: &str) -> anyhow::Result<()> {
        let line = self
            .line()
            .await
            .with_context(|| format!("waiting for {expected:?}"))?;
        let right = line.strip_suffix(b"\r\n") == Some(expected.as_bytes());
        ensure!(right, "expected {expected:?}, not {:?}", Shown(&line));
        Ok(())
    }

    /// Sends a command and takes its reply.
    ///
    /// # Errors
    /// When it cannot be sent or no reply comes.
    pub async fn command(&mut self, command: &str) -> anyhow::Result<String> {
        self.send(format!("{command}\r\n")).await?;
        self.reply()
            .await
            .with_context(|| format!("after {command:?}"))
    }

    /// Sends a command, whose reply must begin with `code`, and returns it.
    ///
    /// # Errors
    /// When the reply begins with something else, or none comes.
    pub async fn ask(&mut self, command: &str, code: &str) -> anyhow::Result<String> {
        let reply = self.command(command).await?;
        ensure!(
            reply.starts_with(code),
            "{command:?} was answered {reply:?}, not {code}"
        );
        Ok(reply)
    }

    /// Reads to the orderly end of the connection.
    ///
    /// # Errors
    /// When the connection is reset, or goes on for too long.
    pub async fn rest(&mut self) -> anyhow::Result<Vec<u8>> {
        while self.fill().await? > 0 {}
        Ok(std::mem::take(&mut self.read))
    }

    /// Reads until `count` bytes are there and takes them.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn bytes(&mut self, count: usize) -> anyhow::Result<Vec<u8>> {
        while self.read.len() < count {
            let missing = count - self.read.len();
            ensure!(
                self.fill().await? > 0,
                "the connection ended {missing} bytes early"
            );
        }
        Ok(self.read.drain(..count).collect())
    }

    /// Waits for the end of the connection and says how it came; what is still read is thrown away.
    ///
    /// # Errors
    /// When the connection goes on for too long.
    pub async fn end(&mut self) -> anyhow::Result<End> {
        loop {
            let read = timeout(PATIENCE, self.fill_once()).await;
            match read.context("the connection does not end")? {
                Ok(0) => return Ok(End::Orderly),
                Ok(_) => {}
                Err(_) => return Ok(End::Reset),
            }
        }
    }

    /// Ends this side's half in order; the other may go on.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        // It fails only on a socket that has ended already.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// The socket, for what a script has no word for.
    #[must_use]
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    async fn fill(&mut self) -> anyhow::Result<usize> {
        let read = timeout(PATIENCE, self.fill_once()).await;
        read.with_context(|| format!("nothing came after {:?}", Shown(&self.read)))?
            .context("the connection broke")
    }

    async fn fill_once(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; CHUNK];
        let count = self.stream.read(&mut chunk).await?;
        let read = chunk.get(..count).unwrap_or_default();
        self.read.extend_from_slice(read);
        self.seen.extend_from_slice(read);
        Ok(count)
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side said that there is no more.
    Orderly,
    /// It was cut.
    Reset,
}

/// Bytes as text, for messages.
struct Shown<'a>(&'a [u8]);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (Conversation, Conversation) {
        let listener = ScriptedListener::bind().await.unwrap();
        let (client, server) =
            tokio::join!(Conversation::connect(listener.addr()), listener.accept());
        (client.unwrap(), server.unwrap())
    }

    #[tokio::test]
    async fn a_short_session_goes_by_the_script() {
        let (mut client, mut server) = pair().await;
        let play = async {
            server.send("220 ready\r\n").await?;
            server.expect("FEAT").await?;
            server
                .send("211-Features:\r\n MDTM\r\n211-no\r\n211 End\r\n")
                .await?;
            anyhow::Ok(())
        };
        let watch = async {
            assert_eq!(client.reply().await?, "220 ready");
            client.ask("FEAT", "211 End").await
        };
        let (played, watched) = tokio::join!(play, watch);
        played.unwrap();
        watched.unwrap();
        assert_eq!(server.seen(), b"FEAT\r\n");
    }

    #[tokio::test]
    async fn another_line_than_expected_is_shown() {
        let (mut client, mut server) = pair().await;
        client.send("PASS x\n").await.unwrap();
        let error = server.expect("PASS x").await.unwrap_err().to_string();
        assert_eq!(error, r#"expected "PASS x", not "PASS x\n""#);
    }

    #[tokio::test]
    async fn an_end_and_a_reset_are_told_apart() {
        let (mut client, mut server) = pair().await;
        server.send("tail").await.unwrap();
        server.finish().await.unwrap();
        assert_eq!(client.end().await.unwrap(), End::Orderly);
        client.reset();
        assert_eq!(server.end().await.unwrap(), End::Reset);
    }

    #[tokio::test]
    async fn what_a_line_leaves_is_kept_for_the_rest() {
        let (mut client, mut server) = pair().await;
        client.send("one\r\ntwo three").await.unwrap();
        client.finish().await.unwrap();
        server.expect("one").await.unwrap();
        assert_eq!(server.bytes(3).await.unwrap(), b"two");
        assert_eq!(server.rest().await.unwrap(), b" three");
        assert!(server.line().await.is_err());
    }
}
