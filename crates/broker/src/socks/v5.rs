//! The requests of SOCKS 5 (RFC 1928), and its login with user and password (RFC 1929).

use broker_config::is_host;
use broker_ssh::ExposeSecret;
use socks5_protocol::{Address, AuthMethod, AuthRequest, AuthResponse, Command, CommandRequest};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{Fault, Login, Reason, Request, Version};

pub(super) const VERSION: u8 = 5;

/// The version of the login (RFC 1929 section 2), and its two answers.
const LOGIN_VERSION: u8 = 1;
const LOGIN_RIGHT: u8 = 0;
const LOGIN_WRONG: u8 = 1;

/// Reads a request whose first byte, the version, is already read.
pub(super) async fn receive<S>(client: &mut S, login: Option<&Login>) -> Result<Request, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let methods = AuthRequest::read(&mut *client).await?.0;
    match login {
        None if methods.contains(&AuthMethod::Noauth) => choose(client, AuthMethod::Noauth).await?,
        Some(login) if methods.contains(&AuthMethod::UsernamePassword) => {
            choose(client, AuthMethod::UsernamePassword).await?;
            check_login(client, login).await?;
        }
        None | Some(_) => {
            choose(client, AuthMethod::NoAcceptableMethod).await?;
            return Err(login.map_or(Fault::Methods, |_| Fault::LoginMissing));
        }
    }
    let request = CommandRequest::read(&mut *client).await;
    let request = request.map_err(Fault::from).and_then(destination);
    if let Err(fault) = &request
        && let Some(reason) = answer_to(fault)
    {
        Version::V5.refuse(client, reason).await?;
    }
    request
}

async fn choose(client: &mut (impl AsyncWrite + Unpin), method: AuthMethod) -> Result<(), Fault> {
    let mut answer = vec![VERSION];
    AuthResponse::new(method).write(&mut answer).await?;
    Ok(client.write_all(&answer).await?)
}

/// Reads the client's user and password, and says whether they are right. The time of the comparison does not depend on
/// what is wrong.
async fn check_login<S>(client: &mut S, login: &Login) -> Result<(), Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if client.read_u8().await? != LOGIN_VERSION {
        return Err(Fault::Malformed);
    }
    let user = field(client).await?;
    let password = field(client).await?;
    let right = user.ct_eq(login.user.as_bytes())
        & password.ct_eq(login.password.expose_secret().as_bytes());
    let right = bool::from(right);
    let answer = if right { LOGIN_RIGHT } else { LOGIN_WRONG };
    client.write_all(&[LOGIN_VERSION, answer]).await?;
    right.then_some(()).ok_or(Fault::LoginWrong)
}

/// Bytes behind their length.
async fn field(client: &mut (impl AsyncRead + Unpin)) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let length = client.read_u8().await?;
    let mut bytes = Zeroizing::new(vec![0; usize::from(length)]);
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn destination(request: CommandRequest) -> Result<Request, Fault> {
    let (host, port) = match request.address {
        Address::SocketAddr(address) => (address.ip().to_canonical().to_string(), address.port()),
        Address::Domain(name, port) => (name, port),
    };
    match request.command {
        Command::Connect if is_host(&host) && port > 0 => Ok(Request {
            host,
            port,
            version: Version::V5,
        }),
        Command::Connect => Err(Fault::Destination),
        Command::Bind => Err(Fault::Command(2)),
        Command::UdpAssociate => Err(Fault::Command(3)),
    }
}

/// The answer to a request that is at fault; `None` if what came is no request of SOCKS 5.
fn answer_to(fault: &Fault) -> Option<Reason> {
    match fault {
        Fault::Command(_) => Some(Reason::Command),
        Fault::Destination => Some(Reason::AddressType),
        Fault::Malformed
        | Fault::Io(_)
        | Fault::OtherProtocol(_)
        | Fault::Version(_)
        | Fault::LoginMissing
        | Fault::Methods
        | Fault::LoginWrong
        | Fault::NoPasswords
        | Fault::Late(_) => None,
    }
}
