//! The connection to the port that an FTP server on this side of SSH announced in passive mode.

use broker_ipc::Reason;
use ftp_proto::{Announced, DataEvent};
use tokio::net::TcpStream;

use super::destination;
use super::task::DataTask;
use crate::own_host::connect_to;
use crate::refusal::Refusal;

/// Connects to the FTP server's port, at the host that worked before in this session or at each candidate. Until the
/// connection is joined to a channel, its end is a reset.
///
/// # Errors
/// Why the last attempt failed.
pub(super) async fn open(task: &DataTask, announced: Announced) -> Result<TcpStream, Refusal> {
    let control = &task.control;
    if task.ahead {
        task.tell(DataEvent::Opening).await;
    }
    let rule = control.ftp.data_address;
    let hosts = destination::candidates(rule, &control.server, announced.host);
    let known = control.data_host.known(&hosts);
    let unreachable = |reason| Refusal::because(Reason::FtpUnreachable, reason);
    let (host, tcp) = match known {
        Some(host) => match connect_to(vec![host], announced.port).await {
            Ok(connected) => connected,
            Err(_) => connect_to(hosts, announced.port)
                .await
                .map_err(unreachable)?,
        },
        None => connect_to(hosts, announced.port)
            .await
            .map_err(unreachable)?,
    };
    control.data_host.worked(&host);
    task.tell(DataEvent::Opened).await;
    Ok(tcp)
}

/// Waits until the server has ended the connection, while nobody reads it.
pub(super) async fn ended(tcp: &TcpStream) {
    if let Ok(1..) = tcp.peek(&mut [0]).await {
        // It has sent something first, so it is there.
        std::future::pending::<()>().await;
    }
}
