//! The SSH channel to the port that the FTP server announced in passive mode.

use broker_ipc::Reason;
use broker_ssh::{Channel, OpenError, Target};
use ftp_proto::{Announced, DataEvent};
use plain_text::host_port;
use tracing::debug;

use super::destination;
use super::task::DataTask;
use crate::own_host::{NO_ADDRESS, first_open};
use crate::refusal::Refusal;

/// Opens the channel to the FTP server's port, at the host that worked before in this session or at each candidate.
pub(super) async fn open(task: &DataTask, announced: Announced) -> Result<Channel, Refusal> {
    let control = &task.control;
    let rule = control.ftp.data_address;
    let hosts = destination::candidates(rule, &control.server, announced.host);
    let data_host = (hosts.len() > 1).then_some(&control.data_host);
    let known = data_host.and_then(|choice| choice.known(&hosts));
    let (host, channel) = match known {
        Some(host) => match dial(task, &Target::new(&host, announced.port)).await {
            Ok(channel) => (host, channel),
            Err(_) => race(task, hosts, announced.port).await?,
        },
        None => race(task, hosts, announced.port).await?,
    };
    if let Some(choice) = data_host {
        choice.worked(&host);
    }
    task.entry
        .relabel(|label| label.target = host_port(&host, announced.port));
    task.opened(&channel).await;
    Ok(channel)
}

/// Opens the channel to this place, and to no other.
pub(super) async fn open_at(task: &DataTask, target: &Target) -> Result<Channel, OpenError> {
    let channel = dial(task, target).await?;
    task.opened(&channel).await;
    Ok(channel)
}

/// Tries the hosts in parallel, each a moment after the previous one. The first channel that opens is used; later ones
/// are closed.
async fn race(
    task: &DataTask,
    hosts: Vec<String>,
    port: u16,
) -> Result<(String, Channel), Refusal> {
    let dials = hosts.into_iter().map(async |host| {
        let opened = dial(task, &Target::new(&host, port)).await;
        Ok((host, opened.map_err(|error| Refusal::from(&error))?))
    });
    let nowhere = Refusal::because(Reason::Internal, NO_ADDRESS);
    first_open(dials.collect(), nowhere).await
}

async fn dial(task: &DataTask, target: &Target) -> Result<Channel, OpenError> {
    task.entry
        .relabel(|label| label.target = target.to_string());
    let control = &task.control;
    let opened = match task.ahead {
        true => dial_ahead(task, target).await,
        false => control.pool.open_data(target, control.peer).await,
    };
    opened.inspect_err(|error| debug!(%target, %error, "data channel not opened"))
}

async fn dial_ahead(task: &DataTask, target: &Target) -> Result<Channel, OpenError> {
    let control = &task.control;
    let place = control.pool.place_ahead().await?;
    task.tell(DataEvent::Opening).await;
    place.open(target, control.peer).await
}
