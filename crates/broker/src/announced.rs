//! The data ports that FTP servers have announced to the clients of a SOCKS tunnel.
//!
//! Such a client believes that it speaks to its FTP server through plain SOCKS. It opens a data connection as it opened
//! the control connection: with a request to this tunnel. This table says which request belongs to which transfer.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use broker_ssh::Target;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::own_host::{ClientAddresses, ClientOwner, Host, Objection};
use crate::socks::Version;
use crate::sync::lock;

/// The most announced ports of a tunnel at a time. A session has one or two of them, so this is more than the usual
/// number of sessions needs; each request is compared with all.
const MAX_ANNOUNCED: usize = 1024;

/// Requests that may wait for one transfer. It takes the first one, and is given up then.
const ARRIVALS: usize = 1;

/// The announced ports of one tunnel.
#[derive(Debug)]
pub(crate) struct AnnouncedPorts {
    host: Arc<Host>,
    next: AtomicU64,
    /// In the order of their announcement.
    places: Mutex<Vec<Place>>,
}

/// An announced port, and whose it is.
#[derive(Debug)]
struct Place {
    id: u64,
    expected: Expected,
    arrivals: mpsc::Sender<Arrival>,
}

/// The data connection that an announcement leads to.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// The FTP server's host, in each spelling that the client may use.
    pub(crate) server: Vec<String>,
    /// The address in the announcement, if it has one.
    pub(crate) announced: Option<IpAddr>,
    /// The announced port.
    pub(crate) port: u16,
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The address at which the client reached the tunnel. Programs behind a wrapper believe that it is the server's.
    pub(crate) local: IpAddr,
    /// Who owns the client's end of the control connection.
    pub(crate) owner: ClientOwner,
}

/// A client's data connection, which waits for its answer.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) tcp: TcpStream,
    pub(crate) version: Version,
    /// Whether the client named the address in the announcement, and not the server's host.
    pub(crate) to_announced: bool,
}

/// What a request is.
#[derive(Debug)]
pub(crate) enum Claim {
    /// A transfer has it.
    Joined,
    /// It leads to a port that was announced to somebody else.
    Refused(TcpStream, Objection),
    /// Nobody announced this port.
    Unknown(TcpStream),
}

/// An announcement to which a request may belong.
#[derive(Debug, Clone, Copy)]
struct Match {
    index: usize,
    named: Named,
    objection: Option<Objection>,
}

/// How a request names a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Server,
    Announced,
    Local,
}

impl AnnouncedPorts {
    pub(crate) fn new(host: Arc<Host>) -> Arc<Self> {
        Arc::new(Self {
            host,
            next: AtomicU64::new(0),
            places: Mutex::default(),
        })
    }

    /// Expects a data connection until the returned announcement is dropped.
    ///
    /// # Errors
    /// What to tell the client if there are too many.
    pub(crate) fn expect(self: &Arc<Self>, expected: Expected) -> Result<Announcement, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let mut places = lock(&self.places);
        if places.len() >= MAX_ANNOUNCED {
            return Err(format!(
                "the clients of this tunnel have {MAX_ANNOUNCED} unused data ports, its limit; try again later"
            ));
        }
        places.push(Place {
            id,
            expected,
            arrivals: sender,
        });
        Ok(Announcement {
            table: self.clone(),
            id,
            arrivals,
        })
    }

    /// Hands a request to the transfer that expects it.
    ///
    /// The newest announcement counts if several lead to one port: the server listens only for that one.
    pub(crate) fn claim(
        &self,
        tcp: TcpStream,
        addresses: ClientAddresses,
        version: Version,
        target: &Target,
    ) -> Claim {
        let mut places = lock(&self.places);
        let newest_first = places.iter().enumerate().rev();
        let matching: Vec<Match> = newest_first
            .filter_map(|(index, place)| {
                Some(Match {
                    index,
                    named: place.expected.names(target)?,
                    objection: self.objection(&place.expected, addresses),
                })
            })
            .collect();
        match chosen(&matching) {
            Ok(Some(one)) => {
                let arrival = Arrival {
                    tcp,
                    version,
                    to_announced: one.named == Named::Announced,
                };
                // A transfer that is just being given up resets the connection.
                let _ = places.remove(one.index).arrivals.try_send(arrival);
                Claim::Joined
            }
            Ok(None) => Claim::Unknown(tcp),
            Err(objection) => Claim::Refused(tcp, objection),
        }
    }

    /// Why a connection is not the expected one.
    fn objection(&self, expected: &Expected, addresses: ClientAddresses) -> Option<Objection> {
        let ClientAddresses { client, reached } = addresses;
        if client.ip() != expected.client {
            return Some(Objection::Stranger);
        }
        let owner = |reached| self.host.owners.of(client, reached);
        expected.owner.objection(Ok(reached), owner)
    }
}

