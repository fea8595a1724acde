//! A client of a SOCKS tunnel: its request, and what it leads to. That is an FTP session, the data connection of one, or
//! a connection whose bytes pass unchanged.

use std::sync::Arc;

use broker_config::{SocksLogin, SocksOptions};
use broker_ssh::{Target, read_password};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tracing::{debug, info, warn};

use crate::announced::Claim;
use crate::own_host::ClientAddresses;
use crate::refusal::{FirstWord, Refusal};
use crate::socks::{self, Login, Request};
use crate::tunnel::Tunnel;
use crate::{ftp_session, tcp_session};

/// Serves one client to the end of its connection.
pub(crate) async fn run(
    tunnel: Arc<Tunnel>,
    options: &SocksOptions,
    id: u64,
    mut client: TcpStream,
    addresses: ClientAddresses,
) {
    let _ = client.set_nodelay(true);
    let Some(request) = receive(&tunnel, options, &mut client).await else {
        // What the client was told must reach it.
        let _ = client.shutdown().await;
        return;
    };
    let target = Target::new(request.host, request.port);
    debug!(to = %target, "SOCKS request");
    let claim = tunnel
        .announced
        .claim(client, addresses, request.version, &target);
    let first_word = FirstWord::Socks(request.version);
    let client = match claim {
        Claim::Joined => return,
        Claim::Refused(client, objection) => {
            warn!(to = %target, "data connection refused: {objection}");
            let refusal = Refusal::forbidden(objection);
            tunnel.refused(&refusal);
            return first_word.refuse(client, &refusal).await;
        }
        Claim::Unknown(client) => client,
    };
    if let Err(reason) = tunnel.has_room() {
        info!(%reason, "client refused");
        tunnel.refused(&reason);
        return first_word.refuse(client, &reason).await;
    }
    let is_ftp = options
        .ftp_ports
        .iter()
        .any(|ports| ports.contains(&target.port));
    match is_ftp {
        true => ftp_session::run(tunnel, id, client.into(), addresses, target, first_word).await,
        false => tcp_session::run(tunnel, id, client.into(), addresses, target, first_word).await,
    }
}

/// The client's request; `None` if there is none to serve. The log has the reason.
async fn receive(
    tunnel: &Tunnel,
    options: &SocksOptions,
    client: &mut TcpStream,
) -> Option<Request> {
    let Ok(_handshake) = tunnel.handshakes.try_acquire() else {
        info!("client refused: too many clients have not sent their SOCKS request yet");
        return None;
    };
    let request = async {
        let login = match &options.login {
            Some(login) => Some(read_login(login).await?),
            None => None,
        };
        let received = socks::receive(client, login.as_ref()).await;
        received
            .map_err(|reason| info!(%reason, "SOCKS request refused"))
            .ok()
    };
    tunnel.shutdown.kill.run_until_cancelled(request).await?
}

/// The login that clients have to give. It is read for each client, so a new password counts at once.
async fn read_login(login: &SocksLogin) -> Option<Login> {
    match read_password(&login.password).await {
        Ok(password) => Some(Login {
            user: login.user.clone(),
            password,
        }),
        Err(error) => {
            warn!(%error, "client refused: the password of the SOCKS tunnel cannot be read");
            None
        }
    }
}
