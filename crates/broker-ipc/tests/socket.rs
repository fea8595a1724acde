//! Both ends of the socket against each other, and the daemon's end against clients that break the rules.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: a failure must fail the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_ipc::methods::{
    CloseChannel, ConnectionStatus, Done, ListProfiles, NextPrompt, Status, Stop,
};
use broker_ipc::types::{CurrentPrompt, DaemonStatus, TransferCounts};
use broker_ipc::{
    BindError, Client, ClientError, ErrorCode, Handler, Patience, PromptRequest, Request, RpcError,
    bind, serve,
};
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

    async fn request(&self, request: Request) {
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
}

const NEXT_PROMPT: &str = r#"{"jsonrpc":"2.0","id":"next-prompt","method":"next-prompt"}"#;
const STATUS: &str = r#"{"jsonrpc":"2.0","id":"status","method":"status"}"#;

fn status() -> DaemonStatus {
    DaemonStatus {
        pid: 42,
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
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    async fn hello(&mut self) {
        self.send(r#"{"jsonrpc":"2.0","id":"h","method":"hello","params":{"protocol":1}}"#)
            .await;
        assert_eq!(self.answer().await.unwrap()["id"], "h");
    }
}

fn code(answer: &Value) -> ErrorCode {
    ErrorCode::from(answer["error"]["code"].as_i64().unwrap())
}

#[tokio::test]
async fn a_typed_request_gets_a_typed_result() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    assert_eq!(client.server().pid, std::process::id());
    assert_eq!(client.call(&Status {}).await.unwrap(), status());
    daemon.end().await;
}

#[tokio::test]
async fn a_refused_request_gives_its_code_and_message_and_the_next_one_works() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    match client.call(&ConnectionStatus { id: 7 }).await {
        Err(ClientError::Failed(error)) => {
            assert_eq!(
                error,
                RpcError::new(ErrorCode::NotFound, "there is no connection 7")
            );
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    let refused = client.call(&ListProfiles {}).await.unwrap_err();
    assert!(matches!(refused, ClientError::Failed(error) if error.code == ErrorCode::NotSupported));
    assert_eq!(client.call(&Status {}).await.unwrap().pid, 42);
    daemon.end().await;
}

#[tokio::test]
async fn only_the_owner_can_open_the_socket() {
    let outer = TempDir::new().unwrap();
    let directory = outer.path().join("made");
    let endpoint = bind(&directory.join("s")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(endpoint.path()), 0o600);
    assert_eq!(mode(&directory.join("s.lock")), 0o600);
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let daemon = Daemon::start();
    let refused = bind(&daemon.socket()).unwrap_err();
    let own = std::process::id();
    assert!(matches!(refused, BindError::AlreadyRunning { pid: Some(pid), .. } if pid == own));
    assert!(
        refused.to_string().contains(&format!("as process {own}")),
        "{refused}"
    );
    assert_eq!(
        daemon.client().await.call(&Status {}).await.unwrap().pid,
        42
    );
    daemon.end().await;
}

#[tokio::test]
async fn what_a_dead_daemon_left_is_no_obstacle() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    fs::write(directory.path().join("s.lock"), "99999999\n").unwrap();
    let absent = Client::connect(&path, Patience::default())
        .await
        .unwrap_err();
    assert!(matches!(absent, ClientError::NotRunning { .. }), "{absent}");
    bind(&path).unwrap();
}

#[tokio::test]
async fn a_file_in_the_sockets_place_is_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(
        bind(&path).unwrap_err(),
        BindError::NotASocket { .. }
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert!(!directory.path().join("s.lock").exists());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_named_with_its_limit() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s".repeat(110));
    let refused = bind(&path).unwrap_err().to_string();
    assert!(
        refused.contains("--socket") && refused.contains("bytes"),
        "{refused}"
    );
    let refused = Client::connect(&path, Patience::default())
        .await
        .unwrap_err();
    assert!(refused.is_unreachable());
    assert!(refused.to_string().contains("bytes"), "{refused}");
}

#[tokio::test]
async fn a_directory_that_others_may_write_to_is_refused() {
    let outer = TempDir::new().unwrap();
    let directory = outer.path().join("open");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(
        bind(&directory.join("s")).unwrap_err(),
        BindError::UnsafeDirectory { .. }
    ));
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
    bind(&directory.join("s")).unwrap();
}

