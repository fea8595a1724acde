//! A daemon with canned answers that keeps every request it gets.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use broker_ipc::methods::{Done, OpenTunnelListener, Subscribe, Subscribed};
use broker_ipc::types::{
    ChannelInfo, ChannelKind, ChannelState, ConfigEntry, Connection, ConnectionDetail,
    ConnectionKind, ConnectionPhase, DaemonStatus, DataMode, Direction, Failure, HostKey,
    HostKeyStanding, ListenerState, LogSetting, MetricsPage, Profile, Session, Transfer,
    TransferCounts, TransferDirection, TransferState, TunnelKind, TunnelListener, TunnelOrigin,
    TunnelSide,
};
use broker_ipc::{
    ErrorCode, Handler, Method, Party, PromptRequest, Reason, Request, RpcError, Subscription,
    bind, serve,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use snapbox::cmd::Command;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::changes::{events, would_reload};
use crate::{broker_ctl, long};

/// A listen port that is always taken.
pub(crate) const TAKEN: u16 = 99;

/// A page of metrics.
const METRICS: &str = "# HELP up Whether it works.\n# TYPE up gauge\nup 1\n";

pub(crate) struct Daemon {
    directory: TempDir,
    answers: Arc<Answers>,
    // Ends the server when the test ends.
    _runtime: Runtime,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::answering(Answers::default())
    }

    /// One whose answers have long names and errors.
    pub(crate) fn with_long_names() -> Self {
        Self::answering(Answers {
            long: true,
            ..Answers::default()
        })
    }

    fn answering(answers: Answers) -> Self {
        let directory = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let inside = runtime.enter();
        let stop = answers.stop.clone();
        let answers = Arc::new(answers);
        let endpoint = bind(&directory.path().join("s")).unwrap();
        let tracker = TaskTracker::new();
        tracker.spawn(serve(endpoint, Arc::clone(&answers), tracker.clone(), stop));
        drop(inside);
        Self {
            directory,
            answers,
            _runtime: runtime,
        }
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("s")
    }

    /// The program, pointed at this daemon.
    pub(crate) fn ctl(&self, args: &[&str]) -> Command {
        broker_ctl().arg("--socket").arg(self.socket()).args(args)
    }

    /// The program, running on its own.
    pub(crate) fn spawn(&self, args: &[&str]) -> std::process::Child {
        std::process::Command::new(snapbox::cmd::cargo_bin!("broker-ctl"))
            .arg("--socket")
            .arg(self.socket())
            .args(args)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    }

    /// What was asked so far, lists left out.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.answers.requests.lock().unwrap().clone()
    }

    pub(crate) fn is_gone(&self) -> bool {
        std::fs::read_dir(self.directory.path()).unwrap().count() == 0
    }
}

#[derive(Default)]
struct Answers {
    requests: Mutex<Vec<Value>>,
    stop: CancellationToken,
    /// Whether names and errors are long.
    long: bool,
}

impl Handler for Answers {
    type Client = ();

    fn arrived(&self) {}

    fn left(&self, (): &()) {}

