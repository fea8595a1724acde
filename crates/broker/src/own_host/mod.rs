//! The daemon's own host: its addresses, its sockets, and who owns them.

mod client_addresses;
mod client_owner;
mod client_socket;
mod destination;
mod host;
mod listener;
mod own_addresses;
mod peer_owner;
mod race;
mod tunnel_sockets;

pub(crate) use client_addresses::ClientAddresses;
pub(crate) use client_owner::{ClientOwner, Objection};
pub(crate) use client_socket::{
    has_ended, notice_when_idle, notice_when_sending, reset_when_dropped, was_reset,
};
pub(crate) use destination::connect_to;
pub(crate) use host::Host;
pub(crate) use listener::Listener;
pub(crate) use own_addresses::own_addresses;
pub(crate) use race::{NO_ADDRESS, first_open};
pub use tunnel_sockets::TunnelSockets;