#[tokio::test]
async fn the_end_leaves_nothing_behind() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    assert_eq!(client.call(&Stop { grace: None }).await.unwrap(), Done {});
    daemon.tracker.close();
    daemon.tracker.wait().await;
    assert_eq!(fs::read_dir(daemon.directory.path()).unwrap().count(), 0);
    let gone = client.call(&Status {}).await.unwrap_err();
    assert!(
        matches!(gone, ClientError::Vanished { method: "status" }),
        "{gone}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_client_sees_the_end_the_socket_is_free() {
    let daemon = Daemon::start();
    for _ in 0..50 {
        let stop = CancellationToken::new();
        let path = daemon.directory.path().join("again");
        let endpoint = bind(&path).unwrap();
        let served = serve(
            endpoint,
            Arc::clone(&daemon.handler),
            daemon.tracker.clone(),
            stop.clone(),
        );
        daemon.tracker.spawn(served);
        let client = Client::connect(&path, Patience::default()).await.unwrap();
        stop.cancel();
        client.closed().await;
    }
    daemon.end().await;
}

#[tokio::test]
async fn without_a_daemon_the_message_says_how_to_start_one() {
    let directory = TempDir::new().unwrap();
    let absent = Client::connect(&directory.path().join("s"), Patience::default())
        .await
        .unwrap_err();
    assert!(absent.is_unreachable());
    assert!(absent.to_string().contains("brokerd --socket"), "{absent}");
}

#[tokio::test]
async fn hello_comes_first() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#)
        .await;
    assert_eq!(code(&raw.answer().await.unwrap()), ErrorCode::HelloRequired);
    assert_eq!(raw.answer().await, None);
    daemon.end().await;
}

#[tokio::test]
async fn another_version_is_refused_with_both_named() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":9}}"#)
        .await;
    let answer = raw.answer().await.unwrap();
    assert_eq!(code(&answer), ErrorCode::ProtocolMismatch);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("version 9") && message.contains("version 1"),
        "{message}"
    );
    assert_eq!(raw.answer().await, None);
    daemon.end().await;
}

#[tokio::test]
async fn each_bad_line_gets_its_code_and_the_conversation_goes_on() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.hello().await;
    let cases = [
        ("rubbish", ErrorCode::Parse, Value::Null),
        ("", ErrorCode::Parse, Value::Null),
        ("[]", ErrorCode::InvalidRequest, Value::Null),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"status"}"#,
            ErrorCode::InvalidRequest,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#,
            ErrorCode::InvalidRequest,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"status"}"#,
            ErrorCode::InvalidRequest,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"method":"fly"}"#,
            ErrorCode::MethodNotFound,
            json!(2),
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"close-channel"}"#,
            ErrorCode::InvalidParams,
            json!(3),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"four","method":"close-channel","params":{"id":-1}}"#,
            ErrorCode::InvalidParams,
            json!("four"),
        ),
    ];
    for (line, expected, id) in cases {
        raw.send(line).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!(code(&answer), expected, "{line}");
        assert_eq!(answer["id"], id, "{line}");
    }
    raw.send(r#"{"jsonrpc":"2.0","id":5,"method":"status","params":{"later":true},"more":1}"#)
        .await;
    assert_eq!(raw.answer().await.unwrap()["result"]["pid"], 42);
    daemon.end().await;
}

