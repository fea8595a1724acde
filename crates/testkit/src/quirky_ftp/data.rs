//! Data connections: how they come about, and the files that go through them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{MAX_STORED, Quirks, Shared};

/// How long the server waits for a data connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// How the next data connection is to be made.
pub(super) enum Offer {
    /// The client connects to this listener.
    Passive(TcpListener),
    /// The server connects to this address.
    Active(SocketAddr),
}

/// An offer that a transfer has taken up.
pub(super) enum Line {
    Awaited(TcpListener),
    Made(TcpStream),
}

impl Offer {
    /// Connects to the client in active mode. In passive mode the client may wait for the reply that announces the
    /// transfer, so that nothing is waited for yet.
    pub(super) async fn take_up(self) -> io::Result<Line> {
        Ok(match self {
            Self::Passive(listener) => Line::Awaited(listener),
            Self::Active(address) => Line::Made(within(TcpStream::connect(address)).await?),
        })
    }
}

impl Line {
    async fn made(self) -> io::Result<TcpStream> {
        Ok(match self {
            Self::Awaited(listener) => within(listener.accept()).await?.0,
            Self::Made(stream) => stream,
        })
    }
}

async fn within<T>(made: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT_LIMIT, made).await?
}

/// What a transfer moves.
pub(super) enum Job {
    Send(Vec<u8>),
    /// Adds to the file of this name.
    Receive(String),
}

/// How a transfer ended.
pub(super) enum End {
    /// As it should; an upload's connection is still there.
    Whole(Option<TcpStream>),
    /// Nobody connected.
    Unconnected,
    /// The connection failed.
    Failed,
    Aborted,
}

/// Does the job. Dropping it closes the data connection.
pub(super) async fn carry(line: Line, job: Job, quirks: &Quirks, shared: &Shared) -> End {
    let Ok(mut stream) = line.made().await else {
        return End::Unconnected;
    };
    let carried = match job {
        Job::Send(bytes) => send(stream, &bytes).await.map(|()| None),
        Job::Receive(name) => {
            let received = receive(&mut stream, &name, quirks, shared).await;
            received.map(|()| Some(stream))
        }
    };
    carried.map_or(End::Failed, End::Whole)
}

async fn send(mut stream: TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await
}

async fn receive(
    stream: &mut TcpStream,
    name: &str,
    quirks: &Quirks,
    shared: &Shared,
) -> io::Result<()> {
    if quirks.half_closes {
        stream.shutdown().await?;
    }
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        shared.store(name, chunk.get(..count).unwrap_or_default())?;
    }
}

impl Shared {
    fn store(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut full = false;
        self.files.send_modify(|files| {
            let held: usize = files.values().map(Vec::len).sum();
            full = held + bytes.len() > MAX_STORED;
            if let Some(file) = files.get_mut(name).filter(|_| !full) {
                file.extend_from_slice(bytes);
            }
        });
        if full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// The address in the argument of PORT.
pub(super) fn port_argument(argument: &str) -> Option<SocketAddr> {
    let numbers: Vec<u8> = argument
        .split(',')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = numbers.try_into().ok()?;
    let port = u16::from_be_bytes([high, low]);
    Some(SocketAddr::from(([a, b, c, d], port)))
}

/// The address in the argument of EPRT.
pub(super) fn eprt_argument(argument: &str) -> Option<SocketAddr> {
    let mut fields = argument.split('|').skip(2);
    let host: IpAddr = fields.next()?.parse().ok()?;
    Some(SocketAddr::new(host, fields.next()?.parse().ok()?))
}
