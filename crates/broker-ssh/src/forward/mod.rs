//! Remote forwards: the SSH server listens, and each connection it accepts comes back as a channel (RFC 4254 section 7)

mod listen_request;
mod listener;
mod open;
mod spare;
mod tunnel;

use std::sync::{Arc, Weak};

use russh::ChannelOpenFailure;
use russh::client::{ChannelOpenHandle, Msg};

use crate::channel::Channel;
use crate::connect::{Arrival, ChannelError, Originator};
use crate::pool::{Lease, Promise};
use crate::state::CutReason;
use listen_request::ListenRequest;
use listener::ForwardListener;
pub use spare::Forwards;
pub use tunnel::TunnelForward;

/// A listener on the SSH server. It keeps its connection open, but takes no place on it until somebody connects. Dropping
/// it makes the server stop listening; accepted channels continue.
#[derive(Debug)]
pub struct RemoteForward {
    listener: ForwardListener,
    promise: Promise,
    /// The address that the caller asked for, however it was written to the server.
    address: String,
    /// The place of the last connection.
    last: Weak<Lease>,
}

/// A connection to a remote forward that waits to be accepted. Dropping it rejects it.
pub struct ForwardedConnection {
    /// Who connected.
    pub originator: Originator,
    channel: russh::Channel<Msg>,
    reply: ChannelOpenHandle,
    lease: Arc<Lease>,
}

impl RemoteForward {
    /// Asks the server to listen. The lease is only for the request.
    async fn listen(request: ListenRequest, lease: Lease) -> Result<Self, ChannelError> {
        let promise = Promise::new(lease.connection())?;
        let listener = ForwardListener::open(request, Arc::clone(lease.connection())).await?;
        Ok(Self::new(listener, promise))
    }

    fn new(listener: ForwardListener, promise: Promise) -> Self {
        Self {
            address: listener.request.bind.clone(),
            listener,
            promise,
            last: Weak::new(),
        }
    }

    /// The port on which the server listens.
    pub fn port(&self) -> u16 {
        self.listener.port
    }

    /// The address that the caller asked for.
    pub fn bind_address(&self) -> &str {
        &self.address
    }

    /// The same with the address that the caller asked for.
    fn with_address(self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            ..self
        }
    }

    /// Number of the connection that carries it.
    pub fn connection(&self) -> u64 {
        self.promise.connection().state.id
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The reason, if the SSH connection ends in the meantime.
    pub async fn accept(&mut self) -> Result<ForwardedConnection, CutReason> {
        let Arrival {
            channel,
            reply,
            originator,
        } = self.listener.arrival().await?;
        let lease = Arc::new(self.promise.lease());
        self.last = Arc::downgrade(&lease);
        Ok(ForwardedConnection {
            originator,
            channel,
            reply,
            lease,
        })
    }

    /// Makes the server stop listening, and waits until it has.
    pub async fn cancel(self) {
        self.listener.stop().await;
    }
}

impl ForwardedConnection {
    /// Accepts the connection.
    pub async fn accept(self) -> Channel {
        let peer = format!("{} port {}", self.originator.host, self.originator.port);
        self.reply.accept().await;
        Channel::start(self.channel, peer, None, self.lease)
    }

    /// Refuses the connection: the server closes it.
    pub async fn reject(self) {
        self.reply
            .reject(ChannelOpenFailure::AdministrativelyProhibited)
            .await;
    }
}

impl std::fmt::Debug for ForwardedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardedConnection")
            .field("originator", &self.originator)
            .finish_non_exhaustive()
    }
}
