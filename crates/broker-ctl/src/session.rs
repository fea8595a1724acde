//! The conversation of one command with the daemon.

use std::fmt;
use std::path::{Path, PathBuf};

use broker_ipc::{Client, ClientError, Method};

use crate::output::Output;

/// Something failed, and the user has been told already.
#[derive(Debug)]
pub(crate) struct Reported;

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something failed, as said above")
    }
}

impl std::error::Error for Reported {}

/// Connects when the first request is made: what needs no daemon, and what makes no sense, gets by without one.
pub(crate) struct Session<'a> {
    socket: PathBuf,
    output: &'a Output,
    client: Option<Client>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(socket: PathBuf, output: &'a Output) -> Self {
        Self {
            socket,
            output,
            client: None,
        }
    }

    pub(crate) fn output(&self) -> &'a Output {
        self.output
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends one request.
    pub(crate) async fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, ClientError> {
        self.client().await?.call(request).await
    }

    /// Sends one request whose answer may have to wait for a person.
    pub(crate) async fn wait<M: Method>(&mut self, request: &M) -> Result<M::Reply, ClientError> {
        self.client().await?.wait(request).await
    }

    async fn client(&mut self) -> Result<&mut Client, ClientError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        Ok(self.client.insert(client))
    }

    /// Sends one request for each thing named. A failure is told at once and spares the others nothing.
    pub(crate) async fn call_each<M: Method>(
        &mut self,
        requests: impl Iterator<Item = M>,
    ) -> anyhow::Result<()> {
        let mut failed = false;
        for request in requests {
            match self.call(&request).await {
                Ok(_) => {}
                Err(ClientError::Failed(refusal)) => {
                    self.output.error(refusal);
                    failed = true;
                }
                Err(lost) => return Err(lost.into()),
            }
        }
        if failed { Err(Reported.into()) } else { Ok(()) }
    }

    /// Waits until the daemon has ended; returns at once where none was asked anything.
    pub(crate) async fn closed(self) {
        if let Some(client) = self.client {
            client.closed().await;
        }
    }

    async fn connect(&self) -> Result<Client, ClientError> {
        let client = Client::connect(&self.socket).await?;
        let daemon = client.server();
        self.output.note(format_args!(
            "brokerd {} (process {}) on {}",
            daemon.build,
            daemon.pid,
            self.socket.display()
        ));
        Ok(client)
    }
}
