//! The client's end: connects, sends `hello`, and turns typed requests into typed results.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Stream as _;
use interprocess::local_socket::{GenericFilePath, ToFsName};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::endpoint::{BindError, check_length, owner};
use crate::error::RpcError;
use crate::methods::{Hello, HelloReply, Method};
use crate::peer;
use crate::reason::Reason;
use crate::types::Event;
use crate::wire::{self, FramedStream, Id, Notification, Response};
use crate::{BUILD, PROTOCOL};

/// The id of the first request.
const HELLO_ID: i64 = 1;

/// Calls in the send queue. Further callers wait.
const CALLS_TO_SEND: usize = 1;

/// Events that wait for the program. Further ones wait at the daemon, which reports those that are lost there.
const EVENTS: usize = 1;

/// How long a client waits for the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The limit for an ordinary request.
    pub answer: Duration,
    /// The limit for a request that needs a server or a person.
    pub work: Duration,
    /// When both limits end at the latest: the limit of a command with several requests.
    pub until: Option<Instant>,
}

impl Patience {
    /// The same limit for all requests.
    pub fn of(time: Duration) -> Self {
        Self {
            answer: time,
            work: time,
            until: None,
        }
    }

    /// What is left of one of the limits.
    fn left(self, limit: Duration) -> Duration {
        let until = self
            .until
            .map(|it| it.saturating_duration_since(Instant::now()));
        until.map_or(limit, |left| left.min(limit))
    }
}

impl Default for Patience {
    /// The daemon answers ordinary requests within milliseconds. After five seconds it is stuck, or has no descriptor
    /// left to accept the client. A connection to a server through gateways takes minutes at most, and each prompt has
    /// its own time limit in the daemon.
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(5),
            work: Duration::from_secs(15 * 60),
            until: None,
        }
    }
}

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The path does not fit into a socket address.
    #[error(transparent)]
    Path(BindError),
    /// No process listens on the socket.
    #[error("no daemon answers on {}: run broker-ctl start, or start brokerd as a service", path.display())]
    NotRunning {
        /// The socket tried.
        path: PathBuf,
    },
    /// No process listens on the socket, and the caller could not start one.
    #[error("cannot start a daemon on {}: {reason}", path.display())]
    NotStarted {
        /// The socket tried.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The socket exists, and connecting to it failed.
    #[error("cannot connect to the daemon on {}: {source}", path.display())]
    Connect {
        /// The socket tried.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The process behind the socket belongs to a user whom this user must not trust.
    #[error("the daemon on {} belongs to another user: name your own daemon's socket with --socket", path.display())]
    Untrusted {
        /// The socket tried.
        path: PathBuf,
    },
    /// The daemon closed the connection before it answered.
    #[error("the daemon ended the connection before it answered {method}")]
    Vanished {
        /// The requested method.
        method: &'static str,
    },
    /// The daemon did not answer in time.
    #[error(
        "the daemon{} did not answer {method} within {} s: it can be busy or hang. Look at its log, and try again with a \
 longer --timeout",
        named(*process),
        limit.as_millis().div_ceil(1000)
    )]
    TimedOut {
        /// The requested method.
        method: &'static str,
        /// How long the client waited.
        limit: Duration,
        /// The daemon's process id, if it is known.
        process: Option<u32>,
    },
    /// This build cannot read the daemon's answer.
    #[error("cannot read the daemon's answer to {method}: {reason}")]
    BadAnswer {
        /// The requested method.
        method: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The daemon answered that the request failed.
    #[error(transparent)]
    Failed(#[from] RpcError),
}

fn named(process: Option<u32>) -> String {
    process.map_or(String::new(), |process| format!(" (process {process})"))
}

impl ClientError {
    /// Why, in one word.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Path(_)
            | Self::NotRunning { .. }
            | Self::NotStarted { .. }
            | Self::Connect { .. }
            | Self::Untrusted { .. } => Reason::NoDaemon,
            Self::Vanished { .. } => Reason::Stopping,
            Self::TimedOut { .. } => Reason::DaemonHangs,
            Self::BadAnswer { .. } => Reason::Version,
            Self::Failed(refusal) => refusal.reason(),
        }
    }
}

