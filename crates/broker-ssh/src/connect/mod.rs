//! Making one SSH connection, and what can be asked of its server once it is up

mod algorithms;
mod connection;
mod dial;
mod gateway;
mod handler;
mod handshake;
mod keepalive;
mod leftovers;
mod listeners;
mod liveness;
mod probe;
mod requests;

pub(crate) use connection::Connection;
pub(crate) use dial::{Dial, runtime};
pub(crate) use listeners::Arrival;
pub use listeners::Originator;
pub use liveness::Liveness;
pub(crate) use liveness::silence;
pub use probe::{HostKey, HostKeyStanding, probe, trust};
pub(crate) use requests::Answer;
