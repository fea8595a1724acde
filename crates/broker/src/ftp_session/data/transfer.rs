//! The copying once both ends of a data connection are connected, and the reports about it.

use std::convert::Infallible;
use std::pin::pin;
use std::time::SystemTime;

use broker_ssh::{Channel, Liveness, SpliceEnd, splice};
use ftp_proto::{DataEnd, DataEvent};
use tokio::net::TcpStream;

use super::task::DataTask;

/// Which ends have been reported to the session.
#[derive(Debug, Default)]
struct ToldEnds {
    server: bool,
    client: bool,
}

/// Joins the two ends, and returns how the copying ended.
pub(super) async fn run(task: &DataTask, tcp: TcpStream, channel: Channel) -> DataEnd {
    task.entry
        .relabel(|label| label.joined = Some(SystemTime::now()));
    task.tell(DataEvent::Joined).await;
    let liveness = channel.liveness();
    let entry = &task.entry.channel;
    let copying = splice(tcp, channel, &entry.progress, entry.stop.clone());
    tokio::select! {
        end = follow(task, copying) => end,
        never = answer_liveness_checks(task, liveness) => match never {},
    }
}

/// Reports each end that is passed on, and returns how the copying ended.
async fn follow(task: &DataTask, copying: impl Future<Output = SpliceEnd>) -> DataEnd {
    let progress = &task.entry.channel.progress;
    let drain = &task.control.tunnel.shutdown.drain;
    let mut told = ToldEnds::default();
    let mut copying = pin!(copying);
    loop {
        tokio::select! {
            () = progress.channel_done.cancelled(), if !told.server => {}
            () = progress.tcp_done.cancelled(), if !told.client => {}
            () = task.signals.over.cancelled() => return DataEnd::Complete,
            // The client has everything and may leave its end open as long as it likes, but a stopping broker does not
            // wait for it.
            () = drain.cancelled(), if told.server && progress.is_whole_download() => {
                return DataEnd::Complete;
            }
            end = &mut copying => {
                // Ends that were passed on are reported before the end of the whole transfer.
                tell_ends(task, &mut told).await;
                return data_end(task, end);
            }
        }
        tell_ends(task, &mut told).await;
    }
}

async fn tell_ends(task: &DataTask, told: &mut ToldEnds) {
    let progress = &task.entry.channel.progress;
    if progress.channel_done.is_cancelled() && !std::mem::replace(&mut told.server, true) {
        task.tell(DataEvent::ServerDone).await;
    }
    if progress.tcp_done.is_cancelled() && !std::mem::replace(&mut told.client, true) {
        task.tell(DataEvent::ClientDone).await;
    }
}

/// Checks whether the SSH session of the channel is alive whenever the FTP session requests it.
async fn answer_liveness_checks(task: &DataTask, liveness: Liveness) -> Infallible {
    let mut checks = task.liveness_checks.clone();
    while checks.changed().await.is_ok() {
        let check = *checks.borrow_and_update();
        if liveness.confirm().await {
            task.tell(DataEvent::Alive { check }).await;
        }
    }
    // A transfer continues without its session.
    std::future::pending().await
}

fn data_end(task: &DataTask, end: SpliceEnd) -> DataEnd {
    match end {
        SpliceEnd::Complete => DataEnd::Complete,
        SpliceEnd::TcpGone(reason) => DataEnd::ClientGone(reason),
        SpliceEnd::ChannelCut(_) if task.entry.channel.stop.is_cancelled() => {
            DataEnd::Cut(task.stop_reason())
        }
        SpliceEnd::ChannelCut(reason) => DataEnd::Cut(reason),
    }
}
