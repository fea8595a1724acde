//! The port to which the FTP server connects in active mode: of the SSH server or of this host.

use std::net::SocketAddr;

/// A listener for the server's data connection. Dropping it makes it listen no longer.
pub(super) trait ServerListener {
    /// A connection that the server has opened and that nobody has accepted yet.
    type Incoming;
    /// An accepted connection.
    type Connection;

    /// The address to announce to the server; `None`: there is none.
    fn address(&self) -> Option<SocketAddr>;
    /// Waits for the server's connection; `Err` is the reason if it can no longer come.
    async fn incoming(&mut self) -> Result<Self::Incoming, String>;
    /// Listens no longer.
    async fn withdraw(self);
    /// Refuses the connection, so that the server sees a failure, and listens no longer.
    async fn reject(self, incoming: Self::Incoming);
    /// Accepts the connection, and no other.
    async fn accept(self, incoming: Self::Incoming) -> Self::Connection;
}
