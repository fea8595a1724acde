//! A channel: bytes to and from a target, with an orderly end distinguished from a cut

mod backlog;
mod batch;
mod open;
mod pump;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connect::Liveness;
use crate::net::workers::TaskSpawner;
use crate::pool::Lease;
use crate::state::CutReason;
use crate::state::info::ConnectionKind;
use backlog::Backlog;
pub(crate) use batch::Batch;
pub use open::Place;

/// The result of reading a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelRead {
    /// Bytes in order.
    Data(Bytes),
    /// The orderly end: the other side has sent everything (RFC 4254 section 5.3). Returned once.
    Eof,
    /// The channel or its connection ended. Without an `Eof` before it, something may be missing.
    Cut(CutReason),
}

/// Identifies a channel.
#[derive(Debug, Clone)]
pub struct ChannelInfo {
    /// Number of its connection within the pool.
    pub connection: u64,
    /// Kind of its connection.
    pub kind: ConnectionKind,
    /// Where it leads or comes from, as seen from the SSH server.
    pub peer: String,
    /// When it was opened.
    pub since: SystemTime,
}

/// Watches how the peer behind a channel reads. It keeps no channel open.
#[derive(Debug, Clone)]
pub struct Intake(Arc<Core>);

/// One channel. Dropping it closes it.
#[derive(Debug)]
pub struct Channel {
    read: ReadHalf,
    write: WriteHalf,
}

/// The reading half of a channel, which closes when both halves are dropped.
#[derive(Debug)]
pub struct ReadHalf {
    end: Arc<End>,
}

/// The writing half of a channel, which closes when both halves are dropped.
#[derive(Debug)]
pub struct WriteHalf {
    end: Arc<End>,
}

/// The owner's end of a channel; its drop tells the pump to finish.
#[derive(Debug)]
struct End {
    core: Arc<Core>,
    info: ChannelInfo,
    liveness: Liveness,
    spawner: TaskSpawner,
    _release: DropGuard,
}

/// What a channel's owner and its pump share.
#[derive(Debug)]
struct Core {
    backlog: Backlog,
    writer: ChannelWriteHalf<Msg>,
    /// Cancelled when the channel carries nothing further.
    gone: CancellationToken,
    /// Cancelled when the owner has dropped it.
    released: CancellationToken,
    eof_sent: AtomicBool,
    /// How often the other side has made room, which it does as its peer reads.
    rooms_made: AtomicU64,
    /// Who opened it, if that is known.
    client: Option<IpAddr>,
    /// Whether the server certainly leaves its direction open when ours ends.
    may_half_close: bool,
}

impl Core {
    /// Whether both directions had their orderly end.
    fn is_finished(&self) -> bool {
        self.eof_sent.load(Ordering::Acquire) && self.backlog.has_eof()
    }

    fn cut_reason(&self) -> CutReason {
        self.backlog.cut_reason().unwrap_or(CutReason::Closed)
    }
}

impl Channel {
    /// Takes over an opened channel; its lease is returned once it has ended on the wire.
    pub(crate) fn start(
        channel: russh::Channel<Msg>,
        peer: String,
        client: Option<IpAddr>,
        lease: Arc<Lease>,
    ) -> Self {
        let (messages, writer) = channel.split();
        let core = Arc::new(Core {
            backlog: Backlog::default(),
            writer,
            gone: CancellationToken::new(),
            released: CancellationToken::new(),
            eof_sent: AtomicBool::new(false),
            rooms_made: AtomicU64::new(0),
            client,
            may_half_close: lease.state().openssh().is_some(),
        });
        let state = lease.state();
        let spawner = TaskSpawner::new(state.runtime.clone(), lease.connection().tracker.clone());
        let info = ChannelInfo {
            connection: state.id,
            kind: state.kind,
            peer,
            since: SystemTime::now(),
        };
        let end = Arc::new(End {
            core: Arc::clone(&core),
            info,
            liveness: lease.connection().liveness(),
            spawner: spawner.clone(),
            _release: core.released.clone().drop_guard(),
        });
        spawner.spawn(pump::pump(messages, core, lease));
        Self {
            read: ReadHalf {
                end: Arc::clone(&end),
            },
            write: WriteHalf { end },
        }
    }

