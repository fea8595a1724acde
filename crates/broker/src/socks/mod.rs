//! The SOCKS protocol, the server's side: what a client asks for, and how it learns the outcome. Versions 4, 4a
//! and 5, the command CONNECT only.

mod fault;
mod reply;
mod v4;
mod v5;

use std::time::Duration;

use broker_ssh::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

pub(crate) use fault::Fault;
pub(crate) use reply::{Reason, Version};

/// How long a client may take from its connection to its request. Clients send both at once; a person at a password
/// prompt types before the client connects.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The user and password that clients have to give.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: SecretString,
}

/// A client's request to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// A name or an address, as the client wrote it.
    pub(crate) host: String,
    /// Never 0.
    pub(crate) port: u16,
    /// The version in which the client awaits the answer.
    pub(crate) version: Version,
}

/// Reads a client's request, and none of the bytes after it. With a `login`, only clients that give it are served. Each
/// field of the protocol has at most 255 bytes, so the request is bounded.
///
/// # Errors
/// Why there is no request to serve. The client has its answer, if the protocol has one for this.
pub(crate) async fn receive<S>(client: &mut S, login: Option<&Login>) -> Result<Request, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = timeout(HANDSHAKE_TIMEOUT, read(client, login)).await;
    request.unwrap_or(Err(Fault::Late(HANDSHAKE_TIMEOUT)))
}

async fn read<S>(client: &mut S, login: Option<&Login>) -> Result<Request, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match client.read_u8().await? {
        v4::VERSION => v4::receive(client, login).await,
        v5::VERSION => v5::receive(client, login).await,
        first => Err(Fault::other_protocol(first, client).await),
    }
}

#[cfg(test)]
mod tests;
