//! The Connection Broker as a library: supervisor, tunnels, FTP sessions, data channels and what it shows of them.

mod adhoc;
mod api;
mod connections;
mod destination;
mod ftp_session;
mod host;
mod hostkeys;
mod listener;
mod listeners;
mod own_addresses;
mod peer_owner;
mod prompts;
mod reconnect;
mod registry;
mod shutdown;
mod snapshots;
mod ssh_spec;
mod supervisor;
mod target;
mod tcp_session;
mod traffic;
mod tunnel;
mod vanished;
mod way_spec;

pub use api::Api;
pub use prompts::Attendant;
pub use shutdown::Shutdown;
pub use supervisor::{Identity, Supervisor};
