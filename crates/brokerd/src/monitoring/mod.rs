//! The HTTP server for monitoring systems: the metrics, and whether the daemon is alive and ready.
//!
//! It is less important than the tunnels. Without its port the daemon serves all the same, and no client of it can hold
//! up anything: their number, their time and the size of their requests have limits.

mod answers;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as InheritedListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::{Api, Shutdown};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket_owners::Holders;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// Clients at once: several monitoring systems and people, far fewer than would matter for the limit of descriptors.
const MAX_CLIENTS: usize = 32;
/// How long a client may take to send its request. Each connection carries one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last: the request, the answer, and the time in which the client reads it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest head of a request. Monitoring systems send a few hundred bytes, browsers a few thousand.
const MAX_HEAD: usize = 16 << 10;
/// How often to try again if the port is in use.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// How long to leave the listener alone when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The server's socket. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct MonitoringSocket {
    /// Set once it listens.
    listener: Arc<OnceLock<Arc<TcpListener>>>,
    given_away: CancellationToken,
}

impl MonitoringSocket {
    /// The socket, if it listens.
    pub(crate) fn open(&self) -> Option<Arc<TcpListener>> {
        self.listener.get().cloned()
    }

    /// Another process serves it now.
    pub(crate) fn give_away(&self) {
        self.given_away.cancel();
    }
}

/// Serves at this address until the daemon ends, or until another process does.
pub(crate) async fn serve(
    address: SocketAddr,
    inherited: Option<InheritedListener>,
    socket: MonitoringSocket,
    api: Api,
    shutdown: Shutdown,
) {
    let serving = async {
        let listener = Arc::new(listen(address, inherited).await);
        let listener = socket.listener.get_or_init(|| listener);
        if let Ok(address) = listener.local_addr() {
            info!(%address, "monitoring: metrics at http://{address}/metrics");
        }
        accept(listener, api, shutdown).await
    };
    socket.given_away.run_until_cancelled(serving).await;
}

/// The socket of the daemon before this one if it had the same address, otherwise a new one, as soon as there is one.
async fn listen(address: SocketAddr, inherited: Option<InheritedListener>) -> TcpListener {
    if let Some(socket) = inherited.and_then(|it| adopt(it, address)) {
        return socket;
    }
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if is_told => debug!(%address, %error, "monitoring still cannot listen"),
            Err(error) => {
                error!(
                    "no monitoring: {}; the tunnels work without it, and the broker tries again",
                    obstacle(address, &error)
                );
                is_told = true;
            }
        }
        sleep(LISTEN_AGAIN).await;
    }
}

fn adopt(inherited: InheritedListener, address: SocketAddr) -> Option<TcpListener> {
    let at = inherited.local_addr().ok()?;
    let wanted = [at.port(), 0].contains(&address.port()) && at.ip() == address.ip();
    if !wanted {
        return None;
    }
    inherited.set_nonblocking(true).ok()?;
    TcpListener::from_std(inherited).ok()
}

fn obstacle(address: SocketAddr, error: &io::Error) -> String {
    if error.kind() != ErrorKind::AddrInUse {
        return format!("cannot listen on {address}: {error}; choose another --metrics-listen");
    }
    let holder = Holders::default().of(address);
    let holder = holder.map_or_else(|| "another program".to_owned(), |it| it.to_string());
    format!("{address} is in use by {holder}; end it, or choose another --metrics-listen")
}

async fn accept(listener: &TcpListener, api: Api, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((client, _)) => {
                let api = api.clone();
                shutdown.spawn_until_killed(async move {
                    answer(client, api).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "monitoring cannot accept a client");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the one request of a client.
async fn answer(client: TcpStream, api: Api) {
    let service = service_fn(|request| answers::answer(request, &api));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(client), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a client of the monitoring port failed"),
        Err(_) => debug!("a client of the monitoring port was too slow"),
    }
}
