//! A tunnel: what the sessions of all clients that connect to its listener share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use broker_config::{FtpOptions, TunnelKind, TunnelSpec};
use broker_ipc::Reason;
use broker_ipc::types::{Failure, RecentFailure};
use broker_ssh::Target;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::info;

use crate::announced::AnnouncedPorts;
use crate::client_tls::{SessionTls, TunnelTls};
use crate::events::{Event, Events, TunnelFacts};
use crate::own_host::{ClientAddresses, Host};
use crate::profiles::Connections;
use crate::refusal::Refusal;
use crate::registry::{
    Cause, ChannelEntry, Part, Registration, SessionEntry, SessionRegistry, SessionTunnel,
    TunnelEntry, add,
};
use crate::shutdown::Shutdown;

/// How many sessions may wait for the server's greeting at once. Otherwise a burst of clients would reach the FTP server
/// in the same instant, and many servers have an accept queue of 32; a connection that overflows it never gets a
/// greeting.
pub(crate) const GREETINGS_AWAITED: usize = 16;

/// How many SOCKS clients of a tunnel may take their time for their request at once. Those that send it take a
/// millisecond for it, so only clients that do not are ever so many.
pub(crate) const HANDSHAKES: usize = 256;

/// What the sessions of one tunnel share. A reload replaces it for the next session, with the same number and totals.
#[derive(Debug, Clone)]
pub(crate) struct Tunnel {
    /// Number of the tunnel.
    pub(crate) id: u64,
    /// The id of the profile that leads to its server, or the target that a command named.
    pub(crate) profile_id: String,
    /// Where to listen, and the destination.
    pub(crate) spec: TunnelSpec,
    /// The profile that configures it; `None` if a command has opened it.
    pub(crate) profile: Option<String>,
    /// TLS for its clients, if it terminates TLS.
    pub(crate) tls: Option<Arc<TunnelTls>>,
    /// The host on which clients connect.
    pub(crate) host: Arc<Host>,
    /// The SSH connections to use.
    pub(crate) connections: Arc<Connections>,
    /// Where to publish what happens.
    pub(crate) events: Events,
    /// All sessions of the daemon.
    pub(crate) registry: Arc<SessionRegistry>,
    /// Totals of this tunnel.
    pub(crate) totals: Arc<TunnelEntry>,
    /// Where tasks are spawned, and when to end.
    pub(crate) shutdown: Shutdown,
    /// Permits for sessions that wait for the server's greeting, see [`GREETINGS_AWAITED`].
    pub(crate) greetings: Arc<Semaphore>,
    /// Permits for SOCKS clients that have not sent their request yet, see [`HANDSHAKES`].
    pub(crate) handshakes: Arc<Semaphore>,
    /// The ports that FTP servers have announced to SOCKS clients.
    pub(crate) announced: Arc<AnnouncedPorts>,
}

impl Tunnel {
    /// The FTP options; those of a plain tunnel are never used.
    pub(crate) fn ftp(&self) -> FtpOptions {
        match &self.spec.kind {
            TunnelKind::Ftp(options) => options.clone(),
            TunnelKind::Socks(options) => options.ftp.clone(),
            TunnelKind::Tcp => FtpOptions::default(),
        }
    }