    async fn request(&self, (): &(), request: Request) {
        match request {
            Request::Status(_, reply) => reply.send(Ok(self.one(status(), long::status))),
            Request::ListProfiles(_, reply) => reply.send(Ok(self.each(profiles(), long::profile))),
            Request::ListConnections(_, reply) => {
                reply.send(Ok(self.each(vec![control(), data()], long::connection)))
            }
            Request::Metrics(_, reply) => reply.send(Ok(MetricsPage {
                text: METRICS.to_owned(),
            })),
            Request::ConfigValue(asked, reply) => reply.send(Ok(config_values(&asked.path))),
            Request::ConnectionStatus(_, reply) => reply.send(Ok(ConnectionDetail {
                connection: self.one(data(), long::connection),
                channels: self.each(vec![transfer()], long::channel),
            })),
            Request::ListChannels(_, reply) => {
                reply.send(Ok(self.each(vec![session(), transfer()], long::channel)))
            }
            Request::ListSessions(_, reply) => reply.send(Ok(self.each(sessions(), long::session))),
            Request::ListTransfers(_, reply) => {
                reply.send(Ok(self.each(transfers(), long::transfer)))
            }
            Request::ListTunnelListeners(_, reply) => {
                reply.send(Ok(self.each(listeners(), long::listener)))
            }
            Request::ProbeKey(_, reply) => reply.send(Ok(host_keys())),
            Request::Stop(asked, reply) => {
                self.note(&asked);
                self.stop.cancel();
                reply.send(Ok(Done {}));
            }
            Request::KeepRunning(asked, reply) => {
                self.note(&asked);
                reply.send(Ok(Done {}));
            }
            Request::SetLogLevel(asked, reply) => reply.send(Ok(LogSetting {
                level: asked.level.unwrap_or_else(|| "info".into()),
                default: "info".into(),
            })),
            Request::HandOver(..) | Request::Retire(..) => {
                panic!("these are for another daemon")
            }
            Request::CloseConnection(asked, reply) => {
                self.note(&asked);
                let missing =
                    || RpcError::not_found(format!("there is no connection {}", asked.id));
                reply.send((asked.id < 10).then_some(Done {}).ok_or_else(missing));
            }
            Request::Connect(asked, reply) => {
                self.note(&asked);
                reply.send(Ok(Done {}));
            }
            Request::CloseChannel(asked, reply) => {
                self.note(&asked);
                reply.send(Ok(Done {}));
            }
            Request::CloseTunnelListener(asked, reply) => {
                self.note(&asked);
                reply.send(Ok(Done {}));
            }
            Request::TrustHost(asked, reply) => {
                self.note(&asked);
                reply.send(trusted(&asked.fingerprint));
            }
            Request::OpenTunnelListener(asked, reply) => {
                self.note(&asked);
                reply.send(opened(asked));
            }
            Request::Reload(asked, reply) => {
                self.note(&asked);
                reply.send(match asked.dry_run {
                    true => Ok(would_reload()),
                    false => Err(RpcError::new(ErrorCode::BadConfig, BAD_CONFIG)),
                });
            }
        }
    }

    async fn prompt_request(&self, (): &(), request: PromptRequest) {
        panic!("without a terminal nobody can answer prompts: {request:?}")
    }

    async fn subscribe(&self, asked: Subscribe) -> Result<Subscription, RpcError> {
        self.note(&asked);
        let events = stream::iter(events());
        Ok((
            Subscribed { last: 6 },
            events.chain(stream::pending()).boxed(),
        ))
    }
}

/// The answer to a reload of files with a fault.
const BAD_CONFIG: &str = "nothing has changed, since the configuration has faults: correct them\n\nerror: a fault\n --> file:1:2";

impl Answers {
    fn one<T>(&self, it: T, longer: fn(T) -> T) -> T {
        if self.long { longer(it) } else { it }
    }

    fn each<T>(&self, all: Vec<T>, longer: fn(T) -> T) -> Vec<T> {
        all.into_iter().map(|it| self.one(it, longer)).collect()
    }

    fn note<M: Method>(&self, asked: &M) {
        self.requests.lock().unwrap().push(request(asked));
    }
}

/// A request as it is kept.
pub(crate) fn request<M: Method>(asked: &M) -> Value {
    json!({ M::NAME: asked })
}

/// A time whose age does not change while a test runs.
pub(crate) fn a_day_ago() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        - 90_000
}

fn status() -> DaemonStatus {
    DaemonStatus {
        pid: 4242,
        instance: "1092-18a5b1c2d3e4f506".into(),
        version: "0.1.0".into(),
        started: a_day_ago(),
        config: vec![
            "/etc/ssh2/ssh-broker-config.xml".into(),
            "/home/u/.ssh2/ssh-broker-config.xml".into(),
        ],
        profiles: 2,
        tunnels: 3,
        sessions: 1,
        connections: 2,
        channels: 2,
        transfers: TransferCounts {
            active: 1,
            ok: 20,
            failed: 3,
        },
        bytes_up: 1536,
        bytes_down: 64 << 20,
        stopping: false,
        on_demand: false,
        prompts: 0,
        failures: Vec::new(),
    }
}

fn config_values(path: &str) -> Vec<ConfigEntry> {
    let value = |path: &str, value: &str| ConfigEntry {
        path: path.to_owned(),
        value: value.to_owned(),
    };
    let port = value("profiles/profile/@port", "22");
    match path.ends_with("@port") {
        true => vec![port],
        false => vec![port, value("profiles/profile/password/@string", "*******")],
    }
}

