//! The client's end: connects, says `hello`, and turns typed requests into typed results.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Stream as _;
use interprocess::local_socket::{GenericFilePath, ToFsName};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use crate::endpoint::{BindError, check_length};
use crate::error::RpcError;
use crate::methods::{Hello, HelloReply, Method};
use crate::peer;
use crate::wire::{self, Answer, Id};
use crate::{BUILD, PROTOCOL};

/// How long a client waits for the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the answer to an ordinary request.
    pub answer: Duration,
    /// For one in which a server or a person has a part.
    pub work: Duration,
}

impl Patience {
    /// The same for all requests.
    pub fn of(time: Duration) -> Self {
        Self {
            answer: time,
            work: time,
        }
    }
}

impl Default for Patience {
    /// The daemon answers ordinary requests within milliseconds: after ten seconds it is stuck, or has no descriptor left
    /// to let the client in. A server is dialled within minutes through gateways, and each question to a person has its
    /// own time limit in the daemon.
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            work: Duration::from_secs(15 * 60),
        }
    }
}

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The path does not fit into a socket address.
    #[error(transparent)]
    Path(BindError),
    /// Nobody listens there.
    #[error("no daemon answers on {}: start one with brokerd --socket {}", path.display(), path.display())]
    NotRunning {
        /// The socket tried.
        path: PathBuf,
    },
    /// The socket is there and cannot be used.
    #[error("cannot connect to the daemon on {}: {source}", path.display())]
    Connect {
        /// The socket tried.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The process behind the socket is not one that this user should talk to.
    #[error("the daemon on {} belongs to another user: name your own with --socket", path.display())]
    Untrusted {
        /// The socket tried.
        path: PathBuf,
    },
    /// The daemon went away before it answered.
    #[error("the daemon ended the connection before it answered {method}")]
    Vanished {
        /// The method asked for.
        method: &'static str,
    },
    /// The daemon did not answer in time.
    #[error(
        "the daemon did not answer {method} within {} s: it may be very busy or hang. Try again, with --timeout for \
         longer; its log says what it does",
        limit.as_secs()
    )]
    TimedOut {
        /// The method asked for.
        method: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The daemon answered something that this build cannot read.
    #[error("the daemon's answer to {method} makes no sense: {reason}")]
    BadAnswer {
        /// The method asked for.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The daemon answered that the request failed.
    #[error(transparent)]
    Failed(#[from] RpcError),
}

impl ClientError {
    /// True where there is no daemon to talk to, so that starting one may help.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Path(_)
            | Self::NotRunning { .. }
            | Self::Connect { .. }
            | Self::Untrusted { .. } => true,
            Self::Vanished { .. }
            | Self::TimedOut { .. }
            | Self::BadAnswer { .. }
            | Self::Failed(_) => false,
        }
    }
}

/// A connection to the daemon on which `hello` has succeeded.
#[derive(Debug)]
pub struct Client {
    lines: Framed<Stream, LinesCodec>,
    last_id: i64,
    server: HelloReply,
    patience: Patience,
}

impl Client {
    /// Connects to the daemon at `path` and says `hello`.
    ///
    /// # Errors
    /// [`ClientError`]: no daemon, another user's daemon, or one that speaks another version.
    pub async fn connect(path: &Path, patience: Patience) -> Result<Self, ClientError> {
        check_length(path).map_err(ClientError::Path)?;
        let stream = open(path).await?;
        if !peer::is_trusted(peer::uid(&stream), peer::own_uid()) {
            return Err(ClientError::Untrusted {
                path: path.to_owned(),
            });
        }
        let lines = Framed::new(stream, wire::codec(wire::MAX_ANSWER_LINE));
        let nobody = HelloReply {
            protocol: PROTOCOL,
            build: String::new(),
            pid: 0,
        };
        let mut client = Self {
            lines,
            last_id: 0,
            server: nobody,
            patience,
        };
        client.server = client
            .call(&Hello {
                protocol: PROTOCOL,
                build: BUILD.into(),
            })
            .await?;
        Ok(client)
    }

    /// What the daemon answered to `hello`.
    pub fn server(&self) -> &HelloReply {
        &self.server
    }

    /// Sends one request and waits for its result.
    ///
    /// # Errors
    /// [`ClientError::Failed`] where the daemon says no; the others where no answer came.
    pub async fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, ClientError> {
        self.call_within(request, self.patience.answer).await
    }

    /// As [`Self::call`], for requests that make the daemon connect to a server and perhaps ask a person.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn work<M: Method>(&mut self, request: &M) -> Result<M::Reply, ClientError> {
        self.call_within(request, self.patience.work).await
    }

    async fn call_within<M: Method>(
        &mut self,
        request: &M,
        limit: Duration,
    ) -> Result<M::Reply, ClientError> {
        let method = M::NAME;
        let reply = timeout(limit, self.wait(request)).await;
        reply.map_err(|_| ClientError::TimedOut { method, limit })?
    }

    /// As [`Self::call`], however long it takes: for requests that wait for something to come.
    ///
    /// # Errors
    /// As [`Self::call`], but for the bound.
    pub async fn wait<M: Method>(&mut self, request: &M) -> Result<M::Reply, ClientError> {
        let reply = self.exchange(request).await?;
        serde_json::from_value(reply).map_err(|fault| bad_answer(M::NAME, &fault))
    }

    /// Waits until the daemon ends this connection. By then its socket is free for another daemon.
    pub async fn closed(mut self) {
        while let Some(Ok(_)) = self.lines.next().await {}
    }

    async fn exchange<M: Method>(&mut self, request: &M) -> Result<Value, ClientError> {
        let method = M::NAME;
        self.last_id += 1;
        let line = wire::request(self.last_id, request);
        let line = line.map_err(|fault| bad_answer(method, &fault))?;
        // A daemon that refuses this client says why and closes: read what it said even where the write failed.
        let _ = self.lines.send(line.as_str()).await;
        let answer = self.answer(method).await?;
        match (answer.result, answer.error) {
            (_, Some(error)) => Err(ClientError::Failed(error)),
            (Some(result), None) => Ok(result),
            (None, None) => Err(bad_answer(method, &"it has neither result nor error")),
        }
    }

    /// The answer to the last request; one without an id is to a line that the daemon could not read.
    async fn answer(&mut self, method: &'static str) -> Result<Answer, ClientError> {
        while let Some(line) = self.lines.next().await {
            let line = line.map_err(|_| ClientError::Vanished { method })?;
            let answer: Answer =
                serde_json::from_str(&line).map_err(|fault| bad_answer(method, &fault))?;
            if answer.id.is_none() || answer.id == Some(Id::Number(self.last_id)) {
                return Ok(answer);
            }
        }
        Err(ClientError::Vanished { method })
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
