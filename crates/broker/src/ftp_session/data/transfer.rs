//! The copying once both ends of a data connection are connected, and the reports about it.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_config::ListenSide;
use broker_ssh::{
    Channel, ClientSocket, Intake, Liveness, SpliceEnd, SpliceSignals, splice_layered,
};
use ftp_proto::{DataEnd, DataEvent};
use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tracing::{Instrument, Span, debug};

use super::task::DataTask;
use crate::client_tls::{SessionTls, TlsClient};
use crate::events::Fault;
use crate::registry::{ChannelEntry, DataEntry};

/// How long a client behind SSH must have read nothing before the broker takes it for one that keeps its data connection
/// open until it has read the server's reply. All others close it as soon as they have everything.
const READING_PAUSE: Duration = Duration::from_secs(5);

/// Which ends have been reported to the session.
#[derive(Debug, Default)]
struct ToldEnds {
    channel: bool,
    tcp: bool,
}

/// Joins the two ends, and returns how the copying ended.
pub(super) async fn run(task: &DataTask, tcp: TcpStream, channel: Channel) -> DataEnd {
    task.entry
        .relabel(|label| label.joined = Some(SystemTime::now()));
    task.tell(DataEvent::Joined).await;
    let (liveness, intake) = (channel.liveness(), channel.intake());
    tokio::select! {
        end = follow(task, copy(task, tcp, channel)) => end,
        never = answer_liveness_checks(task, liveness, intake) => match never {},
    }
}

/// Copies, inside TLS if the client's end must use it.
async fn copy(task: &DataTask, tcp: TcpStream, channel: Channel) -> SpliceEnd {
    let ChannelEntry { progress, stop, .. } = &task.entry.channel;
    let signals = SpliceSignals {
        cancel: stop.clone(),
        over: task.signals.over.clone(),
        half_close: task.signals.half_close.clone(),
    };
    let Some(tls) = task.tls.clone() else {
        let plain = async |tcp| Ok(tcp);
        return splice_layered(tcp, plain, channel, progress, signals).await;
    };
    let layer = encrypt(tls, task.entry.clone(), Span::current());
    splice_layered(tcp, layer, channel, progress, signals).await
}

/// Makes a client's connection one inside TLS. The client begins the handshake when it likes: some wait for the server's
/// `150`.
fn encrypt(
    tls: Arc<SessionTls>,
    entry: Arc<DataEntry>,
    span: Span,
) -> impl FnOnce(ClientSocket) -> BoxFuture<'static, io::Result<TlsClient>> + Send + 'static {
    move |tcp| {
        let encrypting = async move {
            let accepted = tls.accept_data(tcp).await;
            let (stream, agreed) = accepted.inspect_err(|reason| {
                // Clients just close a connection whose transfer the server refused.
                if reason.kind() != ErrorKind::UnexpectedEof {
                    debug!(%reason, "TLS on a data connection did not begin");
                }
            })?;
            entry.relabel(|label| label.tls = Some(agreed));
            Ok(stream)
        };
        Box::pin(encrypting.instrument(span))
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
            () = progress.channel_done.cancelled(), if !told.channel => {}
            () = progress.tcp_done.cancelled(), if !told.tcp => {}
            // The peer on this side has everything and may leave its end open as long as it likes, but a stopping broker
            // does not wait for it.
            () = drain.cancelled(), if told.channel && progress.is_whole_download() => {
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
    let (of_channel, of_tcp) = match task.control.tunnel.spec.listens {
        ListenSide::OwnHost => (DataEvent::ServerDone, DataEvent::ClientDone),
        ListenSide::SshServer => (DataEvent::ClientDone, DataEvent::ServerDone),
    };
    if progress.channel_done.is_cancelled() && !std::mem::replace(&mut told.channel, true) {
        task.tell(of_channel).await;
    }
    if progress.tcp_done.is_cancelled() && !std::mem::replace(&mut told.tcp, true) {
        task.tell(of_tcp).await;
    }
}

/// Checks whether the SSH session of the channel is alive whenever the FTP session requests it.
async fn answer_liveness_checks(task: &DataTask, liveness: Liveness, intake: Intake) -> Infallible {
    let mut checks = task.liveness_checks.clone();
    while checks.changed().await.is_ok() {
        let check = *checks.borrow_and_update();
        if is_sent_to_far_client(task) {
            intake.settled(READING_PAUSE).await;
        }
        if liveness.confirm().await {
            task.tell(DataEvent::Alive { check }).await;
        }
    }
    // A transfer continues without its session.
    std::future::pending().await
}

/// Whether a client behind SSH was sent everything, and may still have to read it.
fn is_sent_to_far_client(task: &DataTask) -> bool {
    let is_far = task.control.tunnel.spec.listens == ListenSide::SshServer;
    is_far && task.entry.channel.progress.tcp_done.is_cancelled()
}

fn data_end(task: &DataTask, end: SpliceEnd) -> DataEnd {
    let fault = match (&end, task.control.tunnel.spec.listens) {
        (SpliceEnd::Complete, _) => None,
        (SpliceEnd::TcpGone(_), ListenSide::OwnHost) => Some(Fault::FtpClient),
        (SpliceEnd::TcpGone(_), ListenSide::SshServer) => Some(Fault::FtpServer),
        (SpliceEnd::ChannelCut(_), _) if task.entry.channel.stop.is_cancelled() => {
            Some(Fault::Broker)
        }
        (SpliceEnd::ClosedEarly(_), ListenSide::OwnHost) => Some(Fault::FtpServer),
        (SpliceEnd::ClosedEarly(_), ListenSide::SshServer) => Some(Fault::FtpClient),
        (SpliceEnd::ChannelCut(_), _) => Some(Fault::Ssh),
    };
    task.entry.relabel(|label| label.fault = fault);
    match (end, task.control.tunnel.spec.listens) {
        (SpliceEnd::Complete, _) => DataEnd::Complete,
        (SpliceEnd::TcpGone(reason), ListenSide::OwnHost) => {
            DataEnd::ClientGone(format!("the client's data connection failed: {reason}"))
        }
        (SpliceEnd::TcpGone(reason), ListenSide::SshServer) => {
            DataEnd::Cut(format!("the FTP server's data connection failed: {reason}"))
        }
        (SpliceEnd::ChannelCut(_), _) if task.entry.channel.stop.is_cancelled() => {
            DataEnd::Cut(task.stop_reason())
        }
        (SpliceEnd::ChannelCut(reason) | SpliceEnd::ClosedEarly(reason), _) => DataEnd::Cut(reason),
    }
}
