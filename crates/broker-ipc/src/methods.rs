//! Every method of the interface, once: its name, its parameters, its result.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ErrorCode, RpcError};
use crate::secret::Secret;
use crate::types::{
    ChannelInfo, Connection, ConnectionDetail, CurrentPrompt, DaemonStatus, HostKey, Profile,
    TunnelKind, TunnelListener,
};

/// A method: the type is its parameters.
pub trait Method: Serialize + DeserializeOwned + Send {
    /// The name on the wire.
    const NAME: &'static str;
    /// What a successful answer holds.
    type Reply: Serialize + DeserializeOwned + Send;
}

/// Ties names, parameters and results together, and derives from that one list the method names, the request that
/// the daemon's handler gets, and the response that it gives.
macro_rules! methods {
    ($( $(#[$doc:meta])* $name:literal => $method:ident -> $reply:ty; )*) => {
        /// The names of all methods, `hello` first.
        pub const METHODS: &[&str] = &[Hello::NAME, $( $name ),*];

        $( impl Method for $method {
            const NAME: &'static str = $name;
            type Reply = $reply;
        } )*

        /// A request that reached the daemon, its parameters checked. `hello` is answered before it gets here.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request { $( $(#[$doc])* $method($method), )* }

        /// A successful answer. Its variant must be that of the request.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Response { $( $(#[$doc])* $method($reply), )* }

        impl Request {
            /// Reads the parameters of the method named.
            pub(crate) fn parse(method: &str, params: Option<Value>) -> Result<Self, RpcError> {
                match method {
                    $( $name => parse_params(method, params).map(Self::$method), )*
                    _ => Err(unknown_method(method)),
                }
            }
        }
    };
}

methods! {
    /// The daemon as a whole.
    "status" => Status -> DaemonStatus;
    /// End the daemon.
    "stop" => Stop -> Done;
    /// Read the configuration again.
    "reload" => Reload -> Done;
    /// The configured profiles.
    "list-profiles" => ListProfiles -> Vec<Profile>;
    /// The SSH connections.
    "list-connections" => ListConnections -> Vec<Connection>;
    /// One SSH connection and its channels.
    "connection-status" => ConnectionStatus -> ConnectionDetail;
    /// Close one SSH connection, its channels with it.
    "close-connection" => CloseConnection -> Done;
    /// The SSH channels.
    "list-channels" => ListChannels -> Vec<ChannelInfo>;
    /// Cut one SSH channel.
    "close-channel" => CloseChannel -> Done;
    /// The tunnel listeners.
    "list-tunnel-listeners" => ListTunnelListeners -> Vec<TunnelListener>;
    /// Open a tunnel listener.
    "open-tunnel-listener" => OpenTunnelListener -> TunnelListener;
    /// Close a tunnel listener; clients it serves go on.
    "close-tunnel-listener" => CloseTunnelListener -> Done;
    /// Take on prompts, for as long as this client is connected.
    "attend-prompts" => AttendPrompts -> Done;
    /// Wait for the prompt to be shown next.
    "next-prompt" => NextPrompt -> CurrentPrompt;
    /// Answer a prompt, or decline it.
    "answer-prompt" => AnswerPrompt -> Done;
    /// Have an SSH server show its host keys.
    "probe-key" => ProbeKey -> Vec<HostKey>;
    /// Store one of an SSH server's host keys as known.
    "trust-host" => TrustHost -> HostKey;
}

/// Says who is there. The first request on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The interface version spoken, see [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The version of the client's build; for the daemon's log only.
    #[serde(default)]
    pub build: String,
}

impl Method for Hello {
    const NAME: &'static str = "hello";
    type Reply = HelloReply;
}

/// What the daemon answers to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// The interface version spoken.
    pub protocol: u32,
    /// The version of the daemon's build.
    pub build: String,
    /// Process id of the daemon.
    pub pid: u32,
}

/// The answer of a method that has nothing to tell but that it succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Parameters of `status`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {}

