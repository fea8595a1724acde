//! What the tests share: a server with a pool beside it, and small TCP targets.

use std::net::SocketAddr;
use std::time::Duration;

use broker_ssh::{
    Channel, ChannelRead, ConnectSpec, HostKeyRules, PinnedKey, Pool, PoolLimits, PoolSnapshot,
    Target,
};
use bytes::Bytes;
use tempfile::TempDir;
use testkit::keys::KeyPair;
use testkit::ssh_server::{SshServer, SshServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Nothing in these tests takes long; whatever does has hung.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it hangs")
}

/// An embedded SSH server that lets one key in, and the means to make pools for it.
pub struct Bench {
    pub server: SshServer,
    pub directory: TempDir,
    pub tracker: TaskTracker,
    pub cancel: CancellationToken,
}

impl Bench {
    pub async fn start() -> Self {
        Self::with(SshServerOptions::default()).await
    }

    pub async fn with(mut options: SshServerOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        key.write(directory.path(), "id").unwrap();
        options.authorized_keys.push(key.public_openssh().unwrap());
        let server = SshServer::start(options).await.unwrap();
        Self {
            server,
            directory,
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        }
    }

    pub fn spec(&self) -> ConnectSpec {
        let addr = self.server.addr();
        let mut spec = ConnectSpec::new(addr.ip().to_string(), addr.port(), "me");
        spec.identities = vec![self.directory.path().join("id").into()];
        spec.host_key = pinned(self.server.host_key_openssh().unwrap());
        spec.settings.connect_timeout = Some(LIMIT);
        spec
    }

    pub fn pool(&self) -> Pool {
        self.pool_of(self.spec())
    }

    pub fn pool_of(&self, spec: ConnectSpec) -> Pool {
        Pool::new(spec, self.tracker.clone(), self.cancel.clone())
    }

    pub fn limited(&self, limits: PoolLimits) -> Pool {
        let mut spec = self.spec();
        spec.settings.pool = limits;
        self.pool_of(spec)
    }

    /// Ends everything and makes sure that nothing is left.
    pub async fn end(self) {
        self.cancel.cancel();
        self.tracker.close();
        soon(self.tracker.wait()).await;
        self.server
            .wait_for(LIMIT, |seen| seen.connections_open == 0)
            .await
            .unwrap();
    }
}

pub fn pinned(key: String) -> HostKeyRules {
    HostKeyRules {
        pinned: vec![PinnedKey::Inline(key)],
        ..HostKeyRules::default()
    }
}

pub fn originator() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4321))
}

pub fn target(addr: SocketAddr) -> Target {
    Target::new(addr.ip().to_string(), addr.port())
}

/// A TCP server that sends everything back, and ends when the client does.
pub async fn echo() -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tcp.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    target(addr)
}

/// A TCP server that sends for as long as it can, and never ends.
pub async fn flood() -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move { while tcp.write_all(&[7; 65536]).await.is_ok() {} });
        }
    });
    target(addr)
}

/// A TCP server whose one connection the test plays itself.
pub async fn scripted() -> (Target, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (target(listener.local_addr().unwrap()), listener)
}

/// Two ends of one TCP connection.
pub async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Sends a word over a channel to an echo and waits for it to come back.
pub async fn converse(channel: &mut Channel, word: &'static str) {
    soon(channel.write(Bytes::from_static(word.as_bytes())))
        .await
        .unwrap();
    let mut heard = Vec::new();
    while heard.len() < word.len() {
        match soon(channel.read()).await {
            ChannelRead::Data(data) => heard.extend_from_slice(&data),
            other => panic!("instead of data: {other:?}"),
        }
    }
    assert_eq!(heard, word.as_bytes());
}

/// Reads a TCP stream to its end; an error is a reset.
pub async fn read_all(tcp: &mut TcpStream) -> Result<Vec<u8>, std::io::Error> {
    let mut all = Vec::new();
    soon(tcp.read_to_end(&mut all)).await.map(|_| all)
}

/// Waits until the pool looks as wanted.
pub async fn wait_for(pool: &Pool, wanted: impl Fn(&PoolSnapshot) -> bool) -> PoolSnapshot {
    let mut pool = pool.clone();
    soon(async {
        loop {
            let snapshot = pool.snapshot();
            if wanted(&snapshot) {
                return snapshot;
            }
            assert!(pool.changed().await, "the pool has ended as {snapshot:?}");
        }
    })
    .await
}

/// Sends a word each way between a channel and a TCP connection.
pub async fn converse_with(channel: &mut Channel, tcp: &mut TcpStream) {
    soon(channel.write(Bytes::from_static(b"to tcp")))
        .await
        .unwrap();
    let mut heard = [0; 6];
    soon(tcp.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"to tcp");
    soon(tcp.write_all(b"to channel")).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 10 {
        match soon(channel.read()).await {
            ChannelRead::Data(data) => heard.extend_from_slice(&data),
            other => panic!("instead of data: {other:?}"),
        }
    }
    assert_eq!(heard, b"to channel");
}
