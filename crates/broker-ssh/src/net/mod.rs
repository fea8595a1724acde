//! The lowest layer: streams, sockets, threads and small helpers without knowledge of SSH

pub(crate) mod client_socket;
pub(crate) mod keepalive;
pub(crate) mod lock;
pub(crate) mod loopback;
mod preamble;
pub(crate) mod quick_ack;
pub(crate) mod stream;
pub(crate) mod text;
pub(crate) mod wildcard;
pub(crate) mod window;
pub(crate) mod workers;