    /// Identifies the channel.
    pub fn info(&self) -> &ChannelInfo {
        self.read.info()
    }

    /// The next bytes, the end or the cut. Cancelling loses nothing.
    pub async fn read(&mut self) -> ChannelRead {
        self.read.read().await
    }

    /// Sends bytes, waiting for the server's window; see [`WriteHalf::write`].
    ///
    /// # Errors
    /// The reason, if the channel has ended.
    pub async fn write(&self, data: Bytes) -> Result<(), CutReason> {
        self.write.write(data).await
    }

    /// Ends our direction in an orderly way.
    ///
    /// # Errors
    /// The reason, if the channel has ended.
    pub async fn eof(&self) -> Result<(), CutReason> {
        self.write.eof().await
    }

    /// Waits until the other side has ended its direction, or the channel carries nothing further. Nobody may read
    /// meanwhile.
    pub async fn ended(&self) {
        self.read.end.core.backlog.ended().await;
    }

    /// Checks whether its SSH session is alive. It can outlive the channel.
    pub fn liveness(&self) -> Liveness {
        self.read.end.liveness.clone()
    }

    /// Watches how the peer behind the channel reads. It can outlive the channel.
    pub fn intake(&self) -> Intake {
        Intake(Arc::clone(&self.read.end.core))
    }

    /// Where the tasks that move this channel's bytes should run.
    pub(crate) fn spawner(&self) -> TaskSpawner {
        self.read.end.spawner.clone()
    }

    /// Closes the channel, as dropping it does.
    pub fn close(self) {}

    /// Two halves that can be used at the same time.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }
}

impl Intake {
    /// Waits until the other side has made no room for this long: its peer has read what there was, or reads nothing.
    pub async fn settled(&self, quiet: Duration) {
        loop {
            let before = self.0.rooms_made.load(Ordering::Relaxed);
            sleep(quiet).await;
            if self.0.rooms_made.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl ReadHalf {
    /// Identifies the channel.
    pub fn info(&self) -> &ChannelInfo {
        &self.end.info
    }

    /// The next bytes, the end or the cut. Cancelling loses nothing.
    pub async fn read(&mut self) -> ChannelRead {
        self.end.core.backlog.read().await
    }

    /// Adds to a batch what arrived since the last read, as far as there is room. Does not wait.
    pub(crate) fn take_waiting(&mut self, batch: &mut Batch) {
        self.end.core.backlog.take_waiting(batch);
    }

    /// Waits until the channel is cut before its orderly end, whether data waits or not.
    pub async fn cut(&mut self) -> CutReason {
        self.end.core.backlog.cut_before_eof().await
    }
}

impl WriteHalf {
    /// Identifies the channel.
    pub fn info(&self) -> &ChannelInfo {
        &self.end.info
    }

    /// Sends bytes, waiting for the server's window. A cancelled write may have sent a part.
    ///
    /// # Errors
    /// The reason, if the channel has ended or ends in the meantime.
    pub async fn write(&self, data: Bytes) -> Result<(), CutReason> {
        self.unless_gone(self.end.core.writer.data_bytes(data))
            .await
    }

    /// Ends our direction in an orderly way.
    ///
    /// # Errors
    /// The reason, if the channel has ended.
    pub async fn eof(&self) -> Result<(), CutReason> {
        self.unless_gone(self.end.core.writer.eof()).await?;
        self.end.core.eof_sent.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether our direction may end long before the server's: some SSH servers would close both.
    pub(crate) fn may_half_close(&self) -> bool {
        self.end.core.may_half_close
    }

    /// Waits until the channel carries nothing further, and returns the reason.
    pub async fn gone(&self) -> CutReason {
        self.end.core.gone.cancelled().await;
        self.end.core.cut_reason()
    }

    async fn unless_gone(
        &self,
        send: impl Future<Output = Result<(), russh::Error>>,
    ) -> Result<(), CutReason> {
        tokio::select! {
            biased;
            reason = self.gone() => Err(reason),
            sent = send => match sent {
                Ok(()) => Ok(()),
                // The session ended a moment ago; the pump is about to learn the reason.
                Err(_) => Err(self.gone().await),
            },
        }
    }
}
