//! Both ends of the socket against each other, and the daemon's end against clients that break the rules.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: a failure must fail the test"
)]

mod concurrency;
mod conversation;
mod endpoint;
mod subscriptions;

use std::path::PathBuf;
use std::sync::Arc;

use broker_ipc::methods::{
    CloseChannel, ConnectionStatus, Done, ListProfiles, NextPrompt, Status, Stop, Subscribe,
    Subscribed,
};
use broker_ipc::types::{CurrentPrompt, DaemonStatus, Event, EventKind, TransferCounts};
use broker_ipc::{
    Client, ClientError, ErrorCode, Handler, Patience, PromptRequest, Request, RpcError,
    Subscription, bind, serve,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A daemon that knows its status and nothing else. `close-channel 1` waits for ever, `stop` stops it.
struct Fake {
    waiting: Notify,
    /// Ends a wait for a prompt.
    prompt: Notify,
    left: Arc<Notify>,
    stop: CancellationToken,
}

/// Tells when a client has left.
struct Leaving(Arc<Notify>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Handler for Fake {
    type Client = Leaving;

    fn arrived(&self) -> Leaving {
        Leaving(Arc::clone(&self.left))
    }

    fn left(&self, _client: &Leaving) {
        self.prompt.notify_one();
    }

    async fn request(&self, _client: &Leaving, request: Request) {
        match request {
            Request::Status(_, reply) => reply.send(Ok(status())),
            Request::Stop(_, reply) => {
                self.stop.cancel();
                reply.send(Ok(Done {}));
            }
            Request::CloseChannel(CloseChannel { id: 1 }, _reply) => {
                self.waiting.notify_one();
                std::future::pending().await
            }
            Request::ConnectionStatus(ConnectionStatus { id }, reply) => {
                let message = format!("there is no connection {id}");
                reply.send(Err(RpcError::not_found(message)));
            }
            Request::ListProfiles(_, reply) => reply.send(Err(RpcError::not_supported("no"))),
            other => panic!("no test asks for {other:?}"),
        }
    }

    async fn prompt_request(&self, _client: &Leaving, request: PromptRequest) {
        match request {
            PromptRequest::NextPrompt(_, reply) => {
                self.waiting.notify_one();
                self.prompt.notified().await;
                reply.send(Ok(CurrentPrompt { prompt: None }));
            }
            other => panic!("no test asks for {other:?}"),
        }
    }

    /// Events without end.
    async fn subscribe(&self, asked: Subscribe) -> Result<Subscription, RpcError> {
        if let Some(unknown) = asked.profile {
            return Err(RpcError::not_found(format!(
                "there is no profile {unknown}"
            )));
        }
        let last = asked.after.unwrap_or(0);
        let events = stream::iter(last + 1..).map(event);
        Ok((Subscribed { last }, events.boxed()))
    }
}

fn event(number: u64) -> Event {
    Event {
        profile: Some("work".into()),
        reason: Some("r".repeat(1000)),
        ..Event::new(number, 1_700_000_000, EventKind::Disconnected)
    }
}

const NEXT_PROMPT: &str = r#"{"jsonrpc":"2.0","id":"next-prompt","method":"next-prompt"}"#;
const STATUS: &str = r#"{"jsonrpc":"2.0","id":"status","method":"status"}"#;

fn status() -> DaemonStatus {
    DaemonStatus {
        pid: 42,
        instance: "2a-1".into(),
        version: "1.2.3".into(),
        started: 1_700_000_000,
        config: vec!["/etc/broker.xml".into()],
        profiles: 1,
        tunnels: 2,
        sessions: 3,
        connections: 4,
        channels: 5,
        transfers: TransferCounts {
            active: 1,
            ok: 2,
            failed: 3,
        },
        bytes_up: 6,
        bytes_down: 7,
        stopping: false,
        on_demand: false,
        prompts: 0,
        failures: Vec::new(),
    }
}

/// A running server in a directory of its own.
struct Daemon {
    directory: TempDir,
    handler: Arc<Fake>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Daemon {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let endpoint = bind(&directory.path().join("s")).unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let handler = Arc::new(Fake {
            waiting: Notify::new(),
            prompt: Notify::new(),
            left: Arc::default(),
            stop: stop.clone(),
        });
        let served = serve(
            endpoint,
            Arc::clone(&handler),
            tracker.clone(),
            stop.clone(),
        );
        tracker.spawn(served);
        Self {
            directory,
            handler,
            tracker,
            stop,
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    async fn client(&self) -> Client {
        Client::connect(&self.socket(), Patience::default())
            .await
            .unwrap()
    }

    async fn raw(&self) -> Raw {
        Raw(BufReader::new(
            UnixStream::connect(self.socket()).await.unwrap(),
        ))
    }

    /// A client that writes whatever it likes, once it has said `hello`.
    async fn greeted(&self) -> Raw {
        let mut raw = self.raw().await;
        raw.send(r#"{"jsonrpc":"2.0","id":"h","method":"hello","params":{"protocol":1}}"#)
            .await;
        assert_eq!(raw.answer().await.unwrap()["id"], "h");
        raw
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// A client that writes whatever it likes.
struct Raw(BufReader<UnixStream>);

impl Raw {
    async fn send(&mut self, line: &str) {
        self.0
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// The next answer; `None` at the end of the conversation.
    async fn answer(&mut self) -> Option<Value> {
        let line = self.line().await?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// The next line; `None` at the end of the conversation.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        (!line.is_empty()).then_some(line)
    }
}

fn code(answer: &Value) -> ErrorCode {
    ErrorCode::from(answer["error"]["code"].as_i64().unwrap())
}