    /// TLS for a new session, if the tunnel terminates TLS.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn session_tls(&self) -> Result<Option<Arc<SessionTls>>, String> {
        let session = self.tls.as_deref().map(TunnelTls::session);
        Ok(session.transpose()?.map(Arc::new))
    }

    /// The destination, as the SSH server is asked to reach it. A SOCKS tunnel has none.
    pub(crate) fn destination(&self) -> Target {
        Target::new(&self.spec.dst_host, self.spec.dst_port)
    }

    /// Who has connected from `peer`: the peer itself, or the client that one of the tunnel's proxies names. `None` if the
    /// proxy connects for itself, to see whether the tunnel listens.
    ///
    /// # Errors
    /// Why that cannot be known.
    pub(crate) async fn client_of(
        &self,
        tcp: &mut TcpStream,
        peer: SocketAddr,
    ) -> Result<Option<ClientAddresses>, String> {
        if !self.spec.accept_proxy {
            let addresses = ClientAddresses::of_socket(tcp, peer);
            return addresses.map(Some).map_err(|error| error.to_string());
        }
        if !is_in(&self.spec.allow_from, peer.ip()) {
            let ip = peer.ip();
            return Err(format!(
                "{ip} is not one of the proxies that this tunnel serves"
            ));
        }
        let named = ClientAddresses::named_by_proxy(tcp).await;
        named.map_err(|fault| fault.to_string())
    }

    /// Where it leads, for a person.
    pub(crate) fn leads_to(&self) -> String {
        match self.spec.kind {
            TunnelKind::Ftp(_) | TunnelKind::Tcp => self.destination().to_string(),
            TunnelKind::Socks(_) => "any destination".to_owned(),
        }
    }

    /// Whether one more client can be served.
    ///
    /// # Errors
    /// The reason for the client.
    pub(crate) fn has_room(&self) -> Result<(), Refusal> {
        let limit = self.spec.max_sessions;
        if self.registry.sessions_of(self.id).len() < limit {
            return Ok(());
        }
        let sessions = if limit == 1 { "session" } else { "sessions" };
        Err(Refusal::because(
            Reason::Limit,
            format!(
                "this tunnel already serves {limit} {sessions}, its max-sessions; try again later"
            ),
        ))
    }

    /// Counts a client's session, and shows it in the registry until the returned guard is dropped.
    pub(crate) fn register(
        &self,
        id: u64,
        client: SocketAddr,
        destination: &Target,
        is_ftp: bool,
    ) -> Registration {
        add(&self.totals.sessions, 1);
        let tunnel = SessionTunnel {
            id: self.id,
            is_ftp,
            destination: destination.to_string(),
            profile: self.profile.clone(),
            profile_id: self.profile_id.clone(),
        };
        let channel = ChannelEntry::new(id, self.spec.listens, self.shutdown.kill.child_token());
        let entry = SessionEntry::new(channel, tunnel, client);
        self.registry.enter(entry, &self.events)
    }

    /// Counts a client that is not served, and records why.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.totals.sessions_refused.count(refusal.why);
        self.failed(&Cause::new(refusal.why, refusal.to_string()));
    }

    /// Records what a client asked for and did not get.
    pub(crate) fn failed(&self, cause: &Cause) {
        let address = self.spec.listen_address;
        // The configuration may ask for a free one.
        let port = match self.totals.port() {
            0 => self.spec.listen_port,
            port => port,
        };
        let listener = format!("{address}:{port}");
        let failure = self.totals.failed(&listener, cause);
        self.publish(failure);
    }

    /// Records that a part of the tunnel works.
    pub(crate) fn works(&self, part: Part) {
        for over in self.totals.works(part) {
            let Failure { count, message, .. } = &over.failure;
            info!(target: "broker::works", tunnel = self.id, failures = count, last = %message, "tunnel works again");
            self.publish(over);
        }
    }

    fn publish(&self, failure: RecentFailure) {
        let event = Event::Failure(self.facts(), Arc::new(failure));
        self.events.publish(event);
    }

    /// What events say of it.
    pub(crate) fn facts(&self) -> TunnelFacts {
        TunnelFacts {
            id: self.id,
            profile: self.profile_id.clone(),
        }
    }
}

/// Whether one of the networks contains this address.
pub(crate) fn is_in(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// The names to try for a destination, in order. `localhost` can mean either loopback family, and the broker has to know
/// which one it got. The name itself comes last, for servers that permit only that spelling.
pub(crate) fn dial_names(host: &str) -> Vec<String> {
    if host.eq_ignore_ascii_case("localhost") {
        let names = ["127.0.0.1", "::1", "localhost"];
        names.map(str::to_owned).to_vec()
    } else {
        vec![host.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_dialled_as_ipv4_first() {
        assert_eq!(dial_names("LocalHost"), ["127.0.0.1", "::1", "localhost"]);
        assert_eq!(dial_names("ftp.example"), ["ftp.example"]);
    }
}
