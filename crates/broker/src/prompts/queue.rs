//! The queue of the prompts that have no answer yet, and the clients that answer them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
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
use crate::events::{Event, Events, PromptFacts};
use crate::sync::lock;

/// How long a prompt waits for its answer. Servers seldom wait longer for a login (sshd: 120 s).
const TIMEOUT: Duration = Duration::from_secs(120);

/// Prompts at once: more than a person would look through. The limit keeps a fault from filling the memory.
const MAX_PENDING: usize = 64;

/// Why a prompt has no answer that nobody needs any more.
const WITHDRAWN: &str = "the SSH connection that needed the answer has ended";

/// Which prompts are pending, and who can answer them.
pub(crate) struct PromptQueue {
    state: Mutex<State>,
    /// Notified of every change in what a responder should show.
    changed: watch::Sender<()>,
    events: Events,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    last_id: u64,
    /// The connected clients, each with the prompts that it accepts.
    responders: BTreeMap<u64, TakesOn>,
    pending: BTreeMap<u64, PendingPrompt>,
}

/// The prompts that a client accepts.
enum TakesOn {
    Nothing,
    Profile(String),
    Everything,
}

/// A prompt without an answer.
struct PendingPrompt {
    profile: String,
    prompt: Prompt,
    /// The responder that shows it.
    responder: u64,
    deadline: Instant,
    /// Connection attempts that wait for it.
    dials: usize,
    outcome: watch::Sender<Option<Result<Answer, NoAnswer>>>,
}

impl PendingPrompt {
    fn facts(&self, id: u64) -> PromptFacts {
        PromptFacts {
            profile: self.profile.clone(),
            prompt: Arc::new(wording::shown(id, &self.prompt, self.deadline)),
        }
    }
}

impl PromptQueue {
    /// Once `stop` is cancelled no client waits for prompts.
    pub(crate) fn new(events: Events, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            events,
            stop,
        })
    }

    /// Puts the prompts of one profile's connection attempts into this queue.
    pub(crate) fn responder(self: &Arc<Self>, profile: &str) -> Arc<dyn Responder> {
        Arc::new(ProfileResponder {
            queue: Arc::clone(self),
            profile: profile.to_owned(),
        })
    }

    /// Adds a client, which answers nothing yet.
    pub(crate) fn arrived(self: &Arc<Self>) -> ClientResponder {
        let mut state = self.lock();
        let id = state.new_id();
        state.responders.insert(id, TakesOn::Nothing);
        ClientResponder {
            id,
            queue: Arc::clone(self),
        }
    }

    /// Accepts an answer.
    ///
    /// # Errors
    /// If it comes too late, or does not fit the prompt.
    pub(crate) fn answer(&self, given: AnswerPrompt) -> Result<(), RpcError> {
        let id = given.id;
        let mut state = self.lock();
        let pending = state.pending.get(&id).ok_or_else(|| {
            RpcError::not_found(format!(
                "prompt {id} is not open: it was answered, it timed out, or its connection has ended"
            ))
        })?;
        let outcome = wording::outcome(&pending.prompt, given)?;
        self.settle(&mut state, id, outcome);
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    fn settle(&self, state: &mut State, id: u64, outcome: Result<Answer, NoAnswer>) {
        if let Some(pending) = state.pending.remove(&id) {
            let unanswered = outcome.as_ref().err().map(NoAnswer::to_string);
            let how = unanswered.as_deref().unwrap_or("answered");
            info!(prompt = id, "{}: {how}", pending.prompt);
            self.events.publish(Event::PromptAnswered {
                prompt: pending.facts(id),
                reason: unanswered,
            });
            pending.outcome.send_replace(Some(outcome));
        }
    }

    /// Adds a prompt, or joins the attempts that wait for an answer to the same one.
    fn join(&self, profile: &str, prompt: Prompt) -> Result<AwaitedAnswer<'_>, NoAnswer> {
        let mut state = self.lock();
        let same = state.pending.iter_mut().find(|(_, it)| it.prompt == prompt);
        let awaited = |id: u64, pending: &PendingPrompt| AwaitedAnswer {
            queue: self,
            id,
            deadline: pending.deadline,
            outcome: pending.outcome.subscribe(),
        };
        if let Some((id, pending)) = same {
            pending.dials += 1;
            info!(profile, "joins prompt {id}: {}", pending.prompt);
            return Ok(awaited(*id, pending));
        }
        if state.pending.len() >= MAX_PENDING {
            return Err(NoAnswer::TooMany);
        }
        let pending = PendingPrompt {
            responder: state.responder_for(profile).ok_or(NoAnswer::Nobody)?,
            profile: profile.to_owned(),
            prompt,
            deadline: Instant::now() + TIMEOUT,
            dials: 1,
            outcome: watch::Sender::new(None),
        };
        let id = state.new_id();
        info!(
            prompt = id,
            profile, "{} waits for an answer", pending.prompt
        );
        let awaited = awaited(id, &pending);
        self.events.publish(Event::PromptWaiting(pending.facts(id)));
        state.pending.insert(id, pending);
        drop(state);
        self.changed.send_replace(());
        Ok(awaited)
    }

    /// How many prompts wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().pending.len()
    }

    /// The prompts that wait for an answer, oldest first.
    pub(crate) fn pending(&self) -> Vec<PromptFacts> {
        let state = self.lock();
        let pending = state.pending.iter();
        pending.map(|(id, pending)| pending.facts(*id)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl fmt::Debug for PromptQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptQueue").finish_non_exhaustive()
    }
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The last client that came to answer for this profile; if none, the last that answers for all.
    fn responder_for(&self, profile: &str) -> Option<u64> {
        let rank = |takes_on: &TakesOn| match takes_on {
            TakesOn::Nothing => None,
            TakesOn::Everything => Some(0),
            TakesOn::Profile(own) => (own == profile).then_some(1),
        };
        let responders = self.responders.iter();
        let suitable = responders.filter_map(|(id, takes_on)| Some((rank(takes_on)?, *id)));
        suitable.max().map(|(_, id)| id)
    }

    /// The oldest prompt for a responder.
    fn first_for(&self, responder: u64) -> Option<(u64, &PendingPrompt)> {
        let mut pending = self.pending.iter();
        let found = pending.find(|(_, pending)| pending.responder == responder);
        found.map(|(id, pending)| (*id, pending))
    }

    /// Removes a responder: its prompts go to the next. Returns those for which there is none.
    fn detach(&mut self, responder: u64) -> Vec<u64> {
        if self.responders.remove(&responder).is_none() {
            return Vec::new();
        }
        let mut orphans = Vec::new();
        let asked = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.responder == responder);
        let asked: Vec<_> = asked
            .map(|(id, pending)| (*id, self.responder_for(&pending.profile)))
            .collect();
        for (id, next) in asked {
            match (next, self.pending.get_mut(&id)) {
                (Some(next), Some(pending)) => pending.responder = next,
                (Some(_), None) => {}
                (None, _) => orphans.push(id),
            }
        }
        orphans
    }
}

