//! The local socket's requests: those about prompts go to the prompt desk, all others to the supervisor.

use std::sync::Arc;

use broker_ipc::methods::{AttendPrompts, Done, NextPrompt};
use broker_ipc::types::CurrentPrompt;
use broker_ipc::{ErrorCode, Handler, PromptRequest, Request, RpcError};
use tokio::sync::{mpsc, oneshot};

use crate::prompts::{Attendant, Desk};
use crate::supervisor::Asked;

/// Passes requests on to those who carry them out.
#[derive(Debug, Clone)]
pub struct Api {
    supervisor: mpsc::Sender<Asked>,
    desk: Arc<Desk>,
}

impl Api {
    pub(crate) fn new(supervisor: mpsc::Sender<Asked>, desk: Arc<Desk>) -> Self {
        Self { supervisor, desk }
    }

    async fn attend(&self, client: &Attendant, asked: AttendPrompts) -> Result<Done, RpcError> {
        let profile = match asked.target {
            Some(target) => Some(self.profile_of(target).await?),
            None => None,
        };
        client.attend(profile);
        Ok(Done {})
    }

    /// The id of the profile that a target names.
    async fn profile_of(&self, target: String) -> Result<String, RpcError> {
        let gone = || RpcError::new(ErrorCode::ShuttingDown, "the broker is stopping");
        let (answer, answered) = oneshot::channel();
        let sent = self.supervisor.send(Asked::ProfileOf(target, answer));
        sent.await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Handler for Api {
    type Client = Attendant;

    fn arrived(&self) -> Attendant {
        self.desk.arrived()
    }

    async fn request(&self, request: Request) {
        // Where the supervisor has gone, the client is told as its reply is dropped.
        let _ = self.supervisor.send(Asked::Request(request)).await;
    }

    async fn prompt_request(&self, client: &Attendant, request: PromptRequest) {
        match request {
            PromptRequest::AttendPrompts(asked, reply) => {
                reply.send(self.attend(client, asked).await);
            }
            PromptRequest::NextPrompt(NextPrompt { shown }, reply) => {
                let prompt = client.next(shown).await;
                reply.send(prompt.map(|prompt| CurrentPrompt { prompt }));
            }
            PromptRequest::AnswerPrompt(given, reply) => {
                reply.send(self.desk.answer(given).map(|()| Done {}));
            }
        }
    }
}
