//! A transfer as the broker saw it: its start, its record, and its line in the log.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use broker_ipc::Reason;
use ftp_proto::{Direction, Told, TransferFacts};
use tracing::{info, warn};

use super::data::ControlConnection;
use crate::events::{Fault, TransferKind, TransferRecord, TransferResult, TransferStart};
use crate::own_host::ClientOwner;
use crate::registry::{Cause, DataEntry, Part, SessionEntry};

/// Codes with which a server says that it could not store a file (RFC 959, section 4.2): a person has to look at it.
const NOT_STORED: [u16; 3] = [451, 452, 552];

/// Codes with which a server says that there is nothing to do, for instance since there is no such file. Some say so only
/// after they have announced the transfer.
const NOT_TAKEN: [u16; 2] = [550, 553];

/// Why an upload does not count as complete although the server reports success.
const CLIENT_LEFT: &str =
    "the client had left before it learned the result; the file may be incomplete";

/// When a transfer began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    pub(super) wall: SystemTime,
    pub(super) at: Instant,
}

/// How a transfer ended for its client.
#[derive(Debug)]
pub(super) struct TransferEnd {
    pub(super) result: TransferResult,
    told: Told,
    /// Whether the client had left before it learned of the success.
    unseen: bool,
}

/// A transfer that is over, with what the broker knows of it.
pub(super) struct OverTransfer<'a> {
    pub(super) start: Arc<TransferStart>,
    pub(super) end: TransferEnd,
    pub(super) began: Began,
    /// Its data channel, if there was one.
    pub(super) data: Option<&'a DataEntry>,
    /// Why that ended early.
    pub(super) failure: Option<String>,
    /// Whose fault it is that the session was lost.
    pub(super) session_fault: Option<Fault>,
}

impl Began {
    pub(super) fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            at: Instant::now(),
        }
    }

    /// When data could flow, if that was before: some servers say only at the end that a transfer has begun.
    fn or_earlier(self, joined: Option<SystemTime>) -> (SystemTime, Duration) {
        let earlier = joined.and_then(|joined| self.wall.duration_since(joined).ok());
        let ahead = earlier.unwrap_or_default();
        (self.wall - ahead, self.at.elapsed() + ahead)
    }
}

impl TransferEnd {
    /// The end of a transfer that had begun.
    pub(super) fn of(told: Told, aborted: bool) -> Self {
        let result = if told.is_success() {
            TransferResult::Complete
        } else if aborted {
            TransferResult::Aborted
        } else if told.own {
            TransferResult::Cut
        } else {
            TransferResult::Failed
        };
        Self {
            result,
            told,
            unseen: false,
        }
    }

    /// Whether the server reports the success of an upload. If the client has left by then, the end of the data can be that
    /// of a killed client, or of one that gave up: the server cannot tell it from the end of the file.
    pub(super) fn needs_witness(&self, direction: Direction) -> bool {
        self.result == TransferResult::Complete && direction == Direction::Upload
    }

    /// The same end if the client did not learn of it.
    pub(super) fn unseen(self, direction: Direction) -> Self {
        let unseen = self.needs_witness(direction);
        Self {
            result: if unseen {
                TransferResult::Aborted
            } else {
                self.result
            },
            unseen,
            ..self
        }
    }

    /// Whether the server reported success, and the client received a failure instead.
    pub(super) fn is_corrected(&self) -> bool {
        self.told.replaced
    }

    /// The end of one that the server refused.
    pub(super) fn refused(told: Told) -> Self {
        let result = if NOT_STORED.contains(&told.code) {
            TransferResult::Failed
        } else {
            TransferResult::Refused
        };
        Self {
            result,
            told,
            unseen: false,
        }
    }
}

