//! One FTP client's session: its control connection and its data channels.
//!
//! `ftp_proto` implements the protocol. This module carries its bytes, keeps its time and performs its actions.

mod control_end;
mod control_tls;
mod data;
mod data_channels;
mod deadlines;
mod greeting;
mod io;
mod record;
mod server;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;

use broker_config::{DataAhead, DataOpen, ListenSide, Tls};
use broker_ipc::Reason;
use broker_ssh::{Forwards, Target};
use ftp_proto::{Peer, Session, SessionConfig, Terminate, TlsPolicy};
use plain_text::canonical;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::control_end::ControlEnd;
pub(crate) use self::data::forward_address;
use self::data::{Advertised, ControlConnection, DataHost, has_two_families};
pub(crate) use self::greeting::Greeting;
use self::io::Io;
pub(crate) use self::server::open_by_name;
use self::session::FtpSession;
use crate::client::Client;
use crate::client_tls::SessionTls;
use crate::own_host::{ClientAddresses, ClientOwner, notice_when_sending, own_addresses};
use crate::refusal::{FirstWord, Refusal};
use crate::tunnel::Tunnel;

/// Serves one FTP client to the end of its session.
pub(crate) async fn run(
    tunnel: Arc<Tunnel>,
    id: u64,
    mut client: Client,
    addresses: ClientAddresses,
    target: Target,
    first_word: FirstWord,
) {
    let peer = addresses.client;
    let guard = tunnel.register(id, peer, &target, true);
    let stop = guard.entry.channel.stop.clone();
    let Some((local, owner)) = look_at(&tunnel, &client, addresses) else {
        debug!("the client left before its session began");
        return;
    };
    // Before the channel opens, so that a spare connection is on its way before the first transfer.
    let pool = tunnel.connections.for_client();
    let _spare = pool.in_use();
    let tls = match tunnel.session_tls() {
        Ok(tls) => tls,
        Err(reason) => {
            warn!(%reason, "session refused");
            return tunnel.refused(&Refusal::because(Reason::Internal, reason));
        }
    };
    let ftp = tunnel.ftp();
    let at_once = tls.clone().filter(|_| ftp.begins_with_tls());
    let opened = tokio::select! {
        opened = server::open(&tunnel, &target, &pool, peer) => opened,
        () = stop.cancelled() => Err(Refusal::because(Reason::Stopping, guard.entry.stop_reason())),
    };
    let server = match opened {
        Ok(server) => server,
        Err(reason) => {
            reason.log("session refused");
            tunnel.refused(&reason);
            return refuse(client, first_word, at_once, &reason).await;
        }
    };
    if let Err(error) = client.grant(first_word).await {
        debug!(%error, "the client left before its session began");
        return;
    }
    let (client, carried_by) = client_end(client, at_once).await;
    if let Some(connection) = server.carried_by.or(carried_by) {
        guard.entry.channel.carried_by(connection);
    }
    let control = ControlConnection {
        ftp,
        tls,
        announced_ports: matches!(first_word, FirstWord::Socks(_))
            .then(|| tunnel.announced.clone()),
        tunnel,
        target,
        forwards: Forwards::new(pool.clone()),
        pool: pool.clone(),
        local,
        reached: addresses.reached.ip(),
        peer,
        data_host: DataHost::for_control(&server.host),
        server: server.host,
        direct: server.direct,
        owner,
        advertised: Advertised::default(),
        client_ended: CancellationToken::new(),
    };
    let proto = Session::new(protocol_options(&control));
    let io = Io {
        client,
        server: server.end,
    };
    let mut session = FtpSession::new(proto, control, guard, io, server.awaits_greeting);
    session.run().await;
}

/// The address at which a client's connection arrived, and who owns the client's end.
fn look_at(
    tunnel: &Tunnel,
    client: &Client,
    addresses: ClientAddresses,
) -> Option<(SocketAddr, ClientOwner)> {
    match client {
        Client::OwnHost(tcp) => {
            let local = tcp.local_addr().map(canonical).ok()?;
            // Immediately, while the client still has the connection open.
            let owner = ClientOwner::of(&tunnel.host, addresses.client, addresses.reached);
            let _ = tcp.set_nodelay(true);
            notice_when_sending(tcp);
            // Some clients send ABOR as urgent data, which would be lost out of band.
            let _ = SockRef::from(tcp).set_out_of_band_inline(true);
            Some((local, owner))
        }
        // The SSH server does not say which of its users connects.
        Client::SshServer(_) => Some((addresses.reached, ClientOwner::Anyone)),
    }
}

/// Tells a client why there is no session, inside TLS if `at_once` is given.
async fn refuse(
    client: Client,
    first_word: FirstWord,
    at_once: Option<Arc<SessionTls>>,
    reason: &Refusal,
) {
    match (client, at_once) {
        (Client::OwnHost(tcp), Some(tls)) => own_end(tcp, Some(tls)).refuse(reason).await,
        (client, _) => client.refuse(first_word, reason).await,
    }
}

/// The client's end of the control connection, and the SSH connection that carries it, if one does. A client of this host
/// begins with TLS if `at_once` is given.
async fn client_end(client: Client, at_once: Option<Arc<SessionTls>>) -> (ControlEnd, Option<u64>) {
    match client {
        Client::OwnHost(tcp) => (own_end(tcp, at_once), None),
        Client::SshServer(far) => {
            let channel = far.connection.accept().await;
            let connection = channel.info().connection;
            (ControlEnd::channel(channel), Some(connection))
        }
    }
}

fn own_end(tcp: TcpStream, at_once: Option<Arc<SessionTls>>) -> ControlEnd {
    let mut end = ControlEnd::tcp(tcp);
    if let Some(tls) = at_once {
        end.start_tls(tls);
    }
    end
}

fn protocol_options(control: &ControlConnection) -> SessionConfig {
    let ftp = &control.ftp;
    // A client that can be distinguished from other users of this host may name any of its addresses.
    let also_client = match control.owner {
        ClientOwner::User(_) => own_addresses(),
        ClientOwner::Anyone | ClientOwner::Nobody => Vec::new(),
    };
    SessionConfig {
        client: control.peer.ip(),
        also_client,
        behind_ssh: match control.tunnel.spec.listens {
            ListenSide::OwnHost => Peer::Server,
            ListenSide::SshServer => Peer::Client,
        },
        tls: match &ftp.tls {
            Tls::Refuse => TlsPolicy::Refuse,
            Tls::Pass => TlsPolicy::Pass,
            Tls::Terminate(server) => TlsPolicy::Terminate(Terminate {
                required: server.required,
                implicit: server.implicit,
            }),
        },
        foreign_port: ftp.foreign_port,
        active: ftp.active,
        two_families: has_two_families(control),
        pasv_over_ipv6: ftp.pasv_over_ipv6,
        data_open: ftp.data_open,
        data_ahead: data_ahead(control),
    }
}

/// Nothing is prepared if the connection opens only when the client asks for it.
fn data_ahead(control: &ControlConnection) -> DataAhead {
    let opens_late = control.ftp.data_open == DataOpen::Lazy || control.announced_ports.is_some();
    match opens_late {
        true => DataAhead::Never,
        false => control.ftp.data_ahead,
    }
}
