//! A listener on the SSH server, opened and closed by global requests (RFC 4254 section 7.1)

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ListenRequest;
use crate::connect::{Arrival, ChannelError, Connection, RequestReply};
use crate::state::CutReason;

/// How long the server may take to answer a request to listen or to stop.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections waiting to be accepted. An active transfer has one; a few more are refused rather than kept.
const MAX_ARRIVALS: usize = 4;

/// A listener on the SSH server. It ends with its connection, and dropping it makes the server stop listening.
#[derive(Debug)]
pub(super) struct ForwardListener {
    pub(super) connection: Arc<Connection>,
    pub(super) request: ListenRequest,
    pub(super) port: u16,
    arrivals: mpsc::Receiver<Arrival>,
    listening: bool,
    /// Whether another forward may have it, if the server does not end it.
    reusable: bool,
}

impl ForwardListener {
    /// Asks the server to listen, unless it still does from before. Must not be abandoned: a late answer would leave a
    /// listener that nobody knows of.
    pub(super) async fn open(
        request: ListenRequest,
        connection: Arc<Connection>,
    ) -> Result<Self, ChannelError> {
        let port = match connection
            .listeners
            .leftovers
            .take(&request.bind, |port| request.allows(port))
        {
            Some(port) => port,
            None => ask(&request, &connection).await?,
        };
        let mut listener = Self::register(request, connection, port, MAX_ARRIVALS)?;
        listener.reusable = true;
        Ok(listener)
    }

    /// The same for a listener whose port has clients of its own: no other forward may ever have it. Up to `most`
    /// connections wait to be accepted.
    pub(super) async fn open_alone(
        request: ListenRequest,
        connection: Arc<Connection>,
        most: usize,
    ) -> Result<Self, ChannelError> {
        let port = ask(&request, &connection).await?;
        Self::register(request, connection, port, most)
    }

    fn register(
        request: ListenRequest,
        connection: Arc<Connection>,
        port: u16,
        most: usize,
    ) -> Result<Self, ChannelError> {
        let (sender, arrivals) = mpsc::channel(most);
        let listening = connection.listeners.add(u32::from(port), sender);
        let listener = Self {
            connection,
            request,
            port,
            arrivals,
            listening,
            reusable: false,
        };
        if listening {
            Ok(listener)
        } else {
            Err(refused(&listener.request, &listener.connection))
        }
    }

    /// Waits for the next connection; dropping it rejects it.
    pub(super) async fn arrival(&mut self) -> Result<Arrival, CutReason> {
        self.arrivals.recv().await.ok_or_else(|| self.ended())
    }

    /// Whether it still listens, and nobody has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.arrivals.is_empty() && !self.arrivals.is_closed()
    }

    /// Makes the server stop listening, and waits until it has.
    pub(super) async fn stop(mut self) {
        self.listening = false;
        stop(
            &self.connection,
            &self.request.bind,
            self.port,
            self.reusable,
        )
        .await;
    }

    fn ended(&self) -> CutReason {
        let state = &self.connection.state;
        if state.is_closed() {
            state.end()
        } else {
            CutReason::ForwardEnded
        }
    }
}

impl Drop for ForwardListener {
    fn drop(&mut self) {
        if std::mem::take(&mut self.listening) {
            let connection = Arc::clone(&self.connection);
            let (bind, port) = (std::mem::take(&mut self.request.bind), self.port);
            let reusable = self.reusable;
            self.connection
                .tracker
                .spawn(async move { stop(&connection, &bind, port, reusable).await });
        }
    }
}

/// The port on which the server listens: the first one that it does not refuse.
async fn ask(request: &ListenRequest, connection: &Connection) -> Result<u16, ChannelError> {
    for port in request.tries() {
        if let Some(granted) = ask_for(&request.bind, port, connection).await? {
            connection.listeners.note_granted(&request.bind);
            return Ok(granted);
        }
    }
    Err(refused(request, connection))
}

/// Requests one port; `None`: the server refuses.
async fn ask_for(
    bind: &str,
    port: u16,
    connection: &Connection,
) -> Result<Option<u16>, ChannelError> {
    let state = &connection.state;
    let request = async { connection.requests.listen(bind, port).await.await };
    match timeout(FORWARD_TIMEOUT, request).await {
        Ok(Some(RequestReply::Granted(_))) if port != 0 => Ok(Some(port)),
        Ok(Some(RequestReply::Granted(told))) => Ok(chosen_port(&told)),
        Ok(Some(RequestReply::Refused)) => Ok(None),
        Ok(None) => Err(lost(connection)),
        Err(_) => {
            // A late answer would leave a listener that nobody knows of, so the connection ends with its leases.
            state.retire();
            Err(ChannelError::Late {
                what: format!("the request to listen on {bind} at {}", state.server),
                after: FORWARD_TIMEOUT,
            })
        }
    }
}

/// Removes the listener from the table and from the server. If the server refuses, it keeps listening, so the broker
/// keeps a reusable listener for later. If it keeps none, or the server does not answer, the connection is not used
/// again, and the listener ends with it.
async fn stop(connection: &Connection, bind: &str, port: u16, reusable: bool) {
    let state = &connection.state;
    connection.listeners.remove(u32::from(port));
    let request = async { connection.requests.cancel(bind, port).await.await };
    let stopped = match timeout(FORWARD_TIMEOUT, request).await {
        Ok(Some(RequestReply::Refused)) => {
            reusable && connection.listeners.leftovers.keep(bind, port)
        }
        Ok(Some(RequestReply::Granted(_)) | None) => true,
        Err(_) => false,
    };
    if !stopped {
        state.retire();
    }
}

/// The chosen port in the answer to a request with port 0 (RFC 4254 section 7.1).
fn chosen_port(told: &[u8]) -> Option<u16> {
    let told: [u8; 4] = told.try_into().ok()?;
    let port = u16::try_from(u32::from_be_bytes(told)).ok()?;
    (port != 0).then_some(port)
}

fn refused(request: &ListenRequest, connection: &Connection) -> ChannelError {
    ChannelError::ForwardRefused {
        server: connection.state.server.clone(),
        bind: request.to_string(),
    }
}

fn lost(connection: &Connection) -> ChannelError {
    let state = &connection.state;
    ChannelError::Lost {
        server: state.server.clone(),
        reason: state.end(),
    }
}
