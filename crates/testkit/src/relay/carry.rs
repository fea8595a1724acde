//! One connection through the relay: both directions, and its end, orderly or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Cut, Flow, Orders, RelayDirection, Shared};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// How long a side may take to answer an orderly end with its own.
const FAREWELL: Duration = Duration::from_secs(5);

/// What may be under way in one direction with a delay: 64 MiB fill 5 Gbit/s at 100 ms.
const DELAYED: usize = 64 * 1024 * 1024;
/// What may be under way without one: little, so that a stall is felt at once.
const AT_ONCE: usize = 64 * 1024;

/// A piece under way, when it arrives, and the room it takes.
type UnderWay = (Instant, Bytes, OwnedSemaphorePermit);

/// Passes both directions until both have ended, one side fails, or the connection is to be cut.
pub(super) async fn carry(
    mut client: TcpStream,
    mut target: TcpStream,
    Orders { mut cut, flow }: Orders,
    number: usize,
    shared: &Shared,
) {
    // A relay that collects small writes would change what it is there to observe.
    let _ = (client.set_nodelay(true), target.set_nodelay(true));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_target, to_target) = target.split();
        let up = Lane::new(shared, number, RelayDirection::ToTarget, &flow);
        let down = Lane::new(shared, number, RelayDirection::ToClient, &flow);
        let both = async {
            tokio::try_join!(
                up.pass(from_client, to_target),
                down.pass(from_target, to_client)
            )
        };
        tokio::select! {
            passed = both => passed.err().map(|_| Cut::Reset),
            order = cut.wait_for(Option::is_some) => order.ok().and_then(|how| *how),
        }
    };
    match end {
        Some(Cut::Reset) => [&client, &target].into_iter().for_each(reset),
        Some(Cut::Close) => {
            let _ = timeout(FAREWELL, close(client, target)).await;
        }
        Some(Cut::ResetTarget) => {
            reset(&target);
            drop(target);
            let _ = timeout(FAREWELL, close_one(client)).await;
        }
        None => {}
    }
}

/// Makes the coming drop of `stream` a reset.
pub(super) fn reset(stream: &TcpStream) {
    // It fails only on a socket that has ended already.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Ends both sides in order.
async fn close(client: TcpStream, target: TcpStream) {
    tokio::join!(close_one(client), close_one(target));
}

/// Ends one side in order. What it still sends is read, for unread bytes would turn the end into a reset.
async fn close_one(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let _ = drain(stream).await;
}

async fn drain(mut stream: TcpStream) -> io::Result<u64> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
}

/// One direction of one connection.
struct Lane<'a> {
    shared: &'a Shared,
    number: usize,
    direction: RelayDirection,
    flow: &'a watch::Receiver<Flow>,
}

impl<'a> Lane<'a> {
    fn new(
        shared: &'a Shared,
        number: usize,
        direction: RelayDirection,
        flow: &'a watch::Receiver<Flow>,
    ) -> Self {
        Self {
            shared,
            number,
            direction,
            flow,
        }
    }

    async fn pass(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> io::Result<()> {
        // The semaphore bounds the bytes, and with them the pieces, that are in the queue.
        let (put, taken) = mpsc::unbounded_channel();
        tokio::try_join!(self.fill(from, put), self.empty(taken, to))?;
        Ok(())
    }

    /// Reads as the flow allows and puts what came on the line.
    async fn fill(
        &self,
        mut from: ReadHalf<'_>,
        line: mpsc::UnboundedSender<UnderWay>,
    ) -> io::Result<()> {
        let room = Arc::new(Semaphore::new(capacity(self.shared.options.delay)));
        let mut flow = self.flow.clone();
        let mut buffer = BytesMut::new();
        loop {
            let flowing = flow.wait_for(|flow| *flow != Flow::Stall).await;
            let flowing = *flowing.map_err(io::Error::other)?;
            buffer.reserve(CHUNK);
            // The flow comes first: a byte sent after the flow was changed must not pass by the old one.
            let read = tokio::select! {
                biased;
                _ = flow.changed() => continue,
                read = from.read_buf(&mut buffer) => read?,
            };
            if flowing == Flow::Swallow {
                // A dead line brings no end either.
                if read == 0 {
                    std::future::pending::<()>().await;
                }
                buffer.clear();
                continue;
            }
            if read == 0 {
                return Ok(());
            }
            self.put(buffer.split().freeze(), &room, &line).await?;
        }
    }

    async fn put(
        &self,
        mut bytes: Bytes,
        room: &Arc<Semaphore>,
        line: &mpsc::UnboundedSender<UnderWay>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(CHUNK));
            let size = u32::try_from(piece.len()).map_err(io::Error::other)?;
            let permit = Arc::clone(room).acquire_many_owned(size).await;
            let permit = permit.map_err(io::Error::other)?;
            let arrival = Instant::now() + self.shared.options.delay;
            line.send((arrival, piece, permit))
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(())
    }

    /// Writes what has arrived, and ends in order when the line does.
    async fn empty(
        &self,
        mut line: mpsc::UnboundedReceiver<UnderWay>,
        mut to: WriteHalf<'_>,
    ) -> io::Result<()> {
        while let Some((arrival, piece, _permit)) = line.recv().await {
            if arrival > Instant::now() {
                sleep_until(arrival).await;
            }
            self.shared.note(self.number, self.direction, &piece);
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    }
}

/// How many bytes of one connection may be under way in one direction.
fn capacity(delay: Duration) -> usize {
    if delay.is_zero() { AT_ONCE } else { DELAYED }
}
