//! Making one SSH connection, and what it can be asked once it is there

pub(crate) mod algorithms;
pub(crate) mod dial;
pub(crate) mod handler;
pub(crate) mod keepalive;
pub(crate) mod liveness;
pub(crate) mod probe;
pub(crate) mod requests;
