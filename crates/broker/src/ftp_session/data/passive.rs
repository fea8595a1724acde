//! Passive mode, on whichever side the client is: the broker announces a port to the client that leads to the port that
//! the server announced.

use std::net::SocketAddr;
use std::pin::pin;

use broker_config::{DataOpen, ListenSide};
use broker_ipc::Reason;
use broker_ssh::Channel;
use ftp_proto::{Announced, DataEnd};
use tokio::net::TcpStream;

use super::task::DataTask;
use super::{
    client_connection, client_forward, server_channel, server_connection, socks_connection,
    transfer,
};
use crate::refusal::Refusal;

/// Announces a port to the client, and carries its data connection to the end.
pub(super) async fn run(task: &DataTask, open_first: bool) -> DataEnd {
    let announced = task.target().await;
    let listens = task.control.tunnel.spec.listens;
    let met = match (&task.control.announced_ports, listens) {
        (Some(ports), _) => {
            until_stopped(task, socks_connection::meet(task, ports, announced)).await
        }
        (None, ListenSide::OwnHost) => {
            until_stopped(task, local(task, announced, open_first)).await
        }
        (None, ListenSide::SshServer) => {
            until_stopped(task, remote(task, announced, open_first)).await
        }
    };
    let end = match met {
        Ok((tcp, channel)) => transfer::run(task, tcp, channel).await,
        Err(end) => end,
    };
    if listens == ListenSide::SshServer && end != DataEnd::Complete {
        // The rest of this transfer would come before the next one's data on the same connection.
        task.control.forwards.discard();
    }
    end
}

async fn local(
    task: &DataTask,
    announced: Announced,
    open_first: bool,
) -> Result<(TcpStream, Channel), DataEnd> {
    let listen = async || client_connection::listen(task, announced).await;
    let accept = async |listener| client_connection::accept(task, listener).await;
    let open = server_channel::open(task, announced);
    let ended = async |channel: &Channel| channel.ended().await;
    meet(task, open_first, listen, accept, open, ended).await
}

async fn remote(
    task: &DataTask,
    announced: Announced,
    open_first: bool,
) -> Result<(TcpStream, Channel), DataEnd> {
    let listen = async || client_forward::listen(task, announced).await;
    let accept = async |forward| client_forward::accept(task, forward).await;
    let open = server_connection::open(task, announced);
    let ended = async |tcp: &TcpStream| server_connection::ended(tcp).await;
    let (channel, tcp) = meet(task, open_first, listen, accept, open, ended).await?;
    Ok((tcp, channel))
}

/// Waits for both ends unless the announcement is withdrawn or the channel stopped.
async fn until_stopped<T>(
    task: &DataTask,
    met: impl Future<Output = Result<T, DataEnd>>,
) -> Result<T, DataEnd> {
    tokio::select! {
        met = met => met,
        () = task.signals.withdraw.cancelled() => Err(DataEnd::Unused),
        () = task.entry.channel.stop.cancelled() => {
            // The session may still wait for the announcement; one that does not ignores this.
            let stopped = Refusal::because(Reason::Stopping, task.stop_reason());
            task.offer(Err(stopped)).await;
            match task.ahead && !task.signals.announce.initialized() {
                true => Err(DataEnd::Unused),
                false => Err(DataEnd::Cut(task.stop_reason())),
            }
        }
    }
}

/// Both ends of a passive data connection, once they are connected: `listen` returns a listener for the client and the
/// address to announce, `accept` waits for the client there, `open` connects to the server, and `ended` waits for the end of
/// that connection.
async fn meet<Listener, Client, Server>(
    task: &DataTask,
    open_first: bool,
    listen: impl AsyncFnOnce() -> Result<(Listener, SocketAddr), Refusal>,
    accept: impl AsyncFnOnce(Listener) -> Result<Client, DataEnd>,
    open: impl Future<Output = Result<Server, Refusal>>,
    ended: impl AsyncFnOnce(&Server),
) -> Result<(Client, Server), DataEnd> {
    let mut open = pin!(open);
    let opened = match open_first {
        true if task.ahead => open_ahead(task, open.as_mut(), ended).await?,
        true => match open.as_mut().await {
            Ok(server) => Some(server),
            Err(reason) => return Err(refused(task, reason).await),
        },
        false => None,
    };
    // Not before the port is announced: until then only others can connect.
    let (listener, address) = match listen().await {
        Ok(bound) => bound,
        Err(reason) => return Err(refused(task, reason).await),
    };
    task.offer(Ok(address)).await;
    let server = async {
        match opened {
            Some(server) => Ok(server),
            None => open.await.map_err(|refusal| task.unreached(&refusal)),
        }
    };
    // A failure drops the listener and its connections: the client's connection is reset or refused.
    if task.control.ftp.data_open == DataOpen::Lazy {
        return Ok((accept(listener).await?, server.await?));
    }
    tokio::try_join!(accept(listener), server)
}

/// Opens a connection, and waits until the client asks for it. It may ask before the connection is open: then there is
/// none yet. A stopping broker does not wait for that.
async fn open_ahead<Server>(
    task: &DataTask,
    open: impl Future<Output = Result<Server, Refusal>>,
    ended: impl AsyncFnOnce(&Server),
) -> Result<Option<Server>, DataEnd> {
    let asked = || task.asked();
    let stops = || task.control.tunnel.shutdown.drain.cancelled();
    // Once it is open, it is not polled again.
    let opened = tokio::select! {
        biased;
        opened = open => Some(opened),
        () = asked() => None,
        () = stops() => return Err(DataEnd::Unused),
    };
    let prepared = match opened {
        Some(Ok(server)) => tokio::select! {
            biased;
            () = asked() => Some(server),
            () = ended(&server) => return Err(DataEnd::Unused),
            () = stops() => return Err(DataEnd::Unused),
        },
        // A later one may find a place.
        Some(Err(reason)) if reason.why == Reason::Limit => return Err(DataEnd::Unused),
        Some(Err(reason)) => return Err(refused(task, reason).await),
        None => None,
    };
    task.not_before(prepared.is_some()).await;
    Ok(prepared)
}

/// Tells the session why there is no address to announce.
async fn refused(task: &DataTask, reason: Refusal) -> DataEnd {
    task.offer(Err(reason)).await;
    DataEnd::Unused
}
