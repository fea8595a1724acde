//! An SSH server in process: logins, local and remote TCP forwarding, counters, and ways to break it.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use russh::server::Config;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::keys::KeyPair;
use crate::peer_runtime::PeerRuntime;

mod forward;
mod session;

/// The file with the key that may log in.
const CLIENT_KEY: &str = "client_key";

/// What a server lets in beside its own client key. [`Default`] is an open forwarder on 127.0.0.1.
#[derive(Clone)]
pub struct SshServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The host key; `None` makes one.
    pub host_key: Option<KeyPair>,
    /// Who may log in, the first by the client key; empty means any name.
    pub users: Vec<String>,
    /// Public keys that may log in, one OpenSSH line each.
    pub authorized_keys: Vec<String>,
    /// The password that may log in.
    pub password: Option<String>,
    /// Whether the password lets in once only.
    pub one_time: bool,
    /// What keyboard-interactive asks, round by round (RFC 4256); empty: it lets nobody in.
    pub interactive: Vec<Vec<Asked>>,
    /// Whether direct-tcpip channels are opened (RFC 4254 §7.2).
    pub allow_local_forward: bool,
    /// Whether tcpip-forward requests are granted (RFC 4254 §7.1).
    pub allow_remote_forward: bool,
    /// As with dropbear no listener ends before its connection, of which each has at most so many.
    pub lasting_forwards: Option<usize>,
    /// It opens channels to the name `localhost` alone, and takes it for this address.
    pub only_localhost: Option<IpAddr>,
}

impl Default for SshServerOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host_key: None,
            users: Vec::new(),
            authorized_keys: Vec::new(),
            password: None,
            one_time: false,
            interactive: Vec::new(),
            allow_local_forward: true,
            allow_remote_forward: true,
            lasting_forwards: None,
            only_localhost: None,
        }
    }
}

/// One question of keyboard-interactive.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question.
    pub text: &'static str,
    /// Whether the answer may be seen.
    pub echo: bool,
    /// The right answer.
    pub answer: &'static str,
}

/// What a server has seen since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshCounters {
    /// TCP connections accepted.
    pub connections: usize,
    /// TCP connections open now.
    pub connections_open: usize,
    /// Logins granted.
    pub logins: usize,
    /// Login attempts refused; probing with `none` does not count.
    pub logins_refused: usize,
    /// direct-tcpip channels opened.
    pub direct_opened: usize,
    /// direct-tcpip channels refused, by policy or because the target did not answer.
    pub direct_refused: usize,
    /// direct-tcpip channels open now.
    pub direct_active: usize,
    /// tcpip-forward requests granted.
    pub forwards_granted: usize,
    /// tcpip-forward requests refused.
    pub forwards_refused: usize,
    /// Forwards cancelled by their client.
    pub forwards_cancelled: usize,
    /// Forwards listening now.
    pub forwards_active: usize,
    /// Port of the forward granted last; 0 before the first.
    pub last_forward_port: u16,
    /// forwarded-tcpip channels the client accepted.
    pub forwarded_opened: usize,
    /// forwarded-tcpip channels the client rejected.
    pub forwarded_refused: usize,
}

/// A running server; dropping it ends it with all its connections.
pub struct SshServer {
    addr: SocketAddr,
    options: SshServerOptions,
    host_key: KeyPair,
    shared: Arc<Shared>,
    /// Cancelled to close the port.
    closing: CancellationToken,
    /// Cancelled once the port is closed.
    closed: CancellationToken,
    _runtime: PeerRuntime,
    /// Holds the client key.
    directory: Arc<TempDir>,
}

