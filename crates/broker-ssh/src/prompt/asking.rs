//! Asking a person during a connection attempt
//!
//! The attempt's clock stops in the meantime, and a connection that ends withdraws its prompt. Only a session whose loop
//! runs notices its end, so no callback of a session may ask: the key exchange accepts a host key that needs
//! confirmation, and the broker asks before authentication begins.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{Answer, NoAnswer, Prompt, PromptError, Responder};
use crate::state::ConnectionState;

/// The prompts of one connection attempt, including those for its gateways.
#[derive(Debug, Default)]
pub(crate) struct DialPrompts {
    pending: watch::Sender<bool>,
    needs_person: AtomicBool,
}

/// A prompt is pending until this is dropped.
struct PendingPrompt<'a>(&'a watch::Sender<bool>);

impl DialPrompts {
    /// Whether a person is being asked at this moment.
    pub(crate) fn is_pending(&self) -> bool {
        *self.pending.borrow()
    }

    /// Another attempt would have to ask a person again: the answer cannot be used twice, or there was no answer.
    pub(crate) fn mark_needs_person(&self) {
        self.needs_person.store(true, Ordering::Release);
    }

    /// See [`DialPrompts::mark_needs_person`]; valid once the attempt has ended, successfully or not.
    pub(crate) fn needs_person(&self) -> bool {
        self.needs_person.load(Ordering::Acquire)
    }

    /// Bounds `work` by `bound`, not counting the time in which a person is asked. `None` if the time was not enough.
    pub(crate) async fn within<T>(
        &self,
        bound: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(work);
        let mut pending = self.pending.subscribe();
        let mut left = bound;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                _ = pending.wait_for(|pending| !pending) => {}
            }
            let began = Instant::now();
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                _ = pending.wait_for(|pending| *pending) => left = left.saturating_sub(began.elapsed()),
                () = sleep(left) => return None,
            }
        }
    }

    /// Asks whether something is right, such as a host key. The prompt ends with the connection.
    ///
    /// # Errors
    /// If there is no answer, or if the connection ended first.
    pub(crate) async fn confirm(
        &self,
        responder: Option<&dyn Responder>,
        connection: &ConnectionState,
        prompt: Prompt,
    ) -> Result<bool, PromptError> {
        let what = prompt.to_string();
        match self.ask(responder, connection, prompt).await? {
            Answer::Confirm(yes) => Ok(yes),
            Answer::Texts(_) => Err(unanswered(what, NoAnswer::Declined)),
        }
    }

    /// Asks for as many texts as the prompt has fields; a passphrase and a password have one.
    ///
    /// # Errors
    /// As [`DialPrompts::confirm`].
    pub(crate) async fn texts(
        &self,
        responder: Option<&dyn Responder>,
        connection: &ConnectionState,
        prompt: Prompt,
    ) -> Result<Vec<SecretString>, PromptError> {
        let (what, expected) = (prompt.to_string(), prompt.texts());
        match self.ask(responder, connection, prompt).await? {
            Answer::Texts(texts) if texts.len() == expected => Ok(texts),
            Answer::Texts(_) | Answer::Confirm(_) => Err(unanswered(what, NoAnswer::Declined)),
        }
    }

    async fn ask(
        &self,
        responder: Option<&dyn Responder>,
        connection: &ConnectionState,
        prompt: Prompt,
    ) -> Result<Answer, PromptError> {
        let what = prompt.to_string();
        let Some(responder) = responder else {
            return Err(unanswered(what, NoAnswer::Nobody));
        };
        self.pending.send_replace(true);
        let _pending = PendingPrompt(&self.pending);
        tokio::select! {
            answer = responder.ask(prompt) => answer.map_err(|why| unanswered(what, why)),
            () = connection.closed.cancelled() => Err(PromptError::ConnectionLost {
                server: connection.server.clone(),
                prompt: what,
                reason: connection.end(),
            }),
        }
    }
}

impl Drop for PendingPrompt<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

fn unanswered(prompt: String, why: NoAnswer) -> PromptError {
    PromptError::Unanswered { prompt, why }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use tokio::runtime::Handle;
    use tokio::sync::Notify;

    use super::*;
    use crate::state::info::ConnectionKind;

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
        fn ask(&self, _prompt: Prompt) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
            Box::pin(async move {
                pass(self.0).await;
                Ok(self.1.clone())
            })
        }
    }

    fn connection() -> Arc<ConnectionState> {
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
        let (responder, connection) = (Slow(LONG, secret()), connection());
        let prompts = DialPrompts::default();
        let ask = || prompts.texts(Some(&responder), &connection, password());
        let patient = async {
            pass(BOUND * 3 / 4).await;
            ask().await.map(drop)
        };
        assert_eq!(prompts.within(BOUND, patient).await, Some(Ok(())));
        let slow_after = async {
            pass(BOUND * 3 / 4).await;
            let _ = ask().await;
            pass(BOUND / 2).await;
        };
        assert_eq!(prompts.within(BOUND, slow_after).await, None);
        assert_eq!(prompts.within(BOUND, pass(LONG)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_takes_its_prompt_with_it() {
        let (responder, connection) = (Slow(LONG, secret()), connection());
        let prompts = DialPrompts::default();
        let ends = async {
            pass(BOUND).await;
            connection.set_end(connection.lost("the line was cut"));
            connection.mark_closed();
        };
        let began = Instant::now();
        let asked = prompts.texts(Some(&responder), &connection, password());
        let (asked, ()) = tokio::join!(asked, ends);
        let text = asked.unwrap_err().to_string();
        assert!(
            text.contains("the line was cut") && text.contains("password"),
            "{text}"
        );
        assert_eq!(began.elapsed(), BOUND);
        assert!(!prompts.is_pending());
    }

    #[tokio::test]
    async fn with_nobody_there_it_is_said_how_to_be() {
        let prompts = DialPrompts::default();
        let asked = prompts.texts(None, &connection(), password()).await;
        let text = asked.unwrap_err().to_string();
        assert!(
            text.contains("password") && text.contains("me") && text.contains("host:22"),
            "{text}"
        );
        assert!(text.contains("broker-ctl auth-handler"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_another_shape_is_none() {
        let (prompts, connection) = (DialPrompts::default(), connection());
        for wrong in [Answer::Confirm(true), Answer::Texts(Vec::new())] {
            let responder = Slow(BOUND, wrong);
            let asked = prompts.texts(Some(&responder), &connection, password());
            assert!(matches!(asked.await, Err(PromptError::Unanswered { .. })));
        }
        let responder = Slow(BOUND, secret());
        let asked = prompts.confirm(Some(&responder), &connection, password());
        assert!(matches!(asked.await, Err(PromptError::Unanswered { .. })));
    }
}
