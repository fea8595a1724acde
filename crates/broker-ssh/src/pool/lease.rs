//! The right to use a connection of the pool

use std::sync::Arc;

use crate::connect::{ChannelError, Connection};
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// Listeners of one connection whose ports were announced to clients; the transfer through each may buffer 8 MiB.
const MAX_PROMISES: usize = 64;

/// One use of a connection; dropping it returns the connection to the pool.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Arc<Connection>,
    kind: ConnectionKind,
}

impl Lease {
    /// A use for what connections of this kind carry, whatever the kind of this connection.
    pub(super) fn new(connection: &Arc<Connection>, kind: ConnectionKind) -> Self {
        connection.state.add_lease();
        Self {
            connection: Arc::clone(connection),
            kind,
        }
    }

    /// A further use of the same connection, for the same purpose.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.connection, self.kind)
    }

    /// What it is for. If a data connection would need a person, the control connection carries data.
    pub(crate) fn kind(&self) -> ConnectionKind {
        self.kind
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn state(&self) -> &Arc<ConnectionState> {
        &self.connection.state
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.state.return_lease();
    }
}

/// Keeps a connection open for a listener whose port was announced. It takes no place, since it carries nothing.
#[derive(Debug)]
pub(crate) struct Promise(Arc<Connection>);

impl Promise {
    /// # Errors
    /// `TooMany` if the connection has as many listeners as it may.
    pub(crate) fn new(connection: &Arc<Connection>) -> Result<Self, ChannelError> {
        let state = &connection.state;
        if state.promise_count() >= MAX_PROMISES {
            return Err(ChannelError::TooMany {
                server: state.server.clone(),
                limit: MAX_PROMISES,
            });
        }
        state.add_promise();
        Ok(Self(Arc::clone(connection)))
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }

    /// A place for the connection that has arrived.
    pub(crate) fn lease(&self) -> Lease {
        Lease::new(&self.0, ConnectionKind::Data)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.state.end_promise();
    }
}
