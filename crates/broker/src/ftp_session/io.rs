//! The two ends of a control connection: which is read when, and back-pressure, without any FTP.

use super::control_end::{ControlEnd, EndFault, EndRead};

/// How much may wait for a client that does not read its replies. Beyond that the client is dropped: its control channel
/// shares an SSH connection with others and must stay drained. The listing of a large directory fits, which a server may
/// send as a reply.
pub(crate) const CLIENT_BACKLOG: usize = 4 * 1024 * 1024;

/// What happened at one of the two ends.
#[derive(Debug)]
pub(crate) enum IoEvent {
    /// Something came from the client.
    Client(EndRead),
    /// Something came from the server.
    Server(EndRead),
    /// TLS began at the client's end, with this version and cipher, or it did not.
    TlsStarted(Result<String, EndFault>),
    /// A pending write was completed.
    Written,
}

/// Which sides may be read now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) client: bool,
    pub(crate) server: bool,
}

/// A client's end and a server's end.
pub(crate) struct Io {
    pub(crate) client: ControlEnd,
    pub(crate) server: ControlEnd,
}

impl Io {
    /// Waits until something happens at either end. The client is not read while something waits for the server.
    pub(crate) async fn next(&mut self, wants: Wants) -> IoEvent {
        let (client, server) = (&mut self.client, &mut self.server);
        let wants_client = wants.client && client.reader.is_open() && !server.writer.has_output();
        let wants_server = wants.server && server.reader.is_open();
        tokio::select! {
            started = client.starting.finished(), if client.starting.is_running() => {
                IoEvent::TlsStarted(client.use_tls(started))
            }
            read = client.reader.read(), if wants_client => IoEvent::Client(read),
            wrote = client.writer.write(), if client.writer.has_output() => {
                wrote.map_or_else(|fault| IoEvent::Client(EndRead::Lost(fault)), |()| IoEvent::Written)
            }
            wrote = server.writer.write(), if server.writer.has_output() => {
                wrote.map_or_else(|fault| IoEvent::Server(EndRead::Lost(fault)), |()| IoEvent::Written)
            }
            read = server.reader.read(), if wants_server => IoEvent::Server(read),
            else => std::future::pending().await,
        }
    }
}