/// A connection attempt's claim to an answer; the last one withdraws the prompt.
struct AwaitedAnswer<'a> {
    queue: &'a PromptQueue,
    id: u64,
    deadline: Instant,
    outcome: watch::Receiver<Option<Result<Answer, NoAnswer>>>,
}

impl AwaitedAnswer<'_> {
    async fn outcome(&mut self) -> Result<Answer, NoAnswer> {
        let answered = self.outcome.wait_for(Option::is_some);
        match timeout_at(self.deadline, answered).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(NoAnswer::Left)),
            Ok(Err(_)) => Err(NoAnswer::Left),
            Err(_) => Err(NoAnswer::TimedOut),
        }
    }
}

impl Drop for AwaitedAnswer<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        let Some(pending) = state.pending.get_mut(&self.id) else {
            return;
        };
        pending.dials -= 1;
        if pending.dials == 0 {
            let (prompt, over) = (pending.facts(self.id), Instant::now() >= self.deadline);
            info!(prompt = self.id, "{}: withdrawn", pending.prompt);
            state.pending.remove(&self.id);
            self.queue.events.publish(Event::PromptAnswered {
                prompt,
                reason: Some(match over {
                    true => NoAnswer::TimedOut.to_string(),
                    false => WITHDRAWN.to_owned(),
                }),
            });
            drop(state);
            self.queue.changed.send_replace(());
        }
    }
}

/// Answers the connection attempts of one profile through the queue.
#[derive(Debug)]
struct ProfileResponder {
    queue: Arc<PromptQueue>,
    profile: String,
}

impl Responder for ProfileResponder {
    fn ask(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        Box::pin(async move { self.queue.join(&self.profile, prompt)?.outcome().await })
    }
}

/// A client of the local socket, which can answer prompts until it is dropped.
#[derive(Debug)]
pub(crate) struct ClientResponder {
    queue: Arc<PromptQueue>,
    id: u64,
}

impl ClientResponder {
    /// Answers prompts from now on, for one profile or for all, unless it has left.
    pub(crate) fn attend(&self, profile: Option<String>) {
        if let Some(takes_on) = self.queue.lock().responders.get_mut(&self.id) {
            *takes_on = profile.map_or(TakesOn::Everything, TakesOn::Profile);
        }
    }

    /// Stops answering: its prompts go to the next client, and its waits end.
    pub(crate) fn leave(&self) {
        let mut state = self.queue.lock();
        for orphan in state.detach(self.id) {
            self.queue.settle(&mut state, orphan, Err(NoAnswer::Left));
        }
        drop(state);
        self.queue.changed.send_replace(());
    }

    /// Waits until a prompt other than this one must be shown, or none.
    ///
    /// # Errors
    /// If it accepts no prompts, or if the broker is stopping.
    pub(crate) async fn next(&self, shown: Option<u64>) -> Result<Option<PromptMessage>, RpcError> {
        let mut changed = self.queue.changed.subscribe();
        loop {
            let current = self.current()?;
            if current.as_ref().map(|prompt| prompt.id) != shown {
                return Ok(current);
            }
            let wait = self.queue.stop.run_until_cancelled(changed.changed());
            if wait.await.is_none() {
                let message = "the broker is stopping";
                return Err(RpcError::new(ErrorCode::ShuttingDown, message));
            }
        }
    }

    fn current(&self) -> Result<Option<PromptMessage>, RpcError> {
        let state = self.queue.lock();
        if let None | Some(TakesOn::Nothing) = state.responders.get(&self.id) {
            let message = "this client accepts no prompts: call attend-prompts first";
            return Err(RpcError::invalid_params(message));
        }
        let first = state.first_for(self.id);
        Ok(first.map(|(id, pending)| wording::shown(id, &pending.prompt, pending.deadline)))
    }
}

impl Drop for ClientResponder {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
