//! The conversation of one command with the daemon.

use std::fmt;
use std::path::PathBuf;

use broker_ipc::{Client, ClientError, Method, Patience};

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

/// Where the daemon is, and how long it may take.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) socket: PathBuf,
    pub(crate) patience: Patience,
}

impl Door {
    /// One more connection to the daemon.
    pub(crate) async fn open(&self) -> Result<Client, ClientError> {
        Client::connect(&self.socket, self.patience).await
    }
}

/// Connects when the first request is made: what needs no daemon, and what makes no sense, gets by without one.
pub(crate) struct Session<'a> {
    door: Door,
    output: &'a Output,
    client: Option<Client>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(door: Door, output: &'a Output) -> Self {
        Self {
            door,
            output,
            client: None,
        }
    }

    pub(crate) fn output(&self) -> &'a Output {
        self.output
    }

    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Sends one request.
    pub(crate) async fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, ClientError> {
        self.client().await?.call(request).await
    }

    /// Sends one request whose answer may have to wait for a server or a person.
    pub(crate) async fn work<M: Method>(&mut self, request: &M) -> Result<M::Reply, ClientError> {
        self.client().await?.work(request).await
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
        let client = self.door.open().await?;
        let daemon = client.server();
        self.output.note(format_args!(
            "brokerd {} (process {}) on {}",
            daemon.build,
            daemon.pid,
            self.door.socket.display()
        ));
        Ok(client)
    }
}
