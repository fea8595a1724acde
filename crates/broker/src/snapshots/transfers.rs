//! Transfers as the local socket's types.

use std::time::{Duration, Instant, SystemTime};

use broker_ipc::Party;
use broker_ipc::types::{Transfer, TransferDirection, TransferState};

use crate::events::{TransferKind, TransferRecord, TransferResult, TransferStart};
use crate::registry::{RunningTransfer, SessionRegistry};
use crate::unix_time::unix;

/// The last transfers that are over, in the order in which they ended, and then those that run.
pub(crate) fn transfers(registry: &SessionRegistry) -> Vec<Transfer> {
    // In this order, so that one that ends meanwhile is not left out.
    let running = running(registry);
    let past = registry.past_transfers.list();
    let is_over = |id| past.iter().any(|record| record.id == id);
    let running: Vec<_> = running.into_iter().filter(|it| !is_over(it.id)).collect();
    past.iter().map(|it| over(it)).chain(running).collect()
}

/// The transfers that run, by the age of their sessions.
pub(crate) fn running(registry: &SessionRegistry) -> Vec<Transfer> {
    let sessions = registry.sessions();
    let running = sessions.iter().filter_map(|session| session.transfer());
    running.map(|it| running_view(&it)).collect()
}

/// A transfer that is over.
pub(super) fn over(record: &TransferRecord) -> Transfer {
    Transfer {
        state: match record.result {
            TransferResult::Complete => TransferState::Complete,
            TransferResult::Failed => TransferState::Failed,
            TransferResult::Refused => TransferState::Refused,
            TransferResult::Aborted => TransferState::Aborted,
            TransferResult::Cut => TransferState::Cut,
        },
        bytes: record.bytes,
        rate: record.rate().unwrap_or_default(),
        duration_ms: milliseconds(record.duration),
        reply: Some(record.reply.clone()).filter(|reply| !reply.is_empty()),
        reason: record.reason.clone(),
        by: record.fault.map(Party::from),
        ..started(&record.start, record.started)
    }
}

fn running_view(running: &RunningTransfer) -> Transfer {
    let pace = running.pace(Instant::now());
    let bytes = running.bytes();
    let left = running.start.size.map(|size| size.saturating_sub(bytes));
    Transfer {
        bytes,
        rate: pace.rate,
        duration_ms: milliseconds(running.began.elapsed().unwrap_or_default()),
        stalled_since: pace.stalled.map(|still| unix(SystemTime::now() - still)),
        time_left: left.and_then(|left| left.checked_div(pace.rate)),
        ..started(&running.start, running.began)
    }
}

/// A transfer that has just begun.
pub(super) fn started(start: &TransferStart, began: SystemTime) -> Transfer {
    Transfer {
        id: start.id,
        session: start.session,
        tunnel: start.tunnel,
        profile: start.profile.clone(),
        server: start.server.clone(),
        client: start.client.to_string(),
        client_uid: start.client_uid,
        ftp_user: start.ftp_user.clone(),
        command: start.command.clone(),
        path: start.path.clone(),
        direction: direction(start.kind),
        state: TransferState::Running,
        bytes: 0,
        size: start.size,
        rate: 0,
        started: unix(began),
        duration_ms: 0,
        stalled_since: None,
        time_left: None,
        reply: None,
        reason: None,
        by: None,
    }
}

pub(crate) fn direction(kind: TransferKind) -> TransferDirection {
    match kind {
        TransferKind::Upload => TransferDirection::Upload,
        TransferKind::Download => TransferDirection::Download,
        TransferKind::Listing => TransferDirection::Listing,
        TransferKind::Unknown => TransferDirection::Unknown,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
