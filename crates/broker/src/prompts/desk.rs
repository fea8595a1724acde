//! The desk at which questions are left, and where those who answer them wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_ipc::methods::AnswerPrompt;
use broker_ipc::types::Prompt as PromptMessage;
use broker_ipc::{ErrorCode, RpcError};
use broker_ssh::{Answer, NoAnswer, Prompt, Responder};
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::wording;

/// How long a question waits for its answer. A server seldom waits longer for a login (sshd: 120 s).
const TIMEOUT: Duration = Duration::from_secs(120);

/// Questions at once: more than a person would look through, so that a fault cannot fill the memory.
const MAX_OPEN: usize = 64;

type Outcome = Result<Answer, NoAnswer>;

/// Knows who can answer, and what is being asked.
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Told of whatever changes what an attendant should show.
    changed: watch::Sender<()>,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    last_id: u64,
    /// Clients that answer, each with the one profile it does it for, or all.
    attendants: BTreeMap<u64, Option<String>>,
    open: BTreeMap<u64, Open>,
}

/// A question without an answer.
struct Open {
    profile: String,
    question: Prompt,
    /// The attendant it was brought to.
    attendant: u64,
    deadline: Instant,
    /// Dials that wait for it.
    dials: usize,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Desk {
    /// Nobody waits at it any more once `stop` is cancelled.
    pub(crate) fn new(stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            stop,
        })
    }

    /// What puts the questions of one profile's dials to this desk.
    pub(crate) fn responder(self: &Arc<Self>, profile: &str) -> Arc<dyn Responder> {
        Arc::new(Counter {
            desk: Arc::clone(self),
            profile: profile.to_owned(),
        })
    }

    /// A client has come, which answers nothing yet.
    pub(crate) fn arrived(self: &Arc<Self>) -> Attendant {
        Attendant {
            id: self.lock().new_id(),
            desk: Arc::clone(self),
        }
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// One that comes too late, or does not fit the question.
    pub(crate) fn answer(&self, given: AnswerPrompt) -> Result<(), RpcError> {
        let id = given.id;
        let mut state = self.lock();
        let open = state.open.get(&id).ok_or_else(|| {
            RpcError::not_found(format!(
                "prompt {id} is not open: it was answered, its time was over, or its connection has ended"
            ))
        })?;
        let outcome = wording::outcome(&open.question, given)?;
        state.settle(id, outcome);
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Leaves a question, or joins those who wait for the same one.
    fn join(&self, profile: &str, question: Prompt) -> Result<Ticket<'_>, NoAnswer> {
        let mut state = self.lock();
        let same = state.open.iter_mut().find(|(_, o)| o.question == question);
        let ticket = |id: u64, open: &Open| Ticket {
            desk: self,
            id,
            deadline: open.deadline,
            outcome: open.outcome.subscribe(),
        };
        if let Some((id, open)) = same {
            open.dials += 1;
            info!(profile, "joins prompt {id}: {}", open.question);
            return Ok(ticket(*id, open));
        }
        if state.open.len() >= MAX_OPEN {
            return Err(NoAnswer::TooMany);
        }
        let open = Open {
            attendant: state.attendant_for(profile).ok_or(NoAnswer::Nobody)?,
            profile: profile.to_owned(),
            question,
            deadline: Instant::now() + TIMEOUT,
            dials: 1,
            outcome: watch::Sender::new(None),
        };
        let id = state.new_id();
        info!(
            prompt = id,
            profile, "{} waits for an answer", open.question
        );
        let ticket = ticket(id, &open);
        state.open.insert(id, open);
        drop(state);
        self.changed.send_replace(());
        Ok(ticket)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each holder leaves it valid at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Whoever came last of those that answer for this profile, or else of those that answer for all.
    fn attendant_for(&self, profile: &str) -> Option<u64> {
        let suits = |scope: &Option<String>| scope.as_deref().is_none_or(|s| s == profile);
        let suitable = self.attendants.iter().filter(|(_, scope)| suits(scope));
        let best = suitable.max_by_key(|(id, scope)| (scope.is_some(), **id));
        best.map(|(id, _)| *id)
    }

    /// The oldest question brought to an attendant.
    fn first_for(&self, attendant: u64) -> Option<(u64, &Open)> {
        let mut open = self.open.iter();
        let found = open.find(|(_, open)| open.attendant == attendant);
        found.map(|(id, open)| (*id, open))
    }

    fn settle(&mut self, id: u64, outcome: Outcome) {
        if let Some(open) = self.open.remove(&id) {
            let how = outcome
                .as_ref()
                .err()
                .map_or("answered".into(), NoAnswer::to_string);
            info!(prompt = id, "{}: {how}", open.question);
            open.outcome.send_replace(Some(outcome));
        }
    }

    /// An attendant has left: its questions go to the next.
    fn detach(&mut self, attendant: u64) {
        if self.attendants.remove(&attendant).is_none() {
            return;
        }
        let asked = self
            .open
            .iter()
            .filter(|(_, open)| open.attendant == attendant);
        let asked: Vec<_> = asked
            .map(|(id, open)| (*id, self.attendant_for(&open.profile)))
            .collect();
        for (id, next) in asked {
            match (next, self.open.get_mut(&id)) {
                (Some(next), Some(open)) => open.attendant = next,
                (Some(_), None) => {}
                (None, _) => self.settle(id, Err(NoAnswer::Left)),
            }
        }
    }
}

/// A dial's claim to an answer; the question is withdrawn with the last one.
struct Ticket<'a> {
    desk: &'a Desk,
    id: u64,
    deadline: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Ticket<'_> {
    async fn outcome(&mut self) -> Outcome {
        let answered = self.outcome.wait_for(Option::is_some);
        match timeout_at(self.deadline, answered).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(NoAnswer::Left)),
            Ok(Err(_)) => Err(NoAnswer::Left),
            Err(_) => Err(NoAnswer::TimedOut),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.desk.lock();
        let Some(open) = state.open.get_mut(&self.id) else {
            return;
        };
        open.dials -= 1;
        if open.dials == 0 {
            info!(prompt = self.id, "{}: no longer asked", open.question);
            state.open.remove(&self.id);
            drop(state);
            self.desk.changed.send_replace(());
        }
    }
}