/// The daemon's answer, or why this build cannot read it.
type ReadResponse = serde_json::Result<Response>;

/// A request to send, and the sender that waits for its answer.
#[derive(Debug)]
struct PendingCall {
    id: i64,
    line: Zeroizing<String>,
    /// Dropped without an answer if the connection ends.
    answer: oneshot::Sender<ReadResponse>,
}

/// A connection to the daemon on which `hello` has succeeded. Several calls can run at the same time.
#[derive(Debug)]
pub struct Client {
    /// The queue to the task that owns the connection. The task ends when this is dropped.
    calls: mpsc::Sender<PendingCall>,
    events: Mutex<mpsc::Receiver<Event>>,
    last_id: AtomicI64,
    server: HelloReply,
    server_uid: Option<u32>,
    patience: Patience,
}

impl Client {
    /// Connects to the daemon at `path` and sends `hello`.
    ///
    /// # Errors
    /// [`ClientError`]: no daemon, another user's daemon, or a daemon with another version.
    pub async fn connect(path: &Path, patience: Patience) -> Result<Self, ClientError> {
        check_length(path).map_err(ClientError::Path)?;
        let stream = open(path).await?;
        let server_uid = peer::uid(&stream);
        if !peer::is_trusted(server_uid, peer::own_uid()) {
            return Err(ClientError::Untrusted {
                path: path.to_owned(),
            });
        }
        let mut lines = wire::framed(stream, wire::MAX_ANSWER_LINE);
        let server = within::<Hello>(
            patience.left(patience.answer),
            owner(path),
            greet(&mut lines),
        )
        .await?;
        let (calls, to_send) = mpsc::channel(CALLS_TO_SEND);
        let (to_program, events) = mpsc::channel(EVENTS);
        TaskTracker::new().spawn(converse(lines, to_send, to_program));
        Ok(Self {
            calls,
            events: Mutex::new(events),
            last_id: AtomicI64::new(HELLO_ID),
            server,
            server_uid,
            patience,
        })
    }

    /// The daemon's answer to `hello`.
    pub fn server(&self) -> &HelloReply {
        &self.server
    }

    /// The id of the daemon's user; `None` if the system does not report it.
    pub fn server_uid(&self) -> Option<u32> {
        self.server_uid
    }

    /// Sends one request and waits for its reply.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the daemon refuses; the others if no answer came.
    pub async fn call<M: Method>(&self, request: &M) -> Result<M::Reply, ClientError> {
        self.within(self.patience.answer, request).await
    }

    /// Like [`Self::call`], for requests that make the daemon connect to a server and perhaps ask a person.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn work<M: Method>(&self, request: &M) -> Result<M::Reply, ClientError> {
        self.within(self.patience.work, request).await
    }

    /// Like [`Self::call`] without a time limit: for requests that wait for an event.
    ///
    /// # Errors
    /// As [`Self::call`], without the time limit.
    pub async fn wait<M: Method>(&self, request: &M) -> Result<M::Reply, ClientError> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let line = wire::request(id, request).map_err(|fault| bad_answer(M::NAME, &fault))?;
        let (answer, answered) = oneshot::channel();
        let call = PendingCall { id, line, answer };
        // If the connection has ended, the call is dropped.
        let _ = self.calls.send(call).await;
        let vanished = |_| ClientError::Vanished { method: M::NAME };
        result::<M>(answered.await.map_err(vanished)?)
    }

    async fn within<M: Method>(
        &self,
        limit: Duration,
        request: &M,
    ) -> Result<M::Reply, ClientError> {
        let (limit, process) = (self.patience.left(limit), Some(self.server.pid));
        within::<M>(limit, process, self.wait(request)).await
    }

    /// The next event of a subscription; `None` once the daemon has ended this connection. A program that has subscribed
    /// must take its events, since answers arrive behind them.
    pub async fn next_event(&self) -> Option<Event> {
        self.events.lock().await.recv().await
    }

    /// Waits until the daemon ends this connection. By then its socket is free for another daemon.
    pub async fn closed(&self) {
        self.calls.closed().await;
    }
}

