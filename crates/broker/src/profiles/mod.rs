//! Profiles and the pools of SSH connections that lead to their servers.

mod adhoc;
mod connections;
mod reconnect;

pub(crate) use connections::Connections;
pub(crate) use reconnect::keep_connected;
