//! SSH connections for the broker: connect, verify, authenticate; a pool with control and data connections; channels that
//! distinguish an end from a cut; and remote forwards
//!
//! A [`Pool`] belongs to one server and one user. Channels of FTP control sessions share its control connection, whose
//! channels are always drained. A data channel has its own connection, so a stalled transfer fills only its own TCP
//! connection.

mod auth;
mod channel;
mod connect;
mod forward;
mod host_key;
mod net;
mod pool;
mod prompt;
mod route;
mod shell;
mod spec;
mod splice;
mod state;

pub use auth::{
    AttemptOutcome, AuthError, KeyFileError, KeyPair, LoginAttempt, LoginEnd, PrivateFileError,
    SecretError, Tried, read_password,
};
pub use broker_settings::{
    AuthMethod, HostKeyPolicy, Identity, PasswordSource, PinnedKey, PoolLimits, Settings,
};
pub use channel::{Channel, ChannelInfo, ChannelRead, Intake, Place, ReadHalf, WriteHalf};
pub use connect::{
    ChannelError, ChannelRefusal, HandshakeError, HandshakeFault, HostKey, HostKeyStanding,
    Liveness, OpenError, Originator, probe, trust,
};
pub use forward::{ForwardedConnection, Forwards, RemoteForward, TunnelForward};
pub use host_key::{CertificateFault, FileError, HostKeyError, ShownKey, StoreError};
pub use net::client_socket::{ClientSocket, ClientStream};
pub use net::workers::data_thread_heartbeats;
pub use pool::{KeepGuard, Pool, PoolSnapshot, PoolUseGuard};
pub use prompt::{Answer, Field, KeepFor, Keyring, NoAnswer, Prompt, PromptError, Responder};
pub use route::{
    FailedAttempt, FirstHop, ProxyFault, ResolveError, RouteError, Unreachable, first_hop, try_each,
};
pub use secrecy::{ExposeSecret, SecretString};
pub use shell::{command_name, end_group, shell};
pub use spec::{ConnectSpec, HostKeyRules, KeyPlace, Target};
pub use splice::{SpliceEnd, SpliceProgress, SpliceSignals, splice, splice_layered};
pub use state::CutReason;
pub use state::info::{ConnectionInfo, ConnectionKind, ConnectionPhase, Negotiated};
pub use state::low_latency::{LowLatencyRefusal, SmallPackets};
pub use state::observer::{Observer, Passed};
