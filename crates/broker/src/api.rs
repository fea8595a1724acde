//! The local socket's requests: those about prompts go to the prompt desk, all others to the supervisor.

use std::sync::Arc;

use broker_ipc::methods::{AttendPrompts, Done};
use broker_ipc::types::CurrentPrompt;
use broker_ipc::{ErrorCode, Handler, Request, Response, RpcError};
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

    async fn attend(&self, client: &Attendant, asked: AttendPrompts) -> Result<Response, RpcError> {
        let profile = match asked.target {
            Some(target) => Some(self.ask(|answer| Asked::ProfileOf(target, answer)).await?),
            None => None,
        };
        client.attend(profile);
        Ok(Response::AttendPrompts(Done {}))
    }

    /// Asks the supervisor for something.
    async fn ask<T>(
        &self,
        asked: impl FnOnce(oneshot::Sender<Result<T, RpcError>>) -> Asked,
    ) -> Result<T, RpcError> {
        let gone = || RpcError::new(ErrorCode::ShuttingDown, "the broker is stopping");
        let (answer, answered) = oneshot::channel();
        let sent = self.supervisor.send(asked(answer)).await;
        sent.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Handler for Api {
    type Client = Attendant;

    fn arrived(&self) -> Attendant {
        self.desk.arrived()
    }

    async fn call(&self, client: &Attendant, request: Request) -> Result<Response, RpcError> {
        match request {
            Request::AttendPrompts(asked) => self.attend(client, asked).await,
            Request::NextPrompt(asked) => {
                let prompt = client.next(asked.shown).await?;
                Ok(Response::NextPrompt(CurrentPrompt { prompt }))
            }
            Request::AnswerPrompt(given) => {
                self.desk.answer(given)?;
                Ok(Response::AnswerPrompt(Done {}))
            }
            request @ (Request::Status(_)
            | Request::Stop(_)
            | Request::Reload(_)
            | Request::ListProfiles(_)
            | Request::ListConnections(_)
            | Request::ConnectionStatus(_)
            | Request::CloseConnection(_)
            | Request::ListChannels(_)
            | Request::CloseChannel(_)
            | Request::ListTunnelListeners(_)
            | Request::OpenTunnelListener(_)
            | Request::CloseTunnelListener(_)
            | Request::ProbeKey(_)
            | Request::TrustHost(_)) => self.ask(|answer| Asked::Request(request, answer)).await,
        }
    }
}