/// Sends `hello`. A daemon that refuses this client sends the reason and closes, so the answer is read even if the
/// write failed.
async fn greet(lines: &mut FramedStream) -> Result<HelloReply, ClientError> {
    let hello = Hello {
        protocol: PROTOCOL,
        build: BUILD.into(),
    };
    let line = wire::request(HELLO_ID, &hello).map_err(|fault| bad_answer(Hello::NAME, &fault))?;
    let _ = lines.send(line).await;
    let method = Hello::NAME;
    let answer = lines.next().await.and_then(Result::ok);
    let answer = answer.ok_or(ClientError::Vanished { method })?;
    result::<Hello>(serde_json::from_str(&answer))
}

/// Sends requests and delivers each answer to its caller, and each event to the program, until the daemon closes the
/// connection or the client is dropped.
async fn converse(
    mut lines: FramedStream,
    mut calls: mpsc::Receiver<PendingCall>,
    events: mpsc::Sender<Event>,
) {
    // Bounded by the number of calls that the program makes at the same time.
    let mut waiting = BTreeMap::new();
    loop {
        tokio::select! {
            call = calls.recv() => {
                let Some(call) = call else { return };
                waiting.insert(call.id, call.answer);
                // If the write fails, the end of the answers reports it.
                let _ = lines.send(call.line).await;
            }
            line = lines.next() => {
                let Some(Ok(line)) = line else { return };
                if let Some(event) = deliver(&line, &mut waiting)
                    && events.send(event).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

/// Returns the event if the line is none of the answers. An answer without an id, or an unreadable one, most likely
/// belongs to the first waiting call.
fn deliver(
    line: &str,
    waiting: &mut BTreeMap<i64, oneshot::Sender<ReadResponse>>,
) -> Option<Event> {
    let answered: ReadResponse = serde_json::from_str(line);
    if answered.as_ref().is_ok_and(Response::is_none) {
        // A newer daemon can send kinds that this build does not know.
        let notification: serde_json::Result<Notification> = serde_json::from_str(line);
        return notification.ok().map(|it| it.params);
    }
    let id = answered.as_ref().ok().and_then(|it| it.id.clone());
    let waiting = match id {
        Some(Id::Number(id)) => waiting.remove(&id),
        Some(Id::Text(_)) | None => waiting.pop_first().map(|(_, first)| first),
    };
    if let Some(waiting) = waiting {
        // The caller may have given up.
        let _ = waiting.send(answered);
    }
    None
}

async fn within<M: Method>(
    limit: Duration,
    process: Option<u32>,
    reply: impl Future<Output = Result<M::Reply, ClientError>>,
) -> Result<M::Reply, ClientError> {
    let method = M::NAME;
    let reply = timeout(limit, reply).await;
    reply.map_err(|_| ClientError::TimedOut {
        method,
        limit,
        process,
    })?
}

fn result<M: Method>(answered: ReadResponse) -> Result<M::Reply, ClientError> {
    let answer = answered.map_err(|fault| bad_answer(M::NAME, &fault))?;
    match (answer.result, answer.error) {
        (_, Some(error)) => Err(ClientError::Failed(error)),
        (Some(result), None) => {
            serde_json::from_value(result).map_err(|fault| bad_answer(M::NAME, &fault))
        }
        (None, None) => Err(bad_answer(M::NAME, &"it has neither result nor error")),
    }
}

async fn open(path: &Path) -> Result<Stream, ClientError> {
    let connect = |source| ClientError::Connect {
        path: path.to_owned(),
        source,
    };
    let name = path.to_fs_name::<GenericFilePath>().map_err(connect)?;
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    Stream::connect(name).await.map_err(|source| {
        if absent.contains(&source.kind()) {
            ClientError::NotRunning {
                path: path.to_owned(),
            }
        } else {
            connect(source)
        }
    })
}

fn bad_answer(method: &'static str, fault: &dyn std::fmt::Display) -> ClientError {
    ClientError::BadAnswer {
        method,
        reason: fault.to_string(),
    }
}
