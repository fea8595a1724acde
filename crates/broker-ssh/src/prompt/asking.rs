//! Asking a person in the middle of a dial
//!
//! The dial's clock stands still meanwhile, and a connection that ends takes its prompt with it. Only a session whose
//! loop runs notices its end, so no callback of a session may ask: a host key that a person has to confirm is let through
//! the key exchange, and confirmed before authentication begins.

use std::future::Future;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::error::OpenError;
use crate::prompt::{Answer, NoAnswer, Prompt};
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;

/// Whether a person is being asked on behalf of a connection.
#[derive(Debug, Default)]
pub(crate) struct Asking(watch::Sender<bool>);

/// Asks until it is dropped.
struct Pending<'a>(&'a Asking);

impl Asking {
    fn begin(&self) -> Pending<'_> {
        self.0.send_replace(true);
        Pending(self)
    }

    /// Whether a person is being asked at this moment.
    pub(crate) fn is_going_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Bounds `work` by `bound`, not counting the time in which a person is asked. `None` where that was not enough.
    pub(crate) async fn within<T>(
        &self,
        bound: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(work);
        let mut asked = self.0.subscribe();
        let mut left = bound;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                _ = asked.wait_for(|asked| !asked) => {}
            }
            let began = Instant::now();
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                _ = asked.wait_for(|asked| *asked) => left = left.saturating_sub(began.elapsed()),
                () = sleep(left) => return None,
            }
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.0.send_replace(false);
    }
}

/// Asks whether something is right, such as a host key.
///
/// # Errors
/// `Unanswered`, and `LostWhileAsking` where the connection ended first.
pub(crate) async fn confirm(
    spec: &ConnectSpec,
    state: &ConnectionState,
    prompt: Prompt,
) -> Result<bool, OpenError> {
    let what = prompt.to_string();
    match ask(spec, state, prompt).await? {
        Answer::Confirm(yes) => Ok(yes),
        Answer::Texts(_) => Err(unanswered(what, NoAnswer::Declined)),
    }
}

/// Asks for as many texts as the prompt has fields; a passphrase and a password are one.
///
/// # Errors
/// As [`confirm`].
pub(crate) async fn texts(
    spec: &ConnectSpec,
    state: &ConnectionState,
    prompt: Prompt,
) -> Result<Vec<SecretString>, OpenError> {
    let (what, expected) = (prompt.to_string(), prompt.texts());
    match ask(spec, state, prompt).await? {
        Answer::Texts(texts) if texts.len() == expected => Ok(texts),
        Answer::Texts(_) | Answer::Confirm(_) => Err(unanswered(what, NoAnswer::Declined)),
    }
}

async fn ask(
    spec: &ConnectSpec,
    state: &ConnectionState,
    prompt: Prompt,
) -> Result<Answer, OpenError> {
    let what = prompt.to_string();
    let Some(responder) = &spec.responder else {
        return Err(unanswered(what, NoAnswer::Nobody));
    };
    let _clock_stands = state.asking.begin();
    tokio::select! {
        answer = responder.ask(prompt) => answer.map_err(|why| unanswered(what, why)),
        () = state.closed.cancelled() => Err(OpenError::LostWhileAsking {
            server: spec.server(),
            prompt: what,
            reason: state.end(),
        }),
    }
}

fn unanswered(prompt: String, why: NoAnswer) -> OpenError {
    OpenError::Unanswered { prompt, why }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;

    use tokio::runtime::Handle;
    use tokio::sync::Notify;

    use super::*;
    use crate::error::CutReason;
    use crate::prompt::Responder;
    use crate::state::snapshot::ConnectionKind;

    const BOUND: Duration = Duration::from_secs(5);
    const LONG: Duration = Duration::from_secs(60);

    async fn pass(time: Duration) {
        // tidy: sleeps because the time here is virtual
        sleep(time).await;
    }

    /// Answers after a while.
    #[derive(Debug)]
    struct Slow(Duration, Answer);

    impl Responder for Slow {
        fn ask(&self, _question: Prompt) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
            Box::pin(async move {
                pass(self.0).await;
                Ok(self.1.clone())
            })
        }
    }

    fn state() -> Arc<ConnectionState> {
        let wake = Arc::<Notify>::default();
        ConnectionState::new(
            1,
            ConnectionKind::Control,
            "host:22".into(),
            wake,
            Arc::default(),
            Handle::current(),
        )
    }

    fn spec(responder: impl Responder + 'static) -> ConnectSpec {
        ConnectSpec {
            responder: Some(Arc::new(responder)),
            ..ConnectSpec::new("host", 22, "me")
        }
    }

    fn password() -> Prompt {
        Prompt::Password {
            server: "host:22".into(),
            user: "me".into(),
            again: false,
        }
    }

    fn secret() -> Answer {
        Answer::Texts(vec!["hunter2".into()])
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_stands_while_a_person_is_asked_and_only_then() {
        let (spec, state) = (spec(Slow(LONG, secret())), state());
        let patient = async {
            pass(BOUND * 3 / 4).await;
            texts(&spec, &state, password()).await.map(drop)
        };
        assert_eq!(state.asking.within(BOUND, patient).await, Some(Ok(())));
        let slow_after = async {
            pass(BOUND * 3 / 4).await;
            let _ = texts(&spec, &state, password()).await;
            pass(BOUND / 2).await;
        };
        assert_eq!(state.asking.within(BOUND, slow_after).await, None);
        assert_eq!(state.asking.within(BOUND, pass(LONG)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_takes_its_question_with_it() {
        let (spec, state) = (spec(Slow(LONG, secret())), state());
        let ends = async {
            pass(BOUND).await;
            state.set_end(CutReason::ConnectionLost("the line was cut".into()));
            state.mark_closed();
        };
        let began = Instant::now();
        let (asked, ()) = tokio::join!(texts(&spec, &state, password()), ends);
        let text = asked.unwrap_err().to_string();
        assert!(
            text.contains("the line was cut") && text.contains("password"),
            "{text}"
        );
        assert_eq!(began.elapsed(), BOUND);
    }

    #[tokio::test]
    async fn with_nobody_there_it_is_said_how_to_be() {
        let state = state();
        let spec = ConnectSpec::new("host", 22, "me");
        let text = texts(&spec, &state, password())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("password") && text.contains("me") && text.contains("host:22"),
            "{text}"
        );
        assert!(text.contains("broker-ctl auth-handler"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_another_shape_is_none() {
        let state = state();
        for wrong in [Answer::Confirm(true), Answer::Texts(Vec::new())] {
            let asked = texts(&spec(Slow(BOUND, wrong)), &state, password()).await;
            assert!(matches!(asked, Err(OpenError::Unanswered { .. })));
        }
        let asked = confirm(&spec(Slow(BOUND, secret())), &state, password()).await;
        assert!(matches!(asked, Err(OpenError::Unanswered { .. })));
    }
}