fn profiles() -> Vec<Profile> {
    let work = Profile {
        id: "id1".into(),
        name: Some("work".into()),
        host: "ssh.example.com".into(),
        port: 22,
        user: Some("username".into()),
        connections: 2,
        tunnels: 1,
        last_error: None,
        tried: Vec::new(),
        retry_in: None,
        no_answer: None,
    };
    let away = Profile {
        id: "id2".into(),
        name: None,
        host: "2001:db8::7".into(),
        port: 2222,
        user: None,
        connections: 0,
        tunnels: 0,
        last_error: Some("connection refused".into()),
        tried: Vec::new(),
        retry_in: Some(7),
        no_answer: None,
    };
    vec![work, away]
}

fn control() -> Connection {
    Connection {
        id: 1,
        profile: Some("id1".into()),
        target: "ssh.example.com#22".into(),
        user: "username".into(),
        kind: ConnectionKind::Control,
        state: ConnectionPhase::Active,
        since: a_day_ago(),
        no_answer: None,
        peer: Some("192.0.2.1:22".into()),
        route: None,
        server_version: Some("SSH-2.0-OpenSSH_9.2".into()),
        kex: Some("curve25519-sha256".into()),
        cipher: Some("aes256-gcm@openssh.com".into()),
        mac: None,
        host_key: Some("ssh-ed25519 SHA256:abc".into()),
        channels: 1,
        bytes_in: 700,
        bytes_out: 300,
        last_error: None,
        tried: Vec::new(),
    }
}

fn data() -> Connection {
    Connection {
        id: 2,
        kind: ConnectionKind::Data,
        bytes_in: 64 << 20,
        bytes_out: 0,
        ..control()
    }
}

fn session() -> ChannelInfo {
    ChannelInfo {
        id: 5,
        connection: Some(1),
        tunnel: 1,
        session: 3,
        kind: ChannelKind::Control,
        mode: None,
        direction: None,
        command: None,
        state: ChannelState::Open,
        bytes_up: 300,
        bytes_down: 700,
        rate: 0,
        since: a_day_ago(),
        target: "localhost:21".into(),
        client: "127.0.0.1:50000".into(),
        tls: None,
    }
}

fn transfer() -> ChannelInfo {
    ChannelInfo {
        id: 6,
        connection: Some(2),
        kind: ChannelKind::Data,
        mode: Some(DataMode::Passive),
        direction: Some(Direction::Download),
        command: Some("RETR report 1.txt".into()),
        bytes_up: 0,
        bytes_down: 64 << 20,
        rate: 12 << 20,
        target: "localhost:40000".into(),
        client: "127.0.0.1:50001".into(),
        ..session()
    }
}

fn listeners() -> Vec<TunnelListener> {
    let ftp = TunnelListener {
        id: 1,
        kind: TunnelKind::Ftp,
        side: TunnelSide::Local,
        address: "127.0.0.1".into(),
        port: 1234,
        dst_host: "localhost".into(),
        dst_port: 21,
        profile: Some("id1".into()),
        target: "username@ssh.example.com#22".into(),
        relay: false,
        tls: None,
        state: ListenerState::Listening,
        reason: None,
        failed_since: None,
        retry_in: None,
        sessions_active: 1,
        sessions_total: 9,
        transfers: TransferCounts {
            active: 1,
            ok: 20,
            failed: 3,
        },
        bytes_up: 1536,
        bytes_down: 64 << 20,
        origin: TunnelOrigin::File,
        sessions_refused: 0,
        last_failure: None,
        max_sessions: Some(8),
    };
    let taken = TunnelListener {
        id: 2,
        address: "::1".into(),
        port: 80,
        state: ListenerState::Failed,
        reason: Some("address in use".into()),
        failed_since: Some(a_day_ago()),
        retry_in: Some(16),
        sessions_active: 0,
        sessions_total: 0,
        transfers: TransferCounts::default(),
        bytes_up: 0,
        bytes_down: 0,
        origin: TunnelOrigin::Static,
        sessions_refused: 4,
        last_failure: Some(Failure {
            time: a_day_ago(),
            message: "cannot connect".into(),
            reason: Reason::Refused,
            by: Party::Ssh,
            count: 3,
            recovered: true,
        }),
        ..ftp.clone()
    };
    vec![ftp, taken]
}

/// The fingerprint of the server's first key.
pub(crate) const FINGERPRINT: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

