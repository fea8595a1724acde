//! What has failed: in red, or dimmed once it works again.

use broker_ipc::types::{Failure, RecentFailure};

use crate::table::Cell;

/// A failure, and the tunnel in which it occurred.
pub(super) fn recent_failure(recent: &RecentFailure) -> Cell {
    let listener = &recent.listener;
    failure(&recent.failure).with_prefix(&format!("{listener}  "))
}

/// When something failed, whose fault it is, how often it has failed, and why. It is dimmed once the tunnel has worked
/// again.
pub(super) fn failure(failure: &Failure) -> Cell {
    let Failure { time, by, .. } = failure;
    let times = match failure.count {
        1 => String::new(),
        count => format!(" ({count} times)"),
    };
    let what = format!("by {by}: {}{times}", failure.message);
    let since = if failure.recovered {
        "; it works again"
    } else {
        ""
    };
    Cell::ago(*time)
        .with_text(&what)
        .with_remark(since)
        .alert_if(!failure.recovered)
        .over_if(failure.recovered)
}
