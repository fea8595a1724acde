//! Active mode, on whichever side the client is: the broker announces a port to the server, and the connection leads to
//! the port that the client announced.

use std::net::SocketAddr;
use std::time::Duration;

use broker_config::ListenSide;
use broker_ipc::Reason;
use ftp_proto::DataEnd;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::server_forward::ServerForward;
use super::server_listener::OwnListener;
use super::server_port::ServerListener;
use super::task::DataTask;
use super::{client_channel, client_port, transfer};
use crate::refusal::Refusal;

/// How long the FTP server may take to connect in active mode once the client has asked for a transfer: a server that
/// first has to fetch the file from tape may take minutes.
const SERVER_PATIENCE: Duration = Duration::from_secs(600);

/// Announces a port to the FTP server, and carries its data connection to the end.
pub(super) async fn run(task: &DataTask) -> DataEnd {
    let met = match task.control.tunnel.spec.listens {
        ListenSide::OwnHost => {
            let connect = async { client_port::connect(task, client(task).await).await };
            meet(task, ServerForward::open(task), connect).await
        }
        ListenSide::SshServer => {
            let connect = async { client_channel::connect(task, client(task).await).await };
            let met = meet(task, async { OwnListener::open(task) }, connect).await;
            met.map(|(channel, tcp)| (tcp, channel))
        }
    };
    let (tcp, channel) = match met {
        Ok(met) => met,
        Err(end) => return end,
    };
    let end = transfer::run(task, tcp, channel).await;
    if end != DataEnd::Complete {
        // The rest of this transfer would come before the next one's data on the same connection.
        task.control.forwards.discard();
    }
    end
}

/// The port that the client announced.
async fn client(task: &DataTask) -> SocketAddr {
    let announced = task.target().await;
    let ip = announced.host.unwrap_or(task.control.peer.ip());
    SocketAddr::new(ip, announced.port)
}

/// Both ends of an active data connection, once they are connected: `listen` returns a listener for the server, and
/// `connect` connects to the client's port.
async fn meet<Listener: ServerListener, Client>(
    task: &DataTask,
    listen: impl Future<Output = Result<Listener, Refusal>>,
    connect: impl Future<Output = Result<Client, String>>,
) -> Result<(Client, Listener::Connection), DataEnd> {
    let listening = tokio::select! {
        listening = listen => listening,
        () = task.signals.withdraw.cancelled() => {
            Err(Refusal::because(Reason::Stopping, "the session ended"))
        }
    };
    let mut listener = match listening {
        Ok(listener) => listener,
        // A later one may find a place.
        Err(reason) if task.ahead && reason.why == Reason::Limit => return Err(DataEnd::Unused),
        Err(reason) => {
            task.offer(Err(reason)).await;
            return Err(DataEnd::Unused);
        }
    };
    let Some(address) = listener.address() else {
        return Err(DataEnd::Unused);
    };
    task.offer(Ok(address)).await;
    if task.ahead {
        if !is_asked_for(task, &mut listener).await {
            // Dropping the listener ends it. The client may ask for it at any moment, so the session has to know at once.
            return Err(DataEnd::Unused);
        }
        task.not_before(true).await;
        task.offer(Ok(address)).await;
    }
    let incoming = tokio::select! {
        incoming = listener.incoming() => incoming.map_err(DataEnd::Cut)?,
        () = task.signals.withdraw.cancelled() => {
            listener.withdraw().await;
            return Err(DataEnd::Unused);
        }
        end = nobody_came(task) => {
            listener.withdraw().await;
            return Err(end);
        }
        () = task.entry.channel.stop.cancelled() => return Err(DataEnd::Cut(task.stop_reason())),
    };
    // Before the broker accepts the server's connection, so the server sees a failure if the client refuses.
    let connected = tokio::select! {
        connected = connect => connected,
        () = task.entry.channel.stop.cancelled() => Err(task.stop_reason()),
    };
    match connected {
        Ok(client) => Ok((client, listener.accept(incoming).await)),
        Err(reason) => {
            listener.reject(incoming).await;
            Err(DataEnd::ClientGone(reason))
        }
    }
}

/// Waits until the client asks for a listener that was made ahead. False if it is no longer of use. Whoever connects
/// before is not the FTP server, which connects for a transfer of the client.
async fn is_asked_for(task: &DataTask, listener: &mut impl ServerListener) -> bool {
    tokio::select! {
        biased;
        () = task.asked() => true,
        incoming = listener.incoming() => {
            if incoming.is_ok() {
                warn!("refused a connection to a prepared data port: the FTP server has no use for it yet");
            }
            false
        }
        () = task.signals.withdraw.cancelled() => false,
        () = task.entry.channel.stop.cancelled() => false,
        () = task.control.tunnel.shutdown.drain.cancelled() => false,
    }
}

/// Returns when a forward has waited too long for the FTP server: an unused forward must not hold a port and a place.
async fn nobody_came(task: &DataTask) -> DataEnd {
    let idle = task.control.ftp.data_timeout;
    let wanted = timeout(idle, task.signals.wanted.cancelled()).await;
    if wanted.is_err() {
        debug!(
            ?idle,
            "active data connection given up: the client asked for no transfer"
        );
        return DataEnd::Unused;
    }
    sleep(SERVER_PATIENCE).await;
    let waited = SERVER_PATIENCE.as_secs();
    DataEnd::Cut(format!(
        "the FTP server did not open the data connection within {waited} seconds"
    ))
}
