//! The requests of SOCKS 4 and 4a. Libraries have only their client's side.

use std::net::Ipv4Addr;

use broker_config::is_host;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{Fault, Login, Reason, Request, Version};

pub(super) const VERSION: u8 = 4;

const CONNECT: u8 = 1;

/// The longest user id and host. The protocol has no limit; SOCKS 5 has this one.
const MAX_TEXT: usize = 255;

/// Reads a request whose version is already read.
pub(super) async fn receive<S>(client: &mut S, login: Option<&Login>) -> Result<Request, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = read(client, login).await;
    if let Err(fault) = &request
        && !matches!(fault, Fault::Io(_))
    {
        Version::V4.refuse(client, Reason::General).await?;
    }
    request
}

async fn read<S>(client: &mut S, login: Option<&Login>) -> Result<Request, Fault>
where
    S: AsyncRead + Unpin,
{
    let command = client.read_u8().await?;
    let port = client.read_u16().await?;
    let address = Ipv4Addr::from(client.read_u32().await?);
    let _user = text(client).await?;
    let host = match address.octets() {
        // SOCKS 4a: an address that no host has announces a name.
        [0, 0, 0, last] if last > 0 => text(client).await?,
        [..] => address.to_string(),
    };
    match command {
        _ if login.is_some() => Err(Fault::NoPasswords),
        CONNECT if is_host(&host) && port > 0 => Ok(Request {
            host,
            port,
            version: Version::V4,
        }),
        CONNECT => Err(Fault::Destination),
        other => Err(Fault::Command(other)),
    }
}

/// A text up to its final zero byte.
async fn text(client: &mut (impl AsyncRead + Unpin)) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    loop {
        match client.read_u8().await? {
            0 => return String::from_utf8(bytes).map_err(|_| Fault::Malformed),
            _ if bytes.len() == MAX_TEXT => return Err(Fault::Malformed),
            byte => bytes.push(byte),
        }
    }
}
