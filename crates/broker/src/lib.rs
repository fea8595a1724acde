//! The Connection Broker as a library: supervisor, tunnels, FTP sessions, data channels and their status.

mod announced;
mod api;
mod client;
mod client_tls;
mod doctor;
mod events;
mod ftp_session;
mod hooks;
mod listeners;
mod log_lines;
mod measures;
mod metrics;
mod own_host;
mod profiles;
mod prompts;
mod reasons;
mod refusal;
mod registry;
mod shutdown;
mod snapshots;
mod socks;
mod socks_session;
mod subscriptions;
mod supervisor;
mod sync;
mod tcp_session;
mod tunnel;
mod unix_time;

pub use api::{Api, ConnectedClient};
pub use broker_ssh::data_thread_heartbeats;
pub use doctor::{Sink, examine};
pub use events::{
    ConnectionFacts, Event, Events, Fault, Numbered, SessionFacts, TransferKind, TransferRecord,
    TransferResult, TransferStart, TunnelFacts,
};
pub use log_lines::LogLines;
pub use metrics::Metrics;
pub use own_host::TunnelSockets;
pub use profiles::Identity;
pub use shutdown::{Grace, Shutdown};
pub use snapshots::Overview;
pub use supervisor::{NewConfig, ProcessRequest, Supervisor};
