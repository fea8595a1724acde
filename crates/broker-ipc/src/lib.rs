//! The daemon's local interface: wire types, methods, and both ends of the socket.
//!
//! The protocol is JSON-RPC 2.0, one object per line, over a local socket that only its owner can open. [`methods`]
//! names every method once, with its parameters and its result. [`server`] and [`client`] are generic over that list,
//! so no caller handles JSON. This crate does not know what the daemon does with a request.

pub mod checks;
pub mod client;
mod clients;
#[cfg(feature = "schema")]
mod described;
pub mod descriptors;
pub mod endpoint;
mod error;
mod instance;
pub mod methods;
mod params;
mod peer;
mod places;
pub mod printed;
mod reason;
mod reserve;
#[cfg(feature = "schema")]
pub mod schema;
mod secret;
pub mod server;
pub mod types;
mod wire;

pub use client::{Client, ClientError, Patience};
pub use endpoint::{BindError, Endpoint, EndpointCopy, adopt, bind, inherit};
pub use error::{ErrorCode, ErrorData, LoginAttempt, LoginOutcome, RpcError};
pub use instance::instance;
pub use methods::{ClientRequest, Method, PromptRequest, ReplySender, Request};
pub use places::{default_socket_path, find_socket, usual_sockets};
pub use reason::{Party, Reason};
pub use secret::Secret;
pub use server::{Handler, Subscription, serve};

/// The version of this interface. It changes when a method, field or value disappears or changes its meaning, and when
/// an enumeration gains a value. A new field or method does not change it.
pub const PROTOCOL: u32 = 1;

/// The version of this build, as exchanged in `hello`.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