/// The announcement to which a request belongs, among those that lead to its destination, newest first.
///
/// # Errors
/// Why none of them is this client's, if the destination is certain.
fn chosen(matching: &[Match]) -> Result<Option<Match>, Objection> {
    let own = || matching.iter().filter(|it| it.objection.is_none()).copied();
    if let Some(exact) = own().find(|it| it.named != Named::Local) {
        return Ok(Some(exact));
    }
    let mut others = matching.iter().filter(|it| it.named != Named::Local);
    if let Some(objection) = others.find_map(|it| it.objection) {
        return Err(objection);
    }
    // The listener's own address says nothing about the server, so two announcements of one port are one too many.
    let mut local = own();
    let first = local.next();
    Ok(first.filter(|_| local.next().is_none()))
}

impl Expected {
    /// How a request names the destination of this data connection; `None` if it leads elsewhere.
    fn names(&self, target: &Target) -> Option<Named> {
        let host = target.host.trim_end_matches('.');
        let is_same = |name: &String| name.trim_end_matches('.').eq_ignore_ascii_case(host);
        let address = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        if target.port != self.port {
            None
        } else if self.server.iter().any(is_same) {
            Some(Named::Server)
        } else if address.is_some() && address == self.announced {
            Some(Named::Announced)
        } else if address == Some(self.local) {
            Some(Named::Local)
        } else {
            None
        }
    }
}

