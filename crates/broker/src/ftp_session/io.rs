//! The two ends of a control session: reading, writing and back-pressure, without any FTP.

use std::collections::VecDeque;
use std::io;

use broker_ssh::{Channel, ChannelRead};
use bytes::{Bytes, BytesMut};
use rustix::net::RecvFlags;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::own_host::reset_when_dropped;

/// Bytes per read from the client: enough for a pipeline of commands.
const READ_SIZE: usize = 8 * 1024;
/// How much may wait for a client that does not read its replies. Beyond that the client is dropped: its control channel
/// shares an SSH connection with others and must stay drained. The listing of a large directory fits, which a server may
/// send as a reply.
pub(crate) const CLIENT_BACKLOG: usize = 4 * 1024 * 1024;
/// Writes that may wait for the server; beyond that the client is not read.
const SERVER_QUEUE: usize = 16;

/// What happened at one of the two ends.
#[derive(Debug)]
pub(crate) enum IoEvent {
    /// Bytes from the client.
    FromClient(Bytes),
    /// The client ended its side in an orderly way.
    ClientEnd,
    /// The client's connection failed.
    ClientLost(io::Error),
    /// Bytes from the server.
    FromServer(Bytes),
    /// The server ended its side in an orderly way.
    ServerEnd,
    /// The SSH side was cut.
    ServerLost(String),
    /// A pending write was completed.
    Written,
}

/// Which sides may be read now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) client: bool,
    pub(crate) server: bool,
}

/// A client's control connection and the channel to its server.
pub(crate) struct Io {
    client_read: OwnedReadHalf,
    client_write: OwnedWriteHalf,
    read_buffer: Vec<u8>,
    to_client: BytesMut,
    client_open: bool,
    server_read: broker_ssh::ReadHalf,
    server_open: bool,
    to_server: VecDeque<ToServer>,
    server_queue: mpsc::Sender<ToServer>,
    _over: DropGuard,
}

/// The orders to the writer of the channel.
#[derive(Debug)]
enum ToServer {
    Bytes(Bytes),
    End,
}

impl Io {
    /// Joins the two ends. The channel's writer is a task that ends with them.
    pub(crate) fn new(client: TcpStream, channel: Channel, tasks: &TaskTracker) -> Self {
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = channel.split();
        let (server_queue, orders) = mpsc::channel(SERVER_QUEUE);
        let over = CancellationToken::new();
        let ended = over.clone();
        tasks.spawn(async move {
            // A server that accepts no more commands must not keep the writer beyond the session.
            ended
                .run_until_cancelled(write_to_server(server_write, orders))
                .await;
        });
        Self {
            client_read,
            client_write,
            read_buffer: vec![0; READ_SIZE],
            to_client: BytesMut::new(),
            client_open: true,
            server_read,
            server_open: true,
            to_server: VecDeque::new(),
            server_queue,
            _over: over.drop_guard(),
        }
    }

    /// Queues bytes for the client.
    pub(crate) fn send_client(&mut self, bytes: &[u8]) {
        self.to_client.extend_from_slice(bytes);
    }

    /// Queues bytes for the server.
    pub(crate) fn send_server(&mut self, bytes: Vec<u8>) {
        self.to_server.push_back(ToServer::Bytes(bytes.into()));
    }

    /// Passes on the client's end after the queued bytes.
    pub(crate) fn end_server(&mut self) {
        self.to_server.push_back(ToServer::End);
    }

    /// How many bytes the client has not taken yet.
    pub(crate) fn client_backlog(&self) -> usize {
        self.to_client.len()
    }

