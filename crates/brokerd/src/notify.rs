//! What the daemon tells the service manager that started it, as `sd_notify(3)` describes. Without one, nothing happens.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use broker::Overview;
use broker_ipc::descriptors;
use sd_notify::NotifyState;
use tokio::time::sleep;
use tracing::debug;

/// By how much the daemon extends the service manager's limit for stopping while transfers still run.
const EXTENSION: Duration = Duration::from_secs(30);
/// How often it does so: two such messages may be lost or late.
const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// Whether there is a service manager that wants to be told.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Every listener is open, or failed and reported.
pub(crate) fn ready(overview: &Overview) {
    send(&[NotifyState::Ready, NotifyState::Status(&status(overview))]);
}

/// How the daemon is, since that has changed.
pub(crate) fn changed(overview: &Overview) {
    send(&[NotifyState::Status(&status(overview))]);
}

/// Every part of the daemon has answered since the last time.
pub(crate) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The daemon accepts no more clients, and ends.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Keeps the service manager from killing a daemon that waits for transfers. Never returns.
pub(crate) async fn keep_extending_timeout() -> std::convert::Infallible {
    let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
    loop {
        send(&[NotifyState::ExtendTimeoutUsec(extension)]);
        sleep(EXTEND_EVERY).await;
    }
}

/// The daemon reads its configuration again, until the returned guard is dropped.
///
/// The service manager waits for the end of what it asked for with SIGHUP, whether that succeeds or not.
pub(crate) fn reloading() -> Reloading {
    // Without the moment, the service manager cannot tell this reload from an earlier one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "cannot read the clock for the service manager"),
    }
    Reloading
}

/// Reports the end of a reload when dropped.
pub(crate) struct Reloading;

impl Drop for Reloading {
    fn drop(&mut self) {
        send(&[NotifyState::Ready]);
    }
}

/// Gives the service manager the socket of a tunnel to keep until the next start, or takes it back.
pub(crate) fn keep(address: SocketAddr, socket: Option<BorrowedFd<'_>>) {
    let Some(manager) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    // A name may have no colon.
    let name = format!("tunnel-{address}").replace(':', ".");
    let action = match socket {
        Some(_) => "FDSTORE",
        None => "FDSTOREREMOVE",
    };
    let text = format!("{action}=1\nFDNAME={name}\n");
    if let Err(error) = descriptors::send(manager.as_ref(), &text, socket) {
        debug!(%error, %address, "the service manager cannot keep the socket of a tunnel");
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "cannot reach the service manager");
    }
}

/// The status as people read it in `systemctl status`.
fn status(overview: &Overview) -> String {
    let Overview {
        listening,
        waiting,
        failed,
        sessions,
        transfers,
        stopping,
    } = *overview;
    let work = format!(
        "{}, {}",
        counted(sessions, "session"),
        counted(transfers, "transfer")
    );
    if stopping {
        return format!("Stopping; still running: {work}");
    }
    let mut tunnels = format!("Listening: {}", counted(listening as u64, "tunnel"));
    for (count, state) in [(waiting, "waiting"), (failed, "failed")] {
        if count > 0 {
            tunnels.push_str(&format!(", {count} {state}"));
        }
    }
    format!("{tunnels}; {work}")
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(overview: Overview, text: &str) {
        assert_eq!(status(&overview), text);
    }

    #[test]
    fn the_status_names_what_needs_attention() {
        let mut overview = Overview {
            listening: 3,
            sessions: 1,
            ..Overview::default()
        };
        check(overview, "Listening: 3 tunnels; 1 session, 0 transfers");
        (overview.waiting, overview.failed) = (1, 2);
        check(
            overview,
            "Listening: 3 tunnels, 1 waiting, 2 failed; 1 session, 0 transfers",
        );
        (overview.stopping, overview.transfers) = (true, 1);
        check(overview, "Stopping; still running: 1 session, 1 transfer");
    }
}
