//! What a session waits for that may never come, and how long.

use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::greeting::GREETING_TIMEOUT;

/// How long a client may take to log in. Servers give up after one to five minutes; this limits what silent connections
/// can occupy.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a session without a greeting delays others: some servers first look up the client's name.
const GREETING_PATIENCE: Duration = Duration::from_secs(2);
/// How long a server may take to close after the client has left.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same during a transfer that moves no bytes: the server may have to write to a slow disk before it answers.
const CLOSE_TIMEOUT_IN_TRANSFER: Duration = Duration::from_secs(120);
/// How long the server may take to end a transfer whose data channel was cut. Its own connection may be silent, so it
/// waits for minutes, while the client, whose data connection was reset, waits for a reply.
const CUT_PATIENCE: Duration = Duration::from_secs(15);

/// The waits of one session.
pub(super) struct Deadlines {
    started: Instant,
    /// This session's permit to wait for a greeting.
    awaits_greeting: Option<OwnedSemaphorePermit>,
    client_left: Option<ClientLeft>,
    /// When and why the data channel of a transfer was cut, if the server has not ended that transfer.
    cut: Option<(Instant, String)>,
}

/// A client that has ended its side.
#[derive(Debug, Clone, Copy)]
struct ClientLeft {
    /// When that was, or when bytes last moved.
    since: Instant,
    /// The bytes that data channels had carried then.
    bytes_moved: u64,
}

/// The state of a session at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The server has not greeted yet.
    pub(super) waits_for_greeting: bool,
    /// Nobody has logged in yet.
    pub(super) waits_for_login: bool,
    /// A transfer runs.
    pub(super) in_transfer: bool,
    /// The bytes that data channels have carried.
    pub(super) bytes_moved: u64,
}

/// What did not come in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The server's greeting.
    Greeting,
    /// The login.
    Login,
    /// The server's end of a transfer that was cut for this reason.
    TransferEnd(String),
    /// The server's end of a session whose client has left.
    SessionEnd,
}

impl Deadlines {
    pub(super) fn new(now: Instant, awaits_greeting: OwnedSemaphorePermit) -> Self {
        Self {
            started: now,
            awaits_greeting: Some(awaits_greeting),
            client_left: None,
            cut: None,
        }
    }

    /// The server has sent its greeting: the next session may wait for one.
    pub(super) fn greeted(&mut self) {
        self.awaits_greeting = None;
    }

    /// Records that the client has ended its side, and how many bytes data channels had carried.
    pub(super) fn client_leaves(&mut self, now: Instant, bytes_moved: u64) {
        self.client_left = Some(ClientLeft {
            since: now,
            bytes_moved,
        });
    }

    /// How long the session has been open.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// Whether the client has ended its side.
    pub(super) fn has_client_left(&self) -> bool {
        self.client_left.is_some()
    }

    /// Records that a transfer was cut, which the server has yet to end.
    pub(super) fn transfer_cut(&mut self, now: Instant, reason: &str) {
        self.cut = Some((now, reason.to_owned()));
    }

    /// Records that the server has ended a transfer.
    pub(super) fn transfer_ended(&mut self) {
        self.cut = None;
    }

