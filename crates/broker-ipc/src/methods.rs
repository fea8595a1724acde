//! Every method of the interface, once: its name, its parameters, its result.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::error::{ErrorCode, RpcError};
use crate::params::{self, Unknown};
use crate::secret::Secret;
use crate::types::{
    ChannelInfo, ClientInfo, ConfigEntry, Connection, ConnectionDetail, CurrentPrompt,
    DaemonStatus, EventKind, HostKey, LogSetting, MetricsPage, Profile, ReloadReport, Session,
    Transfer, TunnelKind, TunnelListener, TunnelSide,
};

/// A method. The type that implements it contains the parameters.
pub trait Method: Serialize + DeserializeOwned + Send {
    /// The name on the wire.
    const NAME: &'static str;
    /// The result of a successful request.
    type Reply: Serialize + DeserializeOwned + Send;
}

/// The outcome of a request in its wire form.
pub(crate) type RawReply = Result<Value, RpcError>;

/// Sends the reply to one request. If it is dropped without a reply, the client learns that the daemon is stopping.
#[derive(Debug)]
pub struct ReplySender<M> {
    outcome: oneshot::Sender<RawReply>,
    method: PhantomData<fn(M)>,
}

impl<M: Method> ReplySender<M> {
    fn new(outcome: oneshot::Sender<RawReply>) -> Self {
        Self {
            outcome,
            method: PhantomData,
        }
    }

    /// Sends the reply. The client may have left.
    pub fn send(self, reply: Result<M::Reply, RpcError>) {
        let reply = reply.and_then(|it| serde_json::to_value(it).map_err(RpcError::internal));
        let _ = self.outcome.send(reply);
    }
}

