//! The passive data connection of a client that speaks SOCKS: a request to the same tunnel, for the port that the server
//! announced.
//!
//! The client learns the server's own address. Where it connects is its own choice, so the channel is opened only then,
//! and leads to the host that the client names. Otherwise a server could announce somebody else's address, and receive
//! what the client sends there.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_ssh::Channel;
use ftp_proto::{Announced, DataEnd};
use tokio::net::TcpStream;

use super::task::DataTask;
use super::{client_connection, destination, server_channel};
use crate::announced::{AnnouncedPorts, Arrival, Expected};
use crate::own_host::reset_when_dropped;
use crate::refusal::{FirstWord, Refusal};

/// Announces the server's port, and returns both ends once the client has asked for it.
pub(super) async fn meet(
    task: &DataTask,
    ports: &Arc<AnnouncedPorts>,
    announced: Announced,
) -> Result<(TcpStream, Channel), DataEnd> {
    let mut announcement = match ports.expect(expected(task, announced)) {
        Ok(announcement) => announcement,
        Err(reason) => {
            task.offer(Err(reason)).await;
            return Err(DataEnd::Unused);
        }
    };
    let ip = announced.host.unwrap_or(task.control.local.ip());
    task.offer(Ok(SocketAddr::new(ip, announced.port))).await;
    let arrival = client_connection::in_time(task, announcement.arrival()).await?;
    connect(task, announced, arrival).await
}

fn expected(task: &DataTask, announced: Announced) -> Expected {
    let control = &task.control;
    Expected {
        server: vec![control.target.host.clone(), control.server.clone()],
        announced: announced.host,
        port: announced.port,
        client: control.peer.ip(),
        local: control.reached,
        owner: control.owner,
    }
}

/// Opens the channel, and answers the client's request.
async fn connect(
    task: &DataTask,
    announced: Announced,
    arrival: Arrival,
) -> Result<(TcpStream, Channel), DataEnd> {
    let first_word = FirstWord::Socks(arrival.version);
    let mut tcp = arrival.tcp;
    let host = host(task, announced, arrival.to_announced);
    let channel = match server_channel::open_at(task, host, announced.port).await {
        Ok(channel) => channel,
        Err(error) => {
            first_word.refuse(tcp, &Refusal::from(&error)).await;
            return Err(DataEnd::Cut(error.to_string()));
        }
    };
    // From now on an end looks like the end of the file.
    reset_when_dropped(&tcp);
    match first_word.grant(&mut tcp).await {
        Ok(()) => Ok((tcp, channel)),
        Err(error) => Err(DataEnd::ClientGone(error.to_string())),
    }
}

/// The host to which the channel leads: the announced one only if the client named it, unless `data-address` decides.
fn host(task: &DataTask, announced: Announced, to_announced: bool) -> String {
    let control = &task.control;
    let rule = control.ftp.data_address;
    let mut candidates = destination::candidates(rule, &control.server, announced.host).into_iter();
    let host = match to_announced {
        true => candidates.next(),
        false => candidates.next_back(),
    };
    host.unwrap_or_else(|| control.server.clone())
}
