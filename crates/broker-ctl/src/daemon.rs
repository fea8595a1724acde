//! The connection of one command to the daemon.

use std::path::PathBuf;
use std::time::Duration;

use broker_ipc::types::Event;
use broker_ipc::{Client, ClientError, Method, Patience, Reason};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::output::Output;
use crate::start::{self, Starting};

/// How often to connect to a daemon that ends the connection before it has answered. More than one daemon in a row has no
/// reason to do so.
const ATTEMPTS: usize = 3;

/// How often to look for a daemon that does not run yet: quick enough for a script and a person, and little work.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What has become of several requests.
#[derive(Debug, Default)]
pub(crate) struct Called {
    /// The ids of those that were carried out.
    pub(crate) done: Vec<u64>,
    /// Why the last of the others failed.
    pub(crate) failed: Option<Reason>,
}

/// Connects at the first request, so commands that need no daemon, or are invalid, work without one.
pub(crate) struct Daemon<'a> {
    socket: PathBuf,
    patience: Patience,
    output: &'a Output,
    /// How to start a daemon where none runs, if the command may.
    starting: Option<Starting>,
    client: OnceCell<Client>,
}

impl<'a> Daemon<'a> {
    pub(crate) fn new(
        socket: PathBuf,
        patience: Patience,
        output: &'a Output,
        starting: Option<Starting>,
    ) -> Self {
        Self {
            socket,
            patience,
            output,
            starting,
            client: OnceCell::new(),
        }
    }

    /// Another connection to the daemon on the same socket. It starts none.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.socket.clone(), self.patience, self.output, None)
    }

    /// The same with a time at which the last request must have its answer.
    pub(crate) fn until(&self, until: Instant) -> Self {
        let patience = Patience {
            until: Some(until),
            ..self.patience
        };
        Self::new(self.socket.clone(), patience, self.output, None)
    }

    /// Tries to use the daemon, with another connection each time, until that succeeds. `failed` learns why it did not, and
    /// gives up with an error.
    pub(crate) async fn look<T, E>(
        &self,
        mut attempt: impl AsyncFnMut(Self) -> Result<T, ClientError>,
        mut failed: impl AsyncFnMut(ClientError) -> Result<(), E>,
    ) -> Result<T, E> {
        loop {
            match attempt(self.another()).await {
                Ok(found) => return Ok(found),
                Err(error) => failed(error).await?,
            }
            sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) fn output(&self) -> &'a Output {
        self.output
    }

    /// Which user runs the daemon, if the command has sent a request and the system tells.
    pub(crate) fn server_uid(&self) -> Option<u32> {
        self.client.get()?.server_uid()
    }

    /// Sends one request.
    pub(crate) async fn call<M: Method>(&self, request: &M) -> Result<M::Reply, ClientError> {
        self.client().await?.call(request).await
    }

    /// Sends one request whose answer may have to wait for a server or a person.
    pub(crate) async fn work<M: Method>(&self, request: &M) -> Result<M::Reply, ClientError> {
        self.client().await?.work(request).await
    }

    /// Sends one request whose answer may take any time.
    pub(crate) async fn wait<M: Method>(&self, request: &M) -> Result<M::Reply, ClientError> {
        self.client().await?.wait(request).await
    }

    /// The next event of a subscription; `None` once the daemon has ended the connection.
    pub(crate) async fn next_event(&self) -> Result<Option<Event>, ClientError> {
        Ok(self.client().await?.next_event().await)
    }

    /// Sends one request for each id. Prints a failure at once, and continues with the others.
    pub(crate) async fn call_each<M: Method>(
        &self,
        ids: impl Iterator<Item = u64>,
        request: impl Fn(u64) -> M,
    ) -> Result<Called, ClientError> {
        let mut called = Called::default();
        for id in ids {
            match self.call(&request(id)).await {
                Ok(_) => called.done.push(id),
                Err(ClientError::Failed(refusal)) => {
                    called.failed = Some(refusal.reason());
                    self.output.refusal(&refusal, refusal.to_string());
                }
                Err(lost) => return Err(lost),
            }
        }
        Ok(called)
    }

    /// Waits until the daemon has ended. Returns at once if the command sent no request.
    pub(crate) async fn closed(&self) {
        if let Some(client) = self.client.get() {
            client.closed().await;
        }
    }

    async fn client(&self) -> Result<&Client, ClientError> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    /// Connects to the daemon that runs. One that hands its socket over to another, as in an upgrade, ends connections that
    /// it has not answered. Nothing has been asked on them, so that a new one harms nothing.
    async fn reach(&self) -> Result<Client, ClientError> {
        for _ in 1..ATTEMPTS {
            match Client::connect(&self.socket, self.patience).await {
                Err(ClientError::Vanished { .. }) => {}
                connected => return connected,
            }
        }
        Client::connect(&self.socket, self.patience).await
    }

    async fn connect(&self) -> Result<Client, ClientError> {
        let connected = self.reach().await;
        let client = match (connected, &self.starting) {
            (Err(ClientError::NotRunning { .. }), Some(starting)) => {
                start::connect(starting, &self.socket, self.patience, self.output).await?
            }
            (connected, _) => connected?,
        };
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