/// What is known of a transfer when it begins.
pub(super) fn start(
    transfer: TransferFacts,
    control: &ControlConnection,
    session: &SessionEntry,
) -> TransferStart {
    TransferStart {
        id: control.tunnel.registry.new_id(),
        session: session.channel.id,
        tunnel: control.tunnel.id,
        profile: control.tunnel.profile_id.clone(),
        server: control.target.to_string(),
        client: control.peer,
        client_uid: match control.owner {
            ClientOwner::User(uid) => Some(uid),
            ClientOwner::Anyone | ClientOwner::Nobody => None,
        },
        ftp_user: session.ftp_user(),
        kind: TransferKind::of(&transfer.command, transfer.direction),
        command: transfer.command,
        path: transfer.path,
        size: transfer.size,
        text: transfer.text,
    }
}

impl OverTransfer<'_> {
    /// The record of the transfer.
    pub(super) fn record(self) -> TransferRecord {
        let fault = self.fault();
        let Self { start, end, .. } = self;
        let label = self.data.map(DataEntry::label).unwrap_or_default();
        let traffic = self.data.map(|data| data.channel.traffic());
        let bytes = start.kind.bytes(traffic.unwrap_or_default());
        let not_taken = bytes == 0 && NOT_TAKEN.contains(&end.told.code);
        let result = if end.result == TransferResult::Failed && not_taken {
            TransferResult::Refused
        } else {
            end.result
        };
        let (started, duration) = self.began.or_earlier(label.joined);
        let reply = end.told.reply;
        let succeeded = result == TransferResult::Complete;
        TransferRecord {
            start,
            bytes,
            started,
            duration,
            result,
            reason: self
                .failure
                .or_else(|| end.unseen.then(|| CLIENT_LEFT.to_owned()))
                .filter(|reason| !succeeded && !reply.contains(reason.as_str())),
            reply,
            fault,
        }
    }

    /// Whose fault a failure is: what ended the data, what ended the session, or else the server that reports it.
    fn fault(&self) -> Option<Fault> {
        match self.end.result {
            TransferResult::Complete => None,
            TransferResult::Aborted => Some(Fault::FtpClient),
            TransferResult::Refused => Some(Fault::FtpServer),
            TransferResult::Failed | TransferResult::Cut => self
                .fault_of_data()
                .or(self.session_fault)
                .or((!self.end.told.own).then_some(Fault::FtpServer)),
        }
    }

    /// Whose fault it is that the data ended. The broker cuts the data of a lost session, but that is not the cause.
    fn fault_of_data(&self) -> Option<Fault> {
        let fault = self.data.and_then(|data| data.label().fault);
        fault.filter(|fault| *fault != Fault::Broker || self.session_fault.is_none())
    }
}

/// What to keep of a transfer that has failed. One that the client gave up or the server refused is no fault of the
/// tunnel. If the session was lost, `lost` says whose fault that is, and why.
pub(super) fn failure(record: &TransferRecord, lost: Option<(Fault, Reason)>) -> Option<Cause> {
    match record.result {
        TransferResult::Failed | TransferResult::Cut => {}
        TransferResult::Complete | TransferResult::Refused | TransferResult::Aborted => {
            return None;
        }
    }
    let fault = record.fault.unwrap_or(Fault::Broker);
    // The server knows only that the data ended early.
    let why = record.reason.as_ref().filter(|_| fault == Fault::Broker);
    Some(Cause {
        part: Part::Data,
        message: format!("{}: {}", record.command, why.unwrap_or(&record.reply)),
        reason: match (fault, lost) {
            (_, Some((of_session, why))) if of_session == fault => why,
            (Fault::FtpServer, _) => Reason::FtpRefused,
            (Fault::Ssh, _) => Reason::Lost,
            (Fault::FtpClient, _) => Reason::NotAllowed,
            (Fault::Broker, _) => Reason::Stopping,
        },
        by: fault.into(),
    })
}