    /// Waits until something happens at either end.
    pub(crate) async fn next(&mut self, wants: Wants) -> IoEvent {
        let wants_client = wants.client && self.client_open && self.to_server.is_empty();
        let wants_server = wants.server && self.server_open;
        tokio::select! {
            read = read_client(self.client_read.as_ref(), &mut self.read_buffer), if wants_client => {
                client_event(read, &mut self.client_open)
            }
            wrote = self.client_write.write_buf(&mut self.to_client), if !self.to_client.is_empty() => {
                wrote.map_or_else(IoEvent::ClientLost, |_| IoEvent::Written)
            }
            permit = self.server_queue.reserve(), if !self.to_server.is_empty() => {
                // A writer that is gone has met the cut that the reader will report.
                match (permit, self.to_server.pop_front()) {
                    (Ok(permit), Some(order)) => permit.send(order),
                    (Err(_), _) => self.to_server.clear(),
                    (Ok(_), None) => {}
                }
                IoEvent::Written
            }
            read = self.server_read.read(), if wants_server => {
                server_event(read, &mut self.server_open)
            }
            else => std::future::pending().await,
        }
    }

    /// Writes what is queued for the client and ends its side in an orderly way.
    pub(crate) async fn finish_client(&mut self) -> io::Result<()> {
        self.client_write.write_all_buf(&mut self.to_client).await?;
        self.client_write.shutdown().await
    }

    /// Closes the client's connection so that the client sees a failure.
    pub(crate) fn reset_client(&self) {
        reset_when_dropped(self.client_write.as_ref());
    }
}

/// Reads what the client sent.
///
/// A read ends at the mark of urgent data, with more data after it. The runtime's own reads take a short read for an
/// empty socket and would then wait forever. This one waits only if the system says that there is nothing.
async fn read_client(client: &TcpStream, buffer: &mut [u8]) -> io::Result<Bytes> {
    let length = client
        .async_io(Interest::READABLE, || {
            let (_, length) = rustix::net::recv(client, &mut *buffer, RecvFlags::empty())?;
            Ok(length)
        })
        .await?;
    Ok(Bytes::copy_from_slice(
        buffer.get(..length).unwrap_or_default(),
    ))
}

fn client_event(read: io::Result<Bytes>, open: &mut bool) -> IoEvent {
    match read {
        Ok(bytes) if bytes.is_empty() => {
            *open = false;
            IoEvent::ClientEnd
        }
        Ok(bytes) => IoEvent::FromClient(bytes),
        Err(error) => {
            *open = false;
            IoEvent::ClientLost(error)
        }
    }
}

fn server_event(read: ChannelRead, open: &mut bool) -> IoEvent {
    if !matches!(read, ChannelRead::Data(_)) {
        *open = false;
    }
    match read {
        ChannelRead::Data(bytes) => IoEvent::FromServer(bytes),
        ChannelRead::Eof => IoEvent::ServerEnd,
        ChannelRead::Cut(reason) => IoEvent::ServerLost(reason.to_string()),
    }
}

/// Writes in order until it is told to end or the session is gone.
async fn write_to_server(writer: broker_ssh::WriteHalf, mut orders: mpsc::Receiver<ToServer>) {
    while let Some(order) = orders.recv().await {
        let written = match order {
            ToServer::Bytes(bytes) => writer.write(bytes).await,
            ToServer::End => writer.eof().await,
        };
        if written.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::net::SendFlags;
    use socket2::SockRef;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Clients that abort send the end of `ABOR` as urgent data, and wait for the answer.
    #[tokio::test]
    async fn what_stands_behind_the_urgent_mark_is_read_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        SockRef::from(&server).set_out_of_band_inline(true).unwrap();
        rustix::net::send(&client, b"\xff\xf4\xff", SendFlags::OOB).unwrap();
        rustix::net::send(&client, b"\xf2ABOR\r\n", SendFlags::empty()).unwrap();
        let mut buffer = vec![0; READ_SIZE];
        let mut received = Vec::new();
        while received.len() < 10 {
            let read = read_client(&server, &mut buffer);
            let read = timeout(Duration::from_secs(5), read).await;
            received.extend(read.expect("nothing came").unwrap());
        }
        assert_eq!(received, b"\xff\xf4\xff\xf2ABOR\r\n");
    }
}