/// Where the dials of one profile ask.
#[derive(Debug)]
struct Counter {
    desk: Arc<Desk>,
    profile: String,
}

impl Responder for Counter {
    fn ask(&self, question: Prompt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.desk.join(&self.profile, question)?.outcome().await })
    }
}

/// A client of the local socket, which may answer questions until it is dropped.
#[derive(Debug)]
pub struct Attendant {
    desk: Arc<Desk>,
    id: u64,
}

impl Attendant {
    /// Answers from now on, for one profile or for all.
    pub(crate) fn attend(&self, profile: Option<String>) {
        self.desk.lock().attendants.insert(self.id, profile);
    }

    /// Waits until another prompt is to be shown than this one, or none any more.
    ///
    /// # Errors
    /// It does not attend to prompts, or the broker is stopping.
    pub(crate) async fn next(&self, shown: Option<u64>) -> Result<Option<PromptMessage>, RpcError> {
        let mut changed = self.desk.changed.subscribe();
        loop {
            let current = self.current()?;
            if current.as_ref().map(|prompt| prompt.id) != shown {
                return Ok(current);
            }
            let wait = self.desk.stop.run_until_cancelled(changed.changed());
            if wait.await.is_none() {
                let message = "the broker is stopping";
                return Err(RpcError::new(ErrorCode::ShuttingDown, message));
            }
        }
    }

    fn current(&self) -> Result<Option<PromptMessage>, RpcError> {
        let state = self.desk.lock();
        if !state.attendants.contains_key(&self.id) {
            let message = "this client takes on no prompts: say attend-prompts first";
            return Err(RpcError::invalid_params(message));
        }
        let first = state.first_for(self.id);
        Ok(first.map(|(id, open)| wording::prompt(id, &open.question, open.deadline)))
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.desk.lock().detach(self.id);
        self.desk.changed.send_replace(());
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