/// Derives the method names, and the requests that the daemon's handler gets, from one list of names, parameters and
/// replies.
macro_rules! requests {
    ($(#[$doc:meta])* $request:ident { $( $(#[$about:meta])* $name:literal => $method:ident -> $reply:ty; )* }) => {
        $( impl Method for $method {
            const NAME: &'static str = $name;
            type Reply = $reply;
        } )*

        $(#[$doc])*
        #[derive(Debug)]
        pub enum $request { $( $(#[$about])* $method($method, ReplySender<$method>), )* }

        impl $request {
            /// The names of these methods.
            pub const METHODS: &[&str] = &[$( $name ),*];

            /// Describes these methods.
            #[cfg(feature = "schema")]
            pub(crate) fn describe(made: &mut crate::described::Described) {
                $( made.method::<$method, $reply>($name); )*
            }

            /// Reads the parameters of the named method.
            pub(crate) fn parse(
                method: &str,
                params: Option<Value>,
                outcome: oneshot::Sender<RawReply>,
            ) -> Result<Self, RpcError> {
                match method {
                    $( $name => {
                        let params = parse_params(params)?;
                        Ok(Self::$method(params, ReplySender::new(outcome)))
                    } )*
                    _ => Err(unknown_method(method)),
                }
            }
        }
    };
}

requests! {
    /// A request with checked parameters, and the sender of its reply. The server answers `hello` itself.
    Request {
        /// The daemon as a whole.
        "status" => Status -> DaemonStatus;
        /// End the daemon.
        "stop" => Stop -> Done;
        /// Keep a daemon running that was started on demand.
        "keep-running" => KeepRunning -> Done;
        /// Send the daemon's sockets to another process, which becomes the daemon.
        "hand-over" => HandOver -> Heritage;
        /// End a daemon whose sockets another process serves.
        "retire" => Retire -> Done;
        /// Read the configuration again.
        "reload" => Reload -> ReloadReport;
        /// The metrics, as a monitoring system reads them.
        "metrics" => Metrics -> MetricsPage;
        /// How much the daemon logs, or should log from now on.
        "set-log-level" => SetLogLevel -> LogSetting;
        /// Values of the configuration.
        "config-value" => ConfigValue -> Vec<ConfigEntry>;
        /// The configured profiles.
        "list-profiles" => ListProfiles -> Vec<Profile>;
        /// The SSH connections.
        "list-connections" => ListConnections -> Vec<Connection>;
        /// One SSH connection and its channels.
        "connection-status" => ConnectionStatus -> ConnectionDetail;
        /// Close one SSH connection and its channels.
        "close-connection" => CloseConnection -> Done;
        /// The SSH channels.
        "list-channels" => ListChannels -> Vec<ChannelInfo>;
        /// Close one SSH channel.
        "close-channel" => CloseChannel -> Done;
        /// The tunnel listeners.
        "list-tunnel-listeners" => ListTunnelListeners -> Vec<TunnelListener>;
        /// The clients being served.
        "list-sessions" => ListSessions -> Vec<Session>;
        /// The transfers that run, and the last ones that are over.
        "list-transfers" => ListTransfers -> Vec<Transfer>;
        /// Open a tunnel listener.
        "open-tunnel-listener" => OpenTunnelListener -> TunnelListener;
        /// Close a tunnel listener; connected clients continue.
        "close-tunnel-listener" => CloseTunnelListener -> Done;
        /// Connect to an SSH server.
        "connect" => Connect -> Done;
        /// Fetch the host keys of an SSH server.
        "probe-key" => ProbeKey -> Vec<HostKey>;
        /// Store one of an SSH server's host keys as known.
        "trust-host" => TrustHost -> HostKey;
    }
}

requests! {
    /// A request about prompts. It can carry secrets, so only the daemon's user may send it.
    PromptRequest {
        /// Take on prompts for as long as this client is connected.
        "attend-prompts" => AttendPrompts -> Done;
        /// Wait for the next prompt to show.
        "next-prompt" => NextPrompt -> CurrentPrompt;
        /// Answer a prompt, or decline it.
        "answer-prompt" => AnswerPrompt -> Done;
    }
}

requests! {
    /// A request about the clients of the local socket. The server answers it itself.
    ClientRequest {
        /// The clients.
        "list-clients" => ListClients -> Vec<ClientInfo>;
        /// Disconnect a client.
        "disconnect-client" => DisconnectClient -> Done;
    }
}

/// Introduces the client. The first request on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// The client's version of the interface, see [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The version of the client's build, for the daemon's log.
    #[serde(default)]
    pub build: String,
}

impl Method for Hello {
    const NAME: &'static str = "hello";
    type Reply = HelloReply;
}

/// The daemon's answer to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HelloReply {
    /// The daemon's version of the interface.
    pub protocol: u32,
    /// The version of the daemon's build.
    pub build: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// A name that no other daemon has had, see [`crate::instance`]; empty from a daemon that has none.
    #[serde(default)]
    pub instance: String,
}

/// Parameters of `subscribe`. The events follow the answer as notifications on the same connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscribe {
    /// Only events of these kinds. Empty: all but `log` and `transfer-progress`.
    #[serde(default)]
    pub kinds: Vec<EventKind>,
    /// Only events of this target: a profile's name or id, or `[user@]host[#port]`. Absent: those of every target.
    pub profile: Option<String>,
    /// Also what has happened since the event with this number. Absent: only what happens from now on.
    pub after: Option<u64>,
    /// Whether the daemon first sends what is true now, as events of the usual kinds, and then `state-complete`.
    #[serde(default)]
    pub state: bool,
}

impl Method for Subscribe {
    const NAME: &'static str = "subscribe";
    type Reply = Subscribed;
}

/// The answer to `subscribe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscribed {
    /// The number of the daemon's last event; 0 if there was none.
    pub last: u64,
}

/// The answer of a method that reports only its success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Done {}

/// Parameters of `status`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {}

/// Parameters of `stop`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stop {
    /// Seconds that running transfers may still take. Absent: the daemon's grace period, or what an earlier `stop` asked
    /// for.
    pub grace: Option<u64>,
    /// Whether running transfers may take any time.
    #[serde(default)]
    pub when_idle: bool,
}

/// Parameters of `set-log-level`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetLogLevel {
    /// A level or a filter, as `brokerd --log` takes it; `default`: that of the command line. Absent: nothing changes.
    pub level: Option<String>,
}

/// Parameters of `keep-running`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeepRunning {}

/// Parameters of `hand-over`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HandOver {
    /// The absolute path of the datagram socket to which the daemon sends the descriptors.
    pub to: String,
}

/// The answer to `hand-over`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Heritage {
    /// How many descriptors the daemon has sent.
    pub sockets: u64,
    /// The tunnels that clients have opened, with the ports on which they listen.
    pub tunnels: Vec<OpenTunnelListener>,
}