/// Parameters of `stop`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Seconds that running transfers may still take; absent: the daemon's own grace period.
    pub grace: Option<u64>,
}

/// Parameters of `reload`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {}

/// Parameters of `list-profiles`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListProfiles {}

/// Parameters of `list-connections`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListConnections {}

/// Parameters of `connection-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// The connection's id.
    pub id: u64,
}

/// Parameters of `close-connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseConnection {
    /// The connection's id.
    pub id: u64,
}

/// Parameters of `list-channels`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChannels {}

/// Parameters of `close-channel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseChannel {
    /// The channel's id.
    pub id: u64,
}

/// Parameters of `list-tunnel-listeners`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTunnelListeners {}

/// Parameters of `open-tunnel-listener`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTunnelListener {
    /// What to forward.
    pub kind: TunnelKind,
    /// The address to listen on; absent: loopback, or every address where `relay` is set.
    pub listen_address: Option<String>,
    /// The port to listen on; 0 takes a free one.
    pub listen_port: u16,
    /// The destination, as seen from the SSH server.
    pub dst_host: String,
    /// The destination's port.
    pub dst_port: u16,
    /// Whether other hosts may connect.
    #[serde(default)]
    pub relay: bool,
    /// Further attributes of a tunnel in the configuration file, by name, such as `tls`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// A profile's name or id, or `[user@]host[#port]`.
    pub target: String,
}

/// Parameters of `close-tunnel-listener`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseTunnelListener {
    /// The listener's id.
    pub id: u64,
}

/// Parameters of `attend-prompts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttendPrompts {
    /// Take on the prompts of this target only, before anybody who takes on all: a profile's name or id, or
    /// `[user@]host[#port]`. Absent: those of every target.
    pub target: Option<String>,
}

/// Parameters of `next-prompt`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPrompt {
    /// The id of the prompt being shown; the answer comes once another is to be shown, or none. Absent: none is shown.
    pub shown: Option<u64>,
}

/// Parameters of `answer-prompt`. With neither `confirm` nor `texts`, the prompt is declined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerPrompt {
    /// The prompt's id.
    pub id: u64,
    /// Whether the host key is the right one.
    pub confirm: Option<bool>,
    /// A text for each field.
    pub texts: Option<Vec<Secret>>,
}

impl Request {
    /// Whether it is one of those that only the daemon's own user may send, since secrets pass.
    pub(crate) fn is_about_prompts(&self) -> bool {
        matches!(
            self,
            Self::AttendPrompts(_) | Self::NextPrompt(_) | Self::AnswerPrompt(_)
        )
    }

    /// Whether its answer is of use only to a client that still is there, and may take any time.
    pub(crate) fn is_a_wait(&self) -> bool {
        matches!(self, Self::NextPrompt(_))
    }
}

/// Parameters of `probe-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeKey {
    /// A profile's name or id, or `host[#port]`.
    pub target: String,
}

/// Parameters of `trust-host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustHost {
    /// A profile's name or id, or `host[#port]`.
    pub target: String,
    /// The SHA-256 fingerprint of the key to store, as OpenSSH prints it.
    pub fingerprint: String,
}

/// Reads a method's parameters; absent ones are an empty object.
pub(crate) fn parse_params<T: DeserializeOwned>(
    method: &str,
    params: Option<Value>,
) -> Result<T, RpcError> {
    let params = params.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    serde_json::from_value(params).map_err(|fault| {
        // A fault quotes what it found, which here may be a secret.
        let fault = if method == AnswerPrompt::NAME {
            "see its description".to_owned()
        } else {
            fault.to_string()
        };
        RpcError::invalid_params(format!("the parameters of {method} are wrong: {fault}"))
    })
}

fn unknown_method(method: &str) -> RpcError {
    RpcError::new(
        ErrorCode::MethodNotFound,
        format!("there is no method \"{}\"", method.escape_debug()),
    )
}
