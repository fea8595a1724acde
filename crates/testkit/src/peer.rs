//! What a fixture asks of the servers that it is made of.

use std::future::Future;
use std::net::SocketAddr;

use crate::profile::Profile;

/// What a server is started from.
pub trait Launch: Send + 'static {
    /// The server.
    type Server: Send + 'static;

    /// Starts it and waits until it serves.
    fn launch(self) -> impl Future<Output = anyhow::Result<Self::Server>> + Send;
}

/// An SSH server.
pub trait SshPeer {
    /// A profile with a login that works, and no tunnel.
    ///
    /// # Errors
    /// When the host key cannot be encoded.
    fn profile(&self) -> anyhow::Result<Profile>;
}

/// An FTP server.
pub trait FtpPeer {
    /// Where it listens.
    fn addr(&self) -> SocketAddr;
}

/// An FTP server whose files can be reached from behind.
pub trait FtpFiles: FtpPeer {
    /// Puts a file where a download finds it.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put(&self, name: &str, content: &[u8]) -> anyhow::Result<()>;

    /// What the server has of a file; `None` when it has no such file.
    fn file(&self, name: &str) -> Option<Vec<u8>>;

    /// Removes a file, if it is there.
    fn remove(&self, name: &str);
}