/// Parameters of `retire`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retire {}

/// Parameters of `reload`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reload {
    /// Whether only to say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// Parameters of `metrics`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metrics {}

/// Parameters of `config-value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigValue {
    /// The place of an element or attribute, such as `profiles/profile[@name='work']/@port`.
    pub path: String,
}

/// Parameters of `list-clients`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListClients {}

/// Parameters of `disconnect-client`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DisconnectClient {
    /// The client's id.
    pub id: u64,
}

/// Parameters of `list-profiles`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListProfiles {}

/// Parameters of `list-connections`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListConnections {}

/// Parameters of `connection-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionStatus {
    /// The connection's id.
    pub id: u64,
}

/// Parameters of `close-connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CloseConnection {
    /// The connection's id.
    pub id: u64,
}

/// Parameters of `list-channels`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListChannels {}

/// Parameters of `close-channel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CloseChannel {
    /// The channel's id.
    pub id: u64,
}

/// Parameters of `list-tunnel-listeners`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListTunnelListeners {}

/// Parameters of `list-sessions`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListSessions {}

/// Parameters of `list-transfers`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListTransfers {}

/// Parameters of `open-tunnel-listener`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenTunnelListener {
    /// What to forward.
    pub kind: TunnelKind,
    /// The side that listens.
    #[serde(default)]
    pub side: TunnelSide,
    /// The address to listen on. Absent: loopback, or every address if `relay` is set.
    pub listen_address: Option<String>,
    /// The port to listen on; with 0 the system picks a free one.
    pub listen_port: u16,
    /// The destination, as seen from the side that does not listen. Ignored for SOCKS: the clients name it.
    #[serde(default)]
    pub dst_host: String,
    /// The destination's port. Ignored for SOCKS.
    #[serde(default)]
    pub dst_port: u16,
    /// Whether other hosts may connect.
    #[serde(default)]
    pub relay: bool,
    /// Further attributes of a tunnel, named as in the configuration file, such as `tls`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// A profile's name or id, or `[user@]host[#port]`.
    pub target: String,
    /// Whether the listener closes when this client leaves, however it leaves; connected clients continue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub while_connected: bool,
}

/// Parameters of `close-tunnel-listener`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CloseTunnelListener {
    /// The listener's id.
    pub id: u64,
}

/// Parameters of `attend-prompts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttendPrompts {
    /// Take on only the prompts of this target: a profile's name or id, or `[user@]host[#port]`. Such a client comes
    /// before clients that take on all prompts. Absent: the prompts of every target.
    pub target: Option<String>,
}

/// Parameters of `next-prompt`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NextPrompt {
    /// The id of the prompt that the client shows. The answer comes when the client should show another prompt, or
    /// none. Absent: the client shows none.
    pub shown: Option<u64>,
}

/// Parameters of `answer-prompt`. With neither `confirm` nor `texts`, the prompt is declined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnswerPrompt {
    /// The prompt's id.
    pub id: u64,
    /// Whether the host key is correct.
    pub confirm: Option<bool>,
    /// A text for each field.
    pub texts: Option<Vec<Secret>>,
}

/// Parameters of `connect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Connect {
    /// A profile's name or id, or `[user@]host[#port]`.
    pub target: String,
}

/// Parameters of `probe-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeKey {
    /// A profile's name or id, or `host[#port]`.
    pub target: String,
}

/// Parameters of `trust-host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustHost {
    /// A profile's name or id, or `host[#port]`.
    pub target: String,
    /// The SHA-256 fingerprint of the key to store, as OpenSSH prints it.
    pub fingerprint: String,
}

/// Reads a method's parameters.
pub(crate) fn parse_params<T: Method>(params: Option<Value>) -> Result<T, RpcError> {
    let unknown = match T::NAME {
        Hello::NAME => Unknown::Ignored,
        _ => Unknown::Refused,
    };
    params::read(params, unknown)
        .map_err(|fault| RpcError::invalid_params(format_args!("{}: {fault}", T::NAME)))
}

fn unknown_method(method: &str) -> RpcError {
    RpcError::new(
        ErrorCode::MethodNotFound,
        format!("there is no method \"{}\"", method.escape_debug()),
    )
}
