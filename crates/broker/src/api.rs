//! The local socket's requests: those about prompts go to the prompt queue, subscriptions to the stream of events, and all
//! others to the supervisor.

use std::sync::Arc;

use broker_ipc::methods::{AttendPrompts, Done, NextPrompt, Subscribe};
use broker_ipc::types::{CurrentPrompt, ReloadReport};
use broker_ipc::{ErrorCode, Handler, PromptRequest, Request, RpcError, Subscription};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::log_lines::LogLines;
use crate::metrics::{Metrics, with_process};
use crate::prompts::{ClientResponder, PromptQueue};
use crate::shutdown::Shutdown;
use crate::snapshots::Overview;
use crate::subscriptions::{self, Sources};
use crate::supervisor::{NewConfig, Supervisor, SupervisorRequest};

/// Passes requests on to whoever handles them.
#[derive(Debug, Clone)]
pub struct Api {
    supervisor: mpsc::Sender<SupervisorRequest>,
    prompts: Arc<PromptQueue>,
    sources: Sources,
    shutdown: Shutdown,
}

/// A client of the local socket.
pub struct ConnectedClient {
    /// Answers prompts.
    responder: ClientResponder,
    /// Cancelled when the client has left. Tunnels can be bound to that.
    gone: CancellationToken,
    /// A client keeps a daemon running that was started on demand.
    _uses: TaskTrackerToken,
}

impl Drop for ConnectedClient {
    /// A client whose connection broke in the middle of an answer has left as well.
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Api {
    /// Handles the local socket's requests for this supervisor, of a daemon with this log.
    pub fn of(supervisor: &Supervisor, log: LogLines) -> Self {
        Self {
            supervisor: supervisor.requests(),
            prompts: supervisor.prompts(),
            sources: Sources {
                events: supervisor.events(),
                registry: supervisor.registry(),
                log,
                supervisor: supervisor.requests(),
            },
            shutdown: supervisor.shutdown(),
        }
    }

    /// How the daemon is; `None` once the supervisor has ended. The answer comes from the supervisor's task, so it also
    /// shows that the supervisor is alive.
    pub async fn overview(&self) -> Option<Overview> {
        self.ask(SupervisorRequest::Overview).await
    }

    /// Applies a new configuration, or says why not. Sessions of a profile that is gone may run for this time.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub async fn reload(&self, asked: NewConfig) -> Result<ReloadReport, RpcError> {
        let (answer, answered) = oneshot::channel();
        let asked = SupervisorRequest::Reload(Box::new(asked), answer);
        self.supervisor.send(asked).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    /// The metrics; `None` once the supervisor has ended.
    pub async fn metrics(&self) -> Option<Metrics> {
        let metrics = self.ask(SupervisorRequest::Metrics).await?;
        with_process(metrics).await
    }

    /// Why the daemon is not ready, a line for each reason; empty if it is. `None` once the supervisor has ended.
    pub async fn not_ready(&self) -> Option<Vec<String>> {
        let mut reasons = self.ask(SupervisorRequest::NotListening).await?;
        if self.shutdown.leave.is_cancelled() {
            reasons.insert(0, "the daemon is stopping".to_owned());
        }
        Some(reasons)
    }

    /// Notes that a reload has failed before the supervisor could apply it.
    pub async fn reload_failed(&self) {
        // A daemon that ends has no use for it.
        let _ = self.supervisor.send(SupervisorRequest::ReloadFailed).await;
    }

    /// The answer of the supervisor; `None` once it has ended.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> SupervisorRequest,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.supervisor.send(request(answer)).await.ok()?;
        answered.await.ok()
    }

    async fn attend(
        &self,
        client: &ClientResponder,
        asked: AttendPrompts,
    ) -> Result<Done, RpcError> {
        let profile = self.profile_of(asked.target, SupervisorRequest::ProfileOf);
        client.attend(profile.await?);
        Ok(Done {})
    }

    /// The id of the profile that a target names, if one is given.
    async fn profile_of(
        &self,
        target: Option<String>,
        request: fn(String, oneshot::Sender<Result<String, RpcError>>) -> SupervisorRequest,
    ) -> Result<Option<String>, RpcError> {
        let Some(target) = target else {
            return Ok(None);
        };
        let profile = self.ask(|answer| request(target, answer)).await;
        profile.ok_or_else(stopping)?.map(Some)
    }
}

fn stopping() -> RpcError {
    RpcError::new(ErrorCode::ShuttingDown, "the broker is stopping")
}

impl Handler for Api {
    type Client = ConnectedClient;

    fn arrived(&self) -> ConnectedClient {
        ConnectedClient {
            responder: self.prompts.arrived(),
            gone: CancellationToken::new(),
            _uses: self.shutdown.using(),
        }
    }

    fn left(&self, client: &ConnectedClient) {
        client.responder.leave();
        client.gone.cancel();
    }

    async fn request(&self, client: &ConnectedClient, request: Request) {
        let request = SupervisorRequest::OfClient(request, client.gone.clone());
        // If the supervisor has gone, its dropped reply tells the client.
        let _ = self.supervisor.send(request).await;
    }

    async fn prompt_request(&self, client: &ConnectedClient, request: PromptRequest) {
        let client = &client.responder;
        match request {
            PromptRequest::AttendPrompts(asked, reply) => {
                reply.send(self.attend(client, asked).await);
            }
            PromptRequest::NextPrompt(NextPrompt { shown }, reply) => {
                let prompt = client.next(shown).await;
                reply.send(prompt.map(|prompt| CurrentPrompt { prompt }));
            }
            PromptRequest::AnswerPrompt(given, reply) => {
                reply.send(self.prompts.answer(given).map(|()| Done {}));
            }
        }
    }

    async fn subscribe(&self, mut asked: Subscribe) -> Result<Subscription, RpcError> {
        let named = asked.profile.take();
        let profile = self.profile_of(named, SupervisorRequest::WatchedProfile);
        let profile = profile.await?;
        let sources = self.sources.clone();
        let (answer, events) = subscriptions::subscribe(sources, asked, profile).await?;
        Ok((answer, events.boxed()))
    }
}
