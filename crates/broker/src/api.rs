//! The local socket's requests, handed to the supervisor one by one.

use broker_ipc::{ErrorCode, Handler, Request, Response, RpcError};
use tokio::sync::{mpsc, oneshot};

use crate::supervisor::Asked;

/// Passes requests on to the supervisor.
#[derive(Debug, Clone)]
pub struct Api {
    supervisor: mpsc::Sender<Asked>,
}

impl Api {
    pub(crate) fn new(supervisor: mpsc::Sender<Asked>) -> Self {
        Self { supervisor }
    }
}

impl Handler for Api {
    async fn call(&self, request: Request) -> Result<Response, RpcError> {
        let gone = || RpcError::new(ErrorCode::ShuttingDown, "the broker is stopping");
        let (answer, answered) = oneshot::channel();
        let asked = self.supervisor.send((request, answer)).await;
        asked.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
