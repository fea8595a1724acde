//! One FTP client's session: its control connection and its data channels.
//!
//! `ftp_proto` implements the protocol. This module carries its bytes, keeps its time and performs its actions.

mod control_end;
mod data;
mod data_channels;
mod deadlines;
mod io;
mod server;
mod session;

use std::sync::Arc;

use broker_config::Tls;
use broker_ssh::{Forwards, Target};
use ftp_proto::{Session, SessionConfig, TlsPolicy};
use plain_text::canonical;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::control_end::ControlEnd;
use self::data::{Advertised, ControlConnection, DataHost, has_two_families};
use self::io::Io;
use self::session::FtpSession;
use crate::own_host::{ClientAddresses, ClientOwner, notice_when_sending, own_addresses};
use crate::refusal::{FirstWord, Refusal};
use crate::tunnel::Tunnel;

/// Serves one FTP client to the end of its session.
pub(crate) async fn run(
    tunnel: Arc<Tunnel>,
    id: u64,
    mut client: TcpStream,
    addresses: ClientAddresses,
    target: Target,
    first_word: FirstWord,
) {
    let peer = addresses.client;
    let guard = tunnel.register(id, peer, &target, true);
    let stop = guard.entry.channel.stop.clone();
    let Ok(local) = client.local_addr().map(canonical) else {
        debug!("the client left before its session began");
        return;
    };
    // Immediately, while the client still has the connection open.
    let owner = ClientOwner::of(&tunnel.host, peer, addresses.reached);
    // Before the channel opens, so that a spare connection is on its way before the first transfer.
    let pool = tunnel.connections.for_client();
    let _spare = pool.in_use();
    let _ = client.set_nodelay(true);
    notice_when_sending(&client);
    // Some clients send ABOR as urgent data, which would be lost out of band.
    let _ = SockRef::from(&client).set_out_of_band_inline(true);
    let opened = tokio::select! {
        opened = server::open(&tunnel, &target, &pool, peer) => opened,
        () = stop.cancelled() => Err(Refusal::from("the broker was stopped")),
    };
    let server = match opened {
        Ok(server) => server,
        Err(reason) => {
            warn!(%reason, "session refused");
            first_word.refuse(client, &reason).await;
            return;
        }
    };
    guard
        .entry
        .channel
        .carried_by(server.channel.info().connection);
    if let Err(error) = first_word.grant(&mut client).await {
        debug!(%error, "the client left before its session began");
        return;
    }
    let control = ControlConnection {
        ftp: tunnel.ftp(),
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
        server: server.host.clone(),
        owner,
        advertised: Advertised::default(),
        client_ended: CancellationToken::new(),
    };
    let proto = Session::new(protocol_options(&control));
    let io = Io {
        client: ControlEnd::tcp(client),
        server: ControlEnd::channel(server.channel, &control.tunnel.shutdown.tasks),
    };
    let session = FtpSession::new(proto, control, guard, io, server.awaits_greeting);
    session.run().await;
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
        tls: match ftp.tls {
            Tls::Pass => TlsPolicy::Pass,
            Tls::Refuse | Tls::Terminate(_) => TlsPolicy::Refuse,
        },
        foreign_port: ftp.foreign_port,
        active: ftp.active,
        two_families: has_two_families(control),
        pasv_over_ipv6: ftp.pasv_over_ipv6,
        data_open: ftp.data_open,
    }
}