/// Writes the one line about a transfer. The session's span adds its number, tunnel and client.
pub(super) fn log(record: &TransferRecord) {
    macro_rules! line {
        ($level:ident, $($text:tt)*) => {
            $level!(
                result = %record.result,
                command = %record.command,
                path = record.path.as_deref(),
                direction = %record.kind,
                bytes = record.bytes,
                seconds = record.duration.as_secs_f64(),
                rate = record.rate(),
                ftp_user = record.ftp_user.as_deref(),
                profile = %record.profile,
                by = record.fault.map(Fault::as_str),
                reason = record.reason.as_deref(),
                $($text)*
            )
        };
    }
    let reply = match record.reply.as_str() {
        "" => "the session ended without a reply",
        reply => reply,
    };
    match record.result {
        TransferResult::Complete => line!(info, "transfer complete"),
        TransferResult::Refused => line!(info, "transfer refused: {reply}"),
        TransferResult::Aborted => line!(info, "transfer aborted: {reply}"),
        TransferResult::Failed | TransferResult::Cut => line!(warn, "transfer failed: {reply}"),
    }
}

#[cfg(test)]
mod tests {
    use broker_config::ListenSide;
    use ftp_proto::Mode;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::registry::ChannelEntry;

    fn told(code: u16, own: bool) -> Told {
        Told {
            code,
            own,
            ..Told::default()
        }
    }

    #[test]
    fn the_reply_and_its_author_tell_how_a_transfer_ended() {
        for (code, own, aborted, result) in [
            (226, false, false, TransferResult::Complete),
            (226, false, true, TransferResult::Complete),
            (426, false, true, TransferResult::Aborted),
            (0, false, true, TransferResult::Aborted),
            (426, true, false, TransferResult::Cut),
            (421, true, false, TransferResult::Cut),
            (452, false, false, TransferResult::Failed),
        ] {
            let end = TransferEnd::of(told(code, own), aborted);
            assert_eq!(end.result, result, "{code} {own} {aborted}");
        }
    }

    #[test]
    fn the_data_of_a_lost_session_is_not_cut_by_the_brokers_fault() {
        let channel = ChannelEntry::new(1, ListenSide::OwnHost, CancellationToken::new());
        let data = DataEntry::new(channel, Mode::Passive);
        data.relabel(|label| label.fault = Some(Fault::Broker));
        let fault = |session_fault| {
            let over = OverTransfer {
                start: Arc::new(TransferStart {
                    id: 1,
                    session: 1,
                    tunnel: 1,
                    profile: "p".into(),
                    server: "h:21".into(),
                    client: ([127, 0, 0, 1], 40000).into(),
                    client_uid: None,
                    ftp_user: None,
                    command: "RETR x".into(),
                    path: None,
                    kind: TransferKind::Download,
                    size: None,
                    text: false,
                }),
                end: TransferEnd::of(told(421, true), false),
                began: Began::now(),
                data: Some(&data),
                failure: None,
                session_fault,
            };
            over.record().fault
        };
        assert_eq!(fault(Some(Fault::Ssh)), Some(Fault::Ssh));
        assert_eq!(fault(None), Some(Fault::Broker));
    }

    #[test]
    fn an_upload_of_a_client_that_has_left_is_not_complete() {
        let end = |code, direction| TransferEnd::of(told(code, false), false).unseen(direction);
        assert_eq!(end(226, Direction::Upload).result, TransferResult::Aborted);
        assert_eq!(
            end(226, Direction::Download).result,
            TransferResult::Complete
        );
        assert_eq!(end(452, Direction::Upload).result, TransferResult::Failed);
    }

    #[test]
    fn a_full_disk_is_a_failure_also_before_the_transfer_begins() {
        for (code, result) in [
            (550, TransferResult::Refused),
            (530, TransferResult::Refused),
            (425, TransferResult::Refused),
            (452, TransferResult::Failed),
            (552, TransferResult::Failed),
        ] {
            assert_eq!(TransferEnd::refused(told(code, false)).result, result);
        }
    }

    #[test]
    fn a_transfer_begins_when_its_data_can_flow() {
        let began = Began::now();
        let (started, duration) = began.or_earlier(Some(began.wall - Duration::from_secs(5)));
        assert_eq!(started, began.wall - Duration::from_secs(5));
        assert!(duration >= Duration::from_secs(5));
        let later = Some(began.wall + Duration::from_secs(5));
        assert_eq!(began.or_earlier(later).0, began.wall);
    }
}
