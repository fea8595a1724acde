//! The steps of a remote tunnel: the SSH server listens, and this host reaches the destination.

use std::net::IpAddr;
use std::time::Duration;

use broker_config::{ListenAddress, TunnelKind, TunnelSpec};
use broker_ipc::checks::{Outcome, Step};
use broker_ssh::{ChannelError, OpenError, Pool, RemoteForward, Target};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::finding::Finding;
use super::ftp::{self, GREETING_LIMIT, ORIGINATOR};
use super::report::Reporter;
use crate::client::bind_address;
use crate::ftp_session::Greeting;
use crate::own_host::connect_to;
use crate::tunnel::dial_names;

/// How long the SSH server may take to connect to its own listener.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a greeting that are read at a time.
const CHUNK: usize = 1024;

const ABOUT_DESTINATION: &str = "check that the server runs there, and dst-host and dst-port: this host connects to it, not the SSH server";

/// Examines both ends of the tunnel.
pub(super) async fn tunnel(pool: &Pool, tunnel: &TunnelSpec, reporter: &Reporter) {
    reporter.report(listener(pool, tunnel).await);
    destination(tunnel, reporter).await;
}

/// Makes the SSH server listen as the tunnel does. If it refuses the port but permits another one, something has the port.
async fn listener(pool: &Pool, tunnel: &TunnelSpec) -> Finding {
    let (bind, port) = (bind_address(tunnel.listen_address), tunnel.listen_port);
    let wanted = (port != 0).then_some(port..=port);
    let place = format!("{}:{port}", tunnel.listen_address);
    let error = match pool.forward(&bind, wanted).await {
        Ok(forward) => return arrives(pool, tunnel, forward).await,
        Err(error) => error,
    };
    if is_refused(&error)
        && port != 0
        && let Ok(other) = pool.forward(&bind, None).await
    {
        other.cancel().await;
        let text = format!(
            "{} listens, but not on {place}: something has that port, or it is not permitted",
            pool.spec().server()
        );
        let remedy = "if the daemon runs, it may be its own tunnel: see broker-ctl list-tunnel-listeners. Otherwise end what \
                      has the port there, or permit it (PermitListen, and permitlisten in authorized_keys)";
        return Finding::new(Step::Listener, Outcome::Warning, text).remedy(remedy);
    }
    Finding::failed(Step::Listener, error.to_string())
}

fn is_refused(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Channel(ChannelError::ForwardRefused { .. })
    )
}

/// Whether the listener has the address that the tunnel asks for. Without GatewayPorts, sshd listens on loopback alone, and
/// does not say so. It shows when the SSH server connects to its own address.
async fn arrives(pool: &Pool, tunnel: &TunnelSpec, mut forward: RemoteForward) -> Finding {
    let server = pool.spec().server();
    let port = forward.port();
    let place = format!("{}:{port}", tunnel.listen_address);
    let finding = match outer_address(pool, tunnel.listen_address) {
        Some(ip) if !connects(pool, &mut forward, ip, port).await => {
            let text = format!(
                "{server} listens for {place}, but no connection to its address {ip} arrives there"
            );
            let remedy = "set GatewayPorts clientspecified (or yes) in its sshd_config if other hosts are to connect; \
                          otherwise write listen-address=\"127.0.0.1\"";
            Finding::new(Step::Listener, Outcome::Warning, text).remedy(remedy)
        }
        Some(ip) => Finding::ok(
            Step::Listener,
            format!("{server} listens on {place}, and connections to {ip} arrive"),
        ),
        None => Finding::ok(Step::Listener, format!("{server} listens on {place}")),
    };
    forward.cancel().await;
    finding
}

/// An address of the SSH server at which other hosts would connect.
fn outer_address(pool: &Pool, listen: ListenAddress) -> Option<IpAddr> {
    let ip = match listen {
        ListenAddress::Address(ip) if !ip.is_unspecified() => ip,
        ListenAddress::Address(_) | ListenAddress::All => peer(pool)?,
    };
    (!ip.is_loopback()).then_some(ip)
}

/// The address at which the broker has reached the SSH server, if no proxy or gateway did.
fn peer(pool: &Pool) -> Option<IpAddr> {
    let connections = pool.snapshot().connections;
    let mut peers = connections
        .iter()
        .filter_map(|it| it.negotiated.as_ref()?.peer);
    peers.next().map(|peer| peer.ip())
}

async fn connects(pool: &Pool, forward: &mut RemoteForward, ip: IpAddr, port: u16) -> bool {
    let target = Target::new(ip.to_string(), port);
    let opening = pool.open_data(&target, ORIGINATOR);
    let accepting = async {
        if let Ok(incoming) = forward.accept().await {
            incoming.reject().await;
            return true;
        }
        false
    };
    let both = async {
        tokio::pin!(accepting);
        tokio::select! {
            arrived = &mut accepting => arrived,
            Err(_) = opening => false,
        }
    };
    timeout(ARRIVAL_LIMIT, both).await.unwrap_or(false)
}

/// Connects as the tunnel does for each client. An FTP server must also greet.
async fn destination(tunnel: &TunnelSpec, reporter: &Reporter) {
    let target = Target::new(&tunnel.dst_host, tunnel.dst_port);
    let connected = connect_to(dial_names(&tunnel.dst_host), tunnel.dst_port).await;
    let (_, mut tcp) = match connected {
        Ok(connected) => connected,
        Err(reason) => {
            return reporter
                .report(Finding::failed(Step::Destination, reason).remedy(ABOUT_DESTINATION));
        }
    };
    let text = format!("this host connects to {target}");
    reporter.report(Finding::ok(Step::Destination, text));
    if let TunnelKind::Ftp(_) = tunnel.kind {
        let mut greeting = Greeting::default();
        let more = async || {
            let mut bytes = vec![0; CHUNK];
            let read = tcp.read(&mut bytes).await.unwrap_or_default();
            bytes.truncate(read);
            bytes
        };
        let heard = timeout(GREETING_LIMIT, ftp::hear(&mut greeting, &target, more)).await;
        reporter.report(ftp::about_greeting(heard.ok(), &greeting, &target));
    }
}
