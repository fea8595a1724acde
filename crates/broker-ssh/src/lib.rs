//! SSH connections for the broker: connect, verify, authenticate, a pool with one control connection and data
//! connections beside it, channels that tell an end from a cut, and remote forwards
//!
//! A [`Pool`] belongs to one server and one user. Channels of FTP control sessions share its control connection, whose
//! channels are always drained; a data channel has a connection of its own, so that a stalled transfer fills its own TCP
//! connection and stops there.

mod algorithms;
mod asking;
mod auth;
mod channel;
mod dial;
mod error;
mod forward;
mod handler;
mod host_key;
mod keepalive;
mod key_places;
mod keyfile;
mod keyring;
mod liveness;
mod lock;
mod loopback;
mod opening;
mod pool;
mod private_file;
mod probe;
mod prompt;
mod public_hash;
mod quick_ack;
mod requests;
mod round_trip;
mod route;
mod secret;
mod snapshot;
mod spec;
mod splice;
mod stall;
mod state;
mod stream;
mod text;
mod wildcard;
mod window;
mod workers;

pub use channel::{Channel, ChannelInfo, ChannelRead, ReadHalf, WriteHalf};
pub use error::{CutReason, OpenError};
pub use forward::{Forwards, Incoming, Originator, RemoteForward};
pub use keyring::{KeepFor, Keyring};
pub use liveness::Liveness;
pub use pool::{KeepGuard, Pool, SessionGuard};
pub use probe::{HostKey, HostKeyStanding, probe, trust};
pub use prompt::{Answer, Field, NoAnswer, Prompt, Responder};
pub use route::{Hosts, Proxy, ProxyKind, ProxyLogin, ProxyRule, Servers};
pub use secrecy::{ExposeSecret, SecretString};
pub use snapshot::{ConnectionInfo, ConnectionKind, ConnectionPhase, Negotiated, PoolSnapshot};
pub use spec::{
    AddressFamily, Algorithms, AuthMethod, ConnectSpec, HostKeyPolicy, HostKeyRules, Identity,
    KeyPlace, PasswordSource, PinnedKey, PoolLimits, Target,
};
pub use splice::{Progress, SpliceEnd, splice};