#[tokio::test]
async fn a_notification_gets_no_answer() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.hello().await;
    raw.send(r#"{"jsonrpc":"2.0","method":"status"}"#).await;
    raw.send(r#"{"jsonrpc":"2.0","method":"fly"}"#).await;
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#)
        .await;
    assert_eq!(raw.answer().await.unwrap()["id"], 1);
    daemon.end().await;
}

#[tokio::test]
async fn an_endless_line_is_cut_off() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.hello().await;
    let chunk = vec![b'x'; 64 * 1024];
    // The daemon stops reading at its limit, so a write past it fails.
    while raw.0.write_all(&chunk).await.is_ok() {}
    let answer = raw.answer().await.unwrap();
    assert_eq!(code(&answer), ErrorCode::Parse);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("1048576")
    );
    daemon.end().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_end_the_conversation() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.hello().await;
    raw.0.write_all(b"\xff\xfe\n").await.unwrap();
    assert_eq!(code(&raw.answer().await.unwrap()), ErrorCode::Parse);
    assert_eq!(raw.answer().await, None);
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_vanishes_or_waits_is_nobody_elses_problem() {
    let daemon = Daemon::start();
    let mut leaving = daemon.raw().await;
    leaving.hello().await;
    leaving
        .send(r#"{"jsonrpc":"2.0","id":1,"method":"close-channel","params":{"id":1}}"#)
        .await;
    daemon.handler.waiting.notified().await;
    drop(leaving);
    let mut halfway = daemon.raw().await;
    halfway.0.write_all(b"{\"jsonrpc\":").await.unwrap();
    drop(halfway);
    assert_eq!(
        daemon.client().await.call(&Status {}).await.unwrap().pid,
        42
    );
    daemon.end().await;
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let daemon = Daemon::start();
    let mut admitted = Vec::new();
    for _ in 0..broker_ipc::server::MAX_CLIENTS {
        admitted.push(daemon.client().await);
    }
    let refused = Client::connect(&daemon.socket(), Patience::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, ClientError::Failed(e) if e.code == ErrorCode::TooManyClients),
        "{refused}"
    );
    let last = admitted.pop().unwrap();
    assert_eq!(last.call(&Status {}).await.unwrap().pid, 42);
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_noticed() {
    let daemon = Daemon::start();
    let mut client = daemon.raw().await;
    client.hello().await;
    client.send(NEXT_PROMPT).await;
    daemon.handler.waiting.notified().await;
    drop(client);
    daemon.handler.left.notified().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_request_does_not_wait_for_those_before_it() {
    let daemon = Daemon::start();
    let mut client = daemon.raw().await;
    client.hello().await;
    client.send(NEXT_PROMPT).await;
    client.send(STATUS).await;
    assert_eq!(client.answer().await.unwrap()["id"], "status");
    daemon.handler.prompt.notify_one();
    assert_eq!(client.answer().await.unwrap()["id"], "next-prompt");
    daemon.end().await;
}

#[tokio::test]
async fn one_client_makes_several_calls_at_once() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    let wait = client.wait(&NextPrompt { shown: None });
    let meanwhile = async {
        daemon.handler.waiting.notified().await;
        let status = client.call(&Status {}).await;
        daemon.handler.prompt.notify_one();
        status
    };
    let (prompt, status) = tokio::join!(wait, meanwhile);
    assert_eq!(prompt.unwrap(), CurrentPrompt { prompt: None });
    assert_eq!(status.unwrap().pid, 42);
    daemon.end().await;
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_the_others_go_on() {
    let daemon = Daemon::start();
    let mut client = daemon.raw().await;
    client.hello().await;
    for _ in 0..broker_ipc::server::MAX_CALLS {
        client.send(NEXT_PROMPT).await;
    }
    client.send(STATUS).await;
    let refused = client.answer().await.unwrap();
    assert_eq!(refused["id"], "status");
    assert_eq!(code(&refused), ErrorCode::LimitReached);
    daemon.handler.prompt.notify_one();
    assert_eq!(client.answer().await.unwrap()["id"], "next-prompt");
    client.send(STATUS).await;
    assert_eq!(client.answer().await.unwrap()["result"]["pid"], 42);
    daemon.end().await;
}

#[tokio::test]
async fn who_sends_no_more_still_gets_answers_and_waits_no_longer() {
    let daemon = Daemon::start();
    let mut client = daemon.raw().await;
    client.hello().await;
    client.send(NEXT_PROMPT).await;
    client.send(STATUS).await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.answer().await.unwrap()["id"], "status");
    assert_eq!(client.answer().await.unwrap()["id"], "next-prompt");
    assert_eq!(client.answer().await, None);
    daemon.end().await;
}

#[tokio::test]
async fn a_wrong_answer_to_a_prompt_is_not_repeated() {
    let daemon = Daemon::start();
    let mut client = daemon.raw().await;
    client.hello().await;
    for wrong in [
        r#"{"id":1,"texts":"hunter2"}"#,
        r#"{"id":"hunter2"}"#,
        r#"{"id":1,"texts":[{"hunter2":1}]}"#,
    ] {
        let line =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"answer-prompt","params":{wrong}}}"#);
        client.send(&line).await;
        let refused = client.answer().await.unwrap();
        assert_eq!(refused["error"]["code"], -32602);
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
    daemon.end().await;
}