impl SshServer {
    /// Binds and starts to serve; ready for connections on return.
    ///
    /// # Errors
    /// When the address cannot be bound or a key cannot be read.
    pub async fn start(mut options: SshServerOptions) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for a key")?;
        let key = KeyPair::generate()?;
        key.write(directory.path(), CLIENT_KEY)?;
        options.authorized_keys.push(key.public_openssh()?);
        Self::serve(options, Arc::new(directory)).await
    }

    /// Closes the listening port; connections that are open go on.
    pub async fn stop_accepting(&self) {
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    /// Closes the listening port and cuts all connections.
    pub async fn stop(&self) {
        self.stop_accepting().await;
        self.kill_all();
    }

    /// Serves again after [`SshServer::stop`], on the same port and with the same keys. The counters begin anew.
    ///
    /// # Errors
    /// When somebody else has the port.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let options = SshServerOptions {
            bind: self.addr,
            host_key: Some(self.host_key.clone()),
            ..self.options.clone()
        };
        *self = Self::serve(options, Arc::clone(&self.directory)).await?;
        Ok(())
    }

    async fn serve(options: SshServerOptions, directory: Arc<TempDir>) -> anyhow::Result<Self> {
        let host_key = match &options.host_key {
            Some(key) => key.clone(),
            None => KeyPair::generate()?,
        };
        let runtime = PeerRuntime::new("ssh-server")?;
        let bind = options.bind;
        let listener = runtime
            .run(TcpListener::bind(bind))
            .await
            .with_context(|| format!("the SSH server cannot listen on {bind}"))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(&options)?);
        let config = Arc::new(server_config(&host_key));
        let closing = CancellationToken::new();
        let closed = CancellationToken::new();
        let accepting = accept_until(closing.clone(), listener, config, Arc::clone(&shared));
        let at_end = closed.clone().drop_guard();
        runtime.spawn(async move {
            accepting.await;
            drop(at_end);
        });
        Ok(Self {
            addr,
            options,
            host_key,
            shared,
            closing,
            closed,
            _runtime: runtime,
            directory,
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The user to log in as.
    #[must_use]
    pub fn user(&self) -> &str {
        self.options.users.first().map_or("user", String::as_str)
    }

    /// The file with the private key that may log in.
    #[must_use]
    pub fn identity_file(&self) -> PathBuf {
        self.directory.path().join(CLIENT_KEY)
    }

    /// The public host key as one OpenSSH line.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn host_key_openssh(&self) -> anyhow::Result<String> {
        self.host_key.public_openssh()
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> SshCounters {
        self.shared.counters.borrow().clone()
    }

    /// Waits until the counters are as `done` wants them, and returns them.
    ///
    /// # Errors
    /// When that has not happened within `limit`; the message shows the counters.
    pub async fn wait_for(
        &self,
        limit: Duration,
        done: impl FnMut(&SshCounters) -> bool,
    ) -> anyhow::Result<SshCounters> {
        let mut counters = self.shared.counters.subscribe();
        match tokio::time::timeout(limit, counters.wait_for(done)).await {
            Ok(seen) => Ok(seen.context("the SSH server has ended")?.clone()),
            Err(_) => anyhow::bail!(
                "not within {limit:?}: the SSH server has {:?}",
                self.counters()
            ),
        }
    }

    /// Numbers of the connections open now, in order of arrival, counted from 0.
    #[must_use]
    pub fn connections(&self) -> Vec<usize> {
        self.shared.connections().keys().copied().collect()
    }

    /// Cuts the TCP connection `number` without a word of SSH; false when it is not open.
    pub fn kill_connection(&self, number: usize) -> bool {
        let killed = self.shared.connections().remove(&number);
        killed.is_some_and(|connection| {
            connection.cut();
            true
        })
    }

    /// Cuts all connections; new ones are still accepted.
    pub fn kill_all(&self) {
        let killed = std::mem::take(&mut *self.shared.connections());
        killed.values().for_each(Connection::cut);
    }

    /// Grants or refuses direct-tcpip channels from now on.
    pub fn set_allow_local_forward(&self, allow: bool) {
        self.shared.allow_local.store(allow, Ordering::Relaxed);
    }

    /// Answers the opening of direct-tcpip channels from now on, or leaves it unanswered for as long as the connection lasts.
    pub fn set_answer_opens(&self, answer: bool) {
        self.shared.silent_opens.store(!answer, Ordering::Relaxed);
    }

    /// Grants or refuses tcpip-forward requests from now on.
    pub fn set_allow_remote_forward(&self, allow: bool) {
        self.shared.allow_remote.store(allow, Ordering::Relaxed);
    }
}

/// What the handle and the sessions both know.
struct Shared {
    users: HashSet<String>,
    authorized_keys: Vec<russh::keys::PublicKey>,
    password: Option<String>,
    one_time: bool,
    /// Whether a password has let somebody in.
    password_used: AtomicBool,
    interactive: Vec<Vec<Asked>>,
    allow_local: AtomicBool,
    allow_remote: AtomicBool,
    lasting_forwards: Option<usize>,
    only_localhost: Option<IpAddr>,
    /// Whether an answer to the opening of a channel is held back.
    silent_opens: AtomicBool,
    counters: watch::Sender<SshCounters>,
    connections: Mutex<BTreeMap<usize, Connection>>,
    tasks: TaskTracker,
}

impl Shared {
    fn new(options: &SshServerOptions) -> anyhow::Result<Self> {
        let authorized_keys = options
            .authorized_keys
            .iter()
            .map(|line| russh::keys::PublicKey::from_openssh(line))
            .collect::<Result<_, _>>()
            .context("an authorized key is not an OpenSSH public key line")?;
        Ok(Self {
            users: options.users.iter().cloned().collect(),
            authorized_keys,
            password: options.password.clone(),
            one_time: options.one_time,
            password_used: AtomicBool::new(false),
            interactive: options.interactive.clone(),
            allow_local: AtomicBool::new(options.allow_local_forward),
            allow_remote: AtomicBool::new(options.allow_remote_forward),
            lasting_forwards: options.lasting_forwards,
            only_localhost: options.only_localhost,
            silent_opens: AtomicBool::new(false),
            counters: watch::Sender::new(SshCounters::default()),
            connections: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    fn count(&self, change: impl FnOnce(&mut SshCounters)) {
        self.counters.send_modify(change);
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<usize, Connection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One TCP connection: a second handle on its socket, and the token its tasks end by.
struct Connection {
    socket: std::net::TcpStream,
    ended: CancellationToken,
}

impl Connection {
    fn cut(&self) {
        // The peer may have closed it already; then there is nothing to cut.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.ended.cancel();
    }
}

fn server_config(host_key: &KeyPair) -> Config {
    Config {
        keys: vec![host_key.private_key().clone()],
        // Constant-time refusals protect a real server; here they would only make every test slower.
        auth_rejection_time: Duration::ZERO,
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    }
}

async fn accept_until(
    stop: CancellationToken,
    listener: TcpListener,
    config: Arc<Config>,
    shared: Arc<Shared>,
) {
    let mut number = 0;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        if let Ok((stream, _peer)) = accepted {
            let serve = serve(stream, number, Arc::clone(&config), Arc::clone(&shared));
            shared.tasks.spawn(serve);
            number += 1;
        }
    }
}

/// One connection from its first byte to its last.
async fn serve(stream: TcpStream, number: usize, config: Arc<Config>, shared: Arc<Shared>) {
    let ended = CancellationToken::new();
    let Ok((stream, socket)) = second_handle(stream) else {
        return;
    };
    let connection = Connection {
        socket,
        ended: ended.clone(),
    };
    shared.connections().insert(number, connection);
    shared.count(|c| {
        c.connections += 1;
        c.connections_open += 1;
    });
    let handler = session::SshSession::new(Arc::clone(&shared), ended.clone());
    if let Ok(running) = russh::server::run_stream(config, stream, handler).await
        && let Err(error) = running.await
    {
        tracing::debug!(number, %error, "SSH connection ended");
    }
    ended.cancel();
    shared.connections().remove(&number);
    shared.count(|c| c.connections_open -= 1);
}

/// Keeps a handle with which the connection can be cut under the session.
fn second_handle(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, socket))
}

/// One more of something that is counted while it lasts.
struct Active {
    shared: Arc<Shared>,
    gauge: fn(&mut SshCounters) -> &mut usize,
}

impl Active {
    fn start(shared: &Arc<Shared>, gauge: fn(&mut SshCounters) -> &mut usize) -> Self {
        shared.count(|c| *gauge(c) += 1);
        Self {
            shared: Arc::clone(shared),
            gauge,
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.shared.count(|c| *(self.gauge)(c) -= 1);
    }
}

#[cfg(test)]
mod tests;