/// An announced port, for as long as its data connection is expected. Dropping it withdraws the announcement.
#[derive(Debug)]
pub(crate) struct Announcement {
    table: Arc<AnnouncedPorts>,
    id: u64,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Announcement {
    /// Waits for the client's data connection.
    pub(crate) async fn arrival(&mut self) -> Arrival {
        match self.arrivals.recv().await {
            Some(arrival) => arrival,
            // Only the one connection that it was for removes it from the table.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        lock(&self.table.places).retain(|place| place.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn expected(server: &str, announced: Option<&str>) -> Expected {
        Expected {
            server: vec![server.into()],
            announced: announced.map(|ip| ip.parse().unwrap()),
            port: 40_000,
            client: CLIENT,
            local: "127.0.0.9".parse().unwrap(),
            owner: ClientOwner::Anyone,
        }
    }

    struct Clients {
        table: Arc<AnnouncedPorts>,
        listener: TcpListener,
    }

    impl Clients {
        async fn new() -> Self {
            Self {
                table: AnnouncedPorts::new(Host::new()),
                listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            }
        }

        /// What a request for this host and port 40000 is.
        async fn claim(&self, host: &str) -> Claim {
            self.claim_at(&Target::new(host, 40_000)).await
        }

        async fn claim_at(&self, target: &Target) -> Claim {
            let at = self.listener.local_addr().unwrap();
            let (client, accepted) = tokio::join!(TcpStream::connect(at), self.listener.accept());
            let (tcp, peer) = accepted.unwrap();
            drop(client.unwrap());
            let addresses = ClientAddresses::of_socket(&tcp, peer).unwrap();
            self.table.claim(tcp, addresses, Version::V5, target)
        }
    }

    #[tokio::test]
    async fn a_request_belongs_to_the_transfer_whose_port_was_announced() {
        let clients = Clients::new().await;
        for (host, to_announced) in [
            ("FTP.example", false),
            ("ftp.example.", false),
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("127.0.0.9", false),
        ] {
            let expected = expected("ftp.example", Some("192.0.2.7"));
            let mut announcement = clients.table.expect(expected).unwrap();
            assert!(matches!(clients.claim(host).await, Claim::Joined), "{host}");
            let arrival = announcement.arrival().await;
            assert_eq!(arrival.to_announced, to_announced, "{host}");
            let again = clients.claim(host).await;
            assert!(matches!(again, Claim::Unknown(_)), "{host} serves twice");
        }
    }

    #[tokio::test]
    async fn other_requests_are_left_alone() {
        let clients = Clients::new().await;
        let expected = expected("ftp.example", Some("192.0.2.7"));
        let announcement = clients.table.expect(expected).unwrap();
        for (host, port) in [
            ("www.example", 40_000),
            ("192.0.2.8", 40_000),
            ("127.0.0.1", 40_000),
            ("ftp.example", 40_001),
        ] {
            let claim = clients.claim_at(&Target::new(host, port)).await;
            assert!(matches!(claim, Claim::Unknown(_)), "{host} {port}");
        }
        drop(announcement);
        let withdrawn = clients.claim("ftp.example").await;
        assert!(matches!(withdrawn, Claim::Unknown(_)));
    }

    #[tokio::test]
    async fn a_port_that_was_announced_to_another_client_is_refused() {
        let clients = Clients::new().await;
        for (client, owner) in [
            ("192.0.2.99", ClientOwner::Anyone),
            ("127.0.0.1", ClientOwner::Nobody),
        ] {
            let others = Expected {
                client: client.parse().unwrap(),
                owner,
                ..expected("ftp.example", Some("192.0.2.7"))
            };
            let _announcement = clients.table.expect(others).unwrap();
            for host in ["ftp.example", "192.0.2.7"] {
                let claim = clients.claim(host).await;
                assert!(matches!(claim, Claim::Refused(..)), "{host}: {claim:?}");
            }
            // The own address of the listener may mean anything.
            let claim = clients.claim("127.0.0.9").await;
            assert!(matches!(claim, Claim::Unknown(_)));
        }
    }

    #[tokio::test]
    async fn of_two_announcements_of_one_port_the_newer_one_counts() {
        let clients = Clients::new().await;
        let expect = |server| clients.table.expect(expected(server, None)).unwrap();
        let mut older = expect("ftp.example");
        let mut newer = expect("ftp.example");
        assert!(matches!(clients.claim("ftp.example").await, Claim::Joined));
        assert!(!newer.arrival().await.to_announced);
        assert!(older.arrivals.try_recv().is_err());
        drop(newer);
        // The older one stays: its client may still come.
        assert!(matches!(clients.claim("ftp.example").await, Claim::Joined));
        assert!(!older.arrival().await.to_announced);
    }

    #[tokio::test]
    async fn the_listeners_own_address_counts_only_if_one_port_can_be_meant() {
        let clients = Clients::new().await;
        let _first = clients.table.expect(expected("a.example", None)).unwrap();
        let second = clients.table.expect(expected("b.example", None)).unwrap();
        let claim = clients.claim("127.0.0.9").await;
        assert!(matches!(claim, Claim::Unknown(_)));
        drop(second);
        assert!(matches!(clients.claim("127.0.0.9").await, Claim::Joined));
    }

    #[tokio::test]
    async fn the_table_is_bounded() {
        let clients = Clients::new().await;
        let one = || clients.table.expect(expected("ftp.example", None));
        let all: Vec<_> = (0..MAX_ANNOUNCED).map(|_| one().unwrap()).collect();
        assert!(one().unwrap_err().contains("its limit"));
        drop(all);
        assert!(one().is_ok());
    }
}
