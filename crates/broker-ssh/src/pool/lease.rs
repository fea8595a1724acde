//! The right to use a connection of the pool

use std::sync::Arc;

use crate::connect::{ChannelError, Connection};
use crate::state::ConnectionState;
use crate::state::info::ConnectionKind;

/// Listeners of one connection whose ports clients were told; what comes in by each may hold 8 MiB.
const MAX_PROMISES: usize = 64;

/// One use of a connection; dropping it returns the connection to the pool.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Arc<Connection>,
    kind: ConnectionKind,
}

impl Lease {
    /// For what a connection of this kind carries, whichever kind this one is.
    pub(super) fn new(connection: &Arc<Connection>, kind: ConnectionKind) -> Self {
        connection.state.add_lease();
        Self {
            connection: Arc::clone(connection),
            kind,
        }
    }

    /// What it is for. Where a person would have to be asked for a data connection, the control connection carries data.
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

/// A connection is kept open for a listener whose port somebody was told. It takes no place: nobody shares the connection
/// with it, since it carries nothing.
#[derive(Debug)]
pub(crate) struct Promise(Arc<Connection>);

impl Promise {
    /// # Errors
    /// `TooMany` where the connection has as many listeners as it may.
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

    /// A place for the connection that has come.
    pub(crate) fn lease(&self) -> Lease {
        Lease::new(&self.0, ConnectionKind::Data)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.state.end_promise();
    }
}
