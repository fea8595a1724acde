//! Making one SSH connection, and the requests on an open one

mod algorithms;
mod channel_end;
mod channel_error;
mod connection;
mod dial;
mod error;
mod gateway;
mod handler;
mod handshake;
mod keepalive;
mod leftovers;
mod listeners;
mod liveness;
mod low_latency;
mod probe;
mod requests;
mod session_channel;

pub(crate) use channel_end::{close, until_closed};
pub use channel_error::{ChannelError, ChannelRefusal};
pub(crate) use connection::Connection;
pub(crate) use dial::{Dial, runtime};
pub use error::{HandshakeError, HandshakeFault, OpenError};
pub(crate) use listeners::Arrival;
pub use listeners::Originator;
pub use liveness::Liveness;
pub(crate) use liveness::silence;
pub use probe::{HostKey, HostKeyStanding, probe, trust};
pub(crate) use requests::RequestReply;
