//! Liveness checks: requests that every living server answers in order
//!
//! Every server should answer a request that it does not know (RFC 4254 section 4), as OpenSSH does with
//! `keepalive@openssh.com`. Some servers ignore it, or report only that it is unimplemented. They do answer a request to
//! open a channel, even if only with a refusal. So the broker uses that from then on: a session channel, on which it
//! starts nothing and which it closes at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::handler::SshHandle;
use super::requests::Requests;
use super::session_channel::{self, NotOpened};
use crate::state::ConnectionState;

/// How long [`Liveness::confirm`] waits: longer than any network takes, shorter than a client waits for a reply.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// How long a check continues, to learn from it about the server.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// After this long without an answer, the broker checks in another way, since the server may not know the request.
const PATIENCE: Duration = Duration::from_secs(2);

/// Any network and server answers sooner, if the answer waits for nobody.
const PROMPT: Duration = Duration::from_millis(1250);

/// How long the answer to an earlier request may come after that to a later one: both may have arrived together.
const SAME_MOMENT: Duration = Duration::from_millis(500);

/// A request whose only purpose is its answer.
const KEEPALIVE: &str = "keepalive@openssh.com";

/// Checks whether the SSH session of a channel is alive, even after the channel's end. It takes no place in the pool and
/// keeps no connection open.
#[derive(Clone)]
pub struct Liveness {
    state: Arc<ConnectionState>,
    handle: Arc<SshHandle>,
    requests: Requests,
    tracker: TaskTracker,
}

impl Liveness {
    pub(crate) fn new(
        state: Arc<ConnectionState>,
        handle: Arc<SshHandle>,
        requests: Requests,
        tracker: TaskTracker,
    ) -> Self {
        Self {
            state,
            handle,
            requests,
            tracker,
        }
    }

    /// Starts a check now, and returns whether the server has answered it, so it was alive after this call. False if the
    /// connection has ended or ends in the meantime, and after ten seconds. Must be called within a tokio runtime.
    pub async fn confirm(&self) -> bool {
        let answered = timeout(CONFIRM_LIMIT, self.answered()).await;
        answered.unwrap_or(false)
    }

    /// Starts a check now, and waits for the answer. False if the connection ends in the meantime, or if no answer comes
    /// within a minute. The check continues even if the caller stops waiting, to learn about the server.
    pub(crate) async fn answered(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let asking = self.clone();
        let check = async move {
            let closed = asking.state.closed.clone();
            let put = timeout(CHECK_LIMIT, asking.put());
            let answered = closed.run_until_cancelled(put).await;
            let _ = reply.send(matches!(answered, Some(Ok(true))));
        };
        self.tracker.spawn_on(check, &self.state.runtime);
        answer.await.unwrap_or(false)
    }

    pub(crate) fn state(&self) -> &ConnectionState {
        &self.state
    }

    async fn put(&self) -> bool {
        let server = &self.state.server;
        if self.state.facts.passes_over(server) {
            return self.opens_channel().await;
        }
        let mut asked = self.requests.ask(KEEPALIVE, Vec::new()).await;
        match follow_up(&mut asked, self.opens_channel()).await {
            RequestOutcome::PassedOver => {
                asked.pass_over();
                self.state.facts.note_passing_over(server);
                true
            }
            RequestOutcome::Answered => true,
            RequestOutcome::ConnectionEnded => false,
        }
    }

    /// Whether the server answers a request to open a channel, with success or failure.
    async fn opens_channel(&self) -> bool {
        match session_channel::open(&self.state, &self.handle).await {
            Ok(channel) => {
                let _ = channel.close().await;
                self.state.count_abandoned();
                true
            }
            Err(NotOpened::Refused) => true,
            Err(NotOpened::ConnectionEnded) => false,
        }
    }
}

/// Returns once a server that owes an answer stays silent for a while and also fails a liveness check. As long as the
/// server is alive this never returns: the server may itself be waiting for another host. A connection that was alive
/// once may go silent later, and a byte that was on its way when it did looks like a sign of life; so the checks repeat.
pub(crate) async fn silence(liveness: &Liveness) {
    loop {
        let received = liveness.state.bytes_received();
        sleep(PROMPT).await;
        let answered = timeout(PROMPT, liveness.answered()).await;
        if answered != Ok(true) && liveness.state.bytes_received() == received {
            return;
        }
    }
}

/// The outcome of a request.
#[derive(Debug, PartialEq, Eq)]
enum RequestOutcome {
    Answered,
    /// The server has answered a later request.
    PassedOver,
    /// The connection has ended.
    ConnectionEnded,
}

/// Waits for the answer to a request. If none comes, sends a request that every server answers, since servers answer in
/// order.
async fn follow_up<T>(
    asked: &mut (impl Future<Output = Option<T>> + Unpin),
    later: impl Future<Output = bool>,
) -> RequestOutcome {
    let said = |answer: Option<T>| {
        answer.map_or(RequestOutcome::ConnectionEnded, |_| {
            RequestOutcome::Answered
        })
    };
    if let Ok(answer) = timeout(PATIENCE, &mut *asked).await {
        return said(answer);
    }
    let later = tokio::select! {
        answer = &mut *asked => return said(answer),
        later = later => later,
    };
    match timeout(SAME_MOMENT, asked).await {
        Ok(answer) => said(answer),
        Err(_) if later => RequestOutcome::PassedOver,
        Err(_) => RequestOutcome::ConnectionEnded,
    }
}

impl std::fmt::Debug for Liveness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Liveness")
            .field("connection", &self.state.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::*;

    /// Longer than the broker expects a server to need for a request that it knows.
    const SLOW: Duration = Duration::from_secs(5);

    async fn after<T>(wait: Duration, value: T) -> T {
        sleep(wait).await; // tidy: sleeps because the clock of these tests is virtual
        value
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_is_asked_nothing_else() {
        let mut asked = pin!(after(Duration::from_millis(100), Some(())));
        assert_eq!(
            follow_up(&mut asked, pending()).await,
            RequestOutcome::Answered
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_passed_over_where_something_later_is_answered() {
        let mut asked = pin!(pending::<Option<()>>());
        let later = after(Duration::from_millis(10), true);
        assert_eq!(
            follow_up(&mut asked, later).await,
            RequestOutcome::PassedOver
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_server_is_not_one_that_passes_over_requests() {
        let mut asked = pin!(after(SLOW, Some(())));
        assert_eq!(
            follow_up(&mut asked, after(SLOW, true)).await,
            RequestOutcome::Answered
        );
        let mut asked = pin!(after(SLOW + SAME_MOMENT / 2, Some(())));
        let later = after(SLOW - PATIENCE, true);
        assert_eq!(follow_up(&mut asked, later).await, RequestOutcome::Answered);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_ended_says_nothing() {
        let mut asked = pin!(ready(None::<()>));
        assert_eq!(
            follow_up(&mut asked, pending()).await,
            RequestOutcome::ConnectionEnded
        );
        let mut asked = pin!(pending::<Option<()>>());
        assert_eq!(
            follow_up(&mut asked, ready(false)).await,
            RequestOutcome::ConnectionEnded
        );
    }
}
