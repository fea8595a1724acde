//! Remote forwards: the SSH server listens, and each connection it accepts comes back as a channel (RFC 4254 section 7)

use std::sync::Arc;
use std::time::Duration;

use russh::ChannelOpenFailure;
use russh::client::{ChannelOpenHandle, Msg};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::channel::Channel;
use crate::error::{CutReason, OpenError};
use crate::pool::Lease;

/// How long the server may take to answer a request to listen or to stop.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections waiting to be accepted. An active transfer has one; a few more are refused rather than kept.
const MAX_ARRIVALS: usize = 4;

/// A listener on the SSH server. It holds its connection until it and the channels it gave are gone. Dropping it makes
/// the server stop listening; channels already accepted go on.
#[derive(Debug)]
pub struct RemoteForward {
    bind: String,
    port: u16,
    arrivals: mpsc::Receiver<Arrival>,
    lease: Arc<Lease>,
    listening: bool,
}

/// Who connected to a remote forward, as the SSH server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Originator {
    /// Address, as the server wrote it.
    pub host: String,
    /// Port; 0 where the server sent none that is valid.
    pub port: u16,
}

impl Originator {
    pub(crate) fn new(host: &str, port: u32) -> Self {
        Self {
            host: host.to_owned(),
            port: u16::try_from(port).unwrap_or(0),
        }
    }
}

/// A connection to a remote forward that waits to be accepted. Dropping it rejects it.
pub struct Incoming {
    /// Who connected.
    pub originator: Originator,
    channel: russh::Channel<Msg>,
    reply: ChannelOpenHandle,
    lease: Arc<Lease>,
}

/// What the session's handler hands over.
pub(crate) struct Arrival {
    pub(crate) channel: russh::Channel<Msg>,
    pub(crate) reply: ChannelOpenHandle,
    pub(crate) originator: Originator,
}

impl RemoteForward {
    /// Asks the server to listen on `bind` with a port of its choice.
    pub(crate) async fn listen(bind: String, lease: Arc<Lease>) -> Result<Self, OpenError> {
        let link = Arc::clone(lease.link());
        let refused = || OpenError::ForwardRefused {
            server: link.server.clone(),
            bind: bind.clone(),
        };
        let asked = tokio::select! {
            asked = timeout(FORWARD_TIMEOUT, lease.session().tcpip_forward(bind.clone(), 0)) => asked,
            () = link.closed.cancelled() => return Err(lost(&lease)),
        };
        let port = match asked {
            Ok(Ok(port)) => port,
            Ok(Err(russh::Error::RequestDenied)) => return Err(refused()),
            Ok(Err(_)) => return Err(lost(&lease)),
            Err(_) => {
                // A late answer would leave a listener that nobody knows of, so the connection ends with its lease.
                link.retire();
                let what = format!("the request to listen on {bind} at {}", link.server);
                return Err(OpenError::Timeout {
                    what,
                    after: FORWARD_TIMEOUT,
                });
            }
        };
        let (sender, arrivals) = mpsc::channel(MAX_ARRIVALS);
        let number = u16::try_from(port)
            .ok()
            .filter(|number| *number != 0)
            .ok_or_else(refused)?;
        let listening = link.add_forward(port, sender);
        let forward = Self {
            bind: bind.clone(),
            port: number,
            arrivals,
            lease,
            listening,
        };
        if listening {
            Ok(forward)
        } else {
            Err(refused())
        }
    }

    /// The port on which the server listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address that was asked for.
    pub fn bind_address(&self) -> &str {
        &self.bind
    }

    /// Number of the connection that carries it.
    pub fn connection(&self) -> u64 {
        self.lease.link().id
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The reason, where the SSH connection ends meanwhile.
    pub async fn accept(&mut self) -> Result<Incoming, CutReason> {
        let arrival = self.arrivals.recv().await;
        let Arrival {
            channel,
            reply,
            originator,
        } = arrival.ok_or_else(|| self.ended())?;
        Ok(Incoming {
            originator,
            channel,
            reply,
            lease: Arc::clone(&self.lease),
        })
    }

    /// Makes the server stop listening, and waits until it has.
    pub async fn cancel(mut self) {
        self.listening = false;
        stop(&self.lease, &self.bind, self.port).await;
    }

    fn ended(&self) -> CutReason {
        let link = self.lease.link();
        if link.is_closed() {
            link.end()
        } else {
            CutReason::ForwardEnded
        }
    }
}

impl Drop for RemoteForward {
    fn drop(&mut self) {
        if std::mem::take(&mut self.listening) {
            let (lease, bind, port) = (
                Arc::clone(&self.lease),
                std::mem::take(&mut self.bind),
                self.port,
            );
            self.lease
                .tracker()
                .spawn(async move { stop(&lease, &bind, port).await });
        }
    }
}

/// Takes the listener out of the table and off the server. Where the server does not answer, the connection is not used
/// again, and its end ends the listener.
async fn stop(lease: &Lease, bind: &str, port: u16) {
    let link = lease.link();
    link.remove_forward(u32::from(port));
    let cancelled = tokio::select! {
        answer = timeout(FORWARD_TIMEOUT, lease.session().cancel_tcpip_forward(bind, u32::from(port))) => answer.is_ok(),
        () = link.closed.cancelled() => true,
    };
    if !cancelled {
        link.retire();
    }
}

fn lost(lease: &Lease) -> OpenError {
    let link = lease.link();
    OpenError::Lost {
        server: link.server.clone(),
        reason: link.end(),
    }
}

impl Incoming {
    /// Accepts the connection.
    pub async fn accept(self) -> Channel {
        let peer = format!("{} port {}", self.originator.host, self.originator.port);
        self.reply.accept().await;
        Channel::start(self.channel, peer, self.lease)
    }

    /// Refuses the connection: the server closes it.
    pub async fn reject(self) {
        self.reply
            .reject(ChannelOpenFailure::AdministrativelyProhibited)
            .await;
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("originator", &self.originator)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival")
            .field("originator", &self.originator)
            .finish_non_exhaustive()
    }
}