    /// The next deadline.
    pub(super) fn next(&self, standing: Standing) -> Option<Instant> {
        let login = standing
            .waits_for_login
            .then(|| self.started + LOGIN_TIMEOUT);
        let greeting = standing
            .waits_for_greeting
            .then(|| self.started + GREETING_TIMEOUT);
        let permit = self.awaits_greeting.as_ref();
        let permit = permit.map(|_| self.started + GREETING_PATIENCE);
        let cut = self.cut.as_ref().map(|(since, _)| *since + CUT_PATIENCE);
        let close = self.close(standing.in_transfer);
        [login, greeting, permit, cut, close]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is overdue at this moment.
    pub(super) fn overdue(&mut self, now: Instant, standing: Standing) -> Option<Overdue> {
        if now >= self.started + GREETING_PATIENCE {
            self.greeted();
        }
        if let Some((_, reason)) = self.cut.take_if(|(since, _)| now >= *since + CUT_PATIENCE) {
            return Some(Overdue::TransferEnd(reason));
        }
        if standing.waits_for_greeting && now >= self.started + GREETING_TIMEOUT {
            return Some(Overdue::Greeting);
        }
        if standing.waits_for_login && now >= self.started + LOGIN_TIMEOUT {
            return Some(Overdue::Login);
        }
        self.close(standing.in_transfer).filter(|due| now >= *due)?;
        if self
            .client_left
            .is_some_and(|left| left.bytes_moved != standing.bytes_moved)
        {
            // Data still flows.
            self.client_leaves(now, standing.bytes_moved);
            return None;
        }
        Some(Overdue::SessionEnd)
    }

    /// How long the server may keep a session whose client has left.
    fn close(&self, in_transfer: bool) -> Option<Instant> {
        let patience = if in_transfer {
            CLOSE_TIMEOUT_IN_TRANSFER
        } else {
            CLOSE_TIMEOUT
        };
        self.client_left.map(|left| left.since + patience)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    const AT_WORK: Standing = Standing {
        waits_for_greeting: false,
        waits_for_login: false,
        in_transfer: false,
        bytes_moved: 0,
    };

    fn deadlines(now: Instant) -> Deadlines {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let mut deadlines = Deadlines::new(now, permit.unwrap());
        deadlines.greeted();
        deadlines
    }

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_that_is_silent_holds_up_the_next_for_two_seconds() {
        let now = Instant::now();
        let room = Arc::new(Semaphore::new(1));
        let permit = room.clone().try_acquire_owned();
        let mut deadlines = Deadlines::new(now, permit.unwrap());
        assert_eq!(deadlines.next(AT_WORK), Some(after(now, 2)));
        assert_eq!(deadlines.overdue(after(now, 1), AT_WORK), None);
        assert_eq!(room.available_permits(), 0);
        assert_eq!(deadlines.overdue(after(now, 2), AT_WORK), None);
        assert_eq!(room.available_permits(), 1);
        assert_eq!(deadlines.next(AT_WORK), None);
    }

    #[test]
    fn a_client_that_has_left_keeps_its_session_while_data_flows() {
        let now = Instant::now();
        let mut deadlines = deadlines(now);
        deadlines.client_leaves(now, 0);
        let running = |bytes_moved| Standing {
            in_transfer: true,
            bytes_moved,
            ..AT_WORK
        };
        assert_eq!(deadlines.next(AT_WORK), Some(after(now, 60)));
        assert_eq!(deadlines.next(running(7)), Some(after(now, 120)));
        assert_eq!(deadlines.overdue(after(now, 120), running(7)), None);
        assert_eq!(deadlines.overdue(after(now, 239), running(7)), None);
        let ended = deadlines.overdue(after(now, 240), running(7));
        assert_eq!(ended, Some(Overdue::SessionEnd));
    }

    #[test]
    fn a_transfer_that_was_cut_must_be_ended_soon() {
        let now = Instant::now();
        let mut deadlines = deadlines(now);
        deadlines.transfer_cut(now, "a reason");
        assert_eq!(deadlines.next(AT_WORK), Some(after(now, 15)));
        let overdue = Overdue::TransferEnd("a reason".to_owned());
        assert_eq!(deadlines.overdue(after(now, 15), AT_WORK), Some(overdue));
        deadlines.transfer_cut(now, "a reason");
        deadlines.transfer_ended();
        assert_eq!(deadlines.overdue(after(now, 15), AT_WORK), None);
    }

    #[test]
    fn a_server_that_does_not_greet_is_not_waited_for() {
        let now = Instant::now();
        let mut deadlines = deadlines(now);
        let waiting = Standing {
            waits_for_greeting: true,
            waits_for_login: true,
            ..AT_WORK
        };
        assert_eq!(deadlines.next(waiting), Some(after(now, 60)));
        assert_eq!(deadlines.overdue(after(now, 59), waiting), None);
        let overdue = deadlines.overdue(after(now, 60), waiting);
        assert_eq!(overdue, Some(Overdue::Greeting));
    }

    #[test]
    fn whoever_does_not_log_in_is_not_waited_for() {
        let now = Instant::now();
        let mut deadlines = deadlines(now);
        let waiting = Standing {
            waits_for_login: true,
            ..AT_WORK
        };
        assert_eq!(deadlines.overdue(after(now, 299), waiting), None);
        let overdue = deadlines.overdue(after(now, 300), waiting);
        assert_eq!(overdue, Some(Overdue::Login));
    }
}
