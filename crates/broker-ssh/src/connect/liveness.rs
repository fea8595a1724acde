//! Asking a server for a sign of life that it gives in order
//!
//! Every server should answer a request that it does not know (RFC 4254 section 4), as OpenSSH does with
//! `keepalive@openssh.com`. Some pass over it, or say only that they do not implement it. They do answer the opening of a
//! channel, be it with a refusal, so that is what they are asked from then on: a session channel, on which nothing is
//! started and which is closed at once.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::handler::SshHandle;
use super::requests::Requests;
use crate::state::ConnectionState;

/// How long [`Liveness::confirm`] waits: longer than any line takes, shorter than a client waits for a reply.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// How long a question is followed up for what it teaches about the server.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// Without an answer for as long the server is asked in another way: it may not know the request.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lines and servers take less for an answer that waits for nobody.
const PROMPT: Duration = Duration::from_millis(1250);

/// How long after the answer to a later question that to an earlier one may come: both may have arrived together.
const SAME_MOMENT: Duration = Duration::from_millis(500);

/// The request that asks for nothing but its answer.
const KEEPALIVE: &str = "keepalive@openssh.com";

/// Asks the SSH session of a channel whether it lives, also after the channel's end. It holds no place in the pool and keeps
/// no connection open.
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

    /// Asks now, and returns whether the server has answered that question: it was alive after this call. False where
    /// the connection has ended or ends meanwhile, and after ten seconds. Must be called within a tokio runtime.
    pub async fn confirm(&self) -> bool {
        let answered = timeout(CONFIRM_LIMIT, self.answered()).await;
        answered.unwrap_or(false)
    }

    /// Asks now, and waits for the answer. False where the connection ends meanwhile, or there is none within a minute. What
    /// is learned about the server meanwhile holds even where nobody waits any more.
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

    /// Whether the server answers the opening of a channel, well or not.
    async fn opens_channel(&self) -> bool {
        match self.handle.channel_open_session().await {
            Ok(channel) => {
                let _ = channel.close().await;
                self.state.count_abandoned();
                true
            }
            Err(russh::Error::ChannelOpenFailure(_)) => true,
            Err(_) => false,
        }
    }
}

/// Ends where a server that was asked for something gives no sign of life for a while, and none when it is asked for one.
/// While it lives, this goes on: it may have to wait for somebody else.
pub(crate) async fn silence(liveness: &Liveness) {
    let received = liveness.state.bytes_received();
    sleep(PROMPT).await;
    let answered = timeout(PROMPT, liveness.answered()).await;
    if answered == Ok(true) || liveness.state.bytes_received() != received {
        pending().await
    }
}

/// What comes of a request.
#[derive(Debug, PartialEq, Eq)]
enum RequestOutcome {
    Answered,
    /// The server has answered something that it was asked later.
    PassedOver,
    /// The connection has ended.
    ConnectionEnded,
}

/// Waits for the answer to a request. Where none comes, something is asked that every server answers: servers answer in
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
    use std::future::ready;
    use std::pin::pin;

    use super::*;

    /// Longer than the server is trusted to need for a request that it knows.
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
