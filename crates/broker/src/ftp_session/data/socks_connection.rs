//! The passive data connection of a client that speaks SOCKS: a request to the same tunnel, for the port that the server
//! announced.
//!
//! Where such a client connects is its own choice. So the channel is opened only then, and leads to the host that the
//! client names. Otherwise a server could announce somebody else's address, and receive what the client sends there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use broker_config::DataAddress;
use broker_ipc::Reason;
use broker_ssh::{Channel, Target};
use ftp_proto::{Announced, DataEnd};
use tokio::net::TcpStream;

use super::task::DataTask;
use super::{client_connection, destination, server_channel};
use crate::announced::{AnnouncedPorts, Arrival, Expected};
use crate::own_host::reset_when_dropped;
use crate::refusal::{FirstWord, Refusal};

/// Announces the server's port, and returns both ends once the client has asked for it.
pub(super) async fn meet(
    task: &DataTask,
    ports: &Arc<AnnouncedPorts>,
    announced: Announced,
) -> Result<(TcpStream, Channel), DataEnd> {
    let routes = Routes::new(task, announced);
    let mut announcement = match ports.expect(expected(task, announced.port, &routes)) {
        Ok(announcement) => announcement,
        Err(reason) => {
            task.offer(Err(Refusal::because(Reason::Limit, reason)))
                .await;
            return Err(DataEnd::Unused);
        }
    };
    let ip = routes.shown.unwrap_or(task.control.local.ip());
    task.offer(Ok(SocketAddr::new(ip, announced.port))).await;
    let arrival = client_connection::in_time(task, announcement.arrival()).await?;
    let host = match arrival.to_announced {
        true => routes.by_address,
        false => routes.by_name,
    };
    connect(task, Target::new(host, announced.port), arrival).await
}

fn expected(task: &DataTask, port: u16, routes: &Routes) -> Expected {
    let control = &task.control;
    Expected {
        server: vec![control.target.host.clone(), control.server.clone()],
        announced: routes.shown,
        port,
        client: control.peer.ip(),
        local: control.reached,
        owner: control.owner,
    }
}

/// Opens the channel, and answers the client's request.
async fn connect(
    task: &DataTask,
    target: Target,
    arrival: Arrival,
) -> Result<(TcpStream, Channel), DataEnd> {
    let first_word = FirstWord::Socks(arrival.version);
    let mut tcp = arrival.tcp;
    let channel = match server_channel::open_at(task, &target).await {
        Ok(channel) => channel,
        Err(error) => {
            let refusal = Refusal::from(&error);
            first_word.refuse(tcp, &refusal).await;
            return Err(task.unreached(&refusal));
        }
    };
    // From now on an end looks like the end of the file.
    reset_when_dropped(&tcp);
    match first_word.grant(&mut tcp).await {
        Ok(()) => Ok((tcp, channel)),
        Err(error) => Err(DataEnd::ClientGone(error.to_string())),
    }
}

/// Where a client can connect, and where that leads.
#[derive(Debug, PartialEq, Eq)]
struct Routes {
    /// The address that the client reads, if the reply has one. It is the server's own, unless the broker knows a better
    /// one: a client that connects to it arrives exactly there.
    shown: Option<IpAddr>,
    /// Where the client arrives that names this address.
    by_address: String,
    /// Where the client arrives that names the server as for its control connection.
    by_name: String,
}

impl Routes {
    fn new(task: &DataTask, announced: Announced) -> Self {
        let control = &task.control;
        Self::of(control.ftp.data_address, &control.server, announced.host)
    }

    fn of(rule: DataAddress, control: &str, announced: Option<IpAddr>) -> Self {
        let candidates = destination::candidates(rule, control, announced);
        let candidate = |host: Option<&String>| host.map_or(control, String::as_str).to_owned();
        let by_address = candidate(candidates.first());
        let shown = announced.map(|ip| {
            let better = by_address.parse::<IpAddr>().ok();
            // A reply has room for addresses of one family.
            let fitting = better.filter(|better| better.is_ipv4() == ip.is_ipv4());
            fitting.unwrap_or(ip)
        });
        Self {
            shown,
            by_address,
            by_name: candidate(candidates.last()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_arrives_where_it_connects() {
        use DataAddress::{Auto, Control, Reply};
        let other = "192.0.2.7";
        for (rule, control, announced, shown, by_address, by_name) in [
            (
                Auto,
                "ftp.example",
                Some(other),
                Some(other),
                other,
                "ftp.example",
            ),
            (
                Auto,
                "192.0.2.1",
                Some(other),
                Some(other),
                other,
                "192.0.2.1",
            ),
            (
                Auto,
                "ftp.example",
                None,
                None,
                "ftp.example",
                "ftp.example",
            ),
            // The server is on the SSH server's own host, and shows its outer address.
            (
                Auto,
                "127.0.0.1",
                Some(other),
                Some("127.0.0.1"),
                "127.0.0.1",
                "127.0.0.1",
            ),
            (Auto, "::1", Some(other), Some(other), "::1", "::1"),
            (
                Auto,
                "192.0.2.1",
                Some("0.0.0.0"),
                Some("192.0.2.1"),
                "192.0.2.1",
                "192.0.2.1",
            ),
            (
                Auto,
                "ftp.example",
                Some("0.0.0.0"),
                Some("0.0.0.0"),
                "ftp.example",
                "ftp.example",
            ),
            (
                Control,
                "192.0.2.1",
                Some(other),
                Some("192.0.2.1"),
                "192.0.2.1",
                "192.0.2.1",
            ),
            (Reply, "192.0.2.1", Some(other), Some(other), other, other),
        ] {
            let address = |text: Option<&str>| text.map(|ip| ip.parse().unwrap());
            let expected = Routes {
                shown: address(shown),
                by_address: by_address.into(),
                by_name: by_name.into(),
            };
            let routes = Routes::of(rule, control, address(announced));
            assert_eq!(routes, expected, "{rule:?} {control} {announced:?}");
        }
    }
}