fn sessions() -> Vec<Session> {
    let ftp = Session {
        id: 11,
        tunnel: 7,
        profile: Some("one".into()),
        ftp: true,
        client: "127.0.0.1:50000".into(),
        destination: "localhost:21".into(),
        ftp_user: Some("alice".into()),
        tls: None,
        since: a_day_ago(),
        command: Some("STOR big file".into()),
        transfer: Some(21),
    };
    let tcp = Session {
        id: 12,
        profile: None,
        ftp: false,
        ftp_user: None,
        command: None,
        transfer: None,
        ..ftp.clone()
    };
    vec![ftp, tcp]
}

fn upload() -> Transfer {
    Transfer {
        id: 21,
        session: 11,
        tunnel: 7,
        profile: "one".into(),
        server: "localhost:21".into(),
        client: "127.0.0.1:50000".into(),
        client_uid: Some(1000),
        ftp_user: Some("alice".into()),
        command: "STOR big file".into(),
        path: Some("/home/alice/big file".into()),
        direction: TransferDirection::Upload,
        state: TransferState::Running,
        bytes: 3 << 20,
        size: Some(12 << 20),
        rate: 1 << 20,
        started: a_day_ago(),
        duration_ms: 3100,
        stalled_since: None,
        time_left: Some(9),
        reply: None,
        reason: None,
        by: None,
    }
}

pub(crate) fn transfers() -> Vec<Transfer> {
    let cut = Transfer {
        id: 20,
        command: "RETR \u{1b}[2Jx".into(),
        path: None,
        direction: TransferDirection::Download,
        state: TransferState::Cut,
        size: None,
        time_left: None,
        reply: Some("426 The SSH connection was lost".into()),
        reason: Some("the server does not answer".into()),
        by: Some(Party::Ssh),
        ..upload()
    };
    let stalled = Transfer {
        id: 22,
        rate: 0,
        time_left: None,
        stalled_since: Some(a_day_ago()),
        ..upload()
    };
    vec![cut, upload(), stalled]
}

fn host_keys() -> Vec<HostKey> {
    let first = HostKey {
        algorithm: "ssh-ed25519".into(),
        bits: 256,
        fingerprint: FINGERPRINT.into(),
        randomart: "+--[ED25519 256]--+\n|o+oO==+ o..      |\n+----[SHA256]-----+".into(),
        standing: HostKeyStanding::Unknown,
        known_at: None,
    };
    let second = HostKey {
        algorithm: "ssh-rsa".into(),
        bits: 3072,
        fingerprint: "SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM".into(),
        standing: HostKeyStanding::Changed,
        known_at: Some("ssh-rsa SHA256:abc (/home/u/.ssh/known_hosts line 3)".into()),
        ..first.clone()
    };
    vec![first, second]
}

fn trusted(fingerprint: &str) -> Result<HostKey, RpcError> {
    let key = host_keys()
        .into_iter()
        .find(|key| key.fingerprint == fingerprint);
    let mut key = key.ok_or_else(|| {
        let message = format!("SSH server ssh.example.com:22 has no host key {fingerprint}");
        RpcError::new(ErrorCode::ConnectFailed, message).because(Reason::HostKeyChanged)
    })?;
    key.standing = HostKeyStanding::Known;
    key.known_at = Some("/home/u/.ssh2/known_hosts line 1".into());
    Ok(key)
}

fn opened(request: OpenTunnelListener) -> Result<TunnelListener, RpcError> {
    if request.listen_port == TAKEN {
        let message = format!("cannot listen on port {TAKEN}: address in use");
        return Err(RpcError::new(ErrorCode::ListenFailed, message));
    }
    let port = if request.listen_port == 0 {
        45678
    } else {
        request.listen_port
    };
    let [ftp, _] = <[TunnelListener; 2]>::try_from(listeners()).unwrap();
    Ok(TunnelListener {
        id: 7,
        kind: request.kind,
        address: request.listen_address.unwrap_or_else(|| "127.0.0.1".into()),
        port,
        dst_host: request.dst_host,
        dst_port: request.dst_port,
        profile: None,
        target: request.target,
        relay: request.relay,
        sessions_active: 0,
        sessions_total: 0,
        transfers: TransferCounts::default(),
        bytes_up: 0,
        bytes_down: 0,
        origin: TunnelOrigin::Command,
        sessions_refused: 0,
        last_failure: None,
        ..ftp
    })
}
